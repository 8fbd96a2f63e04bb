"""Which tools there are. A tool is an operation under the name by which assistants know it in this
field; what it takes is the operation's path, query and body in one flat object, and its schema is
written from their types.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from faregate.core.amounts import Number
from faregate.operations.operation import Operation
from faregate.operations.table import OPERATIONS

_PLACE: Final = re.compile(r"{(\w+)(?::\w+)?}")


class Tool(msgspec.Struct, frozen=True):
    """An operation as assistants see it. `is_money`: it moves money or changes what is charged, and
    in live mode a person has to confirm it. `is_destructive`: it takes something away."""

    name: str
    operation: Operation
    description: str
    is_money: bool = False
    is_destructive: bool = False

    @property
    def is_read_only(self) -> bool:
        """Tell whether it changes nothing."""
        return self.operation.method == "GET"

    @property
    def places(self) -> tuple[str, ...]:
        """The names in the operation's path."""
        return tuple(_PLACE.findall(self.operation.path))

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its arguments: an object that takes nothing else."""
        properties: dict[str, Any] = {
            name: {"type": "string", "minLength": 1} for name in self.places
        }
        required = list(self.places)
        definitions: dict[str, Any] = {}
        for kind in (self.operation.query, self.operation.body):
            if kind is None:
                continue
            root, more = _schema_of(kind)
            definitions |= more
            properties |= root.get("properties", {})
            required += root.get("required", [])
        schema: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }
        if definitions:
            schema["$defs"] = definitions
        return schema


def _schema_of(kind: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of a type, and the definitions that it refers to."""
    (root,), definitions = msgspec.json.schema_components(
        [kind], schema_hook=_hook, ref_template="#/$defs/{name}"
    )
    if "$ref" in root:
        root = definitions.pop(root["$ref"].rpartition("/")[2])
    return _numbers(root), _numbers(definitions)


def _hook(kind: type) -> dict[str, Any]:
    if kind is Number:
        return {"type": "number"}
    raise NotImplementedError


def _numbers(node: Any) -> Any:
    """msgspec describes `Decimal` as text; here it is a JSON number, as over REST."""
    if isinstance(node, dict):
        if node.get("format") == "decimal":
            return {"type": "number"}
        return {key: _numbers(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_numbers(value) for value in node]
    return node


def _find(method: str, path: str) -> Operation:
    for operation in OPERATIONS:
        if operation.method == method and operation.path == path:
            return operation
    raise LookupError(f"{method} {path}")


def _tool(name: str, method: str, path: str, description: str = "", **traits: bool) -> Tool:
    operation = _find(method, path)
    return Tool(name, operation, description or operation.summary, **traits)


_WALLET: Final = "/customers/{customer_id}/wallet"

TOOLS: Final[tuple[Tool, ...]] = (
    _tool("list_assets", "GET", "/assets"),
    _tool("create_asset", "POST", "/assets"),
    _tool("quote_asset", "POST", "/assets/{asset_code}/quote"),
    _tool("list_products", "GET", "/products"),
    _tool("create_product", "POST", "/products", is_money=True),
    _tool("create_customer", "POST", "/customers"),
    _tool("get_customer", "GET", "/customers/{customer_id}"),
    _tool("adjust_wallet", "POST", f"{_WALLET}/adjustments", is_money=True),
    _tool("get_wallet", "GET", _WALLET),
    _tool("send_events", "POST", "/events", is_money=True),
    _tool("authorize", "POST", f"{_WALLET}/holds"),
    _tool("capture", "POST", f"{_WALLET}/holds/{{hold_id}}/capture", is_money=True),
)
