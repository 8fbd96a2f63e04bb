"""What is earned and what it costs by group. Each expected number is worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from msgspec import UNSET
from tests.insights.selling import (
    book,
    charge,
    cost,
    customer,
    four,
    open_shop,
    rate,
    sell,
    use,
)
from tests.ledger.shop import NOON, Clock, refusal, tell

from faregate import ChargeRequest, Engine
from faregate.core.amounts import Number
from faregate.core.problems import INVALID, NOT_FOUND
from faregate.insights.types import Group, GroupPage
from faregate.ledger import split_events


def fields(group: Group) -> dict[str, Any]:
    """What a group has in common."""
    return {
        name: getattr(group, name)
        for name in group.__struct_fields__[5:-1]
        if getattr(group, name) is not UNSET
    }


def rows(page: GroupPage, *names: str) -> list[tuple[Any, ...]]:
    """The groups of a page: what they have in common, events, and their four numbers."""
    return [
        (*(fields(group)[name] for name in names), group.events, *four(group))
        for group in page.items
    ]


async def fill(engine: Engine) -> tuple[str, str]:
    """Two customers, with an event of each kind and a charge."""
    await rate(engine, "GEMS", "USD", "0.1")
    await rate(engine, "EUR", "USD", "2")
    ada, bob = await customer(engine, "Ada", "ada"), await customer(engine, "Bob")
    await book(
        engine,
        ada,
        # 4 USD, of 1.
        use("a", "llm", 4, cost("1", category="gpu")),
        # 1 in and 3 x 1 out: 1 USD and 3 USD, of 2.
        use("b", "chat", 1, cost("2", vendor="models", category="gpu"), m=1),
        # 10 GEMS are 1 USD, of 3.
        use("c", "image", 2, cost("1.5", "EUR", category="gpu")),
    )
    # 2 EUR are 4 USD, of nothing; and what is given away costs 0.5.
    await book(engine, bob, use("d", "call", 1), use("e", "free", 1, cost("0.5")))
    await charge(engine, bob, "setup", "10", "USD")
    return ada, bob


WHOLE = ("23", "6.5", "16.5", "71.74")  # 16.5 of 23 is 71.739... %


def test_by_customer_those_who_bring_least_come_first(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada, bob = await fill(engine)
            page = await engine.stats("customer")
            # Ada: 4 + 4 + 1 = 9 of 1 + 2 + 3. Bob: 4 + 10 = 14 of 0.5.
            assert rows(page, "customer_id", "customer_name", "customer_external_id") == [
                (ada, "Ada", "ada", 3, "9", "6", "3", "33.33"),
                (bob, "Bob", None, 2, "14", "0.5", "13.5", "96.43"),
            ]
            assert (four(page.summary), page.summary.events) == (WHOLE, 5)
            assert (page.total_count, page.currency, page.group_by) == (2, "USD", ["customer"])

    tell(story())


def test_by_price_the_costs_of_an_event_are_divided_as_its_fees_are(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            await fill(engine)
            page = await engine.stats("price", sort="-net_revenue")
            assert rows(page, "price_name") == [
                # The charge of 10, and the event that nothing prices.
                (None, 1, "10", "0.5", "9.5", "95"),
                ("Calls", 1, "4", "0", "4", "100"),
                ("Tokens", 1, "4", "1", "3", "75"),
                # Of the costs of 2, a quarter and three quarters.
                ("Out", 1, "3", "1.5", "1.5", "50"),
                ("In", 1, "1", "0.5", "0.5", "50"),
                ("Images", 1, "1", "3", "-2", "-200"),
            ]
            # One event has two prices.
            assert (four(page.summary), page.summary.events) == (WHOLE, 5)

    tell(story())


def test_by_product_version_an_event_counts_once(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            await fill(engine)
            page = await engine.stats("product", sort="margin")
            assert rows(page, "product_code", "product_version") == [
                ("images", 1, 1, "1", "3", "-2", "-200"),
                ("chat", 1, 1, "4", "2", "2", "50"),
                ("tokens", 1, 1, "4", "1", "3", "75"),
                (None, None, 1, "10", "0.5", "9.5", "95"),
                ("calls", 1, 1, "4", "0", "4", "100"),
            ]

    tell(story())


def test_by_event_type_charges_have_none(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            await fill(engine)
            page = await engine.stats("event_type", sort="-gross_revenue", limit=3)
            assert rows(page, "event_type") == [
                (None, 0, "10", "0", "10", "100"),
                ("call", 1, "4", "0", "4", "100"),
                ("chat", 1, "4", "2", "2", "50"),
            ]
            assert page.total_count == 6
            rest = await engine.stats("event_type", 3, 3, sort="-gross_revenue")
            assert [group[0] for group in rows(rest, "event_type")] == ["llm", "image", "free"]
            assert rest.summary == page.summary
            # Without revenue there is no margin, which comes last in either order.
            for sort in ("margin", "-margin"):
                assert rows(await engine.stats("event_type", sort=sort), "event_type")[-1] == (
                    "free",
                    1,
                    "0",
                    "0.5",
                    "-0.5",
                    None,
                )

    tell(story())


def test_by_vendor_and_category_there_are_costs_alone(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            await fill(engine)
            page = await engine.stats("vendor,category")
            assert rows(page, "vendor_external_id", "category") == [
                # 1 and 3.
                ("acme", "gpu", 2, None, "4", None, None),
                ("models", "gpu", 1, None, "2", None, None),
                ("acme", None, 1, None, "0.5", None, None),
            ]
            assert (four(page.summary), page.summary.events) == (WHOLE, 5)
            by_category = await engine.stats("category", sort="total_costs")
            assert rows(by_category, "category") == [
                (None, 1, None, "0.5", None, None),
                ("gpu", 3, None, "6", None, None),
            ]

    tell(story())


def test_by_day_and_month_events_are_where_they_were_booked(database_url: str) -> None:
    async def story() -> None:
        clock = Clock(NOON - timedelta(days=2))
        async with open_shop(database_url, clock) as engine:
            ada = await customer(engine)
            await book(engine, ada, use("a", "llm", 1, cost("0.5"), at=clock.now))
            clock.move(days=2)
            late = NOON - timedelta(days=2)
            await book(engine, ada, use("b", "chat", 1, cost("2"), at=late, m=1))
            await charge(engine, ada, "c", "6", "USD")
            # 28 February: 1 of 0.5. 2 March: 4 + 6 of 2.
            by_day = await engine.stats("day")
            assert rows(by_day, "day") == [
                (date(2026, 2, 28), 1, "1", "0.5", "0.5", "50"),
                (date(2026, 3, 2), 1, "10", "2", "8", "80"),
            ]
            by_month = await engine.stats("month,customer", customer_id=ada, sort="-margin")
            assert rows(by_month, "month", "customer_id") == [
                ("2026-03", ada, 1, "10", "2", "8", "80"),
                ("2026-02", ada, 1, "1", "0.5", "0.5", "50"),
            ]

    tell(story())


@pytest.mark.parametrize("by", ["product", "price", "event_type", "day", "price,month"])
def test_of_one_customer_there_is_nothing_of_others(database_url: str, by: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada, bob = await fill(engine)
            for customer_id, whole in (
                (ada, (3, "9", "6", "3", "33.33")),
                (bob, (2, "14", "0.5", "13.5", "96.43")),
            ):
                page = await engine.stats(by, customer_id=customer_id)
                assert (page.summary.events, *four(page.summary)) == whole
                everybody = await engine.stats(f"{by.partition(',')[0]},customer")
                mine = [g for g in everybody.items if g.customer_id == customer_id]
                assert [four(g) for g in page.items] == [four(g) for g in mine]

    tell(story())


@pytest.mark.parametrize("size", [1, 2, 3, 5000])
def test_events_of_several_fees_are_whole_wherever_a_page_ends(
    database_url: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_events, "STREAMED", size)
    monkeypatch.setattr(split_events, "STREAMED_BY_ALL", size)

    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            # One has one fee only, as nothing came out.
            events = [use(f"{n}", "chat", n, cost("1"), m=n) for n in range(1, 6)]
            await book(engine, ada, *events)
            # 1 + 2 + 3 + 4 + 5 = 15 in, 45 out; of the 5 costs a quarter and three quarters.
            for chosen in (None, ada):
                page = await engine.stats("price", customer_id=chosen)
                assert rows(page, "price_name") == [
                    ("In", 5, "15", "1.25", "13.75", "91.67"),
                    ("Out", 5, "45", "3.75", "41.25", "91.67"),
                ]
                assert page.summary.events == 5

    tell(story())


def test_costs_of_an_event_whose_fees_cannot_be_compared_go_to_the_first(
    database_url: str,
) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await book(engine, ada, use("free", "chat", 0, cost("1", "EUR"), cost("2"), m=0))
            page = await engine.stats("price", sort="-total_costs")
            assert rows(page, "price_name") == [
                ("In", 1, "0", "2", "-2", None),
                ("Out", 1, "0", "0", "0", None),
            ]
            assert [len(group.unconverted) for group in page.items] == [1, 0]

    tell(story())


def test_another_environments_data_is_never_counted(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            live = engine.context_of("live")
            await sell(engine, live)
            await fill(engine)
            other = await customer(engine, "Eve", "ada", context=live)
            event = use("a", "chat", 7, cost("3", "EUR"), cost("9"), m=7)
            await engine.record_events(other, [event], context=live)
            await engine.charge(other, ChargeRequest("x", "USD", Number("50")), context=live)
            for by in ("customer", "product", "event_type", "vendor", "day", "price,day"):
                page = await engine.stats(by)
                assert (four(page.summary), page.summary.events) == (WHOLE, 5)
                # 7 + 21 + 50 of 9; its euros have no rate there.
                theirs = await engine.stats(by, context=live)
                assert four(theirs.summary) == ("78", "9", "69", "88.46")
                assert [u.asset for u in theirs.summary.unconverted] == ["EUR"]
            assert (await engine.list_customer_stats(context=live)).total_count == 1
            ask = engine.stats("day", customer_id=other)
            assert (await refusal(ask)).problem.kind is NOT_FOUND

    tell(story())


@pytest.mark.parametrize(
    ("by", "says"),
    [
        ("colour", "'colour' is none of: customer, product"),
        ("", "'' is none of"),
        ("day,day", "names 'day' twice"),
        ("day,customer,price", "names 3: name one or two"),
        ("vendor,product", "name vendor or category, or product or price"),
    ],
)
def test_a_group_that_cannot_be_is_refused_by_name(database_url: str, by: str, says: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            problem = (await refusal(engine.stats(by))).problem
            assert problem.kind is INVALID
            assert list(problem.errors) == ["group_by"]
            assert says in problem.detail

    tell(story())


def test_groups_that_are_too_many_are_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faregate.ledger.questions.MAX_ROWS", 1)

    async def story() -> None:
        async with open_shop(database_url) as engine:
            await fill(engine)
            await engine.sum_up()
            problem = (await refusal(engine.stats("customer"))).problem
            assert "ask about a shorter period" in problem.detail

    tell(story())
