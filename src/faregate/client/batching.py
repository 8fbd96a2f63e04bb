"""How events are gathered and sent in batches, whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypedDict

import msgspec

from faregate.client.backlog import Payer, Undelivered


class Batching(msgspec.Struct, frozen=True):
    """When a batch is sent, and what happens where one cannot be.

    `flush_at`: that many events wait. `flush_every_seconds`: so long after the first of them came.
    `max_queued` bounds the events that wait or are on their way; then adding one blocks or raises
    (`when_full`). Without `on_undelivered` what could not be delivered is raised.
    """

    flush_at: int = 500
    flush_every_seconds: float = 1.0
    max_queued: int = 10_000
    max_batch_bytes: int = 512 * 1024
    when_full: Literal["block", "raise"] = "block"
    on_undelivered: Callable[[list[Undelivered]], object] | None = None

    def __post_init__(self) -> None:
        for field in ("flush_at", "max_queued", "max_batch_bytes"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}: give 1 or more")


class BatchingOptions(TypedDict, total=False):
    """The fields of `Batching`."""

    flush_at: int
    flush_every_seconds: float
    max_queued: int
    max_batch_bytes: int
    when_full: Literal["block", "raise"]
    on_undelivered: Callable[[list[Undelivered]], object] | None


def payer_of(customer_id: str | None, external_id: str | None) -> Payer:
    """Return who pays. Raises `ValueError` unless one of the two is given."""
    if (customer_id is None) == (external_id is None):
        raise ValueError("name the customer by customer_id or by external_id: give one of the two")
    return Payer(customer_id, external_id)
