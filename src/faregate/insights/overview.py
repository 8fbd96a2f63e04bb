"""What whoever opens the dashboard sees first: how it goes over time, how it stands now, and what
needs attention. Amounts are in one currency, with up to 9 decimals."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, get_args

import msgspec

from faregate.insights.types import Summary

Span = Literal["24h", "7d", "30d", "90d"]
SPANS: Final[tuple[Span, ...]] = get_args(Span)
HOURS: Final = 24
"""Of `24h`, which is by hour."""
DAYS: Final = {"7d": 7, "30d": 30, "90d": 90}

AttentionKind = Literal[
    "overdrawn",
    "payments_failed",
    "auto_top_ups_stopped",
    "actions_required",
    "webhooks_disabled",
    "customers_at_a_loss",
    "products_at_a_loss",
    "unpriced_events",
]
TargetKind = Literal["customer", "product", "event_type", "webhook"]


class Stretch(msgspec.Struct, frozen=True):
    """A day or an hour, which begins at `at`, and what it brought."""

    at: datetime
    events: int
    gross_revenue: Decimal
    total_costs: Decimal
    net_revenue: Decimal
    margin: Decimal | None


class Subject(msgspec.Struct, frozen=True):
    """What an attention is about: where to go to (`kind`, `id`), what it is called, and in a few
    words what is the matter. Units of an `asset` are a number to show (`amount`, whole assets)."""

    kind: TargetKind
    id: str
    name: str
    note: str = ""
    amount: Decimal | None = None
    asset: str | None = None


class Attention(msgspec.Struct, frozen=True):
    """Something that somebody should look at: how often it is so, in a sentence, and the worst of
    it."""

    kind: AttentionKind
    count: int
    sentence: str
    subjects: list[Subject]


class Overview(msgspec.Struct, frozen=True):
    """How it goes. `series` has every day or hour of the span, also those without anything;
    `before` is the span before it, `attention` what needs some beside losses."""

    span: Span
    currency: str
    series: list[Stretch]
    summary: Summary
    before: Summary
    attention: list[Attention]


class Pulse(msgspec.Struct, frozen=True):
    """How it stands now. `declined_is_whole` is false where there were too many holds to go
    through: then it is of the newest. Failed payments are of the last 24 hours."""

    currency: str
    hour_began_at: datetime
    this_hour: Decimal
    hour_before: Decimal
    events_this_hour: int
    declined: int
    declined_is_whole: bool
    failed_payments: int
    overdrawn: int
    customers: int
