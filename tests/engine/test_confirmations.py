"""A confirmation is asked for once, given once, and used once."""

import asyncio
from datetime import timedelta

import pytest
from tests.ledger.shop import NOON, Clock
from tests.loops import in_a_loop

from faregate import Engine
from faregate.core.problems import NOT_FOUND, UNAVAILABLE, FaregateError, Problem, invalid
from faregate.platform.audit import Actor
from faregate.platform.confirmations import MAX_OPEN, Asked, Confirmation
from faregate.platform.operators import Operator

KEY = Actor("key", "key_1", "the assistant's key (fg_live_abcd…)")
MINUTE = timedelta(minutes=1)


def asking(engine: Engine, arguments: str = '{"amount": 5}', **other: str) -> Asked:
    context = engine.context_of("live")
    said = {"asker_id": "key_1", "tool": "adjust_wallet", "account_id": context.account_id} | other
    return Asked(
        context.environment_id, said["account_id"], "live", said["asker_id"], KEY.name,
        said["tool"], "POST /x", arguments, True,
    )  # fmt: skip


async def asked(engine: Engine, arguments: str = '{"amount": 5}', **other: str) -> Confirmation:
    return await engine.find_or_ask_confirmation(asking(engine, arguments, **other), KEY)


async def operator(engine: Engine) -> Operator:
    return await engine.create_operator("ada@example.com", "Ada", "admin", "ada's own password")


async def done() -> bytes:
    return b'{"done":true}'


async def do(engine: Engine, found: Confirmation, work: object = done) -> bytes | None:
    return await engine.do_confirmed(found, asking(engine), KEY, work)  # type: ignore[arg-type]


async def confirmed(engine: Engine, arguments: str = '{"amount": 5}') -> Confirmation:
    found = await asked(engine, arguments)
    known = [one for one in await engine.list_operators() if one.name == "Ada"]
    who = known[0] if known else await operator(engine)
    await engine.decide_confirmation(found.id, "live", who, is_confirmed=True)
    return await asked(engine, arguments)


@in_a_loop
async def test_the_same_arguments_ask_once_whatever_their_order_and_others_ask_anew(
    database_url: str,
) -> None:
    async with Engine.open(database_url, clock=Clock(NOON)) as engine:
        first = await asked(engine, '{"amount": 5, "reason": "a"}')
        assert (await asked(engine, '{ "reason":"a","amount":5}')).id == first.id
        others = [
            await asked(engine, '{"amount": 5.0, "reason": "a"}'),
            await asked(engine, '{"amount": 6, "reason": "a"}'),
            await asked(engine, '{"amount": 5, "reason": "a"}', tool="charge_wallet"),
            await asked(engine, '{"amount": 5, "reason": "a"}', asker_id="key_2"),
            await asked(engine, '{"amount": 5, "reason": "a"}', account_id="acc_2"),
        ]
        assert len({first.id, *(one.id for one in others)}) == 6


@in_a_loop
async def test_two_who_ask_the_same_at_once_ask_for_one_confirmation(database_url: str) -> None:
    async with Engine.open(database_url, clock=Clock(NOON)) as engine:
        both = await asyncio.gather(*(asked(engine) for _ in range(8)))
        assert len({one.id for one in both}) == 1


@in_a_loop
async def test_numbers_of_eighteen_digits_that_differ_in_the_last_are_two(
    database_url: str,
) -> None:
    async with Engine.open(database_url, clock=Clock(NOON)) as engine:
        one = await asked(engine, '{"amount": 0.000000000000000001}')
        assert (await asked(engine, '{"amount": 0.000000000000000002}')).id != one.id


@in_a_loop
async def test_of_a_name_that_comes_twice_only_what_counts_is_shown(database_url: str) -> None:
    async with Engine.open(database_url, clock=Clock(NOON)) as engine:
        found = await asked(engine, '{"data": [{"n": 1, "n": 1000}], "amount": 1.50}')
        assert found.arguments == '{"amount":1.50,"data":[{"n":1000}]}'


@in_a_loop
async def test_it_is_done_once_and_a_repeat_gets_the_first_answer(database_url: str) -> None:
    async with Engine.open(database_url, clock=Clock(NOON)) as engine:
        found = await confirmed(engine)
        assert await do(engine, found) == b'{"done":true}'
        again = await asked(engine)
        assert (again.id, again.state, again.answer) == (found.id, "used", '{"done":true}')
        assert await do(engine, found) is None


@in_a_loop
async def test_of_many_who_use_it_at_once_one_does(database_url: str) -> None:
    async with Engine.open(database_url, clock=Clock(NOON)) as engine:
        found = await confirmed(engine)
        times = 0

        async def count() -> bytes:
            nonlocal times
            times += 1
            await asyncio.sleep(0)
            return b"1"

        answers = await asyncio.gather(*(do(engine, found, count) for _ in range(8)))
        assert times == 1
        assert sorted(answers, key=str) == [*[None] * 7, b"1"] or answers.count(b"1") == 1


