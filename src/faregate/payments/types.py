"""What is asked of payments, and what is answered."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from faregate.core.amounts import Number
from faregate.core.collecting import DEFAULT_PER_HOUR, MOST_PER_HOUR
from faregate.core.given import Id, Instant, ShortText
from faregate.core.prices import Key
from faregate.core.transactions import AccountName, Metadata

Kind = Literal["top_up", "auto", "subscription", "setup"]
"""Who wants the money: the customer, or we, to keep them going or for what is due. With `setup` no
money is wanted, only a card."""
COLLECTED: frozenset[str] = frozenset(("auto", "subscription"))
"""What is charged to a saved card, with nobody there."""
Status = Literal["initiated", "pending", "succeeded", "failed", "expired"]
FINAL: frozenset[str] = frozenset(("succeeded", "failed", "expired"))
Url = Annotated[str, Meta(min_length=1, max_length=2000, pattern=r"^https?://[^\s]+\Z")]


class TopUpDestination(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Which account gets the credit, and at which rate (how many units of the asset one unit of the
    currency buys), if not at the one that is valid now."""

    asset: Key
    account_name: AccountName | None = None
    exchange_rate: Number | None = None


class InitiateTopUp(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A customer wants to pay `amount` of a currency into their wallet. Afterwards they are led
    to `return_url`, or to `failure_url`."""

    customer_id: Id
    amount: Number
    currency: Key
    return_url: Url
    failure_url: Url
    description: ShortText | None = None
    destination: TopUpDestination | None = None
    credit_expires_at: Instant | None = None
    metadata: Metadata | None = None


class TopUpInitiated(msgspec.Struct, frozen=True):
    """Where the customer pays, and until when."""

    id: str
    status: Status
    redirect_url: str
    created_at: datetime
    expires_at: datetime


class ShownDestination(msgspec.Struct, omit_defaults=True, frozen=True):
    """Which account gets the credit, how much, and at which rate."""

    account_name: str
    asset: str
    amount: Decimal
    exchange_rate: Decimal | None = None


class ReceiptCustomer(msgspec.Struct, omit_defaults=True, frozen=True):
    """Who has paid."""

    id: str
    name: str
    email: str | None = None


class ReceiptCard(msgspec.Struct, omit_defaults=True, frozen=True):
    """With which card."""

    brand: str | None = None
    last4: str | None = None


class ReceiptReturn(msgspec.Struct, frozen=True):
    """What of it has gone back."""

    id: str
    reason: Literal["refund", "dispute"]
    amount: Decimal
    status: str
    created_at: datetime


class Receipt(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a customer has paid: `amount` of a currency at `paid_at`, of which `kept` has not gone
    back; the credit that it brought, and the `bonus` beside it. `number` never changes. `url` is
    the page for people. `is_test`: no money was moved."""

    number: str
    top_up_id: str
    seller: str
    customer: ReceiptCustomer
    amount: Decimal
    currency: str
    destination: ShownDestination
    paid_at: datetime
    provider: str
    kept: Decimal
    url: str
    is_test: bool
    bonus: Decimal | None = None
    description: str | None = None
    card: ReceiptCard | None = None
    returns: list[ReceiptReturn] | None = None


class TopUp(msgspec.Struct, omit_defaults=True, frozen=True):
    """A top-up as it stands. `problem` says why it failed, or what it waits for; `refunded` and
    `disputed` are what of `amount` has gone back."""

    id: str
    customer_id: str
    amount: Decimal
    currency: str
    destination: ShownDestination
    status: Status
    kind: Kind
    provider: str
    created_at: datetime
    expires_at: datetime
    updated_at: datetime
    description: str | None = None
    metadata: dict[str, str] | None = None
    credit_expires_at: datetime | None = None
    redirect_url: str | None = None
    bonus: Decimal | None = None
    problem: str | None = None
    refunded: Decimal | None = None
    disputed: Decimal | None = None


class CreateRefund(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Money back of a top-up: `amount` of its currency; left out: all that is left."""

    amount: Number | None = None
    description: ShortText | None = None


class Refund(msgspec.Struct, omit_defaults=True, frozen=True):
    """Money that goes back of a top-up: a refund, or what a dispute takes. `credit` is what that
    takes of the account that was topped up, `bonus` what it takes of what came beside. `problem`
    says why a refund failed; then the customer has the credit again."""

    id: str
    top_up_id: str
    customer_id: str
    reason: Literal["refund", "dispute"]
    status: Literal["pending", "succeeded", "failed", "open", "won", "lost"]
    amount: Decimal
    currency: str
    credit: Decimal
    created_at: datetime
    updated_at: datetime
    bonus: Decimal | None = None
    description: str | None = None
    problem: str | None = None


class BeginSetup(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A customer leaves a card. Afterwards they are led to `return_url`, or to `failure_url`."""

    return_url: Url
    failure_url: Url


class SetupBegun(msgspec.Struct, frozen=True):
    """Where the customer leaves the card, and until when."""

    id: str
    redirect_url: str
    created_at: datetime
    expires_at: datetime


class AutoTopUpTerms(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """When less than `threshold` of the account is available, the default card pays `amount` of
    `currency` (the account's own, unless it is no currency), in a calendar month at most
    `monthly_cap`, and at most `per_hour` times in any hour."""

    enabled: bool
    threshold: Number
    amount: Number
    currency: Key | None = None
    monthly_cap: Number | None = None
    per_hour: Annotated[int, Meta(ge=1, le=MOST_PER_HOUR)] = DEFAULT_PER_HOUR


class AutoTopUpState(msgspec.Struct, omit_defaults=True, frozen=True):
    """An auto top-up and where it stands. `month_amount` was asked, and not refused, since
    `month_from`; `in_flight` is the top-up of which is not known yet what becomes of it. After
    `failures` in a row nothing is asked before `next_try_at`; after three, `disabled_because` says
    why it stopped."""

    enabled: bool
    threshold: Decimal
    amount: Decimal
    currency: str
    per_hour: int
    has_card: bool
    failures: int
    month_amount: Decimal
    monthly_cap: Decimal | None = None
    month_from: datetime | None = None
    in_flight: str | None = None
    next_try_at: datetime | None = None
    disabled_because: str | None = None


class ShownCard(msgspec.Struct, omit_defaults=True, frozen=True):
    """A saved card: what may be shown of it."""

    id: str
    provider: str
    is_default: bool
    created_at: datetime
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


class ChangeMethod(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Let a saved card pay what is collected from now on, instead of the one that did."""

    is_default: Literal[True]
