"""The page Assistants says how each of them is told of this very server, with no key in it."""

from __future__ import annotations

import html
import json
import re
import shlex
from pathlib import Path

from tests.assistants.house import running_house
from tests.databases import new_sqlite

from faregate.cli.assistants import BY_NAME


def test_each_way_names_this_server_and_none_has_a_key(tmp_path: Path) -> None:
    with running_house(new_sqlite(tmp_path / "ways.db")) as house:
        page = house.person().get("/test/assistants")
        assert page.status_code == 200
        shown = re.findall(r'<pre id="way-([a-z-]+)"[^>]*><code>(.*?)</code>', page.text, re.S)
        ways = {name: html.unescape(text) for name, text in shown}
        address = f"{house.url}/mcp"
        assert {*ways} - {"claude", "key"} == {*BY_NAME} - {"claude-desktop"}
        assert all(house.url in text for text in ways.values())
        assert "fg_test_" not in page.text
        for name in ("cursor", "windsurf"):
            (entry,) = json.loads(ways[name])["mcpServers"].values()
            assert list(entry.values()) == [address]
        assert json.loads(shlex.split(ways["vscode"])[2])["url"] == address
        command = ["faregate", "mcp", "install", "claude-code", "--url", house.url, "--write"]
        assert shlex.split(ways["key"]) == command
