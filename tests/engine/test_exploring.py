"""Events across customers by filters: everything that fits is found once, the newest first, however
little one look goes through."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.ledger.chaining import write_index
from tests.ledger.shop import (
    NOON,
    Clock,
    book,
    make_customer,
    other_connection,
    refusal,
    sell_tokens,
)

from faregate import CreateCustomer, Engine, UsageEvent
from faregate.core.amounts import Number
from faregate.core.outcomes import OutcomeRequest
from faregate.core.problems import INVALID
from faregate.core.volumes import dimension_text
from faregate.engine.exploring import ExploredPage, WantedEvents
from faregate.ledger import exploring

Found = list[tuple[str, str]]


async def all_pages(engine: Engine, wanted: WantedEvents, limit: int = 3) -> Found:
    """The (customer, event) pairs of all pages; a page ends, or says how far it has come."""
    found: Found = []
    cursor = None
    for _ in range(200):
        page: ExploredPage = await engine.explore_events(wanted, limit, cursor)
        assert len(page.events) <= limit
        assert (page.next is None) == (page.searched_to is None)
        found += [(one.listed.customer_id, one.listed.id) for one in page.events]
        assert {one.listed.customer_id for one in page.events} == set(page.names)
        cursor = page.next
        if cursor is None:
            return found
    raise AssertionError("it does not end")


def use(name: str, at: Any, n: Any = 1, kind: str = "llm", **more: Any) -> UsageEvent:
    data = {"n": n, **more.pop("data", {})}
    return UsageEvent(name, kind, at, data=data, **more)


async def fill(engine: Engine, clock: Clock) -> tuple[str, str, Found]:
    """Two customers' events of three days, one an hour; returns them, the newest first."""
    await sell_tokens(engine)
    ada, ben = await make_customer(engine), await make_customer(engine)
    booked: Found = []
    for hour in range(72):
        who = (ada, ben)[hour % 3 == 0]
        event = use(
            f"e{hour}",
            clock.now,
            hour,
            kind="other" if hour % 10 == 9 else "llm",
            subject=f"s{hour % 4}",
            data={"model": "large" if hour % 8 == 0 else "small", "top": Number("1.50")},
        )
        await book(engine, who, event)
        booked.insert(0, (who, event.id))
        clock.move(hours=1)
    return ada, ben, booked


@pytest.mark.parametrize("indexed", [False, True], ids=["new", "indexed"])
def test_every_filter_finds_what_fits_whatever_one_look_goes_through(
    database_url: str, indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exploring, "MAX_WALKED", 40)
    monkeypatch.setattr(exploring, "WINDOW", 15)
    monkeypatch.setattr(exploring, "OF_CUSTOMER", 4)

    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            ada, ben, booked = await fill(engine, clock)
            if indexed:
                async with other_connection(database_url) as store:
                    await write_index(store)

            def hours(fits: Any) -> Found:
                return [one for one in booked if fits(int(one[1][1:]))]

            day = (NOON + timedelta(days=1)).date()
            cases: list[tuple[dict[str, Any], Found]] = [
                ({}, booked),
                ({"customer": ben}, hours(lambda h: h % 3 == 0)),
                ({"customer": ada, "subject": "s1"}, hours(lambda h: h % 3 and h % 4 == 1)),
                ({"event_types": ("other",)}, hours(lambda h: h % 10 == 9)),
                ({"event_types": ("none",)}, []),
                ({"event_id": "e5"}, hours(lambda h: h == 5)),
                ({"event_id": "e5", "customer": ben}, []),
                # From 12 hours after the first until 36 hours after.
                ({"period_from": day, "period_to": day}, hours(lambda h: 12 <= h < 36)),
                ({"period_from": day, "customer": ben}, hours(lambda h: h >= 12 and h % 3 == 0)),
                ({"shows": "fees"}, hours(lambda h: h % 10 != 9)),
                ({"shows": "unpriced"}, hours(lambda h: h % 10 == 9)),
                ({"shows": "warnings"}, hours(lambda h: h % 10 == 9)),
                ({"min_fee": Number(70)}, hours(lambda h: h >= 70)),
                ({"min_fee": Number(0), "asset": "EUR"}, []),
                ({"data_key": "model", "data_text": "large"}, hours(lambda h: h % 8 == 0)),
                ({"data_key": "n", "data_text": "17"}, hours(lambda h: h == 17)),
                (
                    {"data_key": "top", "data_text": "1.5", "subject": "s3"},
                    hours(lambda h: h % 4 == 3),
                ),
                ({"data_key": "model", "data_text": "larg%"}, []),
                ({"data_key": "none", "data_text": ""}, []),
            ]
            for wanted, expected in cases:
                found = await all_pages(engine, WantedEvents(**wanted))
                assert found == expected, wanted

    asyncio.run(story())


