"""What a way in is: a path, and two functions in its own format. One reads what was sent, the other
says what became of it in the words that its senders understand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from faregate.core.observed import Ingested, Source, Told
from faregate.core.problems import Problem

MAX_BYTES: Final = 8 * 1024 * 1024


class Sent(msgspec.Struct, frozen=True):
    """A request as it came: headers under lower-case names, the body unpacked and within bounds."""

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


class Reply(msgspec.Struct, frozen=True):
    """An answer in a format of its own."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


class Way(msgspec.Struct, frozen=True):
    """A way in for one source.

    `read` raises `FaregateError` if nothing of what was sent can be read; what cannot be read alone
    is an `Unreadable` among the others. `retell` puts a problem of the whole request as its senders
    understand it, `refuse` writes it (None: as a problem document, like everywhere else). A body
    has `max_bytes` at most, unpacked.
    """

    source: Source
    path: str
    read: Callable[[Sent], Sequence[Told]]
    answer: Callable[[Sent, Ingested], Reply]
    refuse: Callable[[Mapping[str, str], Problem], Reply] | None = None
    retell: Callable[[Problem], Problem] | None = None
    max_bytes: int = MAX_BYTES
