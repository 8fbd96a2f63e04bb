"""Every operation of the published client, and whether this server has it: `docs/api-parity.md` is
this table. Run this file as a module to print it anew."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from credytapi.operations import _operations

from faregate.rest.app import OPERATIONS

PAGE = Path(__file__).parents[2] / "docs/api-parity.md"
NUMBER = 987654
NOT_YET = {
    "billing_portal": "there is no portal yet",
    "top_ups": "payments are yet to come: credit wallets by adjustments",
    "webhooks_webhooks": "webhooks are yet to come",
}
"""Why an operation, or all that is missing of a group, is not there."""
HEAD = """# What of the published client works

Every operation of the Python package `credyt-api` with the request that it sends. The package's
requests are sent to a real server in `tests/api`; what is missing answers 404 or 405.

| Group | Operation | Request | Here |
|---|---|---|---|
"""
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


def has(method: str, path: str) -> bool:
    return any(o.method == method and shape(o.path) == shape(path) for o in OPERATIONS)


def page() -> str:
    rows = []
    for (group, name), (method, path) in sorted(requests().items()):
        why_not = NOT_YET.get(f"{group}.{name}") or NOT_YET.get(group)
        here = "yes" if has(method, path) else f"no: {why_not}"
        rows.append(f"| {group} | `{name}` | `{method} {path}` | {here} |\n")
    return HEAD + "".join(rows)


def test_the_page_says_what_works() -> None:
    assert PAGE.read_text() == page()
    assert "no: None" not in page()


def test_most_of_what_the_client_can_do_without_payments_works() -> None:
    found = requests()
    assert len(found) > 45
    assert has(*found["events", "send_usage"])
    assert not has(*found["top_ups", "initiate"])


if __name__ == "__main__":
    print(page(), end="")
