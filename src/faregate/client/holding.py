"""Work under a hold, as a `with` block: asked for on the way in, settled on the way out.

    with client.hold(customer, event_type="llm", data={"tokens": 500}) as hold:
        answer = model(prompt)
        hold.use(tokens=answer.tokens)

However the block ends, what was used by then is captured, because it has happened: also when an
exception ends it. A block in which nothing was used voids its hold. An exception passes on as it
is; if the capture fails as well, the log and a note on the exception say so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any

from faregate.client.answers import Hold, HoldCaptured, HoldUpdated
from faregate.client.errors import FaregateClientError
from faregate.client.requests import Request, extend, void
from faregate.client.transport import Transport
from faregate.client.using import Use
from faregate.core.events import Cost

log = logging.getLogger("faregate.client")


class HoldInUse:
    """What a `hold` block is given; the same for both clients but for what must wait."""

    def __init__(self, use: Use) -> None:
        self._use = use
        self._is_entered = False

    @property
    def id(self) -> str:
        """The hold's id, e.g. as the `parent_id` of the holds of a run."""
        return self._use.hold.id

    @property
    def hold(self) -> Hold:
        """The hold, as of its last answer."""
        return self._use.hold

    @property
    def captured(self) -> HoldCaptured | None:
        """What the capture charged, after the block; None if nothing was captured."""
        return self._use.captured

    def use(self, data: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Say that this was used: numbers are added up, other values replace what was there.

        What the hold's own `data` says in words (a model's name) is in the event already.
        """
        self._use.add({**(data or {}), **more})

    def use_amount(self, amount: Decimal | int) -> None:
        """Say that this amount of whole assets was used, instead of an event's data."""
        self._use.add_amount(amount)

    def cost(self, cost: Cost) -> None:
        """Say what a vendor charges you for it; it goes into the event."""
        self._use.add_cost(cost)

    def _begin(self) -> None:
        if self._is_entered:
            raise RuntimeError("a hold is used once: ask for another one")
        self._is_entered = True


class HeldWork(HoldInUse):
    """A `with` block under a hold."""

    def __init__(self, use: Use, transport: Transport) -> None:
        super().__init__(use)
        self._transport = transport

    def __enter__(self) -> HeldWork:
        self._begin()
        self._use.begin(self._transport.send(self._use.authorization))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.settle()
        except FaregateClientError as failure:
            tell_unsettled(failure, error)
            if error is None:
                raise

    def settle(self) -> None:
        """Charge what was used and end the hold. The block's end does it; if that failed, it may be
        done again: what was charged already is not charged twice."""
        self._send_unanswered()
        settlement = self._use.settlement()
        if settlement is not None:
            self._use.ended(self._transport.send(settlement))
            return
        try:
            self._use.ended(self._release())
        except FaregateClientError as failure:
            tell_unreleased(failure, self._use.hold)

    def update(
        self, data: Mapping[str, Any] | None = None, *, amount: Decimal | int | None = None
    ) -> HoldUpdated:
        """Settle what was used so far and set the next slice aside, in one step.

        Say what the slice is expected to be: `data` of the hold's event type, or an `amount`. If
        the answer is `final`, finish: nothing more will be granted.
        """
        self._send_unanswered()
        return self._send_update(self._use.next_slice(data, amount))

    def _release(self) -> HoldCaptured | Hold:
        use = self._use
        if use.has_slices:
            return self._transport.send(use.nothing_more())
        return self._transport.send(void(use.customer_id, use.hold.id))

    def _send_unanswered(self) -> None:
        """Learn what became of an update to which no answer came."""
        if self._use.unanswered is None:
            return
        try:
            self._send_update(self._use.unanswered)
        except FaregateClientError:
            if self._use.unanswered is not None:
                raise

    def _send_update(self, update: Request[HoldUpdated]) -> HoldUpdated:
        try:
            updated = self._transport.send(update)
        except FaregateClientError as failure:
            self._use.not_sliced(failure, update)
            raise
        self._use.sliced(updated)
        return updated

    def extend(self, expires_in_seconds: int) -> Hold:
        """Let the hold expire so many seconds from now, if that is later than it would."""
        use = self._use
        request = extend(use.customer_id, use.hold.id, expires_in_seconds)
        use.hold = self._transport.send(request)
        return use.hold


def tell_unsettled(failure: FaregateClientError, error: BaseException | None) -> None:
    """Say that what was used could not be captured; also on the exception that passes on."""
    log.error("what was used could not be captured: %s", failure)
    if error is not None:
        error.add_note(f"What was used until then could not be captured: {failure}")


def tell_unreleased(failure: FaregateClientError, hold: Hold) -> None:
    """Say that an unused hold could not be let go of: no harm, the clock does it."""
    log.warning("hold %s ends at %s by itself: %s", hold.id, hold.expires_at, failure)
