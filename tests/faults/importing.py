"""A file of uses, customers who pay for them, and whether each line was charged once."""

from __future__ import annotations

import asyncio
import csv
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from tests.faults.serving import KEY
from tests.ledger.shop import assert_clean, available, sell_tokens

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct

CUSTOMERS = 20
CREDIT = Decimal(1_000)
RATE = Decimal("0.00037")
_POLL_SECONDS = 0.005
_PATIENCE_SECONDS = 120


def prepare(url: str, customers: int = CUSTOMERS) -> list[str]:
    """Make a key, a price and customers `c0`, `c1`, … with credit; returns their ids."""

    async def make() -> list[str]:
        async with Engine.open(url) as engine:
            await engine.create_key("test", "admin", "import", KEY)
            await sell_tokens(engine, str(RATE))
            made = []
            for number in range(customers):
                subscription = CreateSubscription([SubscribedProduct(code="tokens")])
                customer = await engine.create_customer(
                    CreateCustomer("Ada", external_id=f"c{number}", subscriptions=[subscription])
                )
                gift = AdjustmentRequest("credit", "USD", Number(CREDIT), "gift")
                await engine.adjust(customer.id, gift)
                made.append(customer.id)
            return made

    return asyncio.run(make())


def tokens(number: int) -> int:
    """How many tokens a line says."""
    return 1 + number % 997


def write_lines(path: Path, lines: int, *, first: int = 0, customers: int = CUSTOMERS) -> None:
    """Write, or append, a file of lines without ids: what they say is their number."""
    now = datetime.now(UTC)
    with path.open("a" if first else "w", newline="") as file:
        writer = csv.writer(file)
        if not first:
            writer.writerow(("occurred_at", "customer", "event_type", "data.n", "data.line"))
        for number in range(first, first + lines):
            at = (now + timedelta(microseconds=number)).isoformat()
            writer.writerow((at, f"c{number % customers}", "llm", tokens(number), number))


def wait_for_lines(path: Path, lines: int) -> int:
    """Wait until an import has written down that it has done so many lines; returns how many."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        done = max(_lines_done(path), default=0)
        if done >= lines:
            return done
        time.sleep(_POLL_SECONDS)  # a real process takes real time
    raise AssertionError(f"the import did not come to {lines} lines")


def _lines_done(path: Path) -> Iterator[int]:
    for journal in path.parent.glob(f"{path.name}.import-*.json"):
        yield int(json.loads(journal.read_bytes())["lines"])


def assert_charged_once(url: str, customer_ids: list[str], lines: int) -> None:
    """Every line is an event, none is two, and what every customer has left says it to the last
    digit."""

    async def check() -> None:
        customers = len(customer_ids)
        async with Engine.open(url) as engine:
            assert (await engine.list_events(1)).total_count == lines
            for number, customer_id in enumerate(customer_ids):
                used = sum(tokens(line) for line in range(number, lines, customers))
                assert await available(engine, customer_id) == CREDIT - used * RATE
            await assert_clean(engine)

    asyncio.run(check())