@in_a_loop
async def test_whoever_died_in_the_middle_is_followed_by_a_repeat_after_a_minute(
    database_url: str,
) -> None:
    clock = Clock(NOON)
    async with Engine.open(database_url, clock=clock) as engine:
        found = await confirmed(engine)

        async def die() -> bytes:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await do(engine, found, die)
    async with Engine.open(database_url, clock=clock) as engine:
        again = await asked(engine)
        assert (again.id, again.state, again.outcome) == (found.id, "used", None)
        assert await do(engine, again) is None
        clock.now += MINUTE
        assert await do(engine, again) == b'{"done":true}'
        assert await do(engine, again) is None


@in_a_loop
async def test_what_a_rule_refused_is_asked_anew_and_what_only_failed_for_now_is_not(
    database_url: str,
) -> None:
    async with Engine.open(database_url, clock=Clock(NOON)) as engine:

        async def fail() -> bytes:
            raise FaregateError(Problem(UNAVAILABLE, "not now"))

        async def refuse() -> bytes:
            raise FaregateError(invalid("amount", "is too much"))

        found = await confirmed(engine)
        with pytest.raises(FaregateError):
            await do(engine, found, fail)
        assert (await asked(engine)).id == found.id
        with pytest.raises(FaregateError):
            await do(engine, found, refuse)
        assert (await engine.get_confirmation(found.id, "live")).outcome == "refused"
        assert (await asked(engine)).id != found.id


@in_a_loop
async def test_it_is_confirmed_within_15_minutes_and_used_within_15_more(database_url: str) -> None:
    clock = Clock(NOON)
    async with Engine.open(database_url, clock=clock) as engine:
        who = await operator(engine)
        late = await asked(engine)
        clock.now += 15 * MINUTE
        with pytest.raises(FaregateError, match="expired"):
            await engine.decide_confirmation(late.id, "live", who, is_confirmed=True)
        in_time = await asked(engine)
        assert in_time.id != late.id
        clock.now += 14 * MINUTE
        await engine.decide_confirmation(in_time.id, "live", who, is_confirmed=True)
        clock.now += 15 * MINUTE
        assert await do(engine, in_time) is None
        assert (await engine.get_confirmation(in_time.id, "live")).state == "expired"
        assert (await asked(engine)).id != in_time.id


@in_a_loop
async def test_what_was_refused_is_not_asked_again_for_15_minutes(database_url: str) -> None:
    clock = Clock(NOON)
    async with Engine.open(database_url, clock=clock) as engine:
        found = await asked(engine)
        await engine.decide_confirmation(
            found.id, "live", await operator(engine), is_confirmed=False
        )
        again = await asked(engine)
        assert (again.id, again.state, again.decided_name) == (found.id, "refused", "Ada")
        assert await do(engine, again) is None
        with pytest.raises(FaregateError, match="refused by Ada"):
            await engine.decide_confirmation(
                found.id, "live", (await engine.list_operators())[0], is_confirmed=True
            )
        clock.now += 15 * MINUTE
        assert (await asked(engine)).state == "open"


@in_a_loop
async def test_a_key_has_ten_open_ones_and_old_ones_go(database_url: str) -> None:
    clock = Clock(NOON)
    async with Engine.open(database_url, clock=clock) as engine:
        first = await asked(engine, "{}")
        for number in range(MAX_OPEN - 1):
            await asked(engine, f'{{"amount": {number}}}')
        with pytest.raises(FaregateError, match="10 calls of this key wait"):
            await asked(engine, '{"amount": 99}')
        assert (await asked(engine, '{"amount": 99}', asker_id="key_2")).state == "open"
        assert await engine.count_open_confirmations("live") == MAX_OPEN + 1
        assert await engine.count_open_confirmations("test") == 0
        clock.now += timedelta(days=31)
        await asked(engine, '{"amount": 99}')
        with pytest.raises(FaregateError) as refused:
            await engine.get_confirmation(first.id, "live")
        assert refused.value.problem.kind is NOT_FOUND
        assert len(await engine.list_confirmations("live")) == 1


@pytest.mark.parametrize("arguments", ["[" * 100 + "]" * 100, f'"{"x" * 70_000}"'])
@in_a_loop
async def test_what_nobody_could_read_is_refused(database_url: str, arguments: str) -> None:
    async with Engine.open(database_url, clock=Clock(NOON)) as engine:
        with pytest.raises(FaregateError, match="a person has to read them"):
            await asked(engine, f'{{"metadata": {arguments}}}')
        assert await engine.list_confirmations("live") == []


@in_a_loop
async def test_the_audit_log_has_who_asked_who_confirmed_and_what_was_done(
    database_url: str,
) -> None:
    async with Engine.open(database_url, clock=Clock(NOON)) as engine:
        found = await confirmed(engine, '{"amount": 5, "secret": "hunter2"}')
        await engine.do_confirmed(
            found, asking(engine, '{"amount": 5, "secret": "hunter2"}'), KEY, done
        )
        entries = await engine.list_audit_entries()
        assert [(e.action, e.object_id, e.outcome) for e in entries] == [
            ("do what was confirmed", found.id, "done"),
            ("ask for confirmation", found.id, "done"),
        ]
        assert entries[0].request["confirmed_by"] == "Ada"
        assert entries[0].request["arguments"] == {"amount": 5, "secret": "•••"}
