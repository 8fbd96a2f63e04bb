"""`faregate mcp install`: what each assistant is told, where, and that no key gets into a file that
others see."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from faregate.cli.app import app
from faregate.cli.assistants import ASSISTANTS, BY_NAME, places

KEY = "fg_test_" + "k" * 32
BEARER = "Authorization"
HTTP = {
    "claude-code": (
        ".mcp.json",
        {"type": "http", "url": "{}", "headers": {BEARER: "Bearer ${FAREGATE_API_KEY}"}},
    ),
    "cursor": (
        ".cursor/mcp.json",
        {"url": "{}", "headers": {BEARER: "Bearer ${env:FAREGATE_API_KEY}"}},
    ),
    "vscode": (
        ".vscode/mcp.json",
        {"type": "http", "url": "{}", "headers": {BEARER: "Bearer ${input:faregate-api-key}"}},
    ),
    "gemini": (
        "home/.gemini/settings.json",
        {"type": "http", "url": "{}", "headers": {BEARER: "Bearer $FAREGATE_API_KEY"}},
    ),
    "codex": ("home/.codex/config.toml", {"url": "{}", "bearer_token_env_var": "FAREGATE_API_KEY"}),
    "windsurf": (
        "home/.codeium/windsurf/mcp_config.json",
        {"serverUrl": "{}", "headers": {BEARER: "Bearer ${env:FAREGATE_API_KEY}"}},
    ),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("FAREGATE_API_KEY", "FAREGATE_URL", "FAREGATE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/.config"))
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["mcp", "install", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def read(path: Path) -> Any:
    text = path.read_text()
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", HTTP)
def test_what_is_printed_is_what_is_written_and_no_key_is_in_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FAREGATE_API_KEY", KEY)
    printed, said = run(name, "--url", "https://billing.example.com/")
    assert files(here) == []
    path, entry = HTTP[name]
    assert str(here / path) in said
    written, _ = run(name, "--url", "https://billing.example.com/", "--write")
    assert written.strip() == str(here / path)
    assert files(here) == [path]
    assert (here / path).read_text() == printed
    settings = read(here / path)
    found = settings[BY_NAME[name].section]["faregate"]
    assert found == {
        key: "https://billing.example.com/mcp" if value == "{}" else value
        for key, value in entry.items()
    }
    assert KEY not in printed + said


def test_there_is_a_case_for_every_assistant() -> None:
    assert {*HTTP, "claude-desktop"} == set(BY_NAME)


def test_vscode_asks_for_the_key_and_keeps_it_elsewhere(here: Path) -> None:
    printed, said = run("vscode")
    (asked,) = json.loads(printed)["inputs"]
    assert (asked["id"], asked["password"]) == ("faregate-api-key", True)
    assert "ask you for the key" in said


def test_who_signs_in_needs_no_key_and_is_asked_for_none() -> None:
    for name in HTTP:
        printed, said = run(name, "--sign-in")
        assert "FAREGATE_API_KEY" not in printed + said
        assert "inputs" not in printed


@pytest.mark.parametrize("name", ["claude-code", "cursor", "vscode", "gemini", "codex"])
def test_a_key_never_gets_into_a_file_of_a_project(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FAREGATE_API_KEY", KEY)
    _, said = run(name, "--scope", "project", "--with-key", "--write", code=2)
    assert "likely committed" in said
    assert files(here) == []


@pytest.mark.parametrize("name", ["cursor", "gemini", "codex", "windsurf", "vscode"])
def test_a_key_gets_into_a_file_of_ones_own_when_that_is_asked_for(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FAREGATE_API_KEY", KEY)
    _, said = run(name, "--scope", "user", "--with-key", "--write")
    (written,) = files(here)
    assert (here / written).is_relative_to(here / "home")
    entry = read(here / written)[BY_NAME[name].section]["faregate"]
    assert f"Bearer {KEY}" in str(entry)
    assert (here / written).stat().st_mode & 0o077 == 0
    assert "has your key now" in said


def test_a_key_that_is_not_there_is_asked_for() -> None:
    _, said = run("windsurf", "--with-key", code=2)
    assert "FAREGATE_API_KEY is not set" in said


def test_claude_desktop_starts_a_program_that_has_the_key(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, said = run("claude-desktop", code=2)
    assert "--with-key" in said
    assert "--local" in said
    monkeypatch.setenv("FAREGATE_API_KEY", KEY)
    run("claude-desktop", "--url", "https://b.example.com", "--with-key", "--write")
    path = here / "home/.config/Claude/claude_desktop_config.json"
    entry = read(path)["mcpServers"]["faregate"]
    assert entry["args"] == ["mcp", "--url", "https://b.example.com"]
    assert entry["env"] == {"FAREGATE_API_KEY": KEY}
    assert Path(entry["command"]).is_absolute()


@pytest.mark.parametrize("assistant", ASSISTANTS, ids=lambda one: one.name)
def test_every_assistant_can_start_a_database_of_this_machine_without_a_key(
    assistant: Any, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    monkeypatch.setenv("FAREGATE_DATABASE_URL", "sqlite:///shop.db")
    printed, _ = run(assistant.name, "--local")
    read_ = tomllib.loads if assistant.is_toml else json.loads
    entry = read_(printed)[assistant.section]["faregate"]
    assert entry["args"] == ["mcp", "--database", f"sqlite:///{here}/shop.db"]
    assert "env" not in entry


def test_a_password_of_a_database_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREGATE_DATABASE_URL", "postgresql://me:secret@db/shop")
    printed, said = run("cursor", "--local", code=2)
    assert "has a password" in said
    assert "secret" not in printed + said


def test_other_servers_stay_and_the_file_as_it_was_is_kept(here: Path) -> None:
    path = here / ".mcp.json"
    before = '{"mcpServers": {"other": {"command": "x"}}, "more": 1}'
    path.write_text(before)
    _, said = run("claude-code", "--write")
    assert read(path)["mcpServers"]["other"] == {"command": "x"}
    assert read(path)["more"] == 1
    kept = here / ".mcp.json.before-faregate-1"
    assert kept.read_text() == before
    assert str(kept) in said
    _, said = run("claude-code", "--write")
    assert "says so already" in said
    assert files(here) == [".mcp.json", kept.name]


@pytest.mark.parametrize("text", [b'{"mcpServers": {}, // mine\n}', b"\xff\xfe{"])
def test_a_file_that_cannot_be_read_is_left_alone_and_the_entry_is_printed(
    here: Path, text: bytes
) -> None:
    path = here / ".cursor/mcp.json"
    path.parent.mkdir()
    path.write_bytes(text)
    printed, said = run("cursor", "--write", code=2)
    assert path.read_bytes() == text
    assert files(here) == [".cursor/mcp.json"]
    assert "was left as it is" in said
    assert "faregate" in json.loads(printed)["mcpServers"]


def test_claude_codes_own_file_is_written_by_its_own_command() -> None:
    printed, said = run("claude-code", "--scope", "user", "--url", "https://b.example.com")
    assert printed == (
        "claude mcp add --scope user --transport http faregate https://b.example.com/mcp "
        "--header 'Authorization: Bearer ${FAREGATE_API_KEY}'\n"
    )
    assert "it is printed, not run" in said


@pytest.mark.parametrize("name", ["claude-desktop", "windsurf"])
def test_who_has_no_file_in_a_project_says_so(name: str) -> None:
    _, said = run(name, "--scope", "project", "--local", code=2)
    assert "--scope user" in said


@pytest.mark.parametrize(
    "url",
    ["", "billing.example.com", "ftp://x", "http://", "http://x:99999", "https://x/?key=1",
     "https://me:pw@x"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(url: str) -> None:
    _, said = run("cursor", "--url", url, code=2)
    assert "--url is" in said
    assert "pw" not in said


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/mcp", "http://h:1/mcp/"])
def test_an_address_may_be_that_of_the_server_or_of_its_tools(url: str) -> None:
    printed, said = run("cursor", "--url", url)
    assert json.loads(printed)["mcpServers"]["faregate"]["url"] == "http://h:1/mcp"
    assert "without encryption" in said


def test_names_that_are_not_known_are_refused_with_those_that_are() -> None:
    _, said = run("emacs", code=2)
    assert "'emacs' is not known here: choose one of claude-code, " in said
    _, said = run("cursor", "--name", "a b", code=2)
    assert "--name is 'a b'" in said
    for more in ("--with-key", "--local"):
        _, said = run("cursor", "--sign-in", more, code=2)
        assert "--sign-in needs no key" in said


def test_without_a_name_all_are_listed_with_their_files() -> None:
    printed, _ = run()
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines] == list(BY_NAME)
    assert ".cursor/mcp.json or " in printed


@pytest.mark.parametrize(
    ("platform", "config"),
    [
        ("darwin", "/u/Library/Application Support"),
        ("linux", "/u/.config"),
        ("win32", "/u/AppData/Roaming"),
    ],
)
def test_programs_with_windows_keep_their_settings_where_their_system_does(
    platform: str, config: str
) -> None:
    assert places({"HOME": "/u"}, platform) == {"home": Path("/u"), "config": Path(config)}


def test_a_guide_that_somebody_has_changed_is_kept_beside_the_new_one(here: Path) -> None:
    assert CliRunner().invoke(app, ["mcp", "skills"]).exit_code == 0
    guide = here / ".claude/skills/billing-setup/SKILL.md"
    ours = guide.read_text()
    guide.write_text("our own words")
    count = len(files(here))
    result = CliRunner().invoke(app, ["mcp", "skills"])
    kept = guide.with_name("SKILL.md.before-faregate-1")
    assert (kept.read_text(), guide.read_text()) == ("our own words", ours)
    assert str(kept) in result.stderr
    assert CliRunner().invoke(app, ["mcp", "skills"]).exit_code == 0
    assert len(files(here)) == count + 1


def test_skills_are_written_as_files_and_nothing_else_is_touched(here: Path) -> None:
    mine = here / ".claude/skills/mine/SKILL.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    result = CliRunner().invoke(app, ["mcp", "skills"])
    assert result.exit_code == 0, result.output
    written = result.stdout.splitlines()
    assert len(written) == 9
    assert ".claude/skills/billing-setup/SKILL.md" in written
    assert files(here) == sorted([*written, ".claude/skills/mine/SKILL.md"])
    assert mine.read_text() == "mine"
    assert CliRunner().invoke(app, ["mcp", "skills", "--to", "other"]).exit_code == 0
    assert (here / "other/billing-setup/references/recipes.md").is_file()
    (here / "file").write_text("")
    refused = CliRunner().invoke(app, ["mcp", "skills", "--to", "file"])
    assert refused.exit_code == 2
    assert "--to is file" in refused.stderr
