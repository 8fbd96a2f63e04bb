"""What an outside system tells of, before anybody knows what it means here: a span, a message, a
row of a file. Readers make these of every format that comes in; `mapping` makes usage events of
them. What became of each is said in the same order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec

from faregate.core.problems import Problem

Source = Literal["otlp", "cloudevents", "litellm", "import"]
SOURCES: Final[tuple[Source, ...]] = ("otlp", "cloudevents", "litellm", "import")

Scalar: TypeAlias = str | int | Decimal | bool
MAX_ID: Final = 200
_PARTED_BY: Final = " "


class Observed(msgspec.Struct, frozen=True, gc=False):
    """One thing that an outside system tells of, its fields flat under dotted names.

    `id` is unique in its source and becomes the event's id, so that the same thing told twice is
    charged once. `kind` says what it is in the source's own words (a span, a type of message).
    `place` is where it stood in what was sent, for errors: `[3]`, `resourceSpans[0].…`, `line 7`.
    Without a time of its own, `occurred_at` is when it came, which a repeat may say otherwise.
    """

    id: str
    occurred_at: datetime
    kind: str
    fields: Mapping[str, Scalar]
    place: str
    has_own_time: bool = True


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """Something at a place of what was sent that cannot be read; what stands beside it can."""

    place: str
    problem: Problem
    id: str = ""


Told: TypeAlias = Observed | Unreadable

Became = Literal["booked", "repeat", "skipped", "refused"]


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of one thing that was told: booked now, booked before, skipped (`why`), or
    refused (`problem`). `id` is its event's."""

    place: str
    id: str
    status: Became
    customer_id: str | None = None
    why: str | None = None
    problem: Problem | None = None
    warnings: tuple[str, ...] = ()


class Ingested(msgspec.Struct, frozen=True):
    """What became of everything in one call, in its order. All of it is durable."""

    outcomes: tuple[Outcome, ...]

    @property
    def counts(self) -> Mapping[Became, int]:
        """How many came to what."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def refused(self) -> list[Outcome]:
        """Those that were refused."""
        return [outcome for outcome in self.outcomes if outcome.status == "refused"]


def told_id(*parts: str) -> str:
    """Make an id of what is unique only together (a trace and a span, a source and an id).

    Different parts have different ids. Where they would be too long, a digest stands for them.

        >>> told_id("orders", "7")
        'orders 7'
    """
    plain = _PARTED_BY.join(parts)
    if len(plain) <= MAX_ID and not any(_PARTED_BY in part or not part for part in parts):
        return plain
    digest = hashlib.blake2b(digest_size=24)
    for part in parts:
        text = part.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    return f"{len(parts)}#{digest.hexdigest()}"
