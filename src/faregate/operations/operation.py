"""What an operation is: a method, a path, the types of its query, body and answer, and a handler.
The server runs from these values and the OpenAPI document is written from them, so the two cannot
differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from faregate.core.problems import INVALID, FaregateError, Problem
from faregate.engine import Engine
from faregate.platform.environments import AccountContext
from faregate.platform.keys import ApiKey, Role

T = TypeVar("T")
Tag = Literal[
    "Assets",
    "Products",
    "Customers",
    "Events",
    "Wallets",
    "Top-ups",
    "Holds",
    "Limits",
    "Subscriptions",
    "Test clocks",
    "Statistics",
    "Vendors",
    "Statistics",
    "Coupons",
    "Accounts",
    "Webhooks",
    "Portal",
    "Ingestion",
]
Limit = Annotated[int, Meta(ge=1, le=100)]
Offset = Annotated[int, Meta(ge=0, le=10_000_000)]

READ: Final[frozenset[Role]] = frozenset(("admin", "ingest", "read"))
READ_ALL: Final[frozenset[Role]] = frozenset(("admin", "read"))
"""Lists over all customers: a key that sends events has no need of them."""
INGEST: Final[frozenset[Role]] = frozenset(("admin", "ingest"))
LENIENT: Final = "handling=lenient"
REPRESENTATION: Final = "return=representation"
"""Preferences (RFC 7240) that this API knows."""
ADMIN: Final[frozenset[Role]] = frozenset(("admin",))


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which page of a list."""

    limit: Limit = 20
    offset: Offset = 0


class Call(msgspec.Struct, frozen=True):
    """One authenticated request; `base_url` is where the caller found us, `gone` returns when the
    caller has left."""

    engine: Engine
    key: ApiKey
    context: AccountContext
    path: Mapping[str, str]
    query: Any
    body: Any
    body_bytes: int
    prefers: frozenset[str]
    idempotency_key: str | None
    request_id: str
    base_url: str
    gone: Callable[[], Awaitable[None]]

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work that takes its time; whoever leaves meanwhile ends it."""
        doing, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self.gone())
        try:
            await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise FaregateError(Problem(INVALID, "the connection ended before the answer did"))
            return doing.result()
        finally:
            doing.cancel()
            leaving.cancel()


BOOKED: Final[frozenset[Tag]] = frozenset(("Events", "Holds", "Wallets", "Top-ups"))
"""What the ledger and the payments' records tell themselves: who, what and when is in their rows,
and charges shall not wait for another commit."""


class Answer(msgspec.Struct, frozen=True):
    """An answer with another status than the operation's usual one."""

    status: int
    body: Any
    applied: str = ""


Handler = Callable[[Call], Awaitable[Any]]


class Operation(msgspec.Struct, frozen=True):
    """One operation of the API. `other` has further statuses and the types of their bodies;
    `lenient_body` is how the body is read where the caller prefers `handling=lenient`."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    tag: Tag
    summary: str
    roles: frozenset[Role]
    status: int = 200
    query: Any = None
    body: Any = None
    lenient_body: Any = None
    answer: Any = None
    other: Mapping[int, Any] = {}
    errors: tuple[int, ...] = ()

    @property
    def is_audited(self) -> bool:
        """Tell whether it is a change that the audit log has to tell of."""
        return self.method != "GET" and self.roles == ADMIN and self.tag not in BOOKED
