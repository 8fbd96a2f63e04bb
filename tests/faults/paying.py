"""A top-up that is paid and partly given back, and another one that is disputed and won: a story in
which a process can be killed after each commit. What is durable changes at commits alone, so these
are all the points that there are; `POINTS` names them in their order, and the test holds it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from tests.ledger.shop import Clock

from faregate import Engine
from faregate.core.amounts import Number
from faregate.payments.types import CreateRefund, InitiateTopUp

POINTS = [
    "the top-up is written",
    "the provider has a page for it",
    "we know the page",
    "the customer has paid",
    "the credit is booked",
    "the card is kept",
    "we know that it has succeeded",
    "the provider was asked before a refund",
    "the refund is written",
    "the credit of the refund is taken",
    "the provider has given the money back",
    "we know that it has",
    "it is told that the refund has arrived",
    "nothing more is expected of the first",
    "the second top-up is written",
    "the provider has a page for that",
    "we know that page",
    "it is paid, and disputed at once",
    "its credit is booked",
    "its card is kept",
    "the dispute is written",
    "the credit of the dispute is taken",
    "we know that it has succeeded, and is disputed",
    "the dispute is won",
    "we know that it is won",
    "the credit is given again",
    "nothing more is expected of the second",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.preloaded"])
Make = Callable[[Engine], Awaitable[str]]
Story = Callable[[Engine, str], Awaitable[None]]
End = Callable[[Engine, Clock, str], Awaitable[None]]
GOOD, DISPUTED = "4242424242424242", "4000000000000259"
URL = "https://shop.example/"


async def live(engine: Engine, customer_id: str) -> None:
    """Let it all happen, or what of it did not happen yet."""
    first = await _pay(engine, customer_id, 20, "first", GOOD)
    refund = CreateRefund(Number("5"))
    await engine.refund_top_up(first, refund, idempotency_key="refund")
    await engine.settle_payment(first)
    second = await _pay(engine, customer_id, 30, "second", DISPUTED)
    await engine.sandbox.settle_dispute(second, "won")
    await engine.settle_payment(second)


async def _pay(engine: Engine, customer_id: str, usd: int, key: str, card: str) -> str:
    request = InitiateTopUp(customer_id, Number(usd), "USD", URL, URL)
    begun = await engine.initiate_top_up(request, idempotency_key=key)
    await engine.sandbox.pay(begun.id, card)
    await engine.settle_payment(begun.id)
    return begun.id


def watched(engine: Engine, after: Callable[[], None]) -> None:
    """Call `after` whenever this engine's database has made something durable."""
    store: Any = engine._store
    transaction, commit = store.transaction, store.commit

    @asynccontextmanager
    async def watched_transaction() -> AsyncIterator[Any]:
        wrote = _Wrote()
        async with transaction() as queries:
            wrote.queries = queries
            yield wrote
        if wrote.something:
            after()

    async def watched_commit(what: Any) -> None:
        await commit(what)
        if any(what.rows.values()):
            after()

    store.transaction, store.commit = watched_transaction, watched_commit


class _Wrote:
    """Passes on what is asked of a transaction, and remembers whether it wrote."""

    queries: Any = None
    something = False

    async def fetch(self, sql: str, *values: Any) -> Any:
        is_read = sql.lstrip().startswith("SELECT")
        self.something = self.something or (not is_read and "payment" in sql)
        return await self.queries.fetch(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queries, name)


def kill_and_come_back(
    url: str, make_customer: Make, after_commit: int, story: Story, end: End
) -> None:
    """Run a customer's story in a process of its own, kill that after so many commits, and see how
    it ends once somebody has opened the database again."""

    async def begin() -> str:
        async with Engine.open(url, clock=Clock()) as engine:
            return await make_customer(engine)

    async def come_back() -> None:
        clock = Clock()
        async with Engine.open(url, clock=clock) as engine:
            await end(engine, clock, customer_id)

    customer_id = asyncio.run(begin())
    _kill(url, customer_id, after_commit, story)
    asyncio.run(come_back())


def _kill(url: str, customer_id: str, after_commit: int, story: Story) -> None:
    process = _context.Process(
        target=_live_and_be_killed, args=(url, customer_id, Clock().now, after_commit, story)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def _live_and_be_killed(
    url: str, customer_id: str, now: datetime, after_commit: int, story: Story
) -> None:
    """Run a story in this process, and kill it after so many commits."""
    commits = 0

    def after() -> None:
        nonlocal commits
        commits += 1
        if commits == after_commit:
            os.kill(os.getpid(), signal.SIGKILL)

    async def run() -> None:
        async with Engine.open(url, clock=Clock(now)) as engine:
            watched(engine, after)
            await story(engine, customer_id)

    asyncio.run(run())
