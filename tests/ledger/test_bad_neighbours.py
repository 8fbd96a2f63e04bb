"""One command that cannot be booked, whatever the reason, never harms those in the same batch."""

from __future__ import annotations

import asyncio

from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    make_customer,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.events import UsageEvent
from faregate.core.problems import INTERNAL, INVALID, FaregateError

NEIGHBOURS = 10


async def _beside(engine: Engine, customer_id: str, bad: str, tokens: int) -> FaregateError:
    """Send a bad event among good ones of another customer, all at once."""
    other = await make_customer(engine)
    sent = [book(engine, other, use(f"{bad} {number}")) for number in range(NEIGHBOURS)]
    sent.insert(NEIGHBOURS // 2, book(engine, customer_id, use(bad, tokens)))
    answers = await asyncio.gather(*sent, return_exceptions=True)
    error = answers.pop(NEIGHBOURS // 2)
    assert isinstance(error, FaregateError), error
    assert {answer.status for answer in answers if not isinstance(answer, BaseException)} == {
        "booked"
    }
    assert await available(engine, other) == 100 - NEIGHBOURS
    return error


def test_a_fee_larger_than_the_ledger_can_hold_is_refused_alone(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            rich = await make_customer(engine, "9000000000")
            error = await _beside(engine, rich, "too much", 10_000_000_000)
            assert error.problem.kind is INVALID
            assert await available(engine, rich) == 9_000_000_000
            assert (await book(engine, rich, use("too much"))).status == "booked"
            await assert_clean(engine)

    tell(story())


def test_rows_that_the_database_refuses_are_refused_alone(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            async with by_hand(database_url) as database:
                # As an operator might who adds a rule to the database.
                if database_url.startswith("sqlite"):
                    rule = (
                        "CREATE TRIGGER rule BEFORE INSERT ON events WHEN NEW.event_id = 'odd' "
                        "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
                    )
                else:
                    rule = "ALTER TABLE events ADD CONSTRAINT rule CHECK (event_id <> 'odd')"
                await database.fetch(rule)
            for _ in range(2):
                error = await _beside(engine, customer_id, "odd", 1)
                assert error.problem.kind is INTERNAL
                assert "nothing was applied" in str(error)
            assert await available(engine, customer_id) == 100
            assert (await book(engine, customer_id, use("even"))).status == "booked"
            await assert_clean(engine)

    tell(story())


def test_data_that_is_nested_too_deeply_is_refused_alone(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            nested: object = 1
            for _ in range(11):
                nested = [nested]
            event = UsageEvent("deep", "llm", NOON, data={"n": 1, "x": nested})
            error = await refusal(book(engine, customer_id, event))
            assert list(error.problem.errors) == ["events[0].data"]

    tell(story())
