"""Operations on test clocks: a customer lives a year in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from faregate.core.codec import checked
from faregate.core.decision import CatchUp
from faregate.core.problems import FaregateError, conflict
from faregate.engine.base import EngineBase, Key, Page
from faregate.platform import clocks
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock, TestClock
from faregate.platform.environments import AccountContext

Progress = Callable[[int, int], None]
"""Called with how many customers have caught up, and how many there are."""


class ClockOperations(EngineBase):
    """Test clocks."""

    async def create_test_clock(
        self,
        request: CreateTestClock,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> TestClock:
        """Make a clock for customers of the test mode. Raises 409 in live mode, 422."""
        request = checked(request)
        context = context or self.context
        if context.environment != "test":
            detail = "test clocks are for the test mode: use a key that begins with fg_test_"
            raise FaregateError(conflict("X-CREDYT-API-KEY", detail))
        environment = context.environment_id
        async with self._catalog_change() as change:
            return await self._once(
                Key("test clocks", idempotency_key, environment),
                change,
                request,
                TestClock,
                lambda: clocks.create_clock(
                    change, environment, request, self._ticked(), self._clock()
                ),
            )

    async def get_test_clock(
        self, clock_id: str, *, context: AccountContext | None = None
    ) -> TestClock:
        """Return a clock. Raises 404."""
        return await clocks.find_clock(self._store, await self._look(context), clock_id)

    async def list_test_clocks(
        self, limit: int = 20, offset: int = 0, *, context: AccountContext | None = None
    ) -> Page:
        """List clocks, the newest first."""
        environment = await self._look(context)
        items, total = await clocks.list_clocks(self._store, environment, limit, offset)
        return Page(items, total, limit, offset)

    async def advance_test_clock(
        self,
        clock_id: str,
        request: AdvanceTestClock,
        *,
        progress: Progress = lambda _done, _total: None,
        context: AccountContext | None = None,
    ) -> TestClock:
        """Move a clock forward: everything that is due until then has happened, in its order, to
        every customer who lives by it, when this returns. A repeat is harmless.

        Raises 404, or 422 if that is no later time, or too far away.
        """
        request = checked(request)
        environment = self._environment(context)
        clock = await clocks.find_clock(self._store, environment, clock_id)
        async with self._catalog_change() as change:
            await clocks.move_clock(change, clock, request.to)
        done = 0
        progress(done, clock.customers)
        async for some in clocks.customers_on(self._store, clock_id):
            await asyncio.gather(
                *[
                    self._lanes[lane].submit(CatchUp(customer_id), environment)
                    for customer_id, lane in some
                ]
            )
            done += len(some)
            progress(done, max(done, clock.customers))
        return await clocks.find_clock(self._store, environment, clock_id)
