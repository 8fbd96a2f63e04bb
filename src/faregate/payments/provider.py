"""What a payment provider does for us, and how it says that it cannot. Everybody who collects money
speaks this protocol: the sandbox, Stripe, whoever comes.

It is narrow, and *level-triggered*: a message of a provider only says which payment to look at;
what has become of it is then asked (`look_up`), and what we have booked is brought up to that. So
it does not matter in which order messages come, how often, or whether they come at all. Whatever
moves money carries our own id as its idempotency key: asked again, a provider must answer what it
answered the first time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

import msgspec

PaymentStatus = Literal["open", "processing", "succeeded", "failed", "expired"]
"""`open`: nobody has paid yet and somebody still may; `processing`: the money is on its way."""
ReturnStatus = Literal["pending", "succeeded", "failed", "open", "won", "lost"]
"""The first three are of refunds, the last three of disputes."""


class ProviderDown(Exception):
    """The provider did not answer, or not for certain: whether anything happened is unknown, and
    the same call may be made again."""


class ProviderRefused(Exception):
    """The provider says no, and nothing has happened. `code` is its reason in one of our words
    (`card_declined`, `insufficient_funds`, `expired_card`, `authentication_required`,
    `no_such_payment`, `not_refundable`, `invalid_amount`, `misconfigured`), the text is for
    people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class BadMessage(Exception):
    """A message that is not the provider's, or too old, or of another environment. The text says
    which, and has no secret."""


class Merchant(msgspec.Struct, frozen=True):
    """For whom money is collected: an account, in the test or the live mode. `environment_id` is
    both in one number; messages of one environment are nothing to another."""

    environment_id: int
    account_id: str
    is_live: bool
    is_platform: bool = True


class Money(msgspec.Struct, frozen=True):
    """An amount as providers count it: whole minor units (`minor` >= 0) of a currency; `digits` is
    how many decimals those are (ISO 4217)."""

    minor: int
    currency: str
    digits: int


class Payer(msgspec.Struct, frozen=True):
    """A customer of ours as a provider gets to know them; `provider_ref` is what the provider calls
    them, if it knows them."""

    customer_id: str
    name: str
    email: str | None = None
    provider_ref: str | None = None


class CheckoutAsked(msgspec.Struct, frozen=True):
    """A page on which a customer pays, once; the card is kept for later if it `saves_card`.
    `payment_id` is ours, and the idempotency key."""

    merchant: Merchant
    payment_id: str
    payer: Payer
    money: Money
    description: str
    return_url: str
    failure_url: str
    expires_at: datetime
    base_url: str
    saves_card: bool = True


class SetupAsked(msgspec.Struct, frozen=True):
    """A page on which a customer leaves a card and pays nothing."""

    merchant: Merchant
    setup_id: str
    payer: Payer
    return_url: str
    failure_url: str
    expires_at: datetime
    base_url: str


class SavedCharge(msgspec.Struct, frozen=True):
    """A charge of a card that was saved, with nobody there. `payment_id` is the idempotency key."""

    merchant: Merchant
    payment_id: str
    payer: Payer
    method_ref: str
    money: Money
    description: str


class RefundAsked(msgspec.Struct, frozen=True):
    """Money back, from a payment. `refund_id` is ours, and the idempotency key."""

    merchant: Merchant
    refund_id: str
    payment_id: str
    payment_ref: str
    money: Money


class Sought(msgspec.Struct, frozen=True):
    """Which payment (or page to save a card on) to look up: by what the provider calls it, as far
    as that is known, or by our own id."""

    merchant: Merchant
    payment_id: str
    checkout_ref: str | None = None
    payment_ref: str | None = None


class Begun(msgspec.Struct, frozen=True):
    """A page that waits for the customer, and until when."""

    checkout_ref: str
    redirect_url: str
    expires_at: datetime


class SavedCard(msgspec.Struct, frozen=True, omit_defaults=True):
    """A card that can be charged again; of its number the last four digits are known."""

    method_ref: str
    payer_ref: str | None = None
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


class Returned(msgspec.Struct, frozen=True):
    """Money that goes back: a refund, or a dispute that takes it. `ref` is the provider's."""

    ref: str
    reason: Literal["refund", "dispute"]
    minor: int
    status: ReturnStatus
    refund_id: str | None = None


class PaymentState(msgspec.Struct, frozen=True):
    """Where a payment stands, whole: `paid_minor` is what has come in (0 before it succeeded),
    `returns` everything that has gone back or is about to. `code` and `text` say why it failed;
    `action_url` is where the customer must confirm it, if they must."""

    status: PaymentStatus
    payment_ref: str | None = None
    paid_minor: int = 0
    currency: str | None = None
    card: SavedCard | None = None
    returns: tuple[Returned, ...] = ()
    code: str | None = None
    text: str | None = None
    action_url: str | None = None


class Message(msgspec.Struct, frozen=True):
    """A provider's message that is genuine: which payment to look at, by our id or by what the
    provider calls it. Both None: it is about something else."""

    message_id: str
    payment_id: str | None = None
    ref: str | None = None


class PaymentProvider(Protocol):
    """Somebody who collects money. Every call may raise `ProviderDown` or `ProviderRefused`."""

    name: str

    def serves(self, merchant: Merchant) -> bool:
        """Tell whether it can collect for this account in this mode."""
        ...

    async def begin_checkout(self, asked: CheckoutAsked) -> Begun:
        """Make a page on which the customer pays."""
        ...

    async def begin_setup(self, asked: SetupAsked) -> Begun:
        """Make a page on which the customer leaves a card."""
        ...

    async def charge(self, asked: SavedCharge) -> PaymentState:
        """Charge a saved card; a refusal of the card is a state, `failed`."""
        ...

    async def refund(self, asked: RefundAsked) -> Returned:
        """Give money back."""
        ...

    async def look_up(self, sought: Sought) -> PaymentState | None:
        """Say where a payment stands; None: the provider has never heard of it."""
        ...

    def read_message(
        self, headers: Mapping[str, str], body: bytes, merchant: Merchant, now: datetime
    ) -> Message:
        """Read what claims to be a message of the provider. Raises `BadMessage`."""
        ...
