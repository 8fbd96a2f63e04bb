"""Outcomes through the ledger, on both databases: each once, whoever reports it at once, whatever
the lane has forgotten and whatever is lost on the way; and proved by `verify`."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from tests.ledger.plans import sell_plan
from tests.ledger.shop import (
    NOON,
    USD,
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    give,
    make_customer,
    refusal,
    sell,
    sell_tokens,
    tell,
    usage_price,
    use,
)
from tests.ledger.test_renewals import LostAnswers

from faregate import Engine
from faregate.core.events import UsageEvent
from faregate.core.outcomes import OutcomeRequest, OutcomeSettled
from faregate.core.problems import CONFLICT, NOT_FOUND, FaregateError
from faregate.customers.types import CreateSubscription, SubscribedProduct

UNIT = 10**9


def pending(name: str, tokens: int = 1, **more: Any) -> UsageEvent:
    return use(name, tokens, outcome="pending", **more)


def request(word: str, name: str, tokens: int | None = None) -> OutcomeRequest:
    return OutcomeRequest(name, word, None if tokens is None else {"n": tokens})  # type: ignore[arg-type]


async def settle(
    engine: Engine,
    customer_id: str,
    event_id: str,
    word: str,
    tokens: int | None = None,
    name: str | None = None,
) -> OutcomeSettled:
    """Report an outcome; returns the answer."""
    asked = request(word, name or f"{event_id} {word} {tokens}", tokens)
    return (await engine.settle_outcome(event_id, asked, customer_id))[1]


async def all_answered(sent: list[Any]) -> None:
    """Wait for everything: it is done, or contradicts a withdrawal."""
    for done in await asyncio.gather(*sent, return_exceptions=True):
        if isinstance(done, BaseException):
            assert isinstance(done, FaregateError), done
            assert done.problem.kind is CONFLICT, done


async def left(engine: Engine, customer_id: str) -> list[Decimal]:
    """What the grants have left, the newest first."""
    page = await engine.list_grants(customer_id, USD, 100)
    return [grant.available for grant in page.items]


def test_a_case_is_paid_when_it_is_resolved_and_its_books_balance(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            await book(engine, ada, pending("a", 5))
            await book(engine, ada, pending("b", 7))
            assert await available(engine, ada) == 100
            clock.move(days=3)
            answer = await settle(engine, ada, "a", "confirmed")
            assert [fee.units for fee in answer.fees] == [5 * UNIT]
            assert answer.balances == {USD: 95 * UNIT}
            await settle(engine, ada, "b", "withdrawn")
            await settle(engine, ada, "a", "changed", 4)
            assert await available(engine, ada) == 96
            await assert_clean(engine)
            _, shown = await engine.get_event("a")
            assert (shown.outcome, shown.event.data) == ("changed", {"n": 4})
            assert [fee.units for fee in shown.result.fees] == [4 * UNIT]
            listed = (await engine.list_events()).items
            assert [(e.id, e.outcome, e.fee_units, e.fee_count) for e in listed] == [
                ("b", "withdrawn", 0, 0),
                ("a", "changed", 4 * UNIT, 1),
            ]
            with_fees = await engine.list_events(filters={"has_fees": True})
            assert [e.id for e in with_fees.items] == ["a"]
            assert with_fees.total_count == 1
            # Fees that were given back are found by their ids, too.
            fee = await engine.get_transaction(ada, answer.fees[0].id)
            assert fee.fee.units == 5 * UNIT  # type: ignore[union-attr]
            # The first answer to the event stands.
            again = await book(engine, ada, pending("a", 5))
            assert (again.status, again.fees) == ("repeat", ())

    tell(story())


def test_who_paid_is_found_by_a_lane_that_has_forgotten_everything(database_url: str):
    """A restart after each step: grants that are used up are in nobody's memory."""

    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine, "3")
            await give(engine, ada, "4", "second")
            await book(engine, ada, use("e", 9))
            assert await left(engine, ada) == [0, 0]
            assert await available(engine, ada) == -2
        steps: list[tuple[str, int | None, list[int], int]] = [
            # 3 and 4 go back and repay what was overdrawn; 5 are taken: 3 + 2.
            ("changed", 5, [2, 0], 2),
            ("changed", 8, [0, 0], -1),
            ("changed", 1, [4, 2], 6),
            ("withdrawn", None, [4, 3], 7),
        ]
        for word, tokens, grants, balance in steps:
            async with Engine.open(database_url, clock=clock) as engine:
                await settle(engine, ada, "e", word, tokens)
                assert await left(engine, ada) == grants
                assert await available(engine, ada) == balance
                await assert_clean(engine)
        async with Engine.open(database_url, clock=clock) as engine:
            first = await settle(engine, ada, "e", "changed", 8)
            assert first.net_units == {"USD": 3 * UNIT}
            again = await refusal(settle(engine, ada, "e", "confirmed"))
            assert again.problem.kind is CONFLICT

    tell(story())


