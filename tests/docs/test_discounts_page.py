"""The page about discounts: its requests are sent as they are printed, and its example is lived by
a test clock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.api.caller import Caller, adjustment, adjustments, calling, usage
from tests.api.conftest import RunningServer, running_server

PAGE = (Path(__file__).parents[2] / "docs/discounts.md").read_text()
REQUESTS = [
    text.split("\n", 1) for text in re.findall(r"```http\nPOST /v1/(\w+\n.*?)```", PAGE, re.DOTALL)
]
(SUBSCRIPTION,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
MONTHS = [
    [Decimal(cell.replace(",", "")) for cell in row.split(" | ")]
    for row in re.findall(r"^\| [A-Z]\w+ \| ([\d,]+(?: \| [\d,]+){6}) \|$", PAGE, re.M)
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(f"sqlite:///{tmp_path}/page.db") as server:
        yield server


def spent(me: Caller, customer: str) -> Decimal:
    return 10_000 - me.available(customer)


def lived(me: Caller, customer: str, month: int, tokens: Decimal) -> dict[str, Any]:
    """Use tokens in the middle of a month; returns the fee."""
    use = {
        "id": f"use {month}",
        "event_type": "llm_call",
        "occurred_at": f"2026-{month:02}-15T00:00:00Z",
        "data": {"tokens": int(tokens)},
    }
    headers = {"prefer": "return=representation"}
    answer = me.post("events", usage(customer, use), headers=headers)
    fees: list[dict[str, Any]] = answer.body["events"][0]["fees"]
    return fees[0]


def test_the_example_costs_what_the_table_says(server: RunningServer) -> None:
    with calling(server) as me:
        assert [path for path, _ in REQUESTS] == ["coupons", "products"]
        for path, body in REQUESTS:
            me.made(path, body)
        clock = me.made("test-clocks", {"now": "2026-01-01T00:00:00Z"})["id"]
        customer = me.made("customers", {"name": "Ada", "test_clock_id": clock})["id"]
        me.made(adjustments(customer), adjustment("10000"))
        me.made(f"customers/{customer}/subscriptions", json.loads(SUBSCRIPTION))
        before, carried = Decimal(0), Decimal(0)
        assert len(MONTHS) == 3
        for month, row in enumerate(MONTHS, 1):
            base, tokens, asked, off, free, debited, missing = row
            assert spent(me, customer) == before + base + carried, month
            me.post(f"test-clocks/{clock}/advance", {"to": f"2026-{month:02}-15T00:00:00Z"})
            if tokens:
                fee = lived(me, customer, month, tokens)
                shown = (fee["amount"], fee.get("discount", 0), fee.get("capped", 0))
                assert shown == (debited, off, free)
                assert sum(shown) == asked
            before += base + carried + debited
            assert spent(me, customer) == before, month
            carried = missing
            me.post(f"test-clocks/{clock}/advance", {"to": f"2026-{month + 1:02}-01T00:00:00Z"})
        assert spent(me, customer) == before + 100 + carried
        found = me.get(f"customers/{customer}/subscriptions").body["items"][0]
        assert found["discounts"][0]["ends_at"] == "2026-03-01T00:00:00Z"
