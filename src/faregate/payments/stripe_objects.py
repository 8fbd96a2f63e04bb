"""What Stripe tells, as far as we read it, and what that means: its objects on one side, where a
payment stands on the other. Nothing here asks Stripe anything.

Names and states: docs.stripe.com/api (Checkout Sessions, PaymentIntents, Refunds, Disputes).
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from faregate.payments.provider import (
    PaymentState,
    PaymentStatus,
    Returned,
    ReturnStatus,
    SavedCard,
)
from faregate.payments.stripe_amounts import from_stripe

T = TypeVar("T")
PAYMENT: Final = "faregate_payment"
ENVIRONMENT: Final = "faregate_environment"
REFUND: Final = "faregate_refund"
MAX_TEXT: Final = 300


class CardDetails(msgspec.Struct, frozen=True):
    """What is known of a card."""

    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


class Method(msgspec.Struct, frozen=True):
    """A way to pay, saved if it has a customer."""

    id: str
    type: str = "card"
    card: CardDetails | None = None
    customer: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why a payment did not go through."""

    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


class Redirect(msgspec.Struct, frozen=True):
    """Where the customer goes on."""

    url: str | None = None


class Action(msgspec.Struct, frozen=True):
    """What the customer must do."""

    redirect_to_url: Redirect | None = None


class Charge(msgspec.Struct, frozen=True):
    """Money taken."""

    id: str
    disputed: bool = False


class Intent(msgspec.Struct, frozen=True):
    """A PaymentIntent: an amount, and how far it has come."""

    id: str
    status: str
    currency: str
    amount_received: int
    metadata: dict[str, str] = {}
    customer: str | None = None
    setup_future_usage: str | None = None
    payment_method: Method | str | None = None
    last_payment_error: Failure | None = None
    next_action: Action | None = None
    latest_charge: Charge | str | None = None

    @property
    def is_disputed(self) -> bool:
        """Tell whether its charge ever was disputed."""
        return isinstance(self.latest_charge, Charge) and self.latest_charge.disputed


class Setup(msgspec.Struct, frozen=True):
    """A SetupIntent: a card that is left without paying."""

    id: str
    status: str
    customer: str | None = None
    payment_method: Method | str | None = None


class Session(msgspec.Struct, frozen=True):
    """A Checkout Session: a page on which to pay, or to leave a card."""

    id: str
    status: str
    expires_at: int
    mode: str = "payment"
    url: str | None = None
    client_reference_id: str | None = None
    payment_status: str | None = None
    payment_intent: Intent | str | None = None
    setup_intent: Setup | str | None = None


class Refund(msgspec.Struct, frozen=True):
    """Money given back."""

    id: str
    amount: int
    status: str | None = None
    metadata: dict[str, str] | None = None


class Dispute(msgspec.Struct, frozen=True):
    """Money that a bank takes back."""

    id: str
    amount: int
    status: str


class Told(msgspec.Struct, frozen=True):
    """What an event is about, whatever it is."""

    object: str
    id: str | None = None
    metadata: dict[str, str] | None = None
    payment_intent: Any = None


class EventData(msgspec.Struct, frozen=True):
    """The object of an event."""

    object: Told


class Event(msgspec.Struct, frozen=True):
    """An event. `account` is the connected account that it is of."""

    id: str
    type: str
    data: EventData
    livemode: bool = False
    account: str | None = None


def read(kind: type[T], told: Any) -> T:
    """Read an object of the SDK."""
    return msgspec.convert(told.to_dict(), kind)


_CODES: Final = {
    "insufficient_funds": "insufficient_funds",
    "expired_card": "expired_card",
    "authentication_required": "authentication_required",
    "authentication_not_handled": "authentication_required",
    "payment_intent_authentication_failure": "authentication_required",
    "setup_intent_authentication_failure": "authentication_required",
    "charge_already_refunded": "not_refundable",
    "charge_disputed": "not_refundable",
    "resource_missing": "no_such_payment",
    "amount_too_small": "invalid_amount",
    "amount_too_large": "invalid_amount",
}


