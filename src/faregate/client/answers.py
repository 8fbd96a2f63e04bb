"""What the API answers, in types. The client reads tolerantly: a field or a word that a newer
server adds is no error here. Amounts are `Decimal`s of whole assets, instants are aware and UTC.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec


class ProblemDetails(msgspec.Struct, frozen=True):
    """Why a request failed (RFC 9457). Switch on `type`, show `detail`; `errors` has messages by
    field path. `status` is 0 where no server has answered."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    request_id: str = ""
    errors: dict[str, list[str]] = {}


class EventFee(msgspec.Struct, frozen=True):
    """What an event cost under one price."""

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
    input_volume: Decimal | None = None
    unit_price: Decimal | None = None
    volume_rate: Decimal | None = None
    package_size: Decimal | None = None


class BookedResult(msgspec.Struct, frozen=True):
    """What became of one event: its `status` is `booked`, `repeat` or `refused` (see `problem`).

    `balances` has what every account of the wallet had available after it.
    """

    id: str
    status: str
    fees: list[EventFee] = []
    warnings: list[str] = []
    balances: dict[str, Decimal] = {}
    problem: ProblemDetails | None = None


class UsageBooked(msgspec.Struct, frozen=True):
    """What became of a request's events, in their order."""

    events: list[BookedResult]


class Overdraft(msgspec.Struct, frozen=True):
    """How far an account may go below zero: `policy` is `allow`, `limit` or `reject`."""

    policy: str
    limit: Decimal | None = None


class WalletAccount(msgspec.Struct, frozen=True):
    """An account's balance; below 0 `available` is overdraft in use."""

    id: str
    name: str
    asset: str
    available: Decimal
    pending_in: Decimal
    pending_out: Decimal
    overdraft: Overdraft


class Wallet(msgspec.Struct, frozen=True):
    """A customer's accounts."""

    accounts: list[WalletAccount]


class TransactionCreated(msgspec.Struct, frozen=True):
    """An adjustment or a charge that was booked."""

    id: str
    created_at: datetime


class ShownSubscription(msgspec.Struct, frozen=True):
    """A subscription; each of its `products` has an `id`, a `code` or both, and a `version`."""

    id: str
    status: str
    products: list[dict[str, Any]]
    started_at: datetime | None = None
    renews_at: datetime | None = None


class CustomerCreated(msgspec.Struct, frozen=True):
    """A customer that was made."""

    id: str
    subscriptions: list[ShownSubscription]


class LimitInTheWay(msgspec.Struct, frozen=True):
    """The limit for which a hold was declined."""

    id: str
    amount: Decimal
    used: Decimal
    resets_at: datetime | None = None


class Hold(msgspec.Struct, frozen=True):
    """A hold: its `status` is `authorized`, `declined`, `captured`, `voided` or `expired`.

    `amount` is all that was set aside for it, `held_amount` what is set aside now; `available` and
    `pending_out` are its account's. A declined one says why: `decline_code`, `detail`, and in
    `top_up_needed` what is missing, where money would help.
    """

    id: str
    transaction_id: str
    status: str
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
    decline_code: str | None = None
    detail: str | None = None
    limit: LimitInTheWay | None = None
    top_up_needed: Decimal | None = None


class HoldsAuthorized(msgspec.Struct, frozen=True):
    """The answers to a batch of requests for holds, in their order."""

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


class HoldUpdated(msgspec.Struct, frozen=True):
    """What a slice cost, and what the next one may cost (`granted`). `final`: it is less than was
    wanted and nothing more will be granted: finish, and do what `final_action` says."""

    hold: Hold
    fees: list[EventFee]
    warnings: list[str]
    captured_amount: Decimal
    granted: Decimal
    available: Decimal
    final: bool
    final_action: str | None = None
    decline_code: str | None = None
    detail: str | None = None
    top_up_needed: Decimal | None = None