@pytest.mark.parametrize("is_one_request", [True, False], ids=["one request", "ten requests"])
def test_ten_confirmations_at_once_charge_once(database_url: str, is_one_request: bool):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            await book(engine, ada, pending("e", 5))
            names = ["same" if is_one_request else f"{n}" for n in range(10)]
            answers = await asyncio.gather(
                *[settle(engine, ada, "e", "confirmed", name=name) for name in names]
            )
            assert {fee.id for answer in answers for fee in answer.fees} == {answers[0].fees[0].id}
            assert await available(engine, ada) == 95
            await assert_clean(engine)

    tell(story())


def test_outcomes_may_come_before_their_events_are_on_disk(database_url: str):
    """All that is said of an event in one breath: the commands stand on batches on their way."""

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine, "20") for _ in range(8)]
            sent: list[Any] = []
            for number in range(30):
                for ada in customers:
                    name = f"{number}"
                    first = pending(name, 3) if number % 2 else use(name, 3)
                    sent += [
                        book(engine, ada, first),
                        settle(engine, ada, name, "confirmed"),
                        settle(engine, ada, name, "changed", 2),
                    ]
                    if number % 3 == 0:
                        sent.append(settle(engine, ada, name, "withdrawn"))
            await asyncio.gather(*sent)
            for ada in customers:
                # 20 events of 2 are left of 30, 10 were withdrawn.
                assert await available(engine, ada) == 20 - 20 * 2
            await assert_clean(engine)

    tell(story())


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_said_at_random_only_the_last_of_each_event_counts(
    database_url: str, seed: int
):
    async def story() -> None:
        random = Random(seed)
        clock = Clock()
        costs: dict[tuple[str, str], int] = {}
        granted: dict[str, int] = {}
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            for _ in range(4):
                granted[await make_customer(engine, "10")] = 10
        for _ in range(3):
            async with Engine.open(database_url, clock=clock) as engine:
                for ada in granted:
                    # From now on it is known whose lane is which: commands go in as they are sent.
                    await available(engine, ada)
                sent: list[Any] = []
                for _ in range(60):
                    ada = random.choice(list(granted))
                    mine = [key[1] for key in costs if key[0] == ada]
                    if not mine or random.random() < 0.3:
                        name, tokens = f"e{len(costs)}", random.randrange(5)
                        is_pending = random.random() < 0.5
                        costs[ada, name] = 0 if is_pending else tokens
                        make = pending if is_pending else use
                        sent.append(book(engine, ada, make(name, tokens)))
                    elif random.random() < 0.1:
                        granted[ada] += 5
                        sent.append(give(engine, ada, "5", f"more {random.random()}"))
                    else:
                        name, tokens = random.choice(mine), random.randrange(5)
                        word = random.choice(["changed", "changed", "withdrawn"])
                        if costs[ada, name] >= 0:
                            # Below zero: withdrawn, for good.
                            costs[ada, name] = tokens if word == "changed" else -1
                        said = request(
                            word, f"{random.random()}", tokens if word == "changed" else None
                        )
                        sent.append(engine.settle_outcome(name, said, ada))
                    if random.random() < 0.2:
                        await all_answered(sent)
                        sent = []
                await all_answered(sent)
                for ada, units in granted.items():
                    spent = sum(max(cost, 0) for key, cost in costs.items() if key[0] == ada)
                    assert await available(engine, ada) == units - spent
                await assert_clean(engine)

    tell(story())


