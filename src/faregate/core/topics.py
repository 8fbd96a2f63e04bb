"""The topics that others can be told of, each with the shape of what is told, and a sample of it.

A notice is written in the commit in which that happens which it tells of, so it tells of nothing
that did not happen, and of each thing once. Amounts are decimals in whole assets, instants are UTC.
Who is told, and how it reaches them, does not live here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

import msgspec

from faregate.core.codec import encode
from faregate.core.collecting import CollectingNotice
from faregate.core.dunning import SubscriptionNotice
from faregate.core.limiting import LimitReached
from faregate.core.payments import ReturnNotice, TopUpNotice

Because = Literal["expired", "returned_late", "rollover_cap"]
"""Why credit is gone: its time was over; a hold gave it back after that; more was left over from
earlier periods than may be kept."""


class BalanceNotice(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an account stands now. `available` and `pending_out` as in the API: together they are
    what is not used yet, by which it is low or depleted. No `threshold`: there is none; it is the
    seller's, or with `set_by` the customer's own."""

    customer_id: str
    account_id: str
    asset: str
    available: Decimal
    pending_out: Decimal
    is_low: bool
    is_depleted: bool
    at: datetime
    threshold: Decimal | None = None
    set_by: Literal["customer"] | None = None


class GrantCreated(msgspec.Struct, frozen=True, omit_defaults=True):
    """Credit that has come. `instead_of` names the grant, expired since, whose credit this is."""

    customer_id: str
    account_id: str
    asset: str
    grant_id: str
    purpose: str
    amount: Decimal
    effective_at: datetime
    at: datetime
    expires_at: datetime | None = None
    subscription_id: str | None = None
    entitlement_id: str | None = None
    instead_of: str | None = None


class GrantExpiring(msgspec.Struct, frozen=True):
    """Credit that will be gone soon, and what is left of it now."""

    customer_id: str
    account_id: str
    asset: str
    grant_id: str
    purpose: str
    remaining: Decimal
    expires_at: datetime
    at: datetime


class GrantExpired(msgspec.Struct, frozen=True, omit_defaults=True):
    """Credit that is gone, unused: `amount` of a grant, since `at`. What a hold (`hold_id`) gives
    back later is told by itself: all that is told of a grant is what it has lost."""

    customer_id: str
    account_id: str
    asset: str
    grant_id: str
    amount: Decimal
    because: Because
    at: datetime
    hold_id: str | None = None


class HoldExpired(msgspec.Struct, frozen=True, omit_defaults=True):
    """A hold that nobody settled in time; what it still had set aside has gone back."""

    customer_id: str
    hold_id: str
    transaction_id: str
    account_id: str
    asset: str
    amount: Decimal
    captured_amount: Decimal
    created_at: datetime
    at: datetime
    subject: str | None = None
    parent_id: str | None = None


class MarginNegative(msgspec.Struct, frozen=True, omit_defaults=True):
    """The customer's first event of a day (UTC) that costs more than it earns: its fees and costs
    in `currency`, at the rates of when it occurred (`at`)."""

    customer_id: str
    event_id: str
    event_type: str
    currency: str
    fees: Decimal
    costs: Decimal
    at: datetime
    subject: str | None = None


class PriceChanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another version of a product is the default now."""

    product_id: str
    product_code: str
    version: int
    at: datetime
    previous_version: int | None = None


class Topic(NamedTuple):
    """A topic: when it is told, and what such a notice looks like."""

    name: str
    description: str
    sample: Any

    @property
    def shape(self) -> type[Any]:
        """The struct of what is told."""
        return type(self.sample)


_AT: Final = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_LATER: Final = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
_CUSTOMER: Final = "cust_01kfq8r2v5m3c7x9d1e4g6h8j0"
_GRANT: Final = "grt_01kfq8r2v5m3c7x9d1e4g6h8j1"
_HOLD: Final = "hld_01kfq8r2v5m3c7x9d1e4g6h8j2"
_SUBSCRIPTION: Final = "sub_01kfq8r2v5m3c7x9d1e4g6h8j3"
_ACCOUNT: Final = (_CUSTOMER, "default:USD", "USD")


def _subscription(detail: str | None = None) -> SubscriptionNotice:
    return SubscriptionNotice(_CUSTOMER, _SUBSCRIPTION, _AT, detail)


_TOP_UP: Final = "tup_01kfq8r2v5m3c7x9d1e4g6h8j6"
_PAID: Final = (_CUSTOMER, _TOP_UP, "default:USD", Decimal(20), "USD", _AT)


def _return(identifier: str, credit: str | None) -> ReturnNotice:
    gone = None if credit is None else Decimal(credit)
    return ReturnNotice(
        _CUSTOMER, _TOP_UP, identifier, "default:USD", Decimal(20), "USD", _AT, gone
    )


_REFUND: Final = "rfd_01kfq8r2v5m3c7x9d1e4g6h8j7"
_DISPUTE: Final = "dsp_01kfq8r2v5m3c7x9d1e4g6h8j8"
_SHORT: Final = "20 is needed and default:USD has 3: top up at least 17"

TOPICS: Final[tuple[Topic, ...]] = (
    Topic(
        "wallet.balance_low",
        "An account has fallen below its threshold",
        BalanceNotice(
            *_ACCOUNT, Decimal("4.2"), Decimal(0), True, False, _AT, threshold=Decimal(5)
        ),
    ),
    Topic(
        "wallet.depleted",
        "Nothing is left in an account that had something",
        BalanceNotice(*_ACCOUNT, Decimal("-0.3"), Decimal(0), False, True, _AT),
    ),
    Topic(
        "wallet.recovered",
        "An account that was low or depleted is not so any more",
        BalanceNotice(*_ACCOUNT, Decimal(20), Decimal(0), False, False, _AT, threshold=Decimal(5)),
    ),
    Topic(
        "grant.created",
        "Credit has come: paid for, given, or with a product",
        GrantCreated(*_ACCOUNT, _GRANT, "paid", Decimal(20), _AT, _AT, expires_at=_LATER),
    ),
    Topic(
        "grant.expiring",
        "Credit expires soon, and something is left of it",
        GrantExpiring(*_ACCOUNT, _GRANT, "promotion", Decimal("7.5"), _LATER, _AT),
    ),
    Topic(
        "grant.expired",
        "Credit is gone that was not used",
        GrantExpired(*_ACCOUNT, _GRANT, Decimal("7.5"), "expired", _AT),
    ),
    Topic(
        "hold.expired",
        "A hold was not settled in time, and is released",
        HoldExpired(
            _CUSTOMER, _HOLD, "run-17", *_ACCOUNT[1:], Decimal(2), Decimal("0.5"), _AT, _LATER
        ),
    ),
    Topic(
        "limit.reached",
        "A limit is reached, or was in the way; once in its window",
        LimitReached(
            _CUSTOMER,
            "lim_01kfq8r2v5m3c7x9d1e4g6h8j4",
            "soft",
            "fees",
            "USD",
            Decimal(100),
            Decimal("100.4"),
            _AT,
            "monthly budget",
            resets_at=_LATER,
        ),
    ),
    Topic("subscription.activated", "A subscription has begun", _subscription()),
    Topic(
        "subscription.deactivated",
        "A subscription has ended",
        _subscription("a renewal was not paid"),
    ),
    Topic("subscription.renewed", "A new period of a subscription has begun", _subscription()),
    Topic(
        "subscription.action_required",
        "A subscription cannot begin, or go on, before somebody pays or leaves another card",
        _subscription(_SHORT),
    ),
    Topic(
        "subscription.payment_failed",
        "A renewal could not be paid; it is tried again",
        _subscription(_SHORT),
    ),
    Topic(
        "top_up.succeeded",
        "A payment has come in, and its credit is there",
        TopUpNotice(*_PAID, credit=Decimal(20), bonus=Decimal(2)),
    ),
    Topic(
        "top_up.failed",
        "A payment came to nothing",
        TopUpNotice(*_PAID, problem="The card was declined."),
    ),
    Topic(
        "payment.refunded",
        "Money of a payment was given back; its credit was taken when that was asked for",
        _return(_REFUND, None),
    ),
    Topic(
        "payment.refund_failed",
        "A refund came to nothing, and its credit is there again",
        _return(_REFUND, "20"),
    ),
    Topic("payment.disputed", "A dispute has taken credit", _return(_DISPUTE, "20")),
    Topic(
        "payment.dispute_won",
        "A dispute is won: the credit is there again",
        _return(_DISPUTE, "20"),
    ),
    Topic(
        "payment.dispute_lost", "A dispute is lost: the credit stays taken", _return(_DISPUTE, None)
    ),
    Topic(
        "auto_top_up.failed",
        "A saved card did not pay an auto top-up; it is tried again, unless it is the third time",
        CollectingNotice(*_ACCOUNT[:2], _AT, "The card was declined.", 1),
    ),
    Topic(
        "auto_top_up.disabled",
        "An auto top-up has stopped after three failures in a row",
        CollectingNotice(*_ACCOUNT[:2], _AT, "The card was declined.", 3),
    ),
    Topic(
        "auto_top_up.limited",
        "An auto top-up waits for the next month, or until an hour has passed",
        CollectingNotice(*_ACCOUNT[:2], _AT, "the monthly cap is reached"),
    ),
    Topic(
        "price.changed",
        "Another version of a product has become the default",
        PriceChanged("prp_01kfq8r2v5m3c7x9d1e4g6h8j5", "pro", 3, _AT, 2),
    ),
    Topic(
        "margin.negative",
        "An event costs more than it earns; once per customer and day",
        MarginNegative(
            _CUSTOMER, "evt-42", "llm_call", "USD", Decimal("0.02"), Decimal("0.031"), _AT
        ),
    ),
)


BY_NAME: Final = {topic.name: topic for topic in TOPICS}


def topics_page() -> str:
    """Write the table of all topics (Markdown)."""
    rows = [
        f"| `{topic.name}` | {topic.description} | `{encode(topic.sample).decode()}` |"
        for topic in TOPICS
    ]
    return "\n".join(["| topic | told when | what it says |", "|---|---|---|", *rows])
