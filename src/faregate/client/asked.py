"""What may be said in a call, by name: the fields of the API's requests. Amounts are `Decimal` or
`int`; a float is refused, because it is not the number that was written. A `transaction_id` that is
not given is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypedDict

from faregate.core.events import UsageEvent


class HoldTerms(TypedDict, total=False):
    """On which terms a hold is asked for."""

    max_amount: Decimal | int
    asset: str
    account_name: str
    subject: str
    allow_partial: bool
    min_amount: Decimal | int
    expires_in_seconds: int
    parent_id: str
    late_capture: Literal["charge", "reject"]
    final_action: Literal["terminate", "redirect", "restrict"]
    metadata: Mapping[str, str]


class AskedHold(HoldTerms, total=False):
    """What is said when a hold is asked for: `event_type` and `data`, or `max_amount` and `asset`;
    and the terms."""

    transaction_id: str
    event_type: str
    data: Mapping[str, Any]
    estimate: Literal["exact", "upper_bound"]


class Wanted(TypedDict, total=False):
    """What the next slice is expected to be: `data` of the hold's event type, or an `amount`."""

    data: Mapping[str, Any]
    amount: Decimal | int


class UsedSoFar(TypedDict, total=False):
    """What was used of a slice: `events` or an `amount`; neither: nothing."""

    events: Sequence[UsageEvent]
    amount: Decimal | int


class AskedAdjustment(TypedDict, total=False):
    """What more may be said of an adjustment."""

    transaction_id: str
    account_name: str
    description: str
    effective_at: datetime
    expires_at: datetime
    metadata: Mapping[str, str]


class AskedCharge(TypedDict, total=False):
    """What more may be said of a charge; the numbers only explain it."""

    transaction_id: str
    account_name: str
    subject: str
    description: str
    metadata: Mapping[str, str]
    input_units: Decimal | int
    input_volume: Decimal | int
    unit_price: Decimal | int
    volume_rate: Decimal | int
    package_size: Decimal | int


class AskedCustomer(TypedDict, total=False):
    """What more may be said of a new customer, e.g.
    `subscriptions=[{"products": [{"code": "pro"}]}]`."""

    external_id: str
    email: str
    metadata: Mapping[str, str]
    subscriptions: Sequence[Mapping[str, Any]]
    external_accounts: Sequence[Mapping[str, Any]]