@pytest.mark.parametrize("faults", [["before"], ["after"], ["before", "after", "after"]])
def test_an_outcome_whose_commit_is_lost_counts_once(database_url: str, faults: list[str]):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            await book(engine, ada, pending("e", 5))
            await book(engine, ada, use("f", 3))
            way = LostAnswers(engine._store)
            for lane in engine.lanes:
                lane._store = way  # type: ignore[assignment]
            for event_id, word, tokens in (
                ("e", "confirmed", None),
                ("e", "changed", 2),
                ("f", "withdrawn", None),
            ):
                way.faults = list(faults)
                answer = None
                while answer is None:
                    with suppress(FaregateError):
                        answer = await settle(engine, ada, event_id, word, tokens)
            assert await available(engine, ada) == 98
            await assert_clean(engine)

    tell(story())


def test_a_forgotten_repeat_gets_its_first_answer(
    database_url: str,
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            await book(engine, ada, pending("e", 5))
            first = await settle(engine, ada, "e", "confirmed", name="t")
            await settle(engine, ada, "e", "withdrawn", name="u")
            for lane in engine.lanes:
                lane._memory.forget()
                lane._read_ids = 0
                # The state comes back from the database; ids are not among the recent ones.
                index = lane._index
                lane._memory.begin(index.indexed_seq, index.heads)
            assert await settle(engine, ada, "e", "confirmed", name="t") == first
            assert await available(engine, ada) == 100
            await assert_clean(engine)

    tell(story())


def test_what_an_expired_grant_has_paid_is_granted_anew_and_revenue_stays_right(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine, None)
            await give(engine, ada, "10", "soon over", "gift", expires_at=NOON + timedelta(days=5))
            await book(engine, ada, use("e", 6))
            clock.move(days=6)
        async with Engine.open(database_url, clock=clock) as engine:
            answer = await settle(engine, ada, "e", "changed", 2)
            assert "has expired" in answer.warnings[0]
            # 6 are there anew, 2 of them are taken again; 4 of the old ones broke.
            assert await left(engine, ada) == [4, 0]
            page = await engine.list_grants(ada, USD)
            anew, old = page.items
            assert (anew.instead_of, anew.purpose) == (old.id, "promotion")
            assert anew.expires_at == clock.now + timedelta(days=30)
            await assert_clean(engine)
            clock.move(days=31)
            assert await available(engine, ada) == 0
            await settle(engine, ada, "e", "withdrawn")
            assert await available(engine, ada) == 2
            await assert_clean(engine)

    tell(story())


def test_tiers_and_limits_are_as_if_only_the_last_had_been_said(database_url: str):
    # Up to 10 at 1, then at 2.
    tiers = {
        **usage_price("1"),
        "pricing_model": "tiered",
        "tiering": {"basis": "volume"},
        "pricing": [
            {"asset": "USD", "values": [{"up_to": 10, "volume_rate": 1}, {"volume_rate": 2}]}
        ],
    }

    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, tiers)
            ada = await make_customer(engine)
            await book(engine, ada, use("a", 8))
            await book(engine, ada, use("b", 4))
            # 8 x 1, then 2 x 1 + 2 x 2.
            assert await available(engine, ada) == 100 - 8 - 6
            await settle(engine, ada, "a", "withdrawn")
        async with Engine.open(database_url, clock=clock) as engine:
            await assert_clean(engine)
            # 4 are counted: 6 x 1 + 1 x 2.
            await book(engine, ada, use("c", 7))
            assert await available(engine, ada) == 100 - 6 - 8
            await assert_clean(engine)

    tell(story())


