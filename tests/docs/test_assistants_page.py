"""The page about assistants: each command that it shows can be run as it stands, in an empty folder
and with a key in the environment, and each file that it leads to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faregate.cli.app import app
from faregate.cli.assistants import BY_NAME
from faregate.mcp.skills import SKILLS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "integrations/assistants.md").read_text()
SHOWN = sorted(set(re.findall(r"`faregate (mcp (?:install|skills) [^`]+)`", PAGE)))
KEY = "fg_test_" + "k" * 32


@pytest.mark.parametrize("command", SHOWN)
def test_every_command_that_is_shown_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FAREGATE_URL", "FAREGATE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("FAREGATE_API_KEY", KEY)
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.output
    with_keys = [p for p in tmp_path.rglob("*") if p.is_file() and KEY in p.read_text()]
    assert bool(with_keys) is ("--with-key" in command)


def test_every_assistant_has_a_row_and_every_guide_too() -> None:
    shown = {command.split()[2] for command in SHOWN if command.startswith("mcp install")}
    assert shown == set(BY_NAME)
    rows = re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.M)
    assert rows == [skill.name for skill in SKILLS]
