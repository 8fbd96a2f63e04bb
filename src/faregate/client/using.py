"""What work that runs under a hold has used so far, and the requests that settle it. No I/O: both
clients' `hold` blocks are made of this.

A settlement is one event, under an id that it keeps: if nobody knows whether it was booked, it is
sent again as it was. Its time is counted from the moment at which the server granted the hold, so
that a wrong clock here costs nobody anything.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from faregate.client import requests
from faregate.client.answers import Hold, HoldCaptured, HoldUpdated
from faregate.client.asked import AskedHold, UsedSoFar, Wanted
from faregate.client.errors import Declined, FaregateClientError
from faregate.client.fresh import new_event
from faregate.client.requests import Request
from faregate.client.tally import Tally, is_number
from faregate.core.events import Cost, UsageEvent


class Use:
    """A hold and what was used under it.

    With `max_amount`, `event_type` is that of the event that is captured. What `data` says in words
    is in the event from the start.
    """

    def __init__(self, customer_id: str, asked: AskedHold) -> None:
        self.customer_id = customer_id
        self.authorization = requests.authorize(customer_id, _at_the_gate(asked))
        self.captured: HoldCaptured | None = None
        self._hold: Hold | None = None
        self._granted_at = 0.0
        self._subject = asked.get("subject")
        self._event_type = asked.get("event_type")
        data = asked.get("data") or {}
        self._words = {name: value for name, value in data.items() if not is_number(value)}
        self._tally = Tally(self._words)
        self._events: list[UsageEvent] = []
        self._unanswered_amount: Decimal | None = None
        self._unanswered: Request[HoldUpdated] | None = None
        self._capture: Request[HoldCaptured] | None = None
        self.has_slices = False
        self._has_ended = False

    @property
    def hold(self) -> Hold:
        """The hold, as of its last answer. Raises `RuntimeError` before it was granted."""
        if self._hold is None:
            raise RuntimeError("there is no hold yet: use it inside its `with` block")
        return self._hold

    @hold.setter
    def hold(self, hold: Hold) -> None:
        self._hold = hold

    def begin(self, hold: Hold) -> None:
        """Begin to work under this hold. Raises `Declined`."""
        if hold.status == "declined":
            raise Declined(hold)
        self.hold = hold
        self._granted_at = time.monotonic()

    def add(self, data: Mapping[str, Any]) -> None:
        """Add what was used."""
        if self._event_type is None:
            raise ValueError("this hold has no event_type: name one when asking, or use an amount")
        self._open().add(data)

    def add_amount(self, amount: Decimal | int) -> None:
        """Add an amount of whole assets that was used."""
        if self._events:
            raise ValueError("data was used before: settle by amounts or by events, not both")
        self._open().add_amount(amount)

    def add_cost(self, cost: Cost) -> None:
        """Add what a vendor charges the operator for it."""
        self._open().costs.append(cost)

    def _open(self) -> Tally:
        hold = self.hold
        if self._capture is not None or self._has_ended:
            raise RuntimeError(f"hold {hold.id} was settled: ask for another one")
        return self._tally

    def settlement(self) -> Request[HoldCaptured] | None:
        """Return the request that charges what was used and ends the hold; None if nothing was.

        Once made, it stays the same.
        """
        if self._capture is None:
            amount = self._take()
            if amount is None and not self._events:
                return None
            events = self._events or None
            self._capture = requests.capture(self.customer_id, self.hold.id, amount, events)
        return self._capture

    def nothing_more(self) -> Request[HoldCaptured]:
        """Return the request that ends a hold whose slices are all settled."""
        return requests.capture(self.customer_id, self.hold.id, 0, None)

    def ended(self, ending: HoldCaptured | Hold) -> None:
        """Keep how the hold ended."""
        self._has_ended = True
        if isinstance(ending, HoldCaptured):
            self.captured, self.hold = ending, ending.hold
        else:
            self.hold = ending

    @property
    def unanswered(self) -> Request[HoldUpdated] | None:
        """An update of which nobody knows whether it charged an amount: send it before all else.

        (Events need no such care: they are sent again under their ids.)
        """
        return self._unanswered

    def next_slice(
        self, data: Mapping[str, Any] | None, amount: Decimal | int | None
    ) -> Request[HoldUpdated]:
        """Return the request that settles what was used so far and asks for the next slice."""
        want: Wanted = {}
        if data is not None:
            want["data"] = data
        if amount is not None:
            want["amount"] = amount
        hold_id = self.hold.id
        # What is wrong with the wish is found before what was used is put into a request.
        requests.update_hold(self.customer_id, hold_id, want)
        taken = self._take()
        used: UsedSoFar = {"events": self._events} if self._events else {}
        if taken is not None:
            used["amount"] = taken
        update = requests.update_hold(self.customer_id, hold_id, want, used)
        self._unanswered = None if taken is None else update
        self._unanswered_amount = taken
        return update

    def sliced(self, updated: HoldUpdated) -> None:
        """Begin the next slice: what the update had in it is settled."""
        self.hold = updated.hold
        self.has_slices = True
        self._events = []
        self._unanswered = None

    def not_sliced(self, failure: FaregateClientError, update: Request[HoldUpdated]) -> None:
        """Keep an update's amount for the next settlement if it surely was not charged."""
        status = failure.problem.status
        if update is self._unanswered and 400 <= status < 500 and status != 429:
            self._unanswered = None
            self._tally.add_amount(self._unanswered_amount or 0)

    def _take(self) -> Decimal | None:
        """Take what was added up: an amount, or an event that is kept until it is settled."""
        tally, self._tally = self._tally, Tally(self._words)
        if tally.amount is not None:
            return tally.amount
        if tally.is_used and self._event_type is not None:
            seconds = time.monotonic() - self._granted_at
            event = new_event(
                self._event_type,
                tally.data,
                occurred_at=self.hold.created_at + timedelta(seconds=seconds),
                subject=self._subject,
                costs=tally.costs or None,
            )
            self._events.append(event)
        return None


def _at_the_gate(asked: AskedHold) -> AskedHold:
    """Return what the gate is asked: it prices an event or is told an amount, not both."""
    if asked.get("max_amount") is None:
        return asked
    told = asked.copy()
    told.pop("event_type", None)
    told.pop("data", None)
    return told
