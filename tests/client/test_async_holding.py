"""Work under a hold on asyncio: the same, and what cancelling does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.api.caller import Caller
from tests.api.conftest import RunningServer
from tests.client.shop import balance, charged, run
from tests.doubles.unreliable import LOST_AFTER, LOST_BEFORE, UnreliableWay

from faregate.client import AsyncClient, AsyncHeldWork, Declined, Unreachable

ASKED: dict[str, Any] = {"event_type": "llm", "data": {"tokens": 5}}
GONE = [LOST_BEFORE] * 6


async def failing(
    hold: AsyncHeldWork, error: Exception, before: Callable[[], object] = bool
) -> None:
    """Use one token, then fail."""
    async with hold:
        hold.use(tokens=1)
        before()
        raise error


def test_what_was_used_is_captured_and_what_was_not_is_let_go(
    me: Caller, shared_server: RunningServer, customer: str
) -> None:
    async def story(client: AsyncClient) -> None:
        async with client.hold(customer, **ASKED) as hold:
            hold.use(tokens=1)
            await hold.extend(5_000)
            assert not (await hold.update({"tokens": 2})).final
            hold.use(tokens=2)
        assert hold.captured is not None
        assert hold.captured.captured_amount == 2
        await hold.settle()
        async with client.hold(customer, **ASKED) as unused:
            pass
        assert unused.hold.status == "voided"
        with pytest.raises(KeyError, match="mine"):
            await failing(client.hold(customer, **ASKED), KeyError("mine"))
        with pytest.raises(Declined):
            async with client.hold(customer, max_amount=11, asset="USD"):
                pytest.fail("the work began")

    run(shared_server.url, story)
    assert (balance(me, customer), charged(me, customer)) == ((6, 0), [1, 2, 1])


def test_lost_answers_charge_once_and_what_fails_may_be_settled_again(
    me: Caller, way: UnreliableWay, customer: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(client: AsyncClient) -> None:
        hold = client.hold(customer, max_amount=5, asset="USD")

        async def work() -> None:
            async with hold:
                hold.use_amount(1)
                way.fails(*[LOST_AFTER] * 6)
                with pytest.raises(Unreachable):
                    await hold.update(amount=1)
                hold.use_amount(2)
                way.fails(None, *[LOST_AFTER] * 6)

        with pytest.raises(Unreachable):
            await work()
        way.fails()
        await hold.settle()
        assert balance(me, customer) == (7, 0)
        error = ValueError("mine")
        with pytest.raises(ValueError, match="mine"):
            await failing(client.hold(customer, **ASKED), error, lambda: way.fails(*GONE))
        assert "could not be captured" in error.__notes__[0]
        way.fails()
        async with client.hold(customer, max_amount=1, asset="USD") as hold:
            way.fails(*GONE)
        assert f"hold {hold.id} ends at" in caplog.text

    run(way.url, story)


def test_a_task_that_is_cancelled_is_charged_for_what_it_did(
    me: Caller, shared_server: RunningServer, customer: str
) -> None:
    async def story(client: AsyncClient) -> None:
        used = asyncio.Event()

        async def work() -> None:
            async with client.hold(customer, **ASKED) as hold:
                hold.use(tokens=3)
                used.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await used.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(shared_server.url, story)
    assert (balance(me, customer), charged(me, customer)) == ((7, 0), [3])


def hurried(way: UnreliableWay, number: int) -> Callable[[], bool]:
    """Tell when the request of this number has come by."""
    return lambda: len(way.passed) >= number


async def until(happened: Callable[[], bool]) -> None:
    """Let the loop run until this has happened."""
    while not happened():  # noqa: ASYNC110 - another thread makes it happen
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_cancelling_while_a_request_is_under_way_leaves_nothing_held_and_nothing_unpaid(
    me: Caller, way: UnreliableWay, customer: str, number: int
) -> None:
    async def story(client: AsyncClient) -> None:
        async def work() -> None:
            async with client.hold(customer, **ASKED) as hold:
                hold.use(tokens=1)
                await hold.update({"tokens": 2})
                hold.use(tokens=2)

        task = asyncio.create_task(work())
        await until(hurried(way, number))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    way.fails()
    run(way.url, story)
    assert charged(me, customer) == [[], [1], [2, 1]][number - 1]
    assert balance(me, customer) == (10 - [0, 1, 3][number - 1], 0)


def test_many_holds_run_at_once(me: Caller, shared_server: RunningServer, customer: str) -> None:
    async def story(client: AsyncClient) -> None:
        async def work() -> None:
            async with client.hold(customer, event_type="llm", data={"tokens": 1}) as hold:
                hold.use(tokens=1)

        await asyncio.gather(*[work() for _ in range(10)])

    run(shared_server.url, story)
    assert (balance(me, customer), charged(me, customer)) == ((0, 0), [1] * 10)
