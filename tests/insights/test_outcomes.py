"""Statistics after outcomes: an event brings what it costs as it stands, on the day on which it was
booked; what it has cost the seller stays. Each expected number is worked out by hand beside it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import structs
from tests.insights.selling import book, cost, credit, customer, four, open_shop, use
from tests.ledger.shop import NOON, Clock, assert_clean, tell

from faregate import Engine
from faregate.catalog.vendors import CreateVendor
from faregate.core.amounts import Number
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.outcomes import OutcomeRequest

TODAY = NOON.date()


def pending(event: UsageEvent) -> UsageEvent:
    return structs.replace(event, outcome="pending")


async def say(engine: Engine, name: str, word: str, **data: Any) -> None:
    request = OutcomeRequest(f"{name} {word} {data}", word, data or None)  # type: ignore[arg-type]
    await engine.settle_outcome(name, request)


async def fill(engine: Engine, clock: Clock) -> tuple[str, str]:
    """Two customers, whose events stand so:

    ada   booked    stands      revenue    costs
    kept  4 tokens              4          1
    gone  5 tokens  withdrawn   0          2
    less  9 tokens  3           3          1
    late  pending   6, on the third day    6          0.5
    wait  pending               0          0.5
    chat  2 in, 2 out, now 1 in, 2 out   1 + 6      3.5
    bob's 7 tokens  withdrawn   0          0
    """
    ada, bob = await customer(engine), await customer(engine, "Bob")
    await book(
        engine,
        ada,
        use("kept", "llm", 4, cost("1")),
        use("gone", "llm", 5, cost("2", category="gpu")),
        use("less", "llm", 9, cost("1")),
        pending(use("late", "llm", 2, cost("0.5"))),
        pending(use("wait", "llm", 2, cost("0.5"))),
        use("chat", "chat", 2, cost("3.5"), m=2),
    )
    await book(engine, bob, use("bob's", "llm", 7))
    clock.move(days=2)
    await say(engine, "gone", "withdrawn")
    await say(engine, "less", "changed", n=8)
    await say(engine, "less", "changed", n=3)
    await say(engine, "late", "confirmed", n=6)
    await say(engine, "chat", "changed", n=1)
    await say(engine, "bob's", "withdrawn")
    return ada, bob


# 4 + 3 + 6 + 7 = 20, less 1 + 2 + 1 + 0.5 + 0.5 + 3.5 = 8.5: 11.5, which is 57.5 % of 20.
WHOLE = ("20", "8.5", "11.5", "57.5")
NOTHING = ("0", "0", "0", None)


def test_every_report_counts_events_as_they_stand(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            ada, bob = await fill(engine, clock)
            assert four(await engine.customer_stats(ada)) == WHOLE
            assert four(await engine.customer_stats(bob)) == NOTHING
            page = await engine.list_customer_stats()
            assert four(page.summary) == WHOLE
            assert {c.name: four(c.stats) for c in page.items} == {"Ada": WHOLE, "Bob": NOTHING}
            for by in ("customer", "product", "price", "event_type", "day", "price,day", "vendor"):
                for who in (None, ada):
                    stats = await engine.stats(by, customer_id=who)
                    assert four(stats.summary) == WHOLE, by
                    assert stats.summary.events == (7 if who is None else 6), by
            await assert_clean(engine)

    tell(story())


def test_events_belong_to_what_they_have_fees_for_now(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            ada, _ = await fill(engine, clock)
            for who in (None, ada):
                page = await engine.stats("price", customer_id=who)
                found = {group.price_name: four(group) for group in page.items}
                assert found == {
                    # kept, less and late: 13, less 2.5.
                    "Tokens": ("13", "2.5", "10.5", "80.77"),
                    # Of 3.5: 1 / 7 and 6 / 7.
                    "In": ("1", "0.5", "0.5", "50"),
                    "Out": ("6", "3", "3", "50"),
                    # gone and wait: nothing is asked for them.
                    None: ("0", "2.5", "-2.5", None),
                }
            page = await engine.stats("event_type")
            assert {g.event_type: g.events for g in page.items} == {"llm": 6, "chat": 1}

    tell(story())


def test_revenue_is_of_the_day_on_which_the_event_was_booked(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            ada, _ = await fill(engine, clock)
            later = TODAY + timedelta(days=1)
            for who in (None, ada):
                first = {"period_from": TODAY, "period_to": TODAY, "customer_id": who}
                assert four((await engine.stats("day", **first)).summary) == WHOLE  # type: ignore[arg-type]
                assert four((await engine.stats("price", **first)).summary) == WHOLE  # type: ignore[arg-type]
                after = await engine.stats("day", period_from=later, customer_id=who)
                assert (four(after.summary), after.summary.events) == (NOTHING, 0)

    tell(story())


def test_a_vendors_costs_stay_whatever_becomes_of_the_event(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            vendor = await engine.create_vendor(CreateVendor("Acme", external_id="acme"))
            await fill(engine, clock)
            stats = await engine.vendor_stats(vendor.id)
            assert stats.total_costs == Number("8.5")
            assert {c.category: c.cost for c in stats.categories} == {
                "gpu": Number("2"),
                None: Number("6.5"),
            }

    tell(story())


def test_each_event_of_a_page_shows_what_it_brings_now(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            ada, _ = await fill(engine, clock)
            listed = (await engine.list_events(filters={"customer_id": ada})).items
            stats = await engine.listed_event_stats(listed)
            shown = {e.id: s and four(s) for e, s in zip(listed, stats, strict=True)}
            assert shown == {
                "kept": ("4", "1", "3", "75"),
                "gone": ("0", "2", "-2", None),
                "less": ("3", "1", "2", "66.67"),
                "late": ("6", "0.5", "5.5", "91.67"),
                "wait": ("0", "0.5", "-0.5", None),
                "chat": ("7", "3.5", "3.5", "50"),
            }
            for event in listed:
                _, booked = await engine.get_event(event.id)
                (one,) = await engine.event_stats([booked])
                assert one is not None
                assert four(one) == shown[event.id]

    tell(story())


def test_what_was_captured_of_a_hold_and_withdrawn_brings_nothing(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await credit(engine, ada, "100")
            hold = await engine.authorize(
                ada, HoldRequest("h", max_amount=Number("10"), asset="USD")
            )
            event = use("e", "llm", 6, cost("1.5"))
            await engine.capture(ada, hold.id, CaptureRequest("c", events=[event]))
            await say(engine, "e", "changed", n=2)
            assert four(await engine.customer_stats(ada)) == ("2", "1.5", "0.5", "25")
            await say(engine, "e", "withdrawn")
            assert four(await engine.customer_stats(ada)) == ("0", "1.5", "-1.5", None)
            await assert_clean(engine)

    tell(story())
