"""What customers bring and cost. Each expected number is worked out by hand beside it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from tests.insights.selling import (
    EARLY,
    book,
    charge,
    cost,
    credit,
    customer,
    four,
    open_shop,
    rate,
    use,
)
from tests.ledger.shop import NOON, Clock, assert_clean, by_hand, give, tell

from faregate.catalog.types import AddAssetRate
from faregate.catalog.vendors import CreateVendor
from faregate.core.amounts import Number
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import CaptureRequest, HoldRequest, UpdateRequest, Used, Want
from faregate.insights.types import Unconverted

TODAY = NOON.date()


def test_revenue_costs_net_and_margin_of_one_event(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await book(engine, ada, use("e", "llm", 4, cost("1")))
            # 4 USD of fees, 1 USD of costs: 3 is left, which is 75 % of 4.
            stats = await engine.customer_stats(ada)
            assert four(stats) == ("4", "1", "3", "75")
            assert (stats.currency, stats.unconverted) == ("USD", [])
            await assert_clean(engine)

    tell(story())


def test_without_revenue_there_is_no_margin(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            assert four(await engine.customer_stats(ada)) == ("0", "0", "0", None)
            # Nothing prices it, but it costs 0.3.
            await book(engine, ada, use("e", "free", 1, cost("0.3")))
            assert four(await engine.customer_stats(ada)) == ("0", "0.3", "-0.3", None)

    tell(story())


def test_a_loss_has_a_margin_below_zero(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await book(engine, ada, use("e", "llm", 2, cost("5")))
            # 2 - 5 = -3, which is -150 % of 2.
            assert four(await engine.customer_stats(ada)) == ("2", "5", "-3", "-150")

    tell(story())


@pytest.mark.parametrize(
    ("costs", "margin"),
    [
        ("1", "66.67"),  # 2 of 3
        ("2", "33.33"),  # 1 of 3
        ("0.00015", "100"),  # 99.995 -> 100.00, the even one
        ("0.00045", "99.98"),  # 99.985 -> 99.98, the even one
    ],
)
def test_margins_are_rounded_half_even_to_two_decimals(
    database_url: str, costs: str, margin: str
) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await book(engine, ada, use("e", "llm", 3, cost(costs)))
            assert four(await engine.customer_stats(ada))[3] == margin

    tell(story())


def test_charges_and_captures_by_amount_are_revenue_and_adjustments_are_not(
    database_url: str,
) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await credit(engine, ada, "100")
            await give(engine, ada, "-7", "taken", "other")
            await charge(engine, ada, "setup", "2.5", "USD")
            hold = await engine.authorize(
                ada, HoldRequest("h", max_amount=Number("10"), asset="USD")
            )
            await engine.capture(ada, hold.id, CaptureRequest("c", Number("4")))
            # 2.5 charged, 4 captured; neither the gift of 100 nor the 7 taken back.
            assert four(await engine.customer_stats(ada)) == ("6.5", "0", "6.5", "100")

    tell(story())


def test_a_capture_by_events_counts_once(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await credit(engine, ada, "100")
            ask = HoldRequest("h", max_amount=Number("10"), asset="USD")
            hold = await engine.authorize(ada, ask)
            event = use("e", "llm", 6, cost("1.5"))
            await engine.capture(ada, hold.id, CaptureRequest("c", events=[event]))
            # The event's fee of 6 and no more; 6 - 1.5 = 4.5, 75 % of 6.
            assert four(await engine.customer_stats(ada)) == ("6", "1.5", "4.5", "75")

    tell(story())


def test_slices_that_are_paid_by_amount_are_revenue(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await credit(engine, ada, "100")
            ask = HoldRequest("h", max_amount=Number("10"), asset="USD")
            hold = await engine.authorize(ada, ask)
            update = UpdateRequest(
                "u", used=Used(amount=Number("3")), want=Want(amount=Number("5"))
            )
            await engine.update_hold(ada, hold.id, update)
            # 3 of the first slice; the second is only set aside.
            assert four(await engine.customer_stats(ada)) == ("3", "0", "3", "100")

    tell(story())


def test_a_recurring_fee_counts_when_it_was_booked_though_it_was_due_before(
    database_url: str,
) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            due_id = "fee_01hzzzzzzz7qm7s9hv2m8wq0gx"  # Of an instant in 2024.
            async with by_hand(database_url) as database:
                await database.fetch(
                    "INSERT INTO transactions (lane, transaction_id, customer_id, id, kind, "
                    "account_id, units, request, created_at) "
                    "VALUES (0, $1, $2, $1, 'fee', 'default:USD', -5000000000, '{}', $3)",
                    due_id,
                    ada,
                    int(NOON.timestamp()) * 1_000_000,
                )
                await database.fetch("UPDATE lanes SET last_seq = last_seq + 1")
                await database.fetch(
                    "INSERT INTO transfers (lane, seq, customer_id, asset, from_account, "
                    "to_account, units, reference, at, hash) SELECT 0, last_seq, $2, 'USD', "
                    "'default:USD', 'revenue', 5000000000, $1, $3, '' FROM lanes",
                    due_id,
                    ada,
                    int(NOON.timestamp()) * 1_000_000,
                )
            stats = await engine.customer_stats(ada, period_from=TODAY, period_to=TODAY)
            assert four(stats) == ("5", "0", "5", "100")

    tell(story())


def test_an_event_with_several_fees_counts_with_all_of_them(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada, bob = await customer(engine), await customer(engine, "Bob")
            await book(engine, ada, use("e", "chat", 2, cost("4"), m=2))
            await book(engine, bob, use("e", "chat", 1, m=1))
            # 2 tokens in at 1, 2 out at 3: 8. Costs 4: half of it. Bob: 1 + 3.
            assert four(await engine.customer_stats(ada)) == ("8", "4", "4", "50")
            page = await engine.list_customer_stats()
            assert four(page.summary) == ("12", "4", "8", "66.67")

    tell(story())


def test_other_currencies_are_converted(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            await rate(engine, "EUR", "USD", "1.1")
            ada = await customer(engine)
            await book(engine, ada, use("e", "call", 5, cost("3", "EUR"), cost("0.7", "USD")))
            # 10 EUR are 11 USD; 3 EUR are 3.3 USD and 0.7 USD on top: 4. 7 of 11 is 63.6363... %.
            assert four(await engine.customer_stats(ada)) == ("11", "4", "7", "63.64")

    tell(story())


def test_a_rate_is_used_in_both_directions(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            # A dollar costs 0.8 EUR, so a euro costs 1.25 USD.
            await rate(engine, "USD", "EUR", "0.8")
            ada = await customer(engine)
            await book(engine, ada, use("e", "call", 2, cost("1")))
            # 4 EUR are 5 USD, less 1 USD: 4. In euros: 4 less 0.8 is 3.2.
            assert four(await engine.customer_stats(ada)) == ("5", "1", "4", "80")
            euros = await engine.customer_stats(ada, currency="EUR")
            assert (four(euros), euros.currency) == (("4", "0.8", "3.2", "80"), "EUR")

    tell(story())


def test_a_rate_that_changes_counts_from_its_instant_on(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            await rate(engine, "EUR", "USD", "1")
            await rate(engine, "EUR", "USD", "2", NOON)
            ada = await customer(engine)
            before = NOON - timedelta(microseconds=1)
            await book(engine, ada, use("before", "call", 1, at=before), use("at", "call", 1))
            clock.move(hours=1)
            await rate(engine, "EUR", "USD", "3", clock.now)
            await book(engine, ada, use("after", "call", 1, cost("1", "EUR"), at=clock.now))
            # 2 EUR each: at 1, at 2, at 3: 2 + 4 + 6 = 12. A cost of 1 EUR at 3.
            assert four(await engine.customer_stats(ada)) == ("12", "3", "9", "75")

    tell(story())


def test_a_late_event_counts_when_it_was_booked_at_the_rate_of_its_own_time(
    database_url: str,
) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            await rate(engine, "EUR", "USD", "1")
            await rate(engine, "EUR", "USD", "2", NOON - timedelta(days=1))
            ada = await customer(engine)
            await book(engine, ada, use("late", "call", 1, at=NOON - timedelta(days=20)))
            # 2 EUR of 20 days ago, when a euro was 1 USD, booked today.
            today = await engine.customer_stats(ada, period_from=TODAY, period_to=TODAY)
            assert four(today)[0] == "2"
            then = TODAY - timedelta(days=20)
            assert four(await engine.customer_stats(ada, period_to=then))[0] == "0"

    tell(story())


def test_a_charge_is_converted_at_the_rate_of_when_it_was_booked(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            await rate(engine, "EUR", "USD", "1")
            await rate(engine, "EUR", "USD", "1.5", NOON + timedelta(days=1))
            ada = await customer(engine)
            await charge(engine, ada, "one", "2", "EUR")
            clock.move(days=1)
            await charge(engine, ada, "two", "2", "EUR")
            # 2 at 1, 2 at 1.5.
            assert four(await engine.customer_stats(ada)) == ("5", "0", "5", "100")

    tell(story())


def test_own_credits_count_at_their_price(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            await rate(engine, "GEMS", "USD", "0.1")
            await rate(engine, "GEMS", "USD", "0.25", NOON + timedelta(days=1))
            ada = await customer(engine)
            await book(engine, ada, use("one", "image", 2, cost("0.5")))
            clock.move(days=1)
            await book(engine, ada, use("two", "image", 2, at=clock.now))
            await charge(engine, ada, "three", "0.01", "GEMS")
            # 10 GEMS at 0.1, 10 at 0.25, 0.01 at 0.25: 1 + 2.5 + 0.0025.
            # 3.0025 of 3.5025 is 85.7244... %.
            stats = await engine.customer_stats(ada)
            assert four(stats) == ("3.5025", "0.5", "3.0025", "85.72")

    tell(story())


def test_credits_that_are_sold_by_the_bunch_are_converted_exactly_and_rounded_once(
    database_url: str,
) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            # 3 GEMS for a dollar: a third each, which has no end.
            request = AddAssetRate("USD", inverse_rate=Number("3"), valid_from=EARLY)
            await engine.add_asset_rate("GEMS", request)
            ada = await customer(engine)
            for n in range(3):
                await charge(engine, ada, f"c{n}", "1", "GEMS")
            # Three thirds are 1, not 0.999999999.
            assert four(await engine.customer_stats(ada))[0] == "1"
            await charge(engine, ada, "last", "1", "GEMS")
            # 4 / 3 = 1.333333333|3...
            assert four(await engine.customer_stats(ada))[0] == "1.333333333"

    tell(story())


def test_what_has_no_rate_is_left_out_and_named(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await book(
                engine,
                ada,
                use("a", "llm", 2, cost("0.5"), cost("8", "EUR")),
                use("b", "image", 3),
                use("c", "call", 1),
            )
            stats = await engine.customer_stats(ada)
            # Only the dollars: 2 less 0.5. 15 GEMS, 2 EUR and costs of 8 EUR have no rate.
            assert four(stats) == ("2", "0.5", "1.5", "75")
            assert stats.unconverted == [
                Unconverted("EUR", Decimal(2), Decimal(8)),
                Unconverted("GEMS", Decimal(15), Decimal(0)),
            ]

    tell(story())


def test_a_rate_that_has_ended_converts_nothing_after_its_end(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            day = timedelta(days=1)
            await rate(engine, "EUR", "USD", "2", NOON - 9 * day, NOON - 5 * day)
            ada = await customer(engine)
            for days in (10, 9, 6, 5):
                event = use(f"{days}", "call", 1, at=NOON - days * day)
                await book(engine, ada, event)
            stats = await engine.customer_stats(ada)
            # Of four times 2 EUR, those of 9 and 6 days ago: 8 USD. The rest: 4 EUR.
            assert four(stats)[0] == "8"
            assert stats.unconverted == [Unconverted("EUR", Decimal(4), Decimal(0))]

    tell(story())


def test_a_period_has_both_of_its_days_in_utc(database_url: str) -> None:
    async def story() -> None:
        clock = Clock(NOON.replace(hour=0) - timedelta(microseconds=1))
        async with open_shop(database_url, clock) as engine:
            ada = await customer(engine)
            await book(engine, ada, use("eve", "llm", 1, cost("0.1"), at=clock.now))
            await charge(engine, ada, "eve", "1", "USD")
            clock.move(microseconds=1)
            await book(engine, ada, use("begins", "llm", 10, cost("0.2"), at=clock.now))
            await charge(engine, ada, "begins", "10", "USD")
            clock.now = NOON.replace(hour=0) + timedelta(days=1, microseconds=-1)
            await book(engine, ada, use("ends", "chat", 100, cost("0.4"), at=clock.now, m=0))
            await charge(engine, ada, "ends", "100", "USD")
            clock.move(microseconds=1)
            await book(engine, ada, use("after", "llm", 1000, cost("0.8"), at=clock.now))
            await charge(engine, ada, "after", "1000", "USD")
            # Twice 10 and twice 100 are of the day.
            day = {"period_from": TODAY, "period_to": TODAY}
            assert four(await engine.customer_stats(ada, **day))[:2] == ("220", "0.6")
            for by in ("customer", "price", "day"):
                page = await engine.stats(by, **day)
                assert four(page.summary)[:2] == ("220", "0.6")
                assert page.summary.events == 2
            since = await engine.customer_stats(ada, period_from=TODAY)
            assert four(since)[:2] == ("2220", "1.4")
            until = await engine.customer_stats(ada, period_to=TODAY)
            assert four(until)[:2] == ("222", "0.7")

    tell(story())


def test_the_last_thirty_days_are_meant_unless_told_otherwise(database_url: str) -> None:
    async def story() -> None:
        clock = Clock(NOON - timedelta(days=30))
        async with open_shop(database_url, clock) as engine:
            ada = await customer(engine)
            await charge(engine, ada, "30 days ago", "1", "USD")
            clock.move(days=1)
            await charge(engine, ada, "29 days ago", "10", "USD")
            clock.move(days=29)
            await charge(engine, ada, "today", "100", "USD")
            page = await engine.list_customer_stats()
            assert (page.period_from, page.period_to) == (date(2026, 2, 1), date(2026, 3, 2))
            assert four(page.summary)[0] == "110"
            later = await engine.list_customer_stats(period_from=date(2026, 5, 1))
            assert (later.period_from, later.period_to) == (date(2026, 5, 1),) * 2
            earlier = await engine.list_customer_stats(period_to=date(2026, 1, 31))
            assert (earlier.period_from, four(earlier.summary)[0]) == (date(2026, 1, 2), "1")
            assert four(await engine.customer_stats(ada))[0] == "111"

    tell(story())


def test_a_vendors_costs_are_found_by_id_and_by_the_sellers_own_id(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            await rate(engine, "EUR", "USD", "2")
            acme = (await engine.create_vendor(CreateVendor("Acme", "acme"))).id
            other = (await engine.create_vendor(CreateVendor("Other"))).id
            ada = await customer(engine)
            by_id = cost("4", "EUR", category="gpu")
            by_id = type(by_id)("d", by_id.amount, vendor_id=acme, category="gpu", currency="EUR")
            await book(
                engine,
                ada,
                use("a", "llm", 1, cost("1", category="gpu"), by_id),
                use("b", "llm", 1, cost("0.5", category="cpu"), cost("0.25")),
                use("c", "llm", 1, cost("100", vendor="nobody")),
            )
            # gpu: 1 + 4 EUR at 2 = 9; cpu: 0.5; without a category: 0.25.
            stats = await engine.vendor_stats(acme)
            assert stats.total_costs == Decimal("9.75")
            assert [(c.category, f"{c.cost:f}") for c in stats.categories] == [
                ("gpu", "9"),
                ("cpu", "0.5"),
                (None, "0.25"),
            ]
            gpu = await engine.vendor_stats(acme, category="gpu")
            assert (gpu.total_costs, len(gpu.categories)) == (9, 1)
            nothing = await engine.vendor_stats(other)
            assert (nothing.total_costs, nothing.categories) == (0, [])
            past = await engine.vendor_stats(acme, period_to=TODAY - timedelta(days=1))
            assert past.total_costs == 0
            page = await engine.stats("vendor", sort="-total_costs")
            # "nobody" is unknown: 100 USD.
            assert [
                (g.vendor_id, g.vendor_external_id, g.vendor_name, g.events, f"{g.total_costs:f}")
                for g in page.items
            ] == [(None, "nobody", None, 1, "100"), (acme, "acme", "Acme", 2, "9.75")]
            # Revenue has no vendor; the summary has all of it, for three events.
            assert {(g.gross_revenue, g.net_revenue, g.margin) for g in page.items} == {(None,) * 3}
            assert four(page.summary) == ("3", "109.75", "-106.75", "-3558.33")
            assert page.summary.events == 3

    tell(story())


def test_events_sent_again_count_once(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            for _ in range(3):
                await book(engine, ada, use("e", "llm", 4, cost("1")))
            assert four(await engine.customer_stats(ada)) == ("4", "1", "3", "75")

    tell(story())


def test_sums_beyond_what_the_database_counts_in_are_exact(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            most = "8999999999.999999999"
            events = [UsageEvent(f"{n}", "free", NOON, costs=[cost(most)]) for n in range(5)]
            await book(engine, ada, *events)
            # 5 x 8999999999.999999999 = 44999999999.999999995, above 2^63 billionths.
            assert four(await engine.customer_stats(ada))[1] == "44999999999.999999995"

    tell(story())
