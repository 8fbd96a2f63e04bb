"""A payment provider outside, by the protocol of `faregate.payments.provider`: it keeps its own
books, survives us, does what carries a known id once, and fails as it is told to.

    provider.fails("refund", DOWN, DONE_AND_DOWN)   # the next two calls

`DOWN`: nothing happened, and nothing is answered. `DONE_AND_DOWN`: it happened, and the answer is
lost. `REFUSED`: a definite no.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar

from msgspec import structs

from faregate.payments.provider import (
    BadMessage,
    Begun,
    CheckoutAsked,
    Merchant,
    Message,
    PaymentState,
    ProviderDown,
    ProviderRefused,
    RefundAsked,
    Returned,
    SavedCharge,
    SetupAsked,
    Sought,
)

T = TypeVar("T")
DOWN, DONE_AND_DOWN, REFUSED = "down", "done and down", "refused"
TOLERANCE_SECONDS = 300
OURS = "shared with us"
SIGNATURE = "outside-signature"


class OutsideProvider:
    """Collects money for every account. `payments` is where each stands, by our id."""

    name = "outside"

    def __init__(self, clock: Callable[[], datetime], secret: str = OURS) -> None:
        self.clock = clock
        self.secret = secret
        self.payments: dict[str, PaymentState] = {}
        self.asked: dict[str, int] = {}
        self.calls: list[str] = []
        self.is_down = False
        self.refunds_take_time = False
        self._faults: defaultdict[str, list[str]] = defaultdict(list)

    def fails(self, call: str, *faults: str) -> None:
        """Say what goes wrong with the next calls of this name."""
        self._faults[call] += faults

    def serves(self, merchant: Merchant) -> bool:
        """Collect for whoever asks."""
        return True

    async def begin_checkout(self, asked: CheckoutAsked) -> Begun:
        """Make a page."""
        return self._answer("begin_checkout", lambda: self._begin(asked))

    def _begin(self, asked: CheckoutAsked) -> Begun:
        first = PaymentState("open", f"out_{asked.payment_id}", 0, asked.money.currency)
        self.payments.setdefault(asked.payment_id, first)
        self.asked[asked.payment_id] = asked.money.minor
        reference = f"out_{asked.payment_id}"
        return Begun(reference, f"https://pay.example/{reference}", asked.expires_at)

    async def begin_setup(self, asked: SetupAsked) -> Begun:
        """Make a page on which nothing is paid."""
        raise ProviderRefused("misconfigured", "no cards are kept here")

    async def charge(self, asked: SavedCharge) -> PaymentState:
        """Charge a card that was saved: it always has the money."""

        def charge() -> PaymentState:
            state = PaymentState(
                "succeeded", f"out_{asked.payment_id}", asked.money.minor, asked.money.currency
            )
            return self.payments.setdefault(asked.payment_id, state)

        return self._answer("charge", charge)

    async def refund(self, asked: RefundAsked) -> Returned:
        """Give money back, once per id."""

        def refund() -> Returned:
            state = self.payments[asked.payment_id]
            found = next((r for r in state.returns if r.refund_id == asked.refund_id), None)
            if found is not None:
                return found
            if asked.money.minor > self.left(asked.payment_id):
                raise ProviderRefused("not_refundable", "there is not so much left")
            status: Literal["pending", "succeeded"] = (
                "pending" if self.refunds_take_time else "succeeded"
            )
            reference = f"re_{asked.refund_id}"
            new = Returned(reference, "refund", asked.money.minor, status, asked.refund_id)
            self._add(asked.payment_id, new)
            return new

        return self._answer("refund", refund)

    async def look_up(self, sought: Sought) -> PaymentState | None:
        """Say where a payment stands."""
        return self._answer("look_up", lambda: self.payments.get(sought.payment_id))

    def read_message(
        self, headers: Mapping[str, str], body: bytes, merchant: Merchant, now: datetime
    ) -> Message:
        """Read a message."""
        sent, _, given = headers.get(SIGNATURE, "").partition(".")
        if not hmac.compare_digest(self._sign(sent, body), given):
            raise BadMessage("the signature is wrong")
        if abs(int(sent) - int(now.timestamp())) > TOLERANCE_SECONDS:
            raise BadMessage("it is too old")
        told: dict[str, Any] = json.loads(body)
        if told["environment"] != merchant.environment_id:
            raise BadMessage("it is of another environment")
        return Message(told["id"], told["payment"])

    # -- what happens outside ---------------------------------------------------------------------

    def pay(self, payment_id: str) -> None:
        """The customer pays."""
        self._set(payment_id, status="succeeded", paid_minor=self.asked[payment_id])

    def refund_by_hand(self, payment_id: str, minor: int, name: str = "re_hand") -> None:
        """The seller gives money back on the provider's own pages."""
        self._add(payment_id, Returned(name, "refund", minor, "succeeded"))

    def dispute(self, payment_id: str, minor: int, name: str = "dp_1") -> None:
        """The customer's bank takes money back."""
        self._add(payment_id, Returned(name, "dispute", minor, "open"))

    def decide(self, payment_id: str, reference: str, status: Any) -> None:
        """What was open or pending comes to an end."""
        returns = [
            structs.replace(r, status=status) if r.ref == reference else r
            for r in self.payments[payment_id].returns
        ]
        self._set(payment_id, returns=tuple(returns))

    def left(self, payment_id: str) -> int:
        """What of a payment has not gone back, in minor units."""
        state = self.payments[payment_id]
        return state.paid_minor - sum(
            r.minor for r in state.returns if r.status not in ("failed", "won")
        )

    def message(self, payment_id: str, environment_id: int) -> tuple[dict[str, str], bytes]:
        """A message that tells of a payment."""
        told = {"id": "evt", "payment": payment_id, "environment": environment_id}
        body = json.dumps(told).encode()
        sent = str(int(self.clock().timestamp()))
        return {SIGNATURE: f"{sent}.{self._sign(sent, body)}"}, body

    def _add(self, payment_id: str, returned: Returned) -> None:
        self._set(payment_id, returns=(*self.payments[payment_id].returns, returned))

    def _set(self, payment_id: str, **changes: Any) -> None:
        self.payments[payment_id] = structs.replace(self.payments[payment_id], **changes)

    def _sign(self, sent: str, body: bytes) -> str:
        signed = f"{sent}.".encode() + body
        return hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()

    def _answer(self, call: str, work: Callable[[], T]) -> T:
        self.calls.append(call)
        fault = DOWN if self.is_down else None
        if fault is None and self._faults[call]:
            fault = self._faults[call].pop(0)
        if fault == DOWN:
            raise ProviderDown("no answer")
        if fault == REFUSED:
            raise ProviderRefused("not_refundable", "the provider says no")
        answer = work()
        if fault == DONE_AND_DOWN:
            raise ProviderDown("the answer was lost")
        return answer
