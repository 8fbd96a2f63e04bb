"""Webhook destinations and deliveries, as callers ask for them and as they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from faregate.core.given import Id, Instant
from faregate.webhooks.addresses import MAX_URL

ALL: Final = "*"
"""Every topic, also those that are yet to come."""
MAX_DESTINATIONS: Final = 1_000
"""Of one account in one mode."""
MAX_OVERLAP_SECONDS: Final = 7 * 24 * 3_600
MAX_REDELIVERED: Final = 10_000

Url = Annotated[str, Meta(min_length=1, max_length=MAX_URL)]
Topics = Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(min_length=1, max_length=50)]
State = Literal["pending", "delivered", "failed"]


class CreateDestination(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """A new destination. `connect`: it hears of a platform's connected accounts, not of itself."""

    url: Url
    topics: Topics | None = None
    connect: bool | None = None


class UpdateDestination(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """What changes about a destination."""

    url: Url | None = None
    topics: Topics | None = None
    enabled: bool | None = None


class RotateSecret(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new secret; for so long the one that was in force signs too."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=MAX_OVERLAP_SECONDS)] = 24 * 3_600


class Redeliver(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Send a destination again what it was sent: one event, or what happened in a time."""

    event_id: Id | None = None
    time_gte: Instant | None = None
    time_lte: Instant | None = None
    state: Literal["delivered", "failed"] | None = None


class DestinationCreated(msgspec.Struct, frozen=True):
    """The answer to a new destination."""

    id: str
    secret: str
    created_at: datetime


class ListedDestination(msgspec.Struct, omit_defaults=True, frozen=True):
    """A destination without its secret. `disabled_reason` says why it is not enabled;
    `failing_since`: no webhook has arrived since then, and some were tried."""

    id: str
    url: str
    topics: list[str]
    connect: bool
    enabled: bool
    created_at: datetime
    updated_at: datetime
    disabled_reason: str | None = None
    failing_since: datetime | None = None


class ShownDestination(ListedDestination, omit_defaults=True, frozen=True, kw_only=True):
    """A destination. Until `previous_secret_until` webhooks are signed with the one before too."""

    secret: str
    previous_secret_until: datetime | None = None


class TestSent(msgspec.Struct, frozen=True):
    """The answer to a test: the id of the event that is on its way."""

    id: str


class Redelivering(msgspec.Struct, frozen=True):
    """How many events are on their way again."""

    count: int


class ShownDelivery(msgspec.Struct, omit_defaults=True, frozen=True):
    """An event on its way to a destination, or arrived there. Two deliveries of one event, to two
    destinations or sent again, have the event's id and ids of their own."""

    id: str
    destination_id: str
    topic: str
    time: datetime
    data: Any
    delivery_id: str
    state: State
    attempts: int
    successful_at: datetime | None = None
    failed_at: datetime | None = None
    next_attempt_at: datetime | None = None
    response_status: int | None = None
    problem: str | None = None
    customer_id: str | None = None
    metadata: dict[str, Any] | None = None


class Asked(msgspec.Struct, frozen=True):
    """Which deliveries: all conditions that are given hold."""

    limit: int
    after: str | None = None
    before: str | None = None
    destinations: tuple[str, ...] = ()
    state: State | None = None
    has_failed: bool | None = None
    topic: str | None = None
    customer_id: str | None = None
    time_gte: datetime | None = None
    time_lte: datetime | None = None
    delivery_id: str | None = None
