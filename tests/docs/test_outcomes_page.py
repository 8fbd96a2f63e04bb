"""The page about outcomes: its example costs what its table says."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from tests.ledger.shop import NOON, USD, Clock, assert_clean, available, give, tell

from faregate import Engine
from faregate.catalog.types import CreateProduct
from faregate.core.codec import decode_request
from faregate.core.events import UsageEvent
from faregate.core.outcomes import SETTLE_WITHIN, OutcomeRequest
from faregate.core.refunds import GRANTED_ANEW_FOR
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct

PAGE = (Path(__file__).parents[2] / "docs/outcomes.md").read_text()
PRODUCT, EVENT = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| `(\{.*\})` \| (-?\d+) \| (\d+) \|$", PAGE, re.M)


def test_the_example_costs_what_the_table_says(tmp_path: Path) -> None:
    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/faregate.db", clock=Clock(NOON)) as engine:
            await engine.create_product(decode_request(CreateProduct, PRODUCT.encode()))
            buys = CreateSubscription([SubscribedProduct(code="desk")])
            customer = await engine.create_customer(
                CreateCustomer(name="Ada", subscriptions=[buys])
            )
            await give(engine, customer.id, "10", "credit")
            event = decode_request(UsageEvent, EVENT.encode())
            await engine.record_events(customer.id, [event])
            assert await available(engine, customer.id) == 10
            for body, net, balance in ROWS:
                request = decode_request(OutcomeRequest, body.encode())
                _, settled = await engine.settle_outcome(event.id, request)
                assert settled.net_units == {"USD": int(net) * 10**9}
                assert settled.balances == {USD: int(balance) * 10**9}
                assert await available(engine, customer.id) == Decimal(balance)
            await assert_clean(engine)

    assert len(ROWS) == 3
    tell(story())


def test_the_page_names_the_times_that_count() -> None:
    assert f"Until {SETTLE_WITHIN.days} days after it occurred" in PAGE
    assert f"for {GRANTED_ANEW_FOR.days} days" in PAGE
