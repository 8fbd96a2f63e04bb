"""Charges under load, repeats and refusals: what the lanes promise, on both databases."""

import asyncio
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    book,
    fees_of,
    give,
    make_customer,
    other_connection,
    refusal,
    row_counts,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.codec import same_json
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.transactions import ChargeRequest

CALLERS = 64
RATE, PACKAGE = "0.1", 7
"""A price per token that no decimal can hold: 1/70 USD."""


@pytest.mark.parametrize("wallets", [1, 20], ids=["one wallet", "many wallets"])
def test_64_callers_at_once_charge_the_exact_sum(database_url: str, wallets: int):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine, RATE, PACKAGE)
            customers = [await make_customer(engine) for _ in range(wallets)]
            events = iter(range(wallets * 70))

            async def caller() -> None:
                for number in events:
                    await book(engine, customers[number % wallets], use(f"event {number}"))

            await asyncio.gather(*[caller() for _ in range(CALLERS)])
            # 70 events of 1/70 USD each: rounding is carried, so that together they cost 1.
            for customer_id in customers:
                assert await available(engine, customer_id) == Decimal(99)
            report = await engine.verify()
            assert report.is_clean
            assert report.fees == wallets * 70

    tell(story())


def test_the_same_event_from_ten_callers_at_once_is_one_charge_and_ten_equal_answers(
    database_url: str,
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            answers = await asyncio.gather(
                *[book(engine, customer_id, use("once", 3)) for _ in range(10)]
            )
            assert sorted(a.status for a in answers) == ["booked"] + ["repeat"] * 9
            first = next(a for a in answers if a.status == "booked")
            assert [fee.units for fee in first.fees] == [3 * 10**9]
            for answer in answers:
                assert (answer.fees, answer.warnings) == (first.fees, first.warnings)
                assert answer.balances == first.balances
            assert await available(engine, customer_id) == 97
            await assert_clean(engine)

    tell(story())


def test_a_repeat_after_a_restart_gets_the_first_answer(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            first = await book(engine, customer_id, use("once", 3))
            await book(engine, customer_id, use("later", 5))
        clock.move(hours=1)
        async with Engine.open(database_url, clock=clock) as engine:
            repeat = await book(engine, customer_id, use("once", 3))
            assert repeat.status == "repeat"
            assert (repeat.fees, repeat.balances) == (first.fees, first.balances)
            assert await available(engine, customer_id) == 92
            await assert_clean(engine)

    tell(story())


def test_a_repeat_of_an_event_that_the_lane_has_forgotten_charges_nothing_again(
    database_url: str,
):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            first = await book(engine, customer_id, use("once", 3))
        async with Engine.open(database_url, clock=clock) as engine:
            # So many batches that the lane has stopped to read every id first.
            for number in range(105):
                await book(engine, customer_id, use(f"other {number}", 0))
            repeat, neighbour = await asyncio.gather(
                book(engine, customer_id, use("once", 3)),
                book(engine, customer_id, use("neighbour", 2)),
            )
            assert (repeat.status, repeat.fees) == ("repeat", first.fees)
            assert neighbour.status == "booked"
            assert await available(engine, customer_id) == 95
            await assert_clean(engine)

    tell(story())


def test_a_repeat_with_every_field_is_equal_to_what_was_stored(database_url: str):
    async def story() -> None:
        event = UsageEvent(
            "everything",
            "llm",
            NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
            subject="job/7",
            description="straße \U0001f686\n",
            data={
                "n": 3,
                "ratio": Decimal("0.1"),
                "big": 2**60,
                "none": None,
                "deep": {"list": [1, True]},
            },
            costs=[
                Cost(
                    "c",
                    Number("0.0001230"),
                    vendor_id="v",
                    currency="EUR",
                    metadata={"model": "x"},
                )
            ],
        )
        gift = {"expires_at": NOON + timedelta(days=1), "metadata": {"order": "7"}}
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            given = await give(engine, customer_id, "2.50", "gift", "gift", **gift)
            first = await book(engine, customer_id, event)
        async with Engine.open(database_url, clock=Clock()) as engine:
            repeat = await book(engine, customer_id, event)
            assert (repeat.status, repeat.fees) == ("repeat", first.fees)
            _, booked = await engine.get_event("everything", customer_id)
            assert all(
                same_json(getattr(booked.event, field), getattr(event, field))
                for field in UsageEvent.__struct_fields__
            )
            assert await give(engine, customer_id, "2.5", "gift", "gift", **gift) == given

    tell(story())


@pytest.mark.parametrize("is_reopened", [False, True], ids=["same process", "after a restart"])
def test_an_event_id_sent_again_with_other_data_is_a_conflict_and_books_nothing(
    database_url: str, is_reopened: bool
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("once", 3))
            if not is_reopened:
                await _sends_other_data(engine, customer_id)
        async with Engine.open(database_url, clock=Clock()) as engine:
            await _sends_other_data(engine, customer_id)
            await assert_clean(engine)

    async def _sends_other_data(engine: Engine, customer_id: str) -> None:
        async with other_connection(database_url) as store:
            before = await row_counts(store)
            error = await refusal(book(engine, customer_id, use("once", 4)))
            assert error.problem.kind.status == 409
            assert "data" in error.problem.detail
            assert await row_counts(store) == before
        assert await available(engine, customer_id) == 97

    tell(story())


def test_a_refused_command_does_not_harm_its_neighbours_in_the_batch(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id, neighbour = await make_customer(engine), await make_customer(engine)
            too_old = use("old", 1, NOON - timedelta(days=40))
            await book(engine, customer_id, use("first"))
            await book(engine, neighbour, use("first"))
            answers = await asyncio.gather(
                book(engine, customer_id, use("before", 2)),
                refusal(book(engine, customer_id, too_old)),
                refusal(book(engine, customer_id, use("before", 9))),
                refusal(give(engine, customer_id, "0", "nothing")),
                book(engine, customer_id, use("after", 4)),
                book(engine, neighbour, use("after", 8)),
            )
            assert [answers[i].problem.kind.status for i in (1, 2, 3)] == [422, 409, 422]
            assert await available(engine, customer_id) == 93
            assert await available(engine, neighbour) == 91
            assert engine.lanes[0].statistics.refused == 3
            await assert_clean(engine)

    tell(story())


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("data", {"data": {"n": 1, "thing": object()}}),
        ("subject", {"subject": "a\x00b"}),
        ("subject", {"subject": "\ud800"}),
        ("occurred_at", {"occurred_at": NOON.replace(tzinfo=None)}),
    ],
    ids=["no JSON", "NUL", "half a character", "no time zone"],
)
def test_an_event_of_an_embedding_program_that_cannot_be_kept_is_refused_alone(
    database_url: str, field: str, change: dict[str, Any]
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id, neighbour = await make_customer(engine), await make_customer(engine)
            bad = msgspec.structs.replace(use("bad"), **change)
            answers = await asyncio.gather(
                book(engine, customer_id, bad),
                book(engine, neighbour, use("good")),
                return_exceptions=True,
            )
            assert answers[0].problem.kind.status == 422
            assert field in next(iter(answers[0].problem.errors))
            assert answers[1].status == "booked"
            await assert_clean(engine)

    tell(story())


def test_a_batch_with_one_bad_event_books_none_of_them(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            events = [use("good"), use("old", 1, NOON - timedelta(days=40)), use("fine")]
            error = await refusal(engine.record_events(customer_id, events))
            assert error.problem.kind.status == 422
            assert list(error.problem.errors) == ["events[1].occurred_at"]
            assert await available(engine, customer_id) == 100
            assert (await engine.list_events()).total_count == 0
            # Its good events' ids are free.
            assert (await book(engine, customer_id, use("good"))).status == "booked"
            await assert_clean(engine)

    tell(story())


def test_a_lenient_batch_books_its_good_events_and_says_what_is_wrong_with_the_others(
    database_url: str,
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("known", 1))
            events = [
                use("good", 2),
                use("old", 1, NOON - timedelta(days=40)),
                use("known", 1),
                use("fine", 4),
                use("good", 9),
            ]
            answer = await engine.record_events(customer_id, events, is_lenient=True)
            assert [result.status for result in answer.results] == [
                "booked",
                "refused",
                "repeat",
                "booked",
                "refused",
            ]
            refused = [r.problem.kind.status for r in answer.results if r.problem]
            assert refused == [422, 409]
            assert await available(engine, customer_id) == 93
            await assert_clean(engine)

    tell(story())


def test_two_customers_may_use_the_same_event_id(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada, bob = await make_customer(engine), await make_customer(engine)
            answers = await asyncio.gather(
                book(engine, ada, use("same", 1)), book(engine, bob, use("same", 2))
            )
            assert [answer.status for answer in answers] == ["booked", "booked"]
            assert [await available(engine, c) for c in (ada, bob)] == [99, 98]
            assert (await refusal(engine.get_event("same"))).problem.kind.status == 409
            _, booked = await engine.get_event("same", bob)
            assert booked.event.data == {"n": 2}

    tell(story())


def test_an_event_that_nothing_prices_is_booked_without_a_fee(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            answer = await book(engine, customer_id, UsageEvent("mail", "mail", NOON))
            assert (answer.status, answer.fees) == ("booked", ())
            assert "mail" in answer.warnings[0]
            repeat = await book(engine, customer_id, UsageEvent("mail", "mail", NOON))
            assert (repeat.status, repeat.warnings) == ("repeat", answer.warnings)

    tell(story())


def test_a_caller_that_goes_away_is_still_charged_once(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("first"))
            caller = asyncio.create_task(book(engine, customer_id, use("once", 3)))
            await asyncio.sleep(0)
            assert engine.lanes[0].queued == 1
            caller.cancel()
            neighbour = await book(engine, customer_id, use("neighbour", 5))
            assert neighbour.status == "booked"
            assert (await book(engine, customer_id, use("once", 3))).status == "repeat"
            assert await available(engine, customer_id) == 91
            await assert_clean(engine)

    tell(story())


def test_an_adjustment_that_is_repeated_has_the_same_id_and_counts_once(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            booked = await asyncio.gather(
                *[give(engine, customer_id, "12.5", "order 7") for _ in range(10)]
            )
            assert await available(engine, customer_id) == Decimal("12.5")
        async with Engine.open(database_url, clock=Clock()) as engine:
            booked.append(await give(engine, customer_id, "12.5", "order 7"))
            assert len({transaction.id for transaction in booked}) == 1
            error = await refusal(give(engine, customer_id, "13", "order 7"))
            assert error.problem.kind.status == 409
            assert list(error.problem.errors) == ["amount"]
            assert await available(engine, customer_id) == Decimal("12.5")
            await assert_clean(engine)

    tell(story())


def test_a_charge_and_an_adjustment_cannot_share_a_transaction_id(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            charge = ChargeRequest("setup", "USD", Number("2.5"))
            first = await engine.charge(customer_id, charge)
            assert (await engine.charge(customer_id, charge)).id == first.id
            error = await refusal(give(engine, customer_id, "2.5", "setup"))
            assert error.problem.kind.status == 409
            assert await available(engine, customer_id) == Decimal("97.5")
            await assert_clean(engine)

    tell(story())


def test_a_queue_that_is_full_refuses_with_429_and_works_again_later(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("same"))
            # Repeats weigh as much as events and are quickly answered: 25,000 in 25 requests.
            full = [use("same")] * 1_000
            answers = await asyncio.gather(
                *[engine.record_events(customer_id, full) for _ in range(25)],
                return_exceptions=True,
            )
            refused = [answer for answer in answers if isinstance(answer, BaseException)]
            assert [answer.problem.kind.status for answer in refused] == [429] * len(refused)
            assert len(refused) == 5
            assert all(answer.problem.retry_after_seconds for answer in refused)
            assert engine.lanes[0].statistics.refused_overload == 5
            accepted = [answer for answer in answers if not isinstance(answer, BaseException)]
            assert len({fee.id for answer in accepted for fee in fees_of(answer)}) == 1
            assert (await book(engine, customer_id, use("later"))).status == "booked"
            assert engine.lanes[0].queued == 0
            await assert_clean(engine)

    tell(story())
