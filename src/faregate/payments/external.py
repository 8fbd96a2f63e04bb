"""Payments that the seller's own system has collected. It tells of them by messages that are signed
the way of Standard Webhooks (standardwebhooks.com), and what it has told is all that there is to
know: it is written down first, and then looked up as with any provider.

    {"type": "payment.paid", "data": {"payment_id": "inv-17", "customer_id": "cust_…",
                                      "amount": "20.00", "currency": "USD"}}
    {"type": "payment.refunded", "data": {"payment_id": "inv-17", "refund_id": "cn-3",
                                          "amount": "5.00", "currency": "USD"}}

Each account has a secret of its own in each mode. It is worked out from one that the server is
given (`ExternalSecrets`), and kept nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NoReturn

import msgspec
from msgspec import Meta
from standardwebhooks.webhooks import Webhook

from faregate.core.codec import decode
from faregate.core.given import Id, Instant, ShortText
from faregate.core.prices import Key
from faregate.core.transactions import Metadata
from faregate.payments import told
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
from faregate.payments.types import TopUpDestination
from faregate.store.protocol import Store, StoreUnavailable

EXTERNAL: Final = "external"
TOLERANCE_SECONDS: Final = 300
MIN_SECRET_LETTERS: Final = 32
MAX_SIGNATURES: Final = 10

Amount = Annotated[str, Meta(pattern=r"^\d{1,18}(\.\d{1,18})?\Z", max_length=37)]


class Paid(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A customer (by our id, or by the seller's own) has paid `amount` of a currency.
    `payment_id` is the seller's, and what is paid once under it is paid once."""

    payment_id: Id
    amount: Amount
    currency: Key
    customer_id: Id | None = None
    customer_external_id: Id | None = None
    destination: TopUpDestination | None = None
    credit_expires_at: Instant | None = None
    description: ShortText | None = None
    metadata: Metadata | None = None


class Refunded(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """`amount` of a payment has gone back, under the seller's own `refund_id`."""

    payment_id: Id
    refund_id: Id
    amount: Amount
    currency: Key


class PaidMessage(
    msgspec.Struct, tag_field="type", tag="payment.paid", forbid_unknown_fields=True, frozen=True
):
    """A payment has come in."""

    data: Paid
    timestamp: Instant | None = None


class RefundedMessage(
    msgspec.Struct,
    tag_field="type",
    tag="payment.refunded",
    forbid_unknown_fields=True,
    frozen=True,
):
    """Money has gone back."""

    data: Refunded
    timestamp: Instant | None = None


class _Data(msgspec.Struct, frozen=True):
    payment_id: str | None = None


class _Envelope(msgspec.Struct, frozen=True):
    data: _Data | None = None


class ExternalSecrets:
    """The secrets of all accounts, worked out from secrets of the server: the first is the one in
    use, those behind it are on their way out. Raises `ValueError` for one that is too short."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        if any(len(secret) < MIN_SECRET_LETTERS for secret in secrets):
            raise ValueError(f"has fewer than {MIN_SECRET_LETTERS} letters: make a longer one")
        self._secrets = [secret.encode() for secret in secrets]

    def __repr__(self) -> str:
        return "ExternalSecrets()"

    def of(self, merchant: Merchant) -> list[str]:
        """Return the secrets of an account in a mode (`whsec_…`), the one in use first."""
        mode = "live" if merchant.is_live else "test"
        purpose = f"external payments\n{merchant.account_id}\n{mode}".encode()
        digests = [hmac.new(one, purpose, hashlib.sha256).digest() for one in self._secrets]
        return [f"whsec_{base64.b64encode(digest).decode()}" for digest in digests]


class ExternalProvider:
    """The seller's own system, over a store that keeps what it has told."""

    name = EXTERNAL

    def __init__(self, store: Store, secrets: ExternalSecrets) -> None:
        self._store = store
        self.secrets = secrets

    def serves(self, merchant: Merchant) -> bool:
        """Collect for nobody: it only tells what was collected."""
        return False

    async def begin_checkout(self, asked: CheckoutAsked) -> Begun:
        """Refuse: it has no page of ours."""
        _refuse()

    async def begin_setup(self, asked: SetupAsked) -> Begun:
        """Refuse: it has no page of ours."""
        _refuse()

    async def charge(self, asked: SavedCharge) -> PaymentState:
        """Refuse: it is not asked for money."""
        _refuse()

    async def refund(self, asked: RefundAsked) -> Returned:
        """Refuse: money goes back where it was collected, and is told of from there."""
        text = "Your own system collected it: refund it there, and send payment.refunded."
        raise ProviderRefused("not_refundable", text)

    async def look_up(self, sought: Sought) -> PaymentState | None:
        """Say what was told of a payment."""
        environment = sought.merchant.environment_id
        try:
            paid = await told.find_by_payment(self._store, environment, sought.payment_id)
            if paid is None:
                return None
            returns = await told.list_refunds(self._store, environment, paid.ref)
        except StoreUnavailable as error:
            raise ProviderDown("what was told cannot be read now") from error
        back = [
            Returned(one.refund_ref, "refund", one.minor, "succeeded")
            for one in returns
            if one.currency == paid.currency
        ]
        return PaymentState("succeeded", paid.ref, paid.minor, paid.currency, None, tuple(back))

    def read_message(
        self, headers: Mapping[str, str], body: bytes, merchant: Merchant, now: datetime
    ) -> Message:
        """Read a message: its signature is over its id, its instant and itself."""
        identifier = headers.get("webhook-id", "")
        sent = headers.get("webhook-timestamp", "")
        given = headers.get("webhook-signature", "").split(" ")
        if not identifier or len(identifier) > 200:
            raise BadMessage("the header webhook-id is missing or too long")
        if not (sent.isascii() and sent.isdigit() and len(sent) <= 11):
            raise BadMessage("the header webhook-timestamp is missing or no number of seconds")
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise BadMessage("it is no text") from None
        at = datetime.fromtimestamp(int(sent), UTC)
        expected = [
            Webhook(secret).sign(identifier, at, text).encode()
            for secret in self.secrets.of(merchant)
        ]
        pairs = [(e, g.encode()) for e in expected for g in given[:MAX_SIGNATURES]]
        if not any(hmac.compare_digest(one, other) for one, other in pairs):
            raise BadMessage("the signature is not of this account and mode")
        if abs(int(sent) - int(now.timestamp())) > TOLERANCE_SECONDS:
            raise BadMessage(f"it is more than {TOLERANCE_SECONDS} seconds away from now")
        return Message(identifier, ref=_payment_ref(body))


def _payment_ref(body: bytes) -> str | None:
    try:
        envelope: Any = decode(_Envelope, body)
    except (msgspec.DecodeError, ValueError):
        return None
    return None if envelope.data is None else envelope.data.payment_id


def _refuse() -> NoReturn:
    raise ProviderRefused("misconfigured", "Your own system collects, and tells of it.")
