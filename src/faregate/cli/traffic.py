"""What goes on in the demo once its month is over: a few uses a second, some of them asked for
first, now and then a top-up, and declines, so that what is looked at lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog

from faregate.cli.crowd import Buyer
from faregate.cli.demo_size import RATE
from faregate.cli.month import Month, tops_up
from faregate.cli.purse import DECLINED, VISA, usual_amount
from faregate.cli.shop import AGENTS
from faregate.core.amounts import Number
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.outcomes import OutcomeRequest
from faregate.core.problems import FaregateError

_MOST_AT_ONCE: Final = 200
_RUN_SECONDS: Final = (0.5, 6.0)
_CASE_SECONDS: Final = (8.0, 60.0)
_LONG_RATHER: Final = 0.8
"""Of customers who ask first, so many get what they ask for."""

log = structlog.get_logger(__name__)


class Traffic:
    """Keeps the demo going, until it is cancelled."""

    def __init__(self, month: Month, rate: float = RATE) -> None:
        self._month = month
        self._engine = month.engine
        self._luck = month.uses.luck
        self._rate = rate
        self.is_resting = False
        """Whether nothing new is begun."""
        self._under_way: set[asyncio.Task[None]] = set()
        self._runs = 0

    async def run(self) -> None:
        """Go on for ever; what is under way is given up when this is cancelled."""
        try:
            while True:
                await asyncio.sleep(self._luck.expovariate(self._rate) if self._rate else 60)
                if self._rate and not self.is_resting and len(self._under_way) < _MOST_AT_ONCE:
                    task = asyncio.create_task(self._safely(self._next()))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
        finally:
            for task in tuple(self._under_way):
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _safely(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except FaregateError as error:
            log.warning("the demo's traffic was refused", reason=str(error))

    def _next(self) -> Awaitable[None]:
        """Choose what happens next."""
        happenings: tuple[tuple[int, Callable[[], Awaitable[None]]], ...] = (
            (700, self._use),
            (230, self._ask_first),
            (45, self._be_declined),
            (20, self._top_up),
            (5, self._fail_to_top_up),
        )
        weights, ways = zip(*happenings, strict=True)
        chosen: Callable[[], Awaitable[None]] = self._luck.choices(ways, weights)[0]
        return chosen()

    def _anybody(self, *, asks: bool = False) -> Buyer:
        buyers = [b for b in self._month.buyers if b.uses and (not asks or b.product == AGENTS)]
        return self._luck.choices(buyers, [buyer.weight for buyer in buyers])[0]

    async def _use(self) -> None:
        buyer = self._anybody()
        event = self._month.uses.event(buyer, self._engine.now())
        booked = await self._engine.record_events(buyer.id, [event], are_checked=True)
        self._month.purse.saw(buyer, dict(booked.results[-1].balances))
        if event.outcome is not None:
            await self._settle(buyer, event)
        elif tops_up(buyer):
            await self._month.purse.refill(buyer)

    async def _settle(self, buyer: Buyer, event: UsageEvent) -> None:
        """Say a little later whether a case was resolved."""
        await asyncio.sleep(self._luck.uniform(*_CASE_SECONDS))
        resolved = self._luck.random() < _LONG_RATHER
        outcome = OutcomeRequest(f"{event.id}-said", "confirmed" if resolved else "withdrawn")
        await self._engine.settle_outcome(event.id, outcome, buyer.id)

    async def _ask_first(self) -> None:
        """Ask before a run, run for some seconds, and settle what it took."""
        buyer = self._anybody(asks=True)
        event = self._month.uses.event(buyer, self._engine.now() - timedelta(seconds=1))
        self._runs += 1
        name = f"now-{event.id}"
        asked = HoldRequest(name, "agent_run", event.data, subject=event.subject)
        hold = await self._engine.authorize(buyer.id, asked)
        if hold.status != "authorized":
            return
        await asyncio.sleep(self._luck.uniform(*_RUN_SECONDS))
        settled = CaptureRequest(name, events=[event])
        await self._engine.capture(buyer.id, hold.id, settled)

    async def _be_declined(self) -> None:
        role = self._luck.choice(("blocked", "limit_reached", "in_the_red"))
        buyer = self._month.buyer(role)  # type: ignore[arg-type]
        self._runs += 1
        name = f"declined-{self._runs}-{self._luck.getrandbits(40):x}"
        asked = HoldRequest(
            name, max_amount=Number(2), asset="USD", subject=self._luck.choice(buyer.subjects)
        )
        await self._engine.authorize(buyer.id, asked)

    async def _top_up(self) -> None:
        await self._pay(VISA)

    async def _fail_to_top_up(self) -> None:
        await self._pay(DECLINED)

    async def _pay(self, card: str) -> None:
        buyer = self._anybody(asks=True)
        if tops_up(buyer):
            await self._month.purse.top_up(buyer, min(50, usual_amount(buyer)), card)
