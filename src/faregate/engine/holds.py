"""Operations of the gate: holds, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from msgspec import structs

from faregate.core.accounts import Account, open_account
from faregate.core.codec import checked
from faregate.core.gate import (
    Authorize,
    Authorized,
    Capture,
    ExtendHold,
    GateCommand,
    HoldCaptured,
    HoldUpdated,
    HoldView,
    UpdateHold,
    VoidHold,
    view,
)
from faregate.core.hold_requests import (
    MAX_HOLDS,
    CaptureRequest,
    ExtendRequest,
    HoldRequest,
    UpdateRequest,
)
from faregate.core.holds import HoldStatus
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, invalid
from faregate.engine.base import EngineBase, Page
from faregate.ledger import reading
from faregate.platform.environments import AccountContext


class HoldOperations(EngineBase):
    """Ask before the work, settle after it. Requests are checked unless `is_checked` says that
    they were decoded from JSON. All raise 404 for a customer or hold that is not there."""

    async def authorize(
        self,
        customer_id: str,
        request: HoldRequest,
        *,
        is_checked: bool = False,
        weight: int = 0,
        context: AccountContext | None = None,
    ) -> HoldView:
        """Ask for a hold. A decline is an answer: look at its `status`."""
        request = request if is_checked else checked(request)
        weight = max(weight, 1)
        seconds = request.wait_for_top_up_seconds
        if seconds:
            # How long somebody is ready to wait is no part of what is asked for.
            request = structs.replace(request, wait_for_top_up_seconds=0)
            command = Authorize(customer_id, (request,), may_wait=True)
            hold = await self._wait_for_top_up(command, seconds, weight, context)
            if hold is not None:
                return hold
        command = Authorize(customer_id, (request,))
        answer = cast(Authorized, await self._at_the_gate(command, weight, context))
        return answer.holds[0]

    async def _wait_for_top_up(
        self, command: Authorize, seconds: int, weight: int, context: AccountContext | None
    ) -> HoldView | None:
        """Ask for a hold, again and again as credit comes; None if it is to be decided for good."""
        with self._awaited.waiting(command.customer_id) as something_came:
            if something_came is None:
                return None
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        something_came.clear()
                        # What the lane was asked is answered, whatever the time.
                        asked = self._at_the_gate(command, weight, context)
                        answer = await asyncio.shield(asyncio.ensure_future(asked))
                        if isinstance(answer, Authorized):
                            return answer.holds[0]
                        await something_came.wait()
            except TimeoutError:
                return None

    async def authorize_batch(
        self,
        customer_id: str,
        requests: Sequence[HoldRequest],
        *,
        is_checked: bool = False,
        weight: int = 0,
        context: AccountContext | None = None,
    ) -> tuple[HoldView, ...]:
        """Ask for up to 100 holds of one customer, in order, each for itself. If one of them is
        wrong, none is made."""
        if not 1 <= len(requests) <= MAX_HOLDS:
            raise FaregateError(invalid("holds", f"has {len(requests)}: send 1 to {MAX_HOLDS}"))
        for index, request in enumerate(requests):
            if request.wait_for_top_up_seconds:
                detail = "has no meaning among others: ask for the hold by itself"
                field = f"holds[{index}].wait_for_top_up_seconds"
                raise FaregateError(invalid(field, detail))
        if not is_checked:
            requests = [checked(request) for request in requests]
        command = Authorize(customer_id, tuple(requests), is_batch=True)
        weight = max(weight, len(requests))
        return cast(Authorized, await self._at_the_gate(command, weight, context)).holds

    async def _at_the_gate(
        self, command: GateCommand, weight: int, context: AccountContext | None
    ) -> object:
        environment = self._environment(context)
        lane = await self._lane_of(environment, command.customer_id)
        return await lane.submit(command, environment, weight)

    async def capture(
        self,
        customer_id: str,
        hold_id: str,
        request: CaptureRequest,
        *,
        is_checked: bool = False,
        weight: int = 0,
        context: AccountContext | None = None,
    ) -> HoldCaptured:
        """Charge what was really used, out of the hold first."""
        request = request if is_checked else checked(request)
        command = Capture(customer_id, hold_id, request, self._clock())
        weight = max(weight, len(request.events or ()), 1)
        return cast(HoldCaptured, await self._at_the_gate(command, weight, context))

    async def update_hold(
        self,
        customer_id: str,
        hold_id: str,
        request: UpdateRequest,
        *,
        is_checked: bool = False,
        weight: int = 0,
        context: AccountContext | None = None,
    ) -> HoldUpdated:
        """Settle a slice of a use that goes on, and set the next one aside."""
        request = request if is_checked else checked(request)
        command = UpdateHold(customer_id, hold_id, request, self._clock())
        weight = max(weight, len(request.used.events or ()), 1)
        return cast(HoldUpdated, await self._at_the_gate(command, weight, context))

    async def extend_hold(
        self,
        customer_id: str,
        hold_id: str,
        expires_in_seconds: int,
        *,
        context: AccountContext | None = None,
    ) -> HoldView:
        """Let a hold expire so many seconds from now, if that is later."""
        request = checked(ExtendRequest(expires_in_seconds))
        command = ExtendHold(customer_id, hold_id, request)
        return cast(HoldView, await self._at_the_gate(command, 1, context))

    async def void_hold(
        self, customer_id: str, hold_id: str, *, context: AccountContext | None = None
    ) -> HoldView:
        """Let go of a hold; a repeat is harmless."""
        command = VoidHold(customer_id, hold_id)
        return cast(HoldView, await self._at_the_gate(command, 1, context))

    async def get_hold(
        self, customer_id: str, hold_id: str, *, context: AccountContext | None = None
    ) -> HoldView:
        """Return a hold as it is now."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        state, found = await reading.read_hold(self._store, lane.number, customer_id, hold_id)
        present = reading.as_of(state, self._catalog.view(environment), lane.now())
        hold = present.holds.get(hold_id, found)
        if hold is None:
            raise FaregateError(Problem(NOT_FOUND, f"the customer has no hold {hold_id[:100]!r}"))
        return view(hold, present.accounts.get(hold.account_id) or open_account(hold.account_id))

    async def list_holds(
        self,
        customer_id: str,
        limit: int = 20,
        offset: int = 0,
        status: HoldStatus | None = None,
        subject: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List a customer's holds, the newest first, each as it is now."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        present = await self._present(environment, lane, customer_id)
        found, total = await reading.list_holds(
            self._store, lane.number, customer_id, present.now, status, subject, limit, offset
        )

        def account(identifier: str) -> Account:
            return present.accounts.get(identifier) or open_account(identifier)

        current = [present.holds.get(hold.id, hold) for hold in found]
        return Page([view(h, account(h.account_id)) for h in current], total, limit, offset)