def code_of(code: str | None, decline_code: str | None, otherwise: str = "card_declined") -> str:
    """Return our word for Stripe's reason, of which a decline code says more than a code."""
    return _CODES.get(decline_code or "") or _CODES.get(code or "") or otherwise


def why(failure: Failure | None) -> tuple[str | None, str | None]:
    """Return our code and Stripe's text."""
    if failure is None:
        return None, None
    text = failure.message or "The card was declined."
    return code_of(failure.code, failure.decline_code), text[:MAX_TEXT]


def saved_card(method: Method | str | None, customer: str | None) -> SavedCard | None:
    """Return a way to pay that can be used again; only one that has a customer can."""
    if not isinstance(method, Method):
        return None
    payer = method.customer or customer
    if payer is None:
        return None
    card = method.card or CardDetails(method.type)
    return SavedCard(method.id, payer, card.brand, card.last4, card.exp_month, card.exp_year)


def state_of_intent(intent: Intent, returns: tuple[Returned, ...] = ()) -> PaymentState:
    """Say where a payment stands that nobody can pay any more but us: what has not come in has
    failed."""
    currency = intent.currency.upper()
    if intent.status == "succeeded":
        card = None
        if intent.setup_future_usage == "off_session":
            card = saved_card(intent.payment_method, intent.customer)
        paid = from_stripe(intent.amount_received, currency)
        return PaymentState("succeeded", intent.id, paid, currency, card, returns)
    if intent.status == "processing":
        return PaymentState("processing", intent.id, 0, currency)
    code, text = why(intent.last_payment_error)
    if intent.status == "requires_action":
        action = None if intent.next_action is None else intent.next_action.redirect_to_url
        url = None if action is None else action.url
        text = text or "The customer must confirm the payment."
        return PaymentState(
            "failed",
            intent.id,
            0,
            currency,
            code=code or "authentication_required",
            text=text,
            action_url=url,
        )
    text = text or "The payment was canceled."
    return PaymentState("failed", intent.id, 0, currency, code=code or "card_declined", text=text)


def state_of_session(session: Session, returns: tuple[Returned, ...] = ()) -> PaymentState:
    """Say where a page stands: as long as it is open, a card that is declined does not end it."""
    if session.mode == "setup":
        return _state_of_setup(session)
    intent = session.payment_intent
    if isinstance(intent, Intent):
        state = state_of_intent(intent, returns)
        if state.status != "failed":
            return state
        if session.status == "complete":
            # It was paid in a way that takes days, and in the end it was not.
            return state
        status: PaymentStatus = "expired" if session.status == "expired" else "open"
        return PaymentState(
            status, intent.id, currency=state.currency, code=state.code, text=state.text
        )
    if session.status == "expired":
        return PaymentState("expired")
    return PaymentState("processing" if session.status == "complete" else "open")


def _state_of_setup(session: Session) -> PaymentState:
    setup = session.setup_intent
    if isinstance(setup, Setup) and setup.status == "succeeded":
        card = saved_card(setup.payment_method, setup.customer)
        return PaymentState("succeeded", setup.id, card=card)
    return PaymentState("expired" if session.status == "expired" else "open")


_REFUNDS: Final[dict[str, ReturnStatus]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
_DISPUTES: Final[dict[str, ReturnStatus]] = {"won": "won", "lost": "lost"}
_TAKES_NOTHING: Final = ("warning_", "prevented")
"""A bank that only asks takes nothing; a dispute that was prevented is a refund."""


def returned_refund(refund: Refund, currency: str) -> Returned:
    """Say what a refund is to us; one that still may fail or wait for somebody is pending."""
    status = _REFUNDS.get(refund.status or "succeeded", "pending")
    minor = from_stripe(refund.amount, currency)
    return Returned(refund.id, "refund", minor, status, (refund.metadata or {}).get(REFUND))


def returned_dispute(dispute: Dispute, currency: str) -> Returned | None:
    """Say what a dispute is to us; None: it takes nothing. One that is appealed is open again."""
    if dispute.status.startswith(_TAKES_NOTHING):
        return None
    status = _DISPUTES.get(dispute.status, "open")
    return Returned(dispute.id, "dispute", from_stripe(dispute.amount, currency), status)
