"""Names that hang keep no other name waiting, and connections that are kept are bounded."""

from __future__ import annotations

import asyncio
import threading

import pytest

from faregate.webhooks import resolving
from faregate.webhooks.posting import Keeping
from faregate.webhooks.resolving import SystemResolver


class _Names:
    """A system's resolver: names that begin with `hang` are not answered until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host.startswith("hang"):
            self.let_go.wait(30)
            raise OSError(f"{host} is not known")
        return ["192.0.2.1", "192.0.2.1", "192.0.2.2"]


def test_a_name_is_answered_while_more_names_hang_than_there_are_places() -> None:
    async def story() -> None:
        names = _Names()
        resolve = SystemResolver(names, slow_seconds=0.05)
        hanging = [
            asyncio.create_task(resolve(f"hang-{number}", 443))
            for number in range(2 * resolving.QUICK_AT_ONCE)
        ]
        async with asyncio.timeout(10):
            assert await resolve("good", 443) == ["192.0.2.1", "192.0.2.2"]
        assert not any(task.done() for task in hanging)
        names.let_go.set()
        for outcome in await asyncio.gather(*hanging, return_exceptions=True):
            assert isinstance(outcome, OSError)

    asyncio.run(story())


def test_names_that_were_slow_take_no_place_of_others() -> None:
    async def story() -> None:
        names = _Names()
        resolve = SystemResolver(names, slow_seconds=0.05)
        first = [asyncio.create_task(resolve(f"hang-{n}", 1)) for n in range(200)]
        async with asyncio.timeout(10):
            while len(resolve._slow_names) < 200:  # noqa: ASYNC110 - a thread tells no event
                await asyncio.sleep(0.01)
        names.let_go.set()
        await asyncio.gather(*first, return_exceptions=True)
        names.let_go.clear()
        names.asked.clear()
        again = [asyncio.create_task(resolve(f"hang-{n}", 1)) for n in range(200)]
        async with asyncio.timeout(10):
            await resolve("good", 1)
        slow = [host for host in names.asked if host != "good"]
        assert len(slow) <= resolving.SLOW_AT_ONCE
        names.let_go.set()
        await asyncio.gather(*again, return_exceptions=True)

    asyncio.run(story())


def test_a_name_is_looked_up_once_for_all_who_ask_and_whoever_leaves_disturbs_nobody() -> None:
    async def story() -> None:
        names = _Names()
        resolve = SystemResolver(names)
        asking = [asyncio.create_task(resolve("hang", 443)) for _ in range(5)]
        await asyncio.sleep(0)
        asking[0].cancel()
        names.let_go.set()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(one) for one in found] == [asyncio.CancelledError, *[OSError] * 4]
        assert names.asked == ["hang"]

    asyncio.run(story())


def test_with_too_many_names_that_hang_further_ones_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolving, "MAX_THREADS", 3)

    async def story() -> None:
        names = _Names()
        resolve = SystemResolver(names, slow_seconds=0.01)
        hanging = [asyncio.create_task(resolve(f"hang-{n}", 443)) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="other names do not answer"):
            await resolve("good", 443)
        names.let_go.set()
        await asyncio.gather(*hanging, return_exceptions=True)
        assert await resolve("good", 443)

    asyncio.run(story())


def test_so_many_connections_are_kept_and_those_not_used_for_long_make_room() -> None:
    keeping = Keeping(3, 30)
    assert keeping.take("a", 0)
    assert keeping.take("a", 0)
    assert keeping.take("b", 0)
    assert not keeping.take("b", 0)
    assert not keeping.take("c", 0)
    keeping.give_back("a", 1)
    # The one that is there is used again, and is still counted.
    assert keeping.take("a", 2)
    assert not keeping.take("c", 2)
    keeping.give_back("a", 3)
    keeping.give_back("a", 4)
    assert not keeping.take("c", 33)
    assert keeping.take("c", 34)
    assert keeping.take("c", 34)
    assert not keeping.take("a", 34)
