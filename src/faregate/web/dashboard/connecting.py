"""How assistants are told of this server by whoever has only a browser: each one's own command or
settings, with no key in them. They sign in by the page that it opens.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

FIRST_WORDS: Final = (
    "What should I charge for my product? Ask me what you need to know.",
    "Set up credits for 10 cents each. A report costs 4 of them.",
    "Check that the product reports charges 4 credits, to the last digit.",
    "Why did Ada pay 4 credits yesterday at noon?",
)


class Way(NamedTuple):
    """What to copy for an assistant, and where it goes."""

    name: str
    title: str
    how: str
    text: str


def ways_to(address: str) -> tuple[Way, ...]:
    """Return how each assistant is told of the tools at an address."""
    for_cursor = json.dumps({"mcpServers": {"faregate": {"url": address}}}, indent=2)
    for_windsurf = json.dumps({"mcpServers": {"faregate": {"serverUrl": address}}}, indent=2)
    for_vscode = json.dumps({"name": "faregate", "type": "http", "url": address})
    return (
        Way(
            "claude-code",
            "Claude Code",
            "In a terminal; then type /mcp in Claude Code to sign in.",
            f"claude mcp add --transport http faregate {address}",
        ),
        Way(
            "claude",
            "claude.ai, Claude Desktop, Lovable and others with connectors",
            "Add a connector (an MCP server) in the settings, with this address. It has to be "
            "reachable from the internet, by https.",
            address,
        ),
        Way("cursor", "Cursor", "In ~/.cursor/mcp.json, or under MCPs.", for_cursor),
        Way("vscode", "VS Code", "In a terminal.", f"code --add-mcp '{for_vscode}'"),
        Way(
            "codex",
            "Codex",
            "In a terminal; it opens the page by itself.",
            f"codex mcp add faregate --url {address}",
        ),
        Way(
            "gemini",
            "Gemini CLI",
            "In a terminal; then type /mcp auth faregate in Gemini CLI to sign in.",
            f"gemini mcp add --scope user --transport http faregate {address}",
        ),
        Way("windsurf", "Windsurf", "In ~/.codeium/windsurf/mcp_config.json.", for_windsurf),
    )
