"""What a dry run says of a move is what a normal month costs after it: the customer who is moved
pays what it said of the new version, the one who stays what it said of the old one."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.ledger.shop import tell
from tests.scenarios.year import Year, a_year, at, fixed, usage

from faregate.catalog.coupons import CreateCoupon
from faregate.catalog.types import AddAssetRate, CreateProduct, CreateVersion
from faregate.core.amounts import Number
from faregate.core.codec import decode, encode
from faregate.core.events import Fee, UsageEvent
from faregate.customers.migrating import MigrateSubscribers, Migration, MigrationPreview
from faregate.customers.types import CreateSubscription, SubscribedProduct

ASSETS = ("USD", "CREDITS")
CALL = usage("call", "USD", {"unit_price": 2})
MONTH = {"interval": "month"}
OLD = {"prices": [fixed("20"), CALL]}


def committed(**terms: Any) -> dict[str, Any]:
    return {"name": "Use", "asset": "USD", "recurring": MONTH, **terms}


def by_credits(price: dict[str, Any], rate: int | None = None) -> dict[str, Any]:
    """A price that an account of credits pays."""
    own = {} if rate is None else {"exchange_rate": rate}
    return {**price, "funding_destination": {"address": "default:CREDITS", **own}}


TIERED = usage(
    "call",
    "USD",
    {"up_to": 4, "unit_price": 3},
    {"unit_price": 1},
    pricing_model="tiered",
    tiering={"basis": "unit", "period": "monthly"},
)
CHEAP = usage("call", "USD", {"unit_price": Decimal("0.25")})
ARREARS = {**fixed("30"), "collection": {"type": "balance", "timing": "in_arrears"}}
PERCENT = CreateCoupon("OFF", percent=Number(20))
AMOUNT = CreateCoupon("OFF", amount=Number(25), asset="USD")
NEW: list[tuple[str, dict[str, Any], CreateCoupon | None, dict[str, str]]] = [
    # Seven calls a month. What each takes in a month after the move was worked out by hand.
    ("other prices", {"prices": [fixed("25"), TIERED]}, None, {"USD": "40"}),
    (
        "a minimum raises it",
        {"prices": OLD["prices"], "commitments": [committed(minimum=50, maximum=90)]},
        None,
        {"USD": "70"},
    ),
    (
        "a cap lowers it",
        {"prices": OLD["prices"], "commitments": [committed(minimum=5, maximum=9)]},
        None,
        {"USD": "29"},
    ),
    ("a coupon lowers it", {"prices": [fixed("25"), TIERED]}, PERCENT, {"USD": "32"}),
    (
        # 20 - 4 and 14 - 2.8, of which 9 are asked.
        "a coupon comes before a cap",
        {"prices": OLD["prices"], "commitments": [committed(maximum=9)]},
        PERCENT,
        {"USD": "25"},
    ),
    (
        # 14 - 2.8 = 11.2: 38.8 are missing of 50, and no coupon takes anything off that.
        "a coupon takes nothing off a minimum",
        {"prices": OLD["prices"], "commitments": [committed(minimum=50)]},
        PERCENT,
        {"USD": "66"},
    ),
    # 20 are off the base fee, 5 off the calls.
    ("an amount off", {"prices": OLD["prices"]}, AMOUNT, {"USD": "9"}),
    # 15 off 15 in advance, 10 off the calls of 14: nothing is left for what is asked in arrears.
    (
        "an amount off in advance, use, arrears",
        {"prices": [fixed("15"), CALL, ARREARS]},
        AMOUNT,
        {"USD": "34"},
    ),
    (
        # 29.99 x 25 = 749.75, rounded as one charge; 7 x 50 by the rate of the moment.
        "credits pay",
        {"prices": [by_credits(fixed("29.99"), 25), by_credits(CALL)]},
        None,
        {"CREDITS": "1100"},
    ),
    (
        # 20 - 4 and 14 - 2.8, of which 10 are asked, each x 25.
        "credits pay what coupons and caps leave",
        {
            "prices": [by_credits(fixed("20")), by_credits(CALL)],
            "commitments": [committed(minimum=10, maximum=10)],
        },
        PERCENT,
        {"CREDITS": "650"},
    ),
    (
        # 15.4 x 7 = 107.8, and seven times 1.75, of which the calls carry on what rounding leaves.
        "rounding goes on from one use to the next",
        {"prices": [by_credits(fixed("15.4"), 7), by_credits(CHEAP, 7)]},
        None,
        {"CREDITS": "120"},
    ),
]


@pytest.mark.parametrize(
    ("new", "coupon", "taken"), [case[1:] for case in NEW], ids=[case[0] for case in NEW]
)
def test_after_the_move_a_normal_month_costs_what_the_dry_run_said(
    database_url: str, new: Any, coupon: CreateCoupon | None, taken: dict[str, str]
) -> None:
    async def story() -> None:
        async with a_year(database_url) as year:
            engine, context = year.engine, year.context
            await year.credits()
            rate = AddAssetRate("USD", inverse_rate=Number(25), valid_from=year.now)
            await engine.add_asset_rate("CREDITS", rate, context=context)
            product = {"name": "Plan", "code": "plan", "publish": True, **OLD}
            await engine.create_product(decode(CreateProduct, encode(product)), context=context)
            version = decode(CreateVersion, encode({"publish": True, **new}))
            await engine.create_version("plan", version, context=context)
            if coupon is not None:
                await engine.create_coupon(coupon, context=context)
            moves, stays = [await _subscriber(year, name, coupon) for name in ("Ada", "Bob")]
            await _month_of_use(year, (moves, stays), "2026-02-01")
            said = await _preview(year)
            request = MigrateSubscribers(2, customer_ids=[moves], dry_run=False)
            done = await engine.migrate_subscribers("plan", request, context=context)
            assert isinstance(done, Migration)
            assert done.moved == 1
            await year.go("2026-03-01")
            before = {name: await _wallet(year, name) for name in (moves, stays)}
            await _month_of_use(year, (moves, stays), "2026-04-01")
            for name, side in ((moves, "after"), (stays, "before")):
                now = await _wallet(year, name)
                spent = {a: before[name][a] - now[a] for a in ASSETS if before[name][a] != now[a]}
                assert spent == said[name][side], (side, spent, said[name])
                if name == moves:
                    assert spent == {asset: Decimal(amount) for asset, amount in taken.items()}

    tell(story())


async def _subscriber(year: Year, name: str, coupon: CreateCoupon | None) -> str:
    customer = await year.customer(name)
    await year.pay(customer, "100000")
    await year.pay(customer, "100000", "CREDITS")
    request = CreateSubscription(
        [SubscribedProduct(code="plan", version=1)], coupon=None if coupon is None else coupon.code
    )
    made = await year.engine.create_subscription(customer, request, context=year.context)
    assert made.status == "active"
    return customer


async def _month_of_use(year: Year, customers: tuple[str, ...], until: str) -> None:
    """Let everybody call seven times in the month, and the month pass."""
    begins = year.now
    for day in (3, 5, 9, 14, 20, 22, 27):
        await year.go((begins + timedelta(days=day)).date().isoformat())
        for customer in customers:
            await year.use(customer, "call")
    await year.go(until)


async def _preview(year: Year) -> dict[str, dict[str, dict[str, Decimal]]]:
    """Return what a dry run says of each customer, before and after, by asset."""
    found = await year.engine.migrate_subscribers(
        "plan", MigrateSubscribers(2), context=year.context
    )
    assert isinstance(found, MigrationPreview)
    said: dict[str, dict[str, dict[str, Decimal]]] = {}
    for item in found.items:
        assert (item.events, item.warnings) == (7, [])
        shown = [msgspec.structs.asdict(amount) for amount in item.amounts]
        said[item.customer_id] = {
            side: {one["asset"]: one[side] for one in shown if one[side]}
            for side in ("before", "after")
        }
    return said


async def _wallet(year: Year, customer: str) -> dict[str, Decimal]:
    return {asset: await year.balance(customer, asset) for asset in ASSETS}


def _asked(fee: Fee) -> tuple[Any, ...]:
    """Say what a fee costs, and what was taken off it, in whoever's subscription."""
    taken_off = fee.reduced and (fee.reduced.discounts, fee.reduced.capped_units)
    return fee.units, fee.paid_units, taken_off


