"""The shapes of requests and answers about customers, as the REST API has them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from faregate.core.accounts import OverdraftPolicy
from faregate.core.amounts import Number
from faregate.core.given import Id, Instant
from faregate.core.holds import DeclineCode, HoldStatus
from faregate.core.prices import Key, Text
from faregate.core.transactions import Metadata

Email = Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+\Z")]
Version = int | Literal["default"]


class SubscribedProduct(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """A product of a subscription, by id or code; without a version, its default."""

    id: Id | None = None
    code: Key | None = None
    version: Version | None = None


class CreateSubscription(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """A new subscription; it starts now unless it says otherwise."""

    products: Annotated[list[SubscribedProduct], Meta(min_length=1, max_length=20)]
    starts_at: Instant | None = None
    renews_at: Instant | None = None
    return_url: Text | None = None
    failure_url: Text | None = None
    redirect_to: Literal["return_url", "portal"] | None = None


class ExternalAccount(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The customer's id at a payment provider."""

    provider: Key
    provider_id: Id


class CreateCustomer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new customer, with subscriptions from the start."""

    name: Text
    external_id: Id | None = None
    email: Email | None = None
    metadata: Metadata | None = None
    subscriptions: Annotated[list[CreateSubscription], Meta(max_length=20)] | None = None
    external_accounts: Annotated[list[ExternalAccount], Meta(max_length=20)] | None = None


class UpdateCustomer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What is given is changed, the rest stays."""

    name: Text | None = None
    external_id: Id | None = None
    email: Email | None = None
    metadata: Metadata | None = None


class BlockCustomer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Decline everything that a customer asks for, for a reason that declines show."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class UpdateSubscription(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Switch a subscription on or off."""

    status: Literal["active", "inactive"]


class UpdateSubscribedProduct(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Bind a subscription's product to another version, from now."""

    version: Version


class ShownSubscription(msgspec.Struct, omit_defaults=True, frozen=True):
    """A subscription as the API shows it."""

    id: str
    status: str
    products: list[SubscribedProduct]
    started_at: datetime | None = None
    renews_at: datetime | None = None


class CustomerCreated(msgspec.Struct, frozen=True):
    """The answer to `CreateCustomer`."""

    id: str
    subscriptions: list[ShownSubscription]


class Customer(msgspec.Struct, omit_defaults=True, frozen=True):
    """A customer, whole."""

    id: str
    name: str
    active_subscription_count: int
    created_at: datetime
    external_id: str | None = None
    email: str | None = None
    metadata: dict[str, str] | None = None
    subscriptions: list[ShownSubscription] | None = None
    external_accounts: list[ExternalAccount] | None = None
    is_blocked: bool = False
    blocked_because: str | None = None


class WalletAccount(msgspec.Struct, frozen=True):
    """An account's balance. `available` is in whole assets; below 0 it is overdraft in use."""

    id: str
    name: str
    asset: str
    available: Decimal
    pending_in: Decimal
    pending_out: Decimal
    overdraft: Overdraft


class LimitInTheWay(msgspec.Struct, omit_defaults=True, frozen=True):
    """The limit for which a hold was declined: `used` of `amount` are used or held, until
    `resets_at` (none: for ever)."""

    id: str
    amount: Decimal
    used: Decimal
    resets_at: datetime | None = None
    name: str | None = None


class Hold(msgspec.Struct, omit_defaults=True, frozen=True):
    """A hold as the API shows it, in whole assets.

    `amount` is all that was set aside for it, `held_amount` what is set aside now; `available` and
    `pending_out` are its account's.
    """

    id: str
    transaction_id: str
    status: HoldStatus
    asset: str
    account_id: str
    amount: Decimal
    held_amount: Decimal
    captured_amount: Decimal
    available: Decimal
    pending_out: Decimal
    created_at: datetime
    expires_at: datetime
    event_type: str | None = None
    subject: str | None = None
    parent_id: str | None = None
    decline_code: DeclineCode | None = None
    detail: str | None = None
    limit: LimitInTheWay | None = None
    top_up_needed: Decimal | None = None


class Overdraft(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """How far an account may go below zero; `limit` (>= 0) counts for the policy `limit`."""

    policy: OverdraftPolicy
    limit: Number | None = None


class Wallet(msgspec.Struct, frozen=True):
    """A customer's accounts."""

    accounts: list[WalletAccount]


class ShownGrant(msgspec.Struct, frozen=True):
    """A grant as the API shows it; `available` is what can be spent of it now."""

    id: str
    available: Decimal
    effective_at: datetime
    expires_at: datetime | None
    purpose: str
    created_at: datetime
