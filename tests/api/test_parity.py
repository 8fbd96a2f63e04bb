"""Every operation of the published client, and whether this server has it: `docs/api-parity.md` is
this table. Run this file as a module to print it anew."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from credytapi.operations import _operations
from tests.api.fields import client_fields, client_types, our_fields

from faregate.operations.operation import Operation
from faregate.operations.table import OPERATIONS

PAGE = Path(__file__).parents[2] / "docs/api-parity.md"
NUMBER = 987654
NOT_YET: dict[str, str] = {}
"""Why an operation, or all that is missing of a group, is not there."""
HEAD = """# What of the published client works

Every operation of the Python package `credyt-api` with the request that it sends. The package's
requests are sent to a real server in `tests/api`; what is missing answers 404 or 405. Fields are
those of the package's models, however deep, as the types of this server have them.

| Group | Operation | Request | Here | Fields sent | Fields answered |
|---|---|---|---|---|---|
"""
NO_FIELD = {
    "org_id": "accounts have no organisations above them",
    "fees.description": "a fee names its price",
}
"""Why a field is not there."""
READ_BY_MODEL = ".pricing.values.values."
"""Values of dimensions: each pricing model reads its own (`tests/core/test_prices`)."""
_GROUPS = (
    "billing_portal",
    "vendors_vendors_ops",
    "wallets_customer_wallet_ops",
    "webhooks_webhooks",
)


def requests() -> dict[tuple[str, str], tuple[str, str]]:
    """The method and path of each operation of the client, by group and name."""
    found = {}
    for name, build in inspect.getmembers(_operations, inspect.isfunction):
        if not (name.startswith("build_") and name.endswith("_request")):
            continue
        words = name.removeprefix("build_").removesuffix("_request")
        group = next((g for g in _GROUPS if words.startswith(f"{g}_")), "")
        if not group:
            group = "top_ups" if words.startswith("top_ups") else words.partition("_")[0]
        needed = [
            p.name
            for p in inspect.signature(build).parameters.values()
            if p.default is p.empty and p.kind is not p.VAR_KEYWORD
        ]
        values: dict[str, Any] = {
            name: NUMBER if name == "version" else f"{{{name}}}" for name in needed
        }
        if "content_type" in inspect.getsource(build):
            values["content_type"] = "application/json"
        sent: Any = build(**values)
        path = re.sub(r"%7B(\w+)%7D", r"{\1}", sent.url.partition("?")[0])
        path = path.replace(str(NUMBER), "{version}")
        found[group, words.removeprefix(f"{group}_")] = (sent.method, path)
    return found


def shape(path: str) -> str:
    """A path in which all parameters have the same name."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def is_at(operation: Operation, method: str, path: str) -> bool:
    return (operation.method, shape(operation.path)) == (method, shape(path))


def has(method: str, path: str) -> bool:
    return any(is_at(operation, method, path) for operation in OPERATIONS)


def fields_of(theirs: Any, ours: Any) -> str:
    """In a cell: how many fields of the client's are there, and which are not."""
    wanted = set(client_fields(theirs))
    if not wanted:
        return "-"
    lacking = sorted(f for f in wanted - {*our_fields(ours)} if READ_BY_MODEL not in f".{f}")
    reasons = [f"`{field}` ({NO_FIELD.get(field)})" for field in lacking]
    return f"all {len(wanted)}" if not lacking else f"all {len(wanted)} but {', '.join(reasons)}"


def page() -> str:
    rows = []
    for (group, name), (method, path) in sorted(requests().items()):
        why_not = NOT_YET.get(f"{group}.{name}") or NOT_YET.get(group)
        here = "yes" if has(method, path) else f"no: {why_not}"
        one = next((o for o in OPERATIONS if is_at(o, method, path)), None)
        sent = answered = "-"
        if one is not None:
            body, answer = client_types(group, name)
            sent, answered = fields_of(body, one.body), fields_of(answer, one.answer)
        cells = (group, f"`{name}`", f"`{method} {path}`", here, sent, answered)
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


def test_the_page_says_what_works() -> None:
    assert PAGE.read_text() == page()
    assert "no: None" not in page()
    assert "(None)" not in page()


def test_fields_are_found_in_both_and_those_that_are_missing_are_seen() -> None:
    body, answer = client_types("events", "get")
    assert body is None
    assert {"id", "costs", "fees.amount"} <= set(client_fields(answer))
    assert "`fees.amount` (None)" in fields_of(answer, None)


def test_most_of_what_the_client_can_do_works() -> None:
    found = requests()
    assert len(found) > 45
    assert has(*found["events", "send_usage"])
    assert not has("POST", "/billing-portal")


if __name__ == "__main__":
    print(page(), end="")
