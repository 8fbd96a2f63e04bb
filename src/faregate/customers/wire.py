"""What travels about a customer's use, in events and in holds: the bodies that the REST face reads
and writes, and the client writes and reads. Shapes only; those of customers are in `types`. Amounts
are `Decimal`s of whole assets.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from faregate.core.events import MAX_EVENTS, UsageEvent
from faregate.core.given import Id
from faregate.core.hold_requests import MAX_HOLDS, HoldRequest
from faregate.core.holds import FinalAction
from faregate.customers.types import Hold, LimitInTheWay

Events = Annotated[tuple[UsageEvent, ...], Meta(min_length=1, max_length=MAX_EVENTS)]


class ProblemDetails(msgspec.Struct, omit_defaults=True, frozen=True):
    """The body of every error. `errors` has messages by field path."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: dict[str, list[str]] = {}


class EventFee(msgspec.Struct, omit_defaults=True, frozen=True):
    """What an event cost under one price. Under tiers `unit_price` and `volume_rate` are those of
    the tier in which it ended; `counted` of it were counted after `counted_before`.

    `amount` is what was debited: `discount` was taken off before by coupons, and `capped` because
    a commitment had reached its maximum. Where it was paid in another asset, `paid_amount` of that
    were taken, at `exchange_rate` for one.
    """

    id: str
    product_id: str
    product_code: str
    product_version: int
    price_id: str
    price_name: str
    currency: str
    usage_type: str
    amount: Decimal
    dimensions: dict[str, str] | None = None
    volume_field: str | None = None
    input_volume: Decimal | int | None = None
    unit_price: Decimal | None = None
    volume_rate: Decimal | None = None
    package_size: Decimal | None = None
    counted_before: Decimal | None = None
    counted: Decimal | None = None
    paid_amount: Decimal | None = None
    paid_asset: str | None = None
    exchange_rate: Decimal | None = None
    discount: Decimal | None = None
    capped: Decimal | None = None


class UsageRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """Events of one customer, in order. Name the customer by id or by external id."""

    events: Events
    customer_id: Id | None = None
    customer_external_id: Id | None = None


class BookedResult(msgspec.Struct, omit_defaults=True, frozen=True):
    """What became of one event: `booked`, `repeat` or `refused` (with its problem).

    `balances` has what every account of the wallet had available after it.
    """

    id: str
    status: str
    fees: list[EventFee]
    warnings: list[str]
    balances: dict[str, Decimal]
    problem: ProblemDetails | None = None


class UsageBooked(msgspec.Struct, frozen=True):
    """The answer to `Prefer: return=representation`."""

    events: list[BookedResult]


class TransactionCreated(msgspec.Struct, omit_defaults=True, frozen=True):
    """The answer to an adjustment or a charge; where a payment was converted, what it became."""

    id: str
    created_at: datetime
    destination_asset: str | None = None
    destination_amount: Decimal | None = None
    exchange_rate: Decimal | None = None
    is_rounded_down: bool | None = None


class HoldsRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Holds of one customer, each for itself, in order."""

    holds: Annotated[list[HoldRequest], Meta(min_length=1, max_length=MAX_HOLDS)]


class HoldsAuthorized(msgspec.Struct, frozen=True):
    """The answer to it, in the same order."""

    holds: list[Hold]


class HoldPage(msgspec.Struct, frozen=True):
    """A page of holds, the newest first."""

    items: list[Hold]
    total_count: int
    limit: int
    offset: int


class HoldCaptured(msgspec.Struct, frozen=True):
    """What a capture charged on the hold's account, and what it let go."""

    hold: Hold
    fees: list[EventFee]
    warnings: list[str]
    captured_amount: Decimal
    released_amount: Decimal
    available: Decimal


class HoldUpdated(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a slice cost, and what is set aside for the next one. `final`: it is less than was
    wanted and nothing more will be granted; `final_action` says what to do then."""

    hold: Hold
    fees: list[EventFee]
    warnings: list[str]
    captured_amount: Decimal
    granted: Decimal
    available: Decimal
    final: bool
    final_action: FinalAction | None = None
    decline_code: str | None = None
    detail: str | None = None
    limit: LimitInTheWay | None = None
    top_up_needed: Decimal | None = None
