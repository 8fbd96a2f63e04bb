"""The page on tools lists each tool that there is, and says what is so."""

from __future__ import annotations

from pathlib import Path

from mcp_types import version

from faregate.mcp.tool import Tool
from faregate.mcp.tools import TOOLS

PAGE = Path(__file__).parents[2] / "docs" / "integrations" / "mcp.md"


def table() -> str:
    """The table of all tools, as the page has it at its end."""
    rows = ["| Tool | What it does | |", "|---|---|---|"]
    return "\n".join([*rows, *(_row(tool) for tool in TOOLS)])


def _row(tool: Tool) -> str:
    if tool.actions:
        does = tool.about.rstrip(".") + ": " if tool.about else ""
        does += ", ".join(f"`{action}`" for action in tool.actions)
    else:
        does = tool.choices[0].operation.summary
    looks = all(choice.is_read_only for choice in tool.choices)
    return f"| `{tool.name}` | {does} | {'looks' if looks else 'changes'} |"


def test_the_page_has_the_table_of_all_tools() -> None:
    assert PAGE.read_text().endswith(f"\n{table()}\n")


def test_the_page_names_the_versions_of_the_protocol_that_are_spoken() -> None:
    spoken = sorted((*version.HANDSHAKE_PROTOCOL_VERSIONS, *version.MODERN_PROTOCOL_VERSIONS))
    assert f"from {spoken[0]} to {spoken[-1]} are spoken" in PAGE.read_text()
