"""Work that is due, done: renewals, credit and holds that expire, and what else time brings,
without anybody calling."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from faregate.core.decision import CatchUp
from faregate.core.problems import INTERNAL, FaregateError
from faregate.engine.base import Page
from faregate.engine.collecting import CollectingOperations
from faregate.engine.jobs import JobOperations
from faregate.engine.summarising import SummarisingOperations
from faregate.ledger import collections, due
from faregate.ledger.due import DueWork
from faregate.ledger.lane import Lane
from faregate.payments import records
from faregate.platform.environments import AccountContext
from faregate.store.protocol import StoreUnavailable

AT_ONCE: Final = 500
"""Customers whose work is claimed together."""
RENEW_SECONDS: Final = due.CLAIM_SECONDS / 3
POLL_SECONDS: Final = 1.0
"""How often it is looked whether something is due."""
PRUNE_SECONDS: Final = 600.0

log = structlog.get_logger(__name__)


class WorkOperations(CollectingOperations, JobOperations, SummarisingOperations):
    """Work that is due."""

    async def work(self, progress: Callable[[int], None] = lambda _done: None) -> int:
        """Do everything that is due now, in the lanes that this process serves; returns for how
        many customers. What fails is put off, and set aside if it fails too often."""
        done = 0
        for lane in self._lanes:
            while lane.has_lease:
                claimed = await due.claim(self._store, lane.number, lane.now(), AT_ONCE)
                if not claimed:
                    break
                done += await self._work_on(lane, claimed)
                progress(done)
            done += await self._end_holds(lane)
        return done

    async def _end_holds(self, lane: Lane) -> int:
        """Let holds expire that nobody has settled in time; returns for how many customers.

        Each is looked at once: those of customers on a test clock have another time.
        """
        done = 0
        while lane.has_lease:
            after = self._holds_ended_to.get(lane.number, due.BEFORE_ALL)
            found = await due.expired_holds(self._store, lane.number, lane.now(), after, AT_ONCE)
            if not found:
                break
            whose = {hold.customer_id: hold.environment_id for hold in found}
            results = await asyncio.gather(
                *[lane.submit(CatchUp(name), environment) for name, environment in whose.items()],
                return_exceptions=True,
            )
            for name, result in zip(whose, results, strict=True):
                if not isinstance(result, BaseException):
                    continue
                if not (isinstance(result, FaregateError) and result.problem.kind is INTERNAL):
                    raise result
                # Must not keep the others waiting.
                log.error("a hold could not expire", customer=name, problem=str(result))
            self._holds_ended_to[lane.number] = found[-1][:2]
            done += len(whose)
        return done

    async def _work_on(self, lane: Lane, claimed: list[DueWork]) -> int:
        tasks = {asyncio.ensure_future(self._do(lane, one)) for one in claimed}
        waiting = tasks
        while waiting:
            _, waiting = await asyncio.wait(waiting, timeout=RENEW_SECONDS)
            if waiting:
                async with self._store.transaction() as transaction:
                    await due.renew(transaction, claimed, lane.now())
        return sum([task.result() for task in tasks])

    async def _do(self, lane: Lane, one: DueWork) -> bool:
        try:
            await lane.submit(CatchUp(one.customer_id, is_due=True), one.environment_id)
        except FaregateError as error:
            is_fault = error.problem.kind is INTERNAL
            async with self._store.transaction() as transaction:
                if is_fault:
                    await due.put_off(transaction, one, lane.now(), str(error))
                else:
                    await due.let_go(transaction, one)
            if is_fault:
                log.error("due work failed", customer=one.customer_id, attempts=one.attempts)
            return False
        return True

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Do what is due, and long work, and send webhooks, until the block ends."""
        # A payment provider that hangs keeps no renewal waiting.
        tasks = [
            asyncio.create_task(self._keep_doing(self.work), name="worker"),
            asyncio.create_task(self._keep_doing(self.take_up_collections), name="collections"),
            asyncio.create_task(self._keep_doing(self.reconcile_payments), name="payments"),
            asyncio.create_task(self._keep_doing(self.sum_up_beside), name="summaries"),
            asyncio.create_task(self._sender.run(), name="webhooks"),
            asyncio.create_task(self._keep_doing(self.run_jobs), name="jobs"),
            asyncio.create_task(self._keep_doing(self.prune_jobs, PRUNE_SECONDS), name="files"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _keep_doing(
        self, what_is_due: Callable[[], Awaitable[int]], seconds: float = POLL_SECONDS
    ) -> None:
        while True:
            try:
                await what_is_due()
            except (FaregateError, StoreUnavailable) as error:
                log.warning("the worker waits", reason=str(error))
            except Exception:
                log.error("the worker failed", trace=traceback.format_exc())
            await asyncio.sleep(seconds)

    async def list_due_work(
        self,
        limit: int = 20,
        offset: int = 0,
        *,
        is_set_aside: bool = False,
        context: AccountContext | None = None,
    ) -> Page:
        """List what is due now and not done yet, or what is set aside, the oldest first."""
        environment = await self._look(context)
        items, total = await due.list_due(
            self._store, environment, self._clock(), limit, offset, is_set_aside=is_set_aside
        )
        return Page(items, total, limit, offset)

    async def has_due_work(self) -> bool:
        """Tell whether something is due now and not done yet, in any account."""
        now = self._clock()
        if await records.is_payment_due(self._store, now):
            return True
        for lane in self._lanes:
            if await collections.is_any_asked(self._store, lane.number):
                return True
        return any([await due.is_any_due(self._store, lane.number, now) for lane in self._lanes])

    async def retry_due_work(self) -> int:
        """Let everything that is set aside be tried again; returns how much that is."""
        async with self._store.transaction() as transaction:
            return await due.try_again(transaction)
