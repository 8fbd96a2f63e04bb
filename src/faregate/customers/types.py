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
from faregate.core.plans import MAX_QUANTITY
from faregate.core.prices import GrantScope, Key, Text
from faregate.core.subscribing import Effective, Proration
from faregate.core.switching import Credits
from faregate.core.transactions import Metadata

Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=r"^[^@\s]+@[^@\s]+\Z",
        description="an e-mail address such as ada@example.com",
    ),
]
Version = int | Literal["default"]
CollectionMethod = Literal["wallet", "charge_automatically"]
"""What pays a subscription: the balance alone, or for what that lacks the customer's saved card."""
Quantity = Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]


class SubscribedProduct(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """A product of a subscription, by id or code; without a version, its default. `quantity` are
    the seats, where it is sold by the seat."""

    id: Id | None = None
    code: Key | None = None
    version: Version | None = None
    quantity: Quantity | None = None


class Trial(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A time at the start in which no fixed price is asked: so many days, or until an instant. With
    `card_required` it does not begin before there is a way to pay."""

    days: Annotated[int, Meta(ge=1, le=3660)] | None = None
    ends_at: Instant | None = None
    card_required: bool = False


class CreateSubscription(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """A new subscription; it starts now unless it says otherwise. `renews_at` is where its periods
    begin (the first one may be shorter, and costs its part); `asset` is the one in which prices
    are paid that have several, `coupon` the code of one whose discount it gets. What the balance
    lacks is waited for, or the customer's saved card pays it (`charge_automatically`). Whoever has
    paid on our page is led to `return_url`."""

    products: Annotated[list[SubscribedProduct], Meta(min_length=1, max_length=20)]
    starts_at: Instant | None = None
    renews_at: Instant | None = None
    asset: Key | None = None
    trial: Trial | None = None
    return_url: Text | None = None
    failure_url: Text | None = None
    redirect_to: Literal["return_url", "portal"] | None = None
    coupon: Text | None = None
    collection_method: CollectionMethod = "wallet"


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
    test_clock_id: Id | None = None


class UpdateCustomer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What is given is changed, the rest stays."""

    name: Text | None = None
    external_id: Id | None = None
    email: Email | None = None
    metadata: Metadata | None = None


class BlockCustomer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Decline everything that a customer asks for, for a reason that declines show."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class UpdateSubscription(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """Switch a subscription on or off, or say what pays it."""

    status: Literal["active", "inactive"] | None = None
    collection_method: CollectionMethod | None = None


class UpdateSubscribedProduct(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """Move a subscription's product to another version, to other seats, or both.

    Without `effective` what costs no less counts from now, the rest from the next period. From
    now on, `proration` says whether the rest of the period is charged by its part, and `credits`
    what becomes of the credit that is included in it.
    """

    version: Version | None = None
    quantity: Quantity | None = None
    effective: Effective | None = None
    proration: Proration | None = None
    credits: Credits | None = None


class PauseSubscription(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """Let a subscription rest, until it is resumed or until an instant."""

    resumes_at: Instant | None = None


class CancelSubscription(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """End a subscription with its period, or now: then `proration` `prorate` gives the rest of
    what was paid back to the wallet, and `credits` `lapse` takes what is left of the credit that
    came with it."""

    at: Literal["period_end", "now"] = "period_end"
    proration: Literal["prorate", "none"] = "none"
    credits: Literal["keep", "lapse"] = "keep"


class ReactivateSubscription(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """Take a cancellation back, or let a subscription begin again. `has_card` says that there is a
    way to pay now."""

    has_card: bool = False


class AddDiscount(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Give a subscription the discount of the coupon with this code."""

    coupon: Text


class ShownDiscount(msgspec.Struct, omit_defaults=True, frozen=True):
    """A discount: `percent` off each fee, or `amount` off all fees of a period, of which `used` was
    taken in the one under way. Until `ends_at`, or for ever, on these products, or on all."""

    coupon: str
    from_at: datetime
    name: str | None = None
    percent: Decimal | None = None
    amount: Decimal | None = None
    asset: str | None = None
    used: Decimal | None = None
    ends_at: datetime | None = None
    products: tuple[str, ...] | None = None


class ShownCommitment(msgspec.Struct, omit_defaults=True, frozen=True):
    """A commitment, and what was spent in the period under way, after discounts; `minimum` is what
    is asked for that period."""

    id: str
    name: str
    product_id: str
    asset: str
    spent: Decimal
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    period_from: datetime | None = None
    period_to: datetime | None = None


class RequiredAction(msgspec.Struct, frozen=True):
    """What somebody must do so that a subscription begins, or goes on, and where."""

    type: Literal["payment", "payment_method"]
    redirect_url: str


class ShownOverdue(msgspec.Struct, frozen=True):
    """A renewal that is not paid: since when, when it is tried next, when the subscription ends."""

    since_at: datetime
    next_try_at: datetime
    ends_at: datetime


class ShownCollection(msgspec.Struct, omit_defaults=True, frozen=True):
    """How the saved card pays a subscription: the top-up that is in flight, how many failed since
    it was paid last, and why the last one did."""

    in_flight: str | None = None
    failures: int = 0
    problem: str | None = None


class PlannedMove(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a product is moved to at its next renewal."""

    product_id: str
    at: datetime | None = None
    version: Version | None = None
    quantity: int | None = None


class ShownSubscription(msgspec.Struct, omit_defaults=True, frozen=True):
    """A subscription as the API shows it. `ends_at` is when it ends, if that is known."""

    id: str
    status: str
    products: list[SubscribedProduct]
    started_at: datetime | None = None
    renews_at: datetime | None = None
    required_actions: list[RequiredAction] | None = None
    asset: str | None = None
    trial_ends_at: datetime | None = None
    ends_at: datetime | None = None
    paused_at: datetime | None = None
    resumes_at: datetime | None = None
    overdue: ShownOverdue | None = None
    planned: list[PlannedMove] | None = None
    discounts: list[ShownDiscount] | None = None
    commitments: list[ShownCommitment] | None = None
    collection_method: CollectionMethod = "wallet"
    collection: ShownCollection | None = None


class ShownFeeLine(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a fixed price costs for a time; below 0 it was given back. With a `coupon` it is what
    that took off the line above."""

    price_id: str
    price_name: str
    product_id: str
    product_code: str
    product_version: int
    quantity: int
    amount: Decimal
    period_from: datetime | None = None
    period_to: datetime | None = None
    price_asset: str | None = None
    price_amount: Decimal | None = None
    exchange_rate: Decimal | None = None
    coupon: str | None = None


class ShownPlanFee(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a subscription was charged at one instant (below 0: given back)."""

    id: str
    subscription_id: str
    account_id: str
    asset: str
    amount: Decimal
    due_at: datetime
    created_at: datetime
    lines: list[ShownFeeLine]


class SubscriptionChange(msgspec.Struct, omit_defaults=True, frozen=True):
    """A subscription after a change, what was charged (or given back) at once, from when a move
    counts, and what became of the credit that is included in the period."""

    subscription: ShownSubscription
    fees: list[ShownPlanFee]
    effective_at: datetime | None = None
    credits: str | None = None


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
    test_clock_id: str | None = None


class WalletAccount(msgspec.Struct, frozen=True):
    """An account's balance. `available` is in whole assets; below 0 it is overdraft in use. It is
    low below `low_balance_threshold` (none: as its asset says)."""

    id: str
    name: str
    asset: str
    available: Decimal
    pending_in: Decimal
    pending_out: Decimal
    overdraft: Overdraft
    low_balance_threshold: Decimal | None = None


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
    """A grant as the API shows it; `available` is what can be spent of `amount` now."""

    id: str
    available: Decimal
    effective_at: datetime
    expires_at: datetime | None
    purpose: str
    created_at: datetime
    amount: Decimal
    priority: int
    entitlement_id: str | None = None
    subscription_id: str | None = None
    revenue_basis: Decimal | None = None
    revenue_currency: str | None = None
    limited_to: GrantScope | None = None
    instead_of: str | None = None
