"""What a tool shows of itself: a JSON Schema (2020-12) of its arguments and a description, written
from the types of its operations. The schema is one flat object that takes nothing else, and refers
to nothing outside of itself or within (`$ref`), because there are assistants that do not follow.
Field by field it says what the server will say, in as few bytes as it can: an assistant reads all
tools before it has done anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from faregate.core.amounts import Number
from faregate.mcp.examples import shown_examples
from faregate.mcp.tool import ACTION, IDEMPOTENCY_KEY, Choice, Tool

_REFERENCE: Final = "#/$defs/"
_EMPTY: Final = re.compile(r"Nothing|Which[^:;]*$|$")
"""What a type says that an operation's summary has said already: which page, which coupons."""
_DROPPED: Final = frozenset(("title", "discriminator", "minLength", "maxLength"))
"""Besides what only repeats: how long a text may be, which nobody gets wrong and a refusal says."""
_KEY: Final = {"type": "string", "description": "a repeat with it gets the first answer"}
_PLACE: Final = {"type": "string"}
_PLACES: Final[dict[str, dict[str, Any]]] = {
    "version": {"anyOf": [{"type": "integer"}, {"type": "string", "enum": ["default"]}]}
}
MAX_DEPTH: Final = 2
"""How often a type is shown within itself: prices under the dimensions of a price."""


def input_schema(tool: Tool) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments."""
    shown = [_fields(choice) for choice in tool.choices]
    properties: dict[str, Any] = {}
    if tool.actions:
        properties[ACTION] = {"enum": list(tool.actions), "type": "string"}
    for fields, _ in shown:
        for name, field in fields.items():
            properties[name] = merged(properties[name], field) if name in properties else field
    always = [name for name in shown[0][1] if all(name in required for _, required in shown)]
    return {
        "type": "object",
        "properties": properties,
        "required": [ACTION, *always] if tool.actions else always,
        "additionalProperties": False,
        "examples": shown_examples(tool),
    }


def describe(tool: Tool) -> str:
    """Return what a tool does, and for one with actions what each of them takes."""
    if not tool.actions:
        first = tool.choices[0]
        return _sentences(_says(first), tool.about)
    lines = [tool.about] if tool.about else []
    for action in tool.actions:
        choices = tool.of_action(action)
        least = choices[0]
        required = _fields(least)[1]
        more = dict.fromkeys(name for choice in choices for name in choice.names)
        optional = [f"{name}?" for name in more if name not in required]
        lines.append(f"- {action}({', '.join([*required, *optional])}): {_says(least)}")
    return "\n".join(lines)


def _says(choice: Choice) -> str:
    summary, more = choice.operation.summary, _documented(choice)
    begins = any(said.startswith(summary) for said in more)
    return _sentences(*([] if begins else [summary]), *more)


def _documented(choice: Choice) -> list[str]:
    """Return what the types of a choice say of themselves."""
    kinds = (choice.operation.query, choice.operation.body)
    found = (_root(kind).get("description", "") for kind in kinds if kind is not None)
    return [" ".join(said.split()) for said in found if not _EMPTY.match(said)]


def _sentences(*said: str) -> str:
    return " ".join(text if text.endswith((".", "?", ")")) else f"{text}." for text in said if text)


def _fields(choice: Choice) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments of a choice, and those that it needs."""
    properties: dict[str, Any] = {name: _PLACES.get(name, _PLACE) for name in choice.places}
    required = list(choice.places)
    for kind in (choice.operation.query, choice.operation.body):
        if kind is not None:
            root = _root(kind)
            properties |= root.get("properties", {})
            required += root.get("required", [])
    if choice.takes_key:
        properties[IDEMPOTENCY_KEY] = _KEY
    return properties, required


def _root(kind: Any) -> dict[str, Any]:
    (root,), definitions = msgspec.json.schema_components(
        [kind], schema_hook=_hook, ref_template=_REFERENCE + "{name}"
    )
    shown: dict[str, Any] = _shown(root, definitions, ())
    return shown


def _hook(kind: type) -> dict[str, Any]:
    if kind is Number:
        return {"type": "number"}
    raise NotImplementedError


def _shown(node: Any, definitions: dict[str, Any], above: tuple[str, ...]) -> Any:
    """Write a schema out in full and in few words."""
    if isinstance(node, list):
        return [_shown(value, definitions, above) for value in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].removeprefix(_REFERENCE)
        if above.count(name) >= MAX_DEPTH:
            return {"type": "object"}
        return _shown(definitions[name], definitions, (*above, name))
    if node.get("format") == "decimal":
        return {"type": "number"}
    if "properties" in node:
        fields = {name: _shown(it, definitions, above) for name, it in node["properties"].items()}
        rest = {key: value for key, value in node.items() if key != "properties"}
        return _shown(rest, definitions, above) | {"properties": fields}
    found = {
        key: _shown(value, definitions, above) for key, value in node.items() if key not in _DROPPED
    }
    return _worded(found)


def _worded(node: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing, and write out what every validator reads alike."""
    if "anyOf" in node and node.get("default", ...) is None:
        # What may be left out need not be said to be null.
        kinds = [kind for kind in node["anyOf"] if kind != {"type": "null"}]
        rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
        return {**kinds[0], **rest} if len(kinds) == 1 else {"anyOf": kinds, **rest}
    if "pattern" in node:
        node["pattern"] = node["pattern"].replace("\\Z", "$")
    if "enum" in node and "type" not in node and all(isinstance(x, str) for x in node["enum"]):
        node["type"] = "string"
    if node.get("required") == []:
        del node["required"]
    return node


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of what either takes: an argument that two actions mean differently."""
    if one == other:
        return one
    kinds = [*_kinds(one), *_kinds(other)]
    texts = [kind for kind in kinds if kind.get("type") == "string"]
    rest = [kind for kind in kinds if kind.get("type") != "string"]
    found = list(_unique(rest))
    if texts:
        found.append(_text_of(texts))
    return found[0] if len(found) == 1 else {"anyOf": found}


def _text_of(texts: list[dict[str, Any]]) -> dict[str, Any]:
    if all("enum" in text for text in texts):
        return {
            "type": "string",
            "enum": list(dict.fromkeys(value for text in texts for value in text["enum"])),
        }
    same = {
        key: value for key, value in texts[0].items() if all(t.get(key) == value for t in texts)
    }
    return {"type": "string", **same}


def _kinds(node: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = node.get("anyOf", [node])
    return [{key: value for key, value in kind.items() if key != "default"} for kind in kinds]


def _unique(nodes: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    for node in nodes:
        if node not in seen:
            seen.append(node)
    return seen
