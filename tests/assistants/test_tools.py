"""Which tools there are, and what they say of themselves."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from faregate.mcp.examples import example, shown_examples
from faregate.mcp.schemas import describe, input_schema
from faregate.mcp.tool import Tool
from faregate.mcp.tools import TOOLS
from faregate.operations.operation import READ
from faregate.operations.table import OPERATIONS

MOST_TOOLS, MOST_BYTES = 49, 95_000
UNREACHED: dict[str, str] = {
    "POST /ingestion/import": "lines of files are sent by `faregate import`, which reads them",
}
"""Operations that no tool reaches, each with the reason."""
KNOWN_IN_THE_FIELD = {
    "list_assets", "create_asset", "quote_asset", "add_asset_rate", "list_products", "get_product",
    "create_product", "create_product_version", "simulate_usage", "create_vendor",
    "create_customer", "get_customer", "adjust_wallet", "create_adjustment", "send_events",
    "submit_events", "get_event", "get_wallet", "create_portal_session", "authorize", "capture",
}  # fmt: skip
each_tool = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)


def test_every_operation_is_reached_by_exactly_one_tool_or_says_why_not() -> None:
    reached = Counter(f"{c.operation.method} {c.operation.path}" for t in TOOLS for c in t.choices)
    every = {f"{o.method} {o.path}" for o in OPERATIONS}
    assert reached.keys() == every - UNREACHED.keys()
    assert {name for name, times in reached.items() if times > 1} == set()


def test_assistants_find_the_names_that_they_know() -> None:
    names = [name for tool in TOOLS for name in (tool.name, *tool.other_names)]
    assert set(names) >= KNOWN_IN_THE_FIELD
    assert len(names) == len(set(names))


def test_there_are_few_enough_tools_and_bytes_for_an_assistant_to_read_first() -> None:
    shown = [
        {"name": tool.name, "description": describe(tool), "inputSchema": input_schema(tool)}
        for tool in TOOLS
    ]
    assert len(TOOLS) <= MOST_TOOLS
    assert len(json.dumps(shown, separators=(",", ":"))) <= MOST_BYTES


@each_tool
def test_a_schema_is_one_that_every_assistant_can_read(tool: Tool) -> None:
    schema = input_schema(tool)
    Draft202012Validator.check_schema(schema)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool.name)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert not {"anyOf", "oneOf", "allOf", "$ref", "$defs"} & schema.keys()
    text = json.dumps(schema)
    # What is not known to the regular expressions of JavaScript would be refused there.
    assert "$ref" not in text
    assert "\\\\Z" not in text
    assert set(schema["required"]) <= schema["properties"].keys()
    for inner in _objects(schema):
        assert set(inner.get("required", ())) <= inner["properties"].keys()
        assert inner["additionalProperties"] is False


def _objects(node: Any) -> list[dict[str, Any]]:
    """Every object in a schema that says what is in it."""
    found: list[dict[str, Any]] = []
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            found.append(node)
        for value in node.values():
            found += _objects(value)
    elif isinstance(node, list):
        for value in node:
            found += _objects(value)
    return found


@each_tool
def test_a_tool_takes_each_argument_under_one_name(tool: Tool) -> None:
    for choice in tool.choices:
        assert len(choice.names) == len(set(choice.names))
        assert "action" not in choice.names


@each_tool
def test_a_tool_that_looks_changes_nothing_and_says_so(tool: Tool) -> None:
    looks = {choice.is_read_only for choice in tool.choices}
    # Assistants ask a person before the one kind and not before the other.
    assert len(looks) == 1
    if looks == {True}:
        assert all(choice.is_idempotent and not choice.is_destructive for choice in tool.choices)
    else:
        assert all(choice.operation.method != "GET" for choice in tool.choices)


@each_tool
def test_a_tools_examples_fit_its_schema(tool: Tool) -> None:
    schema = input_schema(tool)
    assert schema["examples"] == shown_examples(tool)
    for action in tool.actions or ("",):
        Draft202012Validator(schema).validate(example(tool, action))


def test_what_only_a_role_may_do_is_shown_to_no_other() -> None:
    for role in ("admin", "ingest", "read"):
        for tool in TOOLS:
            mine = tool.for_role(role)  # type: ignore[arg-type]
            may = [choice for choice in tool.choices if role in choice.operation.roles]
            assert (mine is None) == (not may)
            assert mine is None or list(mine.choices) == may
    readers = [tool.name for tool in TOOLS if tool.for_role("read")]
    assert "get_wallet" in readers
    assert "adjust_wallet" not in readers
    assert all(choice.operation.roles <= READ for tool in TOOLS for choice in tool.choices)


def test_nothing_that_a_tool_says_of_itself_speaks_of_rest() -> None:
    for tool in TOOLS:
        said = describe(tool)
        assert not re.search(r"POST |GET |PATCH |DELETE |/v1|send `\{\}`", said), said
