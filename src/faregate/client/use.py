"""What work that runs under a hold has used so far, and the steps that settle it. No I/O: both
clients' `hold` blocks take these steps.

A settlement is one event, under an id that it keeps: if nobody knows whether it was booked, it is
sent again as it was, before all else. Its time is counted from the moment at which the server
granted the hold, so that a wrong clock here costs nobody anything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from faregate.client import calls
from faregate.client.asked import AskedHold, UsedSoFar, Wanted
from faregate.client.calls import Request
from faregate.client.errors import Declined, FaregateClientError
from faregate.client.fresh import new_event
from faregate.client.tally import Tally, exact_sum, is_number
from faregate.client.transport import Steps, ask
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.customers.types import Hold
from faregate.customers.wire import HoldCaptured, HoldUpdated

log = logging.getLogger("faregate.client")

REFUSED: Final = frozenset((400, 402, 404, 409, 413, 422))
"""Statuses that say: this request was never applied, in no try before either. (A key that is
refused now was perhaps good for a try whose answer was lost.)"""


class Use:
    """A hold and what was used under it. Several threads may add to it.

    With `max_amount`, `event_type` is that of the event that is captured. What `data` says in words
    is in the event from the start.
    """

    def __init__(self, customer_id: str, asked: AskedHold) -> None:
        self.customer_id = customer_id
        self.data = asked.get("data") or {}
        self.is_priced = asked.get("max_amount") is None
        self.is_upper_bound = asked.get("estimate") == "upper_bound"
        self.captured: HoldCaptured | None = None
        self.final: HoldUpdated | None = None
        self._authorization = calls.authorize(customer_id, **_at_the_gate(asked))
        self._hold: Hold | None = None
        self._granted_at = 0.0
        self._subject = asked.get("subject")
        self._event_type = asked.get("event_type")
        self._words = {name: value for name, value in self.data.items() if not is_number(value)}
        self._adding = threading.Lock()
        self._tally = Tally(self._words)
        self._events: list[UsageEvent] = []
        self._amount: Decimal | None = None
        self._unanswered: Request[HoldUpdated] | None = None
        self._capture: Request[HoldCaptured] | None = None
        self._has_slices = False
        self._is_closed = False
        self._has_ended = False

    @property
    def is_granted(self) -> bool:
        """Whether there is a hold to settle."""
        return self._hold is not None

    @property
    def hold(self) -> Hold:
        """The hold, as of its last answer. Raises `RuntimeError` before it was granted."""
        if self._hold is None:
            raise RuntimeError("there is no hold yet: use it inside its `with` block")
        return self._hold

    def add(self, data: Mapping[str, Any]) -> None:
        """Add what was used. Raises `ValueError` and adds nothing if it cannot be added up."""
        with self._adding:
            self._refuse_if_closed()
            self._refuse_without_event()
            self._tally.add(data)

    def add_cost(self, cost: Cost) -> None:
        """Add what a vendor charges the operator for it."""
        with self._adding:
            self._refuse_if_closed()
            self._refuse_without_event()
            self._tally.add_cost(cost)

    def add_amount(self, amount: Decimal | int) -> None:
        """Add an amount of whole assets that was used."""
        with self._adding:
            self._refuse_if_closed()
            if self._events:
                raise ValueError("data was used before: settle by amounts or by events, not both")
            self._tally.add_amount(amount)

    def _refuse_without_event(self) -> None:
        if self._event_type is None:
            raise ValueError("this hold has no event_type: name one when asking, or use an amount")
        if self._amount is not None:
            raise ValueError("an amount was used before: settle by amounts or by events, not both")

    def _refuse_if_closed(self) -> None:
        hold = self.hold
        if self._is_closed:
            raise RuntimeError(f"hold {hold.id} was settled: ask for another one")

    def begin(self) -> Steps[None]:
        """Ask for the hold. Raises `Declined`."""
        hold = yield from ask(self._authorization)
        if hold.status == "declined":
            raise Declined(hold)
        self._hold = hold
        self._granted_at = time.monotonic()

    def update(
        self, data: Mapping[str, Any] | None, amount: Decimal | int | None
    ) -> Steps[HoldUpdated]:
        """Settle what was used so far and ask for the next slice."""
        want: Wanted = {}
        if data is not None:
            want["data"] = data
        if amount is not None:
            want["amount"] = amount
        hold_id = self.hold.id
        # What is wrong with the wish is found before what was used is put into a request.
        calls.update_hold(self.customer_id, hold_id, want=want)
        yield from self._ask_after_update()
        used = self._take()
        update = calls.update_hold(self.customer_id, hold_id, want=want, used=used)
        return (yield from self._send(update))

    def extend(self, expires_in_seconds: int) -> Steps[Hold]:
        """Let the hold expire later."""
        request = calls.extend(self.customer_id, self.hold.id, expires_in_seconds)
        self._hold = yield from ask(request)
        return self._hold

    def settle(self) -> Steps[None]:
        """Charge what was used and end the hold. The capture, once made, stays the same."""
        self._is_closed = True
        if self._has_ended:
            return
        yield from self._ask_after_update()
        if self._capture is None:
            used = self._take()
            if not used and not self._has_slices:
                yield from self._let_go()
                return
            # A hold that is paid in slices ends with a capture, be it of nothing.
            used = used or {"amount": 0}
            self._capture = calls.capture(self.customer_id, self.hold.id, **used)
        self.captured = yield from ask(self._capture)
        self._hold = self.captured.hold
        self._has_ended = True

    def _let_go(self) -> Steps[None]:
        try:
            self._hold = yield from ask(calls.void(self.customer_id, self.hold.id))
            self._has_ended = True
        except FaregateClientError as failure:
            # No harm: the clock does it.
            hold = self.hold
            log.warning("hold %s ends at %s by itself: %s", hold.id, hold.expires_at, failure)

    def _ask_after_update(self) -> Steps[None]:
        """Learn what became of an update to which no answer came."""
        if self._unanswered is None:
            return
        try:
            yield from self._send(self._unanswered)
        except FaregateClientError:
            if self._unanswered is not None:
                raise

    def _send(self, update: Request[HoldUpdated]) -> Steps[HoldUpdated]:
        """Send an update. Where it is refused, what was used waits for the next settlement."""
        self._unanswered = update
        try:
            updated = yield from ask(update)
        except FaregateClientError as failure:
            if failure.problem.status in REFUSED:
                self._unanswered = None
            raise
        self._hold = updated.hold
        self._has_slices = True
        self._events, self._amount, self._unanswered = [], None, None
        if updated.final:
            self.final = updated
        return updated

    def _take(self) -> UsedSoFar:
        """Take what was added up: an amount, or an event. It is kept until it is settled."""
        with self._adding:
            tally, self._tally = self._tally, Tally(self._words)
            if tally.amount is not None:
                self._amount = exact_sum(self._amount or Decimal(0), tally.amount)
            elif tally.is_used and self._event_type is not None:
                self._events.append(self._event(self._event_type, tally))
        if self._amount is not None:
            return {"amount": self._amount}
        return {"events": list(self._events)} if self._events else {}

    def _event(self, event_type: str, tally: Tally) -> UsageEvent:
        seconds = time.monotonic() - self._granted_at
        return new_event(
            event_type,
            tally.data,
            occurred_at=self.hold.created_at + timedelta(seconds=seconds),
            subject=self._subject,
            costs=tally.costs or None,
        )


def _at_the_gate(asked: AskedHold) -> AskedHold:
    """Return what the gate is asked: it prices an event or is told an amount, not both."""
    if asked.get("max_amount") is None:
        return asked
    told = asked.copy()
    told.pop("event_type", None)
    told.pop("data", None)
    told.pop("estimate", None)
    return told
