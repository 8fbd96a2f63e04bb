"""What is added to the files in which assistants keep their servers: all else stays as it was, and
a file that cannot be read is left alone."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import pytest

from faregate.cli.assistant_files import CannotAdd, replace_file, with_server

JSON = {"mcpServers": {"faregate": {"url": "http://127.0.0.1:8080/mcp"}}}
TOML = {
    "mcp_servers": {
        "faregate": {"url": "http://127.0.0.1:8080/mcp", "bearer_token_env_var": "FAREGATE_API_KEY"}
    }
}


def test_json_keeps_everything_else_in_its_order() -> None:
    before = {
        "theme": "dük",
        "mcpServers": {"b": {"command": "x"}, "faregate": {"url": "old"}, "a": {}},
        "last": [1.5, 10**30, None],
    }
    after = json.loads(with_server(json.dumps(before), JSON, is_toml=False))
    before["mcpServers"]["faregate"] = JSON["mcpServers"]["faregate"]  # type: ignore[index]
    assert after == before
    assert list(after) == list(before)
    assert list(after["mcpServers"]) == ["b", "faregate", "a"]


@pytest.mark.parametrize("text", ["", " \n", "{}", "\ufeff{}", '{"mcpServers": {}}'])
def test_an_empty_file_gets_the_server_alone(text: str) -> None:
    assert json.loads(with_server(text, JSON, is_toml=False)) == JSON


def test_a_question_is_asked_once_however_often_it_is_added() -> None:
    asked = {**JSON, "inputs": [{"id": "key", "type": "promptString"}]}
    before = '{"inputs": [{"id": "other"}, {"id": "key", "type": "old"}, 7]}'
    once = with_server(before, asked, is_toml=False)
    assert with_server(once, asked, is_toml=False) == once
    assert json.loads(once)["inputs"] == [{"id": "other"}, 7, *asked["inputs"]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{\n  // my servers\n  "mcpServers": {}\n}', "line 2"),
        ('{"mcpServers": {},}', "line 1"),
        ('{"mcpServers": {"a": 1, "a": 2}}', "'a' twice"),
        ('{"mcpServers": []}', "'mcpServers' is not an object"),
        ("[]", "not a JSON object"),
    ],
)
def test_json_that_would_lose_something_is_refused(text: str, why: str) -> None:
    with pytest.raises(CannotAdd, match=why):
        with_server(text, JSON, is_toml=False)


def test_inputs_that_are_no_list_are_refused() -> None:
    with pytest.raises(CannotAdd, match="'inputs' is not a list"):
        with_server('{"inputs": {}}', {**JSON, "inputs": [{"id": "key"}]}, is_toml=False)


BEFORE = """\
# mine
model = "o9"  # the large one

[mcp_servers.docs]
command = "npx"

[mcp_servers.faregate]
url = "old"

[mcp_servers.faregate.env]
A = "b"

[profiles.x]
model = '''
[not a table]
'''
"""


def test_toml_keeps_comments_and_all_other_tables() -> None:
    after = with_server(BEFORE, TOML, is_toml=True)
    gone = BEFORE.index("[mcp_servers.faregate]"), BEFORE.index("[profiles.x]")
    kept = BEFORE[: gone[0]] + BEFORE[gone[1] :]
    assert after.startswith(kept)
    read = tomllib.loads(after)
    assert read["mcp_servers"] == {"docs": {"command": "npx"}, **TOML["mcp_servers"]}
    assert with_server(after, TOML, is_toml=True) == after


def test_toml_of_a_program_with_odd_characters_reads_back_as_it_is() -> None:
    entry = {"command": 'C:\\a "b"\x7f\U0001f600', "args": ["mcp", "\n"], "env": {"K": "é"}}
    settings = {"mcp_servers": {"faregate": entry}}
    assert tomllib.loads(with_server("", settings, is_toml=True)) == settings


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("model = ", "not TOML"),
        ("mcp_servers = 1", "not a table"),
        ("mcp_servers = { docs = { command = 'x' } }", "in a way"),
        ("[mcp_servers]\nfaregate = { url = 'x' }", "in a way"),
        ('[ mcp_servers . "faregate" ]\nurl = "x"', "in a way"),
    ],
)
def test_toml_that_a_table_cannot_be_added_to_is_refused(text: str, why: str) -> None:
    with pytest.raises(CannotAdd, match=why):
        with_server(text, TOML, is_toml=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_kept_as_it_was_each_time(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "mcp.json"
    assert replace_file(path, "1", is_secret=False) is None
    path.chmod(0o640)
    kept = [replace_file(path, text, is_secret=False) for text in ("2", "3")]
    assert [one.read_text() for one in kept if one is not None] == ["1", "2"]
    assert (path.read_text(), mode(path)) == ("3", 0o640)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "mcp.json",
        "mcp.json.before-faregate-1",
        "mcp.json.before-faregate-2",
    ]


def test_a_file_with_a_secret_and_what_is_kept_can_be_read_by_their_owner_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("1")
    path.chmod(0o644)
    kept = replace_file(path, "2", is_secret=True)
    assert kept is not None
    assert (mode(path), mode(kept)) == (0o600, 0o600)


def test_a_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "mcp.json"
    real.write_text("1")
    link.symlink_to(real)
    replace_file(link, "2", is_secret=False)
    assert link.is_symlink()
    assert real.read_text() == "2"


def test_if_it_cannot_be_written_the_file_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("1")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, "2", is_secret=False)
    assert path.read_text() == "1"
    assert not list(tmp_path.glob(".mcp.json.*"))