def test_a_simulation_costs_what_the_same_use_costs_a_new_customer(database_url: str) -> None:
    """Three months, of which one passes the cap, one misses the minimum, and one is not used."""
    terms = {"prices": [by_credits(TIERED)], "commitments": [committed(minimum=10, maximum=12)]}

    async def story() -> None:
        async with a_year(database_url) as year:
            engine, context = year.engine, year.context
            await year.credits()
            rate = AddAssetRate("USD", inverse_rate=Number(25), valid_from=year.now)
            await engine.add_asset_rate("CREDITS", rate, context=context)
            product = {"name": "Plan", "code": "plan", "publish": True, **terms}
            await engine.create_product(decode(CreateProduct, encode(product)), context=context)
            used = ["2026-01-01", *[f"2026-01-{day:02}" for day in range(10, 16)], "2026-03-31"]
            events = [UsageEvent(f"e{n}", "call", at(day)) for n, day in enumerate(used)]
            fees, warnings = await engine.simulate_usage("plan", 1, events, context=context)

            ada = await _subscriber(year, "Ada", None)
            real: list[Any] = []
            said: list[str] = []
            for index, event in enumerate(events):
                await year.go(event.occurred_at.isoformat()[:10])
                booked = await engine.record_events(ada, [event], context=context)
                real += booked.results[0].fees
                said += [f"events[{index}]: {text}" for text in booked.results[0].warnings]
            assert [_asked(fee) for fee in fees] == [_asked(fee) for fee in real]
            assert [f.units // 10**9 for f in fees] == [3, 3, 3, 3, 0, 0, 0, 3]
            # 12 USD, then 3: 10 are missing in February and 7 in March, charged in dollars.
            assert [text for text in warnings if text.startswith("events")] == said
            assert len(said) == 3
            assert warnings[-1].startswith("17 USD of the minimum are missing in 2 periods")
            await year.go("2026-04-01")
            assert await _wallet(year, ada) == {"USD": 100000 - 17, "CREDITS": 100000 - 15 * 25}

    tell(story())
