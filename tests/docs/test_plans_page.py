"""The plans page: its example is a product, and charges and grants what its table says."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.ledger.shop import give, tell
from tests.scenarios.year import a_year, at, fixed

from faregate.catalog.types import CreateAsset, CreateProduct
from faregate.core.codec import decode, encode, from_dict
from faregate.core.differences import Offer, differences
from faregate.core.events import UsageEvent
from faregate.core.subscriptions import RENEWALS, RenewalRules
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.platform.clocks import CreateTestClock

PAGE = (Path(__file__).parents[2] / "docs/plans.md").read_text()
BLOCKS = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
PRODUCT, RENEWAL_SETTINGS, CLOCK = BLOCKS
ROWS = re.findall(r"^\| (\d{4}-\d\d-\d\d) \| (\d+) \| (\d+) \|$", PAGE, re.M)


def test_the_example_charges_and_grants_what_the_table_says(database_url: str) -> None:
    async def story() -> None:
        assert len(ROWS) == 3
        async with a_year(database_url) as year:
            engine = year.engine
            await engine.create_asset(CreateAsset("CREDITS", "Credits"))
            await engine.create_product(decode(CreateProduct, PRODUCT))
            await year.go("2026-01-10")
            request = CreateCustomer(name="Ada", test_clock_id=year.clock_id)
            ada = (await engine.create_customer(request)).id
            await give(engine, ada, "1000", "credit")
            subscription = CreateSubscription([SubscribedProduct(code="pro", quantity=2)])
            await engine.create_subscription(ada, subscription)
            charged = 0
            for day, fee, credits in ROWS:
                await year.go(day)
                charged += int(fee)
                assert await year.balance(ada) == 1000 - charged
                assert await year.balance(ada, "CREDITS") == int(credits)
                events = [UsageEvent(f"{day} {n}", "call", at(day)) for n in range(650)]
                await engine.record_events(ada, events)

    tell(story())


def test_the_settings_that_are_shown_are_the_ones_from_the_start() -> None:
    shown: dict[str, Any] = json.loads(RENEWAL_SETTINGS)["renewals"]
    assert from_dict(RenewalRules, shown) == RENEWALS


def test_the_clock_can_be_made() -> None:
    assert decode(CreateTestClock, CLOCK).now == at("2026-01-01")


def test_the_sentences_that_are_shown_are_those_that_are_said() -> None:
    shown = set(re.findall(r'"(\w[^"]*→[^"]*)"', PAGE.replace("\n", " ")))
    usage = {
        "type": "usage_based",
        "name": "Output tokens",
        "billing_model": {"type": "real_time"},
        "usage_calculation": {
            "event_type": "llm",
            "usage_type": "volume",
            "volume_field": "output",
        },
    }
    month = {"interval": "month"}
    base = {**fixed("20"), "name": "Base"}

    def offered(rate: str, most: int, price: dict[str, Any]) -> Offer:
        values = [{"volume_rate": Decimal(rate), "package_size": 1_000_000}]
        sold = {**usage, "pricing": [{"asset": "USD", "values": values}]}
        cap = {"name": "Use", "asset": "USD", "recurring": month, "maximum": most}
        return decode(Offer, encode({"prices": [sold, price], "commitments": [cap]}))

    paid = {**base, "funding_destination": {"address": "default:CREDITS"}}
    said = differences(offered("0.60", 200, base), offered("0.50", 150, paid))
    assert shown == set(said)