def test_what_became_of_an_event_is_what_filters_look_at(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            for name in ("kept", "changed", "gone"):
                await book(engine, ada, use(name, NOON, 2, data={"model": "a"}))
            await book(engine, ada, use("wait", NOON, outcome="pending"))
            for name, said, data in (
                ("changed", "changed", {"n": 9, "model": "b"}),
                ("gone", "withdrawn", None),
            ):
                await engine.settle_outcome(name, OutcomeRequest(name, said, data))

            async def ids(**wanted: Any) -> list[str]:
                return [name for _, name in await all_pages(engine, WantedEvents(**wanted))]

            assert await ids(shows="fees") == ["changed", "kept"]
            assert await ids(shows="unpriced") == []
            assert await ids(shows="warnings") == ["wait"]
            assert await ids(min_fee=Number(3)) == ["changed"]
            assert await ids(data_key="model", data_text="b") == ["changed"]
            assert await ids(data_key="model", data_text="a") == ["gone", "kept"]
            page = await engine.explore_events(WantedEvents(event_id="changed"))
            assert page.events[0].listed.fee_units == 9 * 10**9
            assert page.events[0].data == {"n": Decimal(9), "model": "b"}

    asyncio.run(story())


def test_a_value_is_found_however_it_was_written(database_url: str) -> None:
    values: list[Any] = [
        *("1.5", "a%b_c!", 'say "so"', "true", "\\"),
        *(True, 0, 7, 100, -3, Decimal("1.50"), Decimal("1E+2"), Decimal("0E+3"), Decimal("0E-9")),
        *(Decimal("-2.5E-7"), Decimal("100.0"), Decimal("12.0E1")),
    ]
    texts = ["1.5", "a%b_c!", 'say "so"', "true", "\\", "0", "7", "100", "-3", "-0.00000025", "120"]

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            ada = (await engine.create_customer(CreateCustomer(name="Ada"))).id
            events = [
                UsageEvent(f"e{place}", "x", NOON, data={"other": 1, "v": value, 'k"%': value})
                for place, value in enumerate(values)
            ]
            await engine.record_events(ada, events)
            for key in ("v", 'k"%'):
                for text in texts:
                    wanted = WantedEvents(data_key=key, data_text=text)
                    found = await all_pages(engine, wanted, 2)
                    fits = [f"e{n}" for n, v in enumerate(values) if dimension_text(v) == text]
                    assert [name for _, name in found] == fits[::-1], (key, text)
                    assert fits

    asyncio.run(story())


def test_a_filter_that_cannot_be_is_refused_by_its_name(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            day = NOON.date()
            for field, wanted in {
                "customer": {"customer": "nobody"},
                "period_to": {"period_from": day, "period_to": day - timedelta(days=1)},
                "period_from": {"period_from": day.replace(year=9999)},
                "data_key": {"data_text": "x"},
                "asset": {"min_fee": Number(1), "asset": "GEMS"},
                "min_fee": {"min_fee": Number("0.0000000001")},
                "subject": {"subject": ""},
            }.items():
                refused = await refusal(engine.explore_events(WantedEvents(**wanted)))
                assert refused.problem.kind is INVALID
                assert list(refused.problem.errors) == [field]
            refused = await refusal(engine.explore_events(WantedEvents(), cursor="1; DROP"))
            assert list(refused.problem.errors) == ["cursor"]
            # Another environment's customers are nobody.
            ada = await engine.create_customer(CreateCustomer(name="Ada", external_id="own"))
            await engine.explore_events(WantedEvents(customer="own"))
            live = engine.context_of("live")
            for name in ("own", ada.id):
                wanted = WantedEvents(customer=name)
                assert (await refusal(engine.explore_events(wanted, context=live))).problem.errors

    asyncio.run(story())


def test_customers_on_a_test_clock_are_found_by_their_own_days(database_url: str) -> None:
    async def story() -> None:
        from faregate.platform.clocks import CreateTestClock

        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            later = NOON + timedelta(days=40)
            clock = await engine.create_test_clock(CreateTestClock(later))
            ben = (await engine.create_customer(CreateCustomer("Ben", test_clock_id=clock.id))).id
            await book(engine, ben, use("later", later))
            await book(engine, ada, use("now", NOON))
            for day, expected in ((NOON, "now"), (later, "later")):
                wanted = WantedEvents(period_from=day.date(), period_to=day.date())
                assert [name for _, name in await all_pages(engine, wanted)] == [expected]

    asyncio.run(story())
