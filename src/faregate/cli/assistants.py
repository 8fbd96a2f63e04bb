"""Which assistants there are, where each keeps the servers that it may ask, and in what words. All
of it follows their public documentation; `docs/integrations/assistants.md` says of which day.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

KEY_VARIABLE: Final = "FAREGATE_API_KEY"
_VSCODE_INPUT: Final = "faregate-api-key"

Scope = Literal["project", "user"]
Entry = dict[str, Any]


class Assistant(msgspec.Struct, frozen=True):
    """One that can be told of a server. `section` is where its file lists servers. `address` is
    its word for a server's URL (None: it only starts programs), and `variable` how its file says
    "the value of FAREGATE_API_KEY" (None: it does not read the environment). `asks` is what it
    wants to hear before it uses a project's file."""

    name: str
    title: str
    project_file: str | None
    user_file: str | None
    section: str
    address: str | None
    variable: str | None
    typed: bool = False
    command: str = ""
    asks: str = ""

    def file(self, scope: Scope, project: Path, places: Mapping[str, Path]) -> Path | None:
        """Return the file of a scope, or None if it has none that others may write."""
        if scope == "project":
            return project / self.project_file if self.project_file else None
        if self.user_file is None:
            return None
        return Path(self.user_file.format_map(places))

    @property
    def first_scope(self) -> Scope:
        """Where it is told unless somebody says where: in the project, if it takes that as it is
        or asks by itself."""
        is_asking_elsewhere = self.name in ("gemini", "codex")
        return "project" if self.project_file and not is_asking_elsewhere else "user"

    @property
    def is_toml(self) -> bool:
        """Tell whether its file is TOML; all others are JSON."""
        return bool(self.user_file and self.user_file.endswith(".toml"))

    def remote(self, url: str, key: str | None, *, signs_in: bool) -> Entry:
        """Return the entry of a server at a URL: with a key, with the variable that has it, or
        (`signs_in`) with neither, for assistants that open a browser to sign in."""
        entry: Entry = {"type": "http"} if self.typed else {}
        entry[self.address or "url"] = url
        if signs_in:
            return entry
        if self.is_toml and key is None:
            return entry | {"bearer_token_env_var": KEY_VARIABLE}
        headers = {"Authorization": f"Bearer {key or self.variable}"}
        return entry | {"http_headers" if self.is_toml else "headers": headers}

    def started(self, program: str, arguments: list[str], key: str | None) -> Entry:
        """Return the entry of a program that it starts and talks to."""
        entry: Entry = {"type": "stdio"} if self.typed else {}
        entry |= {"command": program, "args": arguments}
        return entry | {"env": {KEY_VARIABLE: key}} if key else entry

    def settings(self, name: str, entry: Entry) -> Entry:
        """Return what its file has to say, so that it knows a server under a name."""
        settings: Entry = {self.section: {name: entry}}
        if self.name == "vscode" and f"${{input:{_VSCODE_INPUT}}}" in str(entry):
            asked = {
                "type": "promptString",
                "id": _VSCODE_INPUT,
                "description": "Faregate API key",
                "password": True,
            }
            settings["inputs"] = [asked]
        return settings


ASSISTANTS: Final = (
    Assistant(
        "claude-code",
        "Claude Code",
        ".mcp.json",
        # ~/.claude.json is Claude Code's own, with much else in it: its command writes there.
        None,
        "mcpServers",
        "url",
        f"${{{KEY_VARIABLE}}}",
        typed=True,
        command="claude mcp add --scope user --transport http {name} {url} "
        f"--header 'Authorization: Bearer ${{{{{KEY_VARIABLE}}}}}'",
        asks="It asks once whether to use this project's server: say yes.",
    ),
    Assistant(
        "claude-desktop",
        "Claude Desktop",
        None,
        "{config}/Claude/claude_desktop_config.json",
        "mcpServers",
        None,
        None,
    ),
    Assistant(
        "cursor",
        "Cursor",
        ".cursor/mcp.json",
        "{home}/.cursor/mcp.json",
        "mcpServers",
        "url",
        f"${{env:{KEY_VARIABLE}}}",
    ),
    Assistant(
        "vscode",
        "VS Code",
        ".vscode/mcp.json",
        "{config}/Code/User/mcp.json",
        "servers",
        "url",
        # It asks once, and keeps the key where the system keeps passwords.
        f"${{input:{_VSCODE_INPUT}}}",
        typed=True,
    ),
    Assistant(
        "gemini",
        "Gemini CLI",
        ".gemini/settings.json",
        "{home}/.gemini/settings.json",
        "mcpServers",
        "url",
        f"${KEY_VARIABLE}",
        typed=True,
        asks="It uses servers only in folders that you trust: say yes when it asks.",
    ),
    Assistant(
        "codex",
        "Codex",
        ".codex/config.toml",
        "{home}/.codex/config.toml",
        "mcp_servers",
        "url",
        KEY_VARIABLE,
        asks="It reads a project's file only if you trust the project: say yes when it asks.",
    ),
    Assistant(
        "windsurf",
        "Windsurf",
        None,
        "{home}/.codeium/windsurf/mcp_config.json",
        "mcpServers",
        "serverUrl",
        f"${{env:{KEY_VARIABLE}}}",
    ),
)
BY_NAME: Final = {assistant.name: assistant for assistant in ASSISTANTS}


def places(environment: Mapping[str, str], platform: str = sys.platform) -> dict[str, Path]:
    """Return the folders that users' files are in: their home, and where programs with windows
    keep their settings."""
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path.home())
    if platform == "darwin":
        config = home / "Library" / "Application Support"
    elif platform == "win32":
        config = Path(environment.get("APPDATA") or home / "AppData" / "Roaming")
    else:
        config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return {"home": home, "config": config}
