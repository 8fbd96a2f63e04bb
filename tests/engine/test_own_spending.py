"""What customers do about their own spending: limits, alerts, and a look at what they have used."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from tests.ledger.shop import (
    NOON,
    USD,
    Clock,
    book,
    make_customer,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.codec import decode
from faregate.core.hold_requests import HoldRequest
from faregate.core.limits import LimitRequest
from faregate.core.own_limits import OwnLimit, OwnLimitChange
from faregate.core.windows import find_zone
from faregate.store.open import open_store


async def told_low(database_url: str) -> list[tuple[int, str | None]]:
    """Of which thresholds others were told, and who had set them."""
    store = await open_store(database_url)
    sql = "SELECT data FROM outbox WHERE topic = 'wallet.balance_low' ORDER BY seq"
    told = [decode(dict[str, Any], row[0]) for row in await store.fetch(sql)]
    await store.close()
    return [(notice["threshold"], notice.get("set_by")) for notice in told]


def test_a_customers_own_limit_declines_what_would_pass_it_and_goes_when_they_say(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            seller = await engine.create_limit(LimitRequest(Number("50"), "month", asset="USD"))
            above = OwnLimit(Number("50.01"), "USD")
            assert "send less" in str(await refusal(engine.set_own_limit(customer_id, above)))
            limit = await engine.set_own_limit(customer_id, OwnLimit(Number("20"), "USD"))
            states = await engine.customer_limits(customer_id)
            assert [(s.limit.id, s.limit.set_by) for s in states] == [
                (limit.id, "customer"),
                (seller.id, "seller"),
            ]
            await book(engine, customer_id, use("e", 15))
            asked = HoldRequest("h", max_amount=Number("10"), asset="USD")
            declined = await engine.authorize(customer_id, asked)
            assert limit.id in repr(declined)
            change = OwnLimitChange(Number("51"))
            assert "send less" in str(
                await refusal(engine.change_own_limit(customer_id, limit.id, change))
            )
            changed = await engine.change_own_limit(
                customer_id, limit.id, OwnLimitChange(Number("30"))
            )
            assert (changed.amount_units, changed.set_by) == (30 * 10**9, "customer")
            await refusal(engine.remove_own_limit(customer_id, seller.id))
            await engine.remove_own_limit(customer_id, limit.id)
            assert [s.limit.id for s in await engine.customer_limits(customer_id)] == [seller.id]

    tell(story())


def test_a_customer_cannot_touch_a_limit_that_the_seller_has_set_for_them(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id, other_id = await make_customer(engine), await make_customer(engine)
            request = LimitRequest(Number("5"), "day", asset="USD")
            sellers = await engine.create_customer_limit(customer_id, request)
            own = await engine.set_own_limit(other_id, OwnLimit(Number("5"), "USD"))
            change = OwnLimitChange(Number("1"))
            for limit_id in (sellers.id, own.id, "lim_nothing"):
                refused = await refusal(engine.change_own_limit(customer_id, limit_id, change))
                assert refused.problem.kind.status == 404
                refused = await refusal(engine.remove_own_limit(customer_id, limit_id))
                assert refused.problem.kind.status == 404
            (state,) = await engine.customer_limits(customer_id)
            assert state.limit == sellers
            # The seller may take away what a customer has set.
            await engine.delete_customer_limit(other_id, own.id)

    tell(story())


def test_a_customers_alert_is_told_once_each_time_and_leaves_the_sellers_alone(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await engine.update_account(customer_id, USD, low_balance_threshold=Number("10"))
            alert = await engine.set_own_alert(customer_id, USD, Number("80"))
            assert (alert.threshold, alert.is_low) == (Decimal(80), False)
            await book(engine, customer_id, use("a", 30))
            await book(engine, customer_id, use("b", 10))
            await book(engine, customer_id, use("c", 51))
            (alert,) = await engine.list_own_alerts(customer_id)
            assert alert.is_low
            assert await told_low(database_url) == [(80, "customer"), (10, None)]
            assert (await engine.get_account(customer_id, USD)).low_balance_threshold == 10

            await engine.set_own_alert(customer_id, USD, None)
            (alert,) = await engine.list_own_alerts(customer_id)
            assert (alert.threshold, alert.is_low) == (None, False)
            for wrong in ("other:USD", "default:NOTHING", "nothing"):
                await refusal(engine.set_own_alert(customer_id, wrong, Number("1")))
            await refusal(engine.set_own_alert(customer_id, USD, Number("-1")))
            assert (await engine.verify()).is_clean

    tell(story())


def test_use_is_shown_by_day_of_the_account_by_subject_and_by_type(database_url: str) -> None:
    async def story() -> None:
        clock = Clock(NOON - timedelta(days=10))
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            await engine.change_settings("Asia/Kathmandu")
            customer_id, other_id = await make_customer(engine), await make_customer(engine)
            clock.move(days=10)
            zone = find_zone("Asia/Kathmandu")
            midnight = NOON.astimezone(zone).replace(hour=0, minute=0)
            await book(engine, customer_id, use("1", 1, midnight - timedelta(seconds=1)))
            await book(engine, customer_id, use("2", 2, midnight, subject="ada"))
            await book(engine, customer_id, use("3", 4, NOON, subject="ada"))
            await book(engine, customer_id, use("4", 8, NOON - timedelta(days=5)))
            await book(engine, other_id, use("5", 16, NOON))
            today = date(2026, 3, 2)
            used = await engine.customer_usage(customer_id, today - timedelta(days=2), today)
            assert [(d.day.day, d.events, d.fees.get("USD")) for d in used.days] == [
                (28, 0, None),
                (1, 1, Decimal(1)),
                (2, 2, Decimal(6)),
            ]
            assert [(p.name, p.events, p.fees["USD"]) for p in used.subjects] == [
                ("ada", 2, Decimal(6)),
                (None, 1, Decimal(1)),
            ]
            assert [(p.name, p.events) for p in used.event_types] == [("llm", 3)]
            assert (used.timezone, used.since) == ("Asia/Kathmandu", None)
            for first, last in ((today, today - timedelta(days=1)), (date(2025, 1, 1), today)):
                refused = await refusal(engine.customer_usage(customer_id, first, last))
                assert list(refused.problem.errors) == ["to_day"]

    tell(story())


def test_a_balance_is_told_in_uses_of_what_was_used_or_is_sold(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine, "0.03")
            customer_id = await make_customer(engine)
            (left,) = (await engine.uses_left(customer_id))[USD]
            assert (left.count, left.noun, left.is_recent) == (3_300, "n", False)
            await book(engine, customer_id, use("e", 100))
            (left,) = (await engine.uses_left(customer_id))[USD]
            assert (left.count, left.noun, left.is_recent) == (3_200, "n", True)
            await book(engine, customer_id, use("f", 10_000))
            assert await engine.uses_left(customer_id) == {}

    tell(story())
