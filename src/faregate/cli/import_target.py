"""Where an import goes: to a running server, or straight into a database that none has. Either
takes a batch of lines and says what became of each.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol, cast

import msgspec

from faregate.cli.settings import Mode, open_database
from faregate.client.address import Address
from faregate.client.calls import Request
from faregate.client.retrying import RetryPolicy
from faregate.client.transport import AsyncTransport, Route
from faregate.core.codec import decode, encode
from faregate.core.mapping import MappingRules
from faregate.core.mapping_defaults import DEFAULT_RULES
from faregate.core.observed import Observed
from faregate.engine import Engine
from faregate.operations.acting import ACCOUNT
from faregate.operations.importing import (
    ImportedLine,
    LineResult,
    LinesImported,
    show_outcome,
)
from faregate.platform.environments import AccountContext

PATH: Final = "/ingestion/import"
TIMEOUT_SECONDS: Final = 120.0
Say = Callable[[str], None]


class Target(Protocol):
    """What takes lines."""

    name: str
    """Which account and mode of which database."""

    async def rules(self) -> MappingRules:
        """Return the rules that are set for imports."""
        ...

    async def send(self, lines: Sequence[Observed], rules: MappingRules) -> list[LineResult]:
        """Charge for lines; answers when what is booked is durable. May be repeated."""
        ...


class ServerTarget:
    """A running server, over REST."""

    def __init__(self, transport: AsyncTransport, account: str | None) -> None:
        self._transport = transport
        self._headers = {} if account is None else {ACCOUNT: account}
        self.name = ""

    async def rules(self) -> MappingRules:
        """Return the rules that are set for imports."""
        return DEFAULT_RULES["import"]

    async def send(self, lines: Sequence[Observed], rules: MappingRules) -> list[LineResult]:
        """Send lines, again and again while the server cannot take them."""
        written = [ImportedLine(o.id, o.occurred_at, dict(o.fields), o.place) for o in lines]
        return (await self.ask({"lines": written, "rules": rules})).results

    async def ask(self, body: Any) -> LinesImported:
        """Ask the operation that takes lines."""
        read = partial(decode, LinesImported)
        headers = {"content-type": "application/json", **self._headers}
        return await self._transport.send(Request("POST", PATH, read, encode(body), headers))


class SetRules(msgspec.Struct):
    """Of the answer about an account's rules, the rules."""

    rules: MappingRules


class DatabaseTarget:
    """A database that this process serves while it imports."""

    def __init__(self, engine: Engine, context: AccountContext) -> None:
        self._engine = engine
        self._context = context
        self.name = f"{context.account_id} {context.environment}"

    async def rules(self) -> MappingRules:
        """Return the rules that are set for imports."""
        return DEFAULT_RULES["import"]

    async def send(self, lines: Sequence[Observed], rules: MappingRules) -> list[LineResult]:
        """Book lines."""
        done = await self._engine.ingest("import", lines, rules=rules, context=self._context)
        return [show_outcome(outcome) for outcome in done.outcomes]


@asynccontextmanager
async def server_target(
    address: Address, account: str | None, patience_seconds: float, say: Say
) -> AsyncIterator[Target]:
    """Open a server. `patience_seconds` is how long it may be away; `say` is told when it is.
    Raises `FaregateClientError` if the key is none."""
    policy = RetryPolicy(tries=100, max_total_seconds=patience_seconds)
    route = Route(address, policy, TIMEOUT_SECONDS, random.SystemRandom().random)
    transport = AsyncTransport(route, _telling(address.url, say))
    try:
        target = ServerTarget(transport, account)
        found = await target.ask({"lines": []})
        target.name = f"{found.account_id} {found.mode}"
        yield target
    finally:
        await transport.close()


def _telling(url: str, say: Say) -> Callable[[float], Awaitable[object]]:
    async def sleep(seconds: float) -> None:
        if seconds >= 1:
            say(f"{url} does not take it now: trying again in {seconds:.0f} s")
        await asyncio.sleep(seconds)

    return sleep


@asynccontextmanager
async def database_target(url: str, mode: Mode, account: str | None) -> AsyncIterator[Target]:
    """Open a database that no server has; refuses the setting if one has. Raises `FaregateError`
    (404) if there is no such account."""
    async with open_database(url, serves=True) as engine:
        context = engine.context_of(mode)
        if account is not None:
            context = await engine.acting_for(account, mode)
        yield cast(Target, DatabaseTarget(engine, context))
