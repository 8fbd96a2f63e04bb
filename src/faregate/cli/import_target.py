"""Where an import goes: to a running server, or straight into a database that none has. Either
takes a batch of lines and says what became of each.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol, TypeVar

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
from faregate.ingestion.imported import ImportedLine, LineResult, LinesImported, result_of
from faregate.operations.acting import ACCOUNT
from faregate.operations.ingesting import PreviewAnswer, ShownPreview, show_preview
from faregate.platform.environments import AccountContext

PATH: Final = "/ingestion/import"
TIMEOUT_SECONDS: Final = 120.0
T = TypeVar("T")
Say = Callable[[str], None]


class Target(Protocol):
    """What takes lines. `name` says which account and mode of which database."""

    name: str
    rules: MappingRules
    """Those that are set for imports."""

    async def send(self, lines: Sequence[Observed], rules: MappingRules) -> list[LineResult]:
        """Charge for lines; answers when what is booked is durable. May be repeated."""
        ...

    async def preview(self, lines: Sequence[Observed], rules: MappingRules) -> list[ShownPreview]:
        """Say what lines would become; changes nothing."""
        ...


class ServerTarget:
    """A running server, over REST."""

    def __init__(self, transport: AsyncTransport, account: str | None) -> None:
        self._transport = transport
        self._headers = {"content-type": "application/json"}
        if account is not None:
            self._headers[ACCOUNT] = account
        self.name = ""
        self.rules = DEFAULT_RULES["import"]

    async def begin(self) -> None:
        """Ask for whom the key imports, and by which rules."""
        found = await self._ask(PATH, LinesImported, {"lines": []})
        self.name, self.rules = f"{found.account_id} {found.mode}", found.rules

    async def send(self, lines: Sequence[Observed], rules: MappingRules) -> list[LineResult]:
        """Send lines, again and again while the server cannot take them."""
        body = {"lines": _written(lines), "rules": rules}
        return (await self._ask(PATH, LinesImported, body)).results

    async def preview(self, lines: Sequence[Observed], rules: MappingRules) -> list[ShownPreview]:
        """Ask what lines would become."""
        body = {"sample": {"lines": _written(lines)}, "rules": rules}
        return (await self._ask(f"{PATH}/preview", PreviewAnswer, body)).items

    async def _ask(self, path: str, kind: type[T], body: Any) -> T:
        read = partial(decode, kind)
        return await self._transport.send(Request("POST", path, read, encode(body), self._headers))


def _written(lines: Sequence[Observed]) -> list[ImportedLine]:
    return [ImportedLine(o.id, o.occurred_at, dict(o.fields), o.place) for o in lines]


class DatabaseTarget:
    """A database that this process serves while it imports."""

    def __init__(self, engine: Engine, context: AccountContext, rules: MappingRules) -> None:
        self._engine = engine
        self._context = context
        self.name = f"{context.account_id} {context.environment}"
        self.rules = rules

    async def send(self, lines: Sequence[Observed], rules: MappingRules) -> list[LineResult]:
        """Book lines."""
        done = await self._engine.ingest("import", lines, rules=rules, context=self._context)
        return [result_of(outcome) for outcome in done.outcomes]

    async def preview(self, lines: Sequence[Observed], rules: MappingRules) -> list[ShownPreview]:
        """Say what lines would become."""
        sample = encode({"lines": _written(lines)})
        found = await self._engine.preview_ingestion(
            "import", sample, rules=rules, context=self._context
        )
        return [show_preview(one, self._engine, self._context, "", "") for one in found]


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
        await target.begin()
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
        rules = (await engine.get_ingestion_rules("import", context=context)).rules
        yield DatabaseTarget(engine, context, rules)