EDITS = {
    "a fee less": "UPDATE outcomes SET fee_count = 0",
    "another amount": "UPDATE outcomes SET fee_units = 1",
    "it was never reported": "DELETE FROM outcomes",
    "withdrawn": "UPDATE outcomes SET outcome = 'withdrawn'",
    "nobody's": "UPDATE outcomes SET event_id = 'other'",
    "the fee is gone": "DELETE FROM fees",
}


@pytest.mark.parametrize("edit", EDITS)
def test_verify_finds_what_somebody_has_edited(database_url: str, edit: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            await book(engine, ada, pending("e", 5))
            await settle(engine, ada, "e", "confirmed")
            await settle(engine, ada, "e", "changed", 3)
            await assert_clean(engine)
        async with by_hand(database_url) as database:
            await database.fetch(EDITS[edit])
        async with Engine.open(database_url, clock=Clock(), serves=False) as desk:
            assert (await desk.verify()).differences

    tell(story())


def test_who_paid_is_never_guessed(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            await book(engine, ada, use("e", 5))
        async with by_hand(database_url) as database:
            # Further from its transfers than anybody looks.
            await database.fetch("UPDATE events SET seq = seq + 6000")
        async with Engine.open(database_url, clock=Clock()) as engine:
            error = await refusal(settle(engine, ada, "e", "withdrawn"))
            assert error.problem.kind is CONFLICT
            assert "not known to the last unit (0 of 5000000000" in error.problem.detail
            assert await available(engine, ada) == 95

    tell(story())


def test_who_paid_is_found_in_a_batch_of_many_events(database_url: str):
    """The transfers of a batch come after all of its events: far from those of the first one."""

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine, "1000")
            await engine.record_events(ada, [use(f"{n}") for n in range(1000)])
            await asyncio.gather(*[settle(engine, ada, f"{n}", "withdrawn") for n in range(5)])
            await settle(engine, ada, "999", "withdrawn")
            assert await available(engine, ada) == 6
            await assert_clean(engine)

    tell(story())


def test_what_comes_back_lets_a_subscription_begin_that_waited_for_it(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            await sell_plan(engine)
            ada = await make_customer(engine, "12")
            await book(engine, ada, use("e", 5))
            wanted = CreateSubscription([SubscribedProduct(code="pro")])
            made = await engine.create_subscription(ada, wanted)
            assert made.status == "action_required"
            await settle(engine, ada, "e", "withdrawn")
            shown = await engine.get_subscription(ada, made.id)
            assert (shown.status, await available(engine, ada)) == ("active", 2)
            await assert_clean(engine)

    tell(story())


def test_an_id_that_several_have_used_needs_its_customer(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada, bob = [await make_customer(engine) for _ in range(2)]
            for customer_id in (ada, bob):
                await book(engine, customer_id, pending("e", 5))
            error = await refusal(engine.settle_outcome("e", request("confirmed", "t")))
            assert (error.problem.kind, list(error.problem.errors)) == (CONFLICT, ["customer_id"])
            await engine.settle_outcome("e", request("confirmed", "t"), ada)
            assert (await available(engine, ada), await available(engine, bob)) == (95, 100)
            error = await refusal(engine.settle_outcome("x", request("confirmed", "t")))
            assert error.problem.kind is NOT_FOUND

    tell(story())


def test_credit_that_comes_back_lets_a_page_of_totals_fall(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            await book(engine, ada, use("e", 5))
            before = await engine.pulse()
            await settle(engine, ada, "e", "changed", 2)
            after = await engine.pulse()
            assert (before.this_hour, after.this_hour) == (5, 2)

    tell(story())
