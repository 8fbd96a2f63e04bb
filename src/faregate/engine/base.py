"""What every operation of the engine stands on: the open store and its lanes, in whose name
something is done, which lane a customer has, and first answers under an Idempotency-Key.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from weakref import WeakValueDictionary

import msgspec

from faregate.catalog.memory import CatalogMemory
from faregate.core.accounts import account_id
from faregate.core.codec import decode, differing_fields, encode
from faregate.core.ids import IdSource
from faregate.core.instants import to_us
from faregate.core.problems import (
    NOT_FOUND,
    UNAVAILABLE,
    FaregateError,
    Problem,
    conflict,
)
from faregate.core.subscriptions import CatalogView
from faregate.costing.attaching import Attaching, load_table
from faregate.customers import directory
from faregate.engine.job_run import JobKind, JobRun
from faregate.engine.waiting import WaitingForCredit
from faregate.ingestion.recently import Recently
from faregate.ledger import reading
from faregate.ledger.lane import Lane
from faregate.ledger.lease import new_holder
from faregate.ledger.reading import Present
from faregate.payments.external import ExternalProvider, ExternalSecrets
from faregate.payments.provider import Merchant, PaymentProvider
from faregate.payments.sandbox import SandboxProvider
from faregate.payments.sealing import read_secret
from faregate.platform import environments
from faregate.platform.environments import AccountContext, Mode
from faregate.platform.export_folder import ExportFolder
from faregate.store.idempotency import first_answer, remember_answer
from faregate.store.open import open_store
from faregate.store.protocol import DuplicateKey, Queries, Store, StoreUnavailable
from faregate.store.versions import is_known, newest_version
from faregate.webhooks.addresses import Allowed
from faregate.webhooks.fanning import Place
from faregate.webhooks.posting import Poster
from faregate.webhooks.sending import Sender

Clock = Callable[[], datetime]
T = TypeVar("T")
WAIT_SECONDS: Final = 15.0
MAX_KNOWN_CUSTOMERS: Final = 200_000


def system_clock() -> datetime:
    """Return the present instant, in UTC."""
    return datetime.now(UTC)


def _beside(url: str) -> Path | None:
    """Return the folder for exports beside a SQLite file."""
    if not url.startswith("sqlite:///"):
        return None
    return Path(url.removeprefix("sqlite:///")).parent / "exports"


class AnsweredMeanwhile(FaregateError):
    """The same request, under the same Idempotency-Key, was answered while this one was under way:
    nothing of this one is kept, and the first answer is there from now on."""


class Page(msgspec.Struct, frozen=True):
    """A page of a list, and how many there are in all."""

    items: list[Any]
    total_count: int
    limit: int
    offset: int


class Key(msgspec.Struct, frozen=True):
    """A caller's Idempotency-Key (None: there is none), for one operation of one environment."""

    operation: str
    value: str | None
    environment_id: int


def merchant_of(context: AccountContext) -> Merchant:
    """Return for whom money is collected that is an account's, in one of its modes."""
    return Merchant(
        context.environment_id,
        context.account_id,
        context.environment == "live",
        context.is_platform,
    )


def place_of(context: AccountContext) -> Place:
    """Return an account in one of its modes, as webhooks know it."""
    is_live = context.environment == "live"
    return Place(context.environment_id, context.account_id, context.is_platform, is_live)


def page_of(items: Sequence[Any], limit: int, offset: int) -> Page:
    """Cut a page out of a list that is in memory whole."""
    return Page(list(items[offset : offset + limit]), len(items), limit, offset)


class EngineBase:
    """An open database with its lanes, its catalog and its clock."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        mode: Mode,
        payments: Sequence[PaymentProvider] = (),
        webhook_allow: str = "",
        external: ExternalSecrets | None = None,
        exports: Path | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._mode = mode
        self._ids = IdSource(secrets.randbits)
        self._catalog = CatalogMemory(store, Attaching, load_table)
        self._lanes: list[Lane] = []
        self._contexts: dict[tuple[str, Mode], AccountContext] = {}
        self._lane_by_customer: dict[tuple[int, str], int] = {}
        self._holds_ended_to: dict[int, tuple[int, str]] = {}
        self._serves = False
        self._exports = ExportFolder(exports or _beside(store.url))
        self._job_kinds: dict[str, JobKind] = {}
        self._running: dict[str, JobRun] = {}
        self._holder = new_holder()
        self.sandbox = SandboxProvider(store, clock)
        self.external = ExternalProvider(store, external or ExternalSecrets())
        self._providers: dict[str, PaymentProvider] = {
            provider.name: provider for provider in (*payments, self.sandbox, self.external)
        }
        self._awaited = WaitingForCredit()
        self._recently = Recently()
        self._secret = b""
        self._payment_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._poster = Poster(Allowed.parse(webhook_allow))
        self._sender = Sender(
            store,
            self._lanes,
            self._places,
            self._poster.post,
            lambda: to_us(clock()),
            IdSource(secrets.randbits),
            secrets.SystemRandom().random,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        mode: Mode = "test",
        clock: Clock = system_clock,
        migrate: bool | None = None,
        wait_seconds: float = WAIT_SECONDS,
        serves: bool = True,
        stands_by: bool = False,
        payments: Sequence[PaymentProvider] = (),
        webhook_allow: str = "",
        external: ExternalSecrets | None = None,
        exports: Path | None = None,
    ) -> AsyncIterator[Self]:
        """Open a database and serve it until the block ends.

        While another process serves it, wait for up to `wait_seconds`; with `stands_by`, begin at
        once and refuse with 503 what changes a wallet, until the other one stops or is gone.
        With `serves` false no lane is taken: keys, catalog and reads work, also while another
        process serves the database; what changes a wallet is refused.

        `payments` collect money, the first that serves an account before the others; the sandbox,
        for the test mode, is always there and comes last. `external` are the secrets by which
        sellers' own systems sign what they tell of payments (None: nothing is told).

        `webhook_allow` lists hosts and networks, separated by commas, to which webhooks may go
        although they are not public. Files that people may fetch are written to the folder
        `exports` (None: `exports` beside the SQLite file; with PostgreSQL, none is written).

        SQLite is migrated by itself, PostgreSQL only if it is empty or `migrate` is true.
        Raises `FaregateError` (503) if the database cannot be used, with the reason.
        """
        try:
            store = await open_store(url)
        except StoreUnavailable as error:
            raise FaregateError(Problem(UNAVAILABLE, str(error))) from error
        engine = cls(store, clock, mode, payments, webhook_allow, external, exports)
        try:
            await engine._start(migrate, wait_seconds if serves else None, stands_by)
            yield engine
        finally:
            try:
                await engine._close_webhooks()
                for lane in engine._lanes:
                    await lane.stop()
            finally:
                await store.close()

    async def _start(
        self, migrate: bool | None, wait_seconds: float | None, stands_by: bool
    ) -> None:
        version = await self._store.schema_version()
        if version is not None and not is_known(version):
            detail = f"the database has schema {version}, of a newer Faregate: upgrade Faregate"
            raise FaregateError(Problem(UNAVAILABLE, detail))
        if version != newest_version():
            if migrate or version is None or (migrate is None and self._is_sqlite):
                await self._store.migrate()
            else:
                detail = f"the schema is {version}, needed is {newest_version()}: run migrate"
                raise FaregateError(Problem(UNAVAILABLE, detail))
        await environments.ensure_first_account(self._store, self._ticked(), self._clock())
        for context in await environments.list_contexts(self._store):
            self._contexts[context.account_id, context.environment] = context
        self._context = self.context_of(self._mode)
        self._secret = await read_secret(self._store)
        self.sandbox.begin(self._secret)
        await self._catalog.refresh()
        self._serves = wait_seconds is not None
        holder = self._holder
        for lease in await self._store.leases():
            lane = Lane(
                self._store,
                lease.lane,
                self._catalog,
                self._clock,
                IdSource(secrets.randbits),
                holder,
                self._awaited,
            )
            self._lanes.append(lane)
            if wait_seconds is not None:
                await lane.start(wait_seconds, stands_by=stands_by)

    async def _places(self) -> list[Place]:
        """Return every account in each of its modes, as webhooks know them."""
        return [place_of(c) for c in await environments.list_contexts(self._store)]

    async def _close_webhooks(self) -> None:
        await self._sender.close()
        await self._poster.close()

    @property
    def _is_sqlite(self) -> bool:
        return self._store.url.startswith("sqlite")

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes of this process, for their statistics."""
        return self._lanes

    @property
    def context(self) -> AccountContext:
        """The account and mode in which methods act that are given no other."""
        return self._context

    @property
    def contexts(self) -> Sequence[AccountContext]:
        """Every account in each of its modes that this process knows: all that there were when it
        began, and those that it has heard of since."""
        return list(self._contexts.values())

    def context_of(self, mode: Mode) -> AccountContext:
        """Return the platform's own account in this mode."""
        return next(c for c in self._contexts.values() if c.is_platform and c.environment == mode)

    def now(self) -> datetime:
        """Return the engine's present instant."""
        return self._clock()

    def _ticked(self) -> IdSource:
        self._ids.tick(self._clock())
        return self._ids

    def _environment(self, context: AccountContext | None) -> int:
        return (context or self.context).environment_id

    async def _look(self, context: AccountContext | None) -> int:
        """Return the environment to read in. Beside another process that serves, its newest
        catalog and its ledger's time are read first; the one who serves knows them."""
        if not (self._serves and all(lane.has_lease for lane in self._lanes)):
            await self._catalog.refresh()
            for lane, lease in zip(self._lanes, await self._store.leases(), strict=True):
                lane.follow(lease)
        return self._environment(context)

    def catalog_view(self, context: AccountContext | None = None) -> CatalogView:
        """Return the catalog's newest snapshot."""
        return self._catalog.view(self._environment(context))

    def payment_providers(self, context: AccountContext | None = None) -> Sequence[str]:
        """Return the names of those who can collect money for an account in its mode."""
        merchant = merchant_of(context or self.context)
        return [p.name for p in self._providers.values() if p.serves(merchant)]

    async def is_ready(self) -> bool:
        """Tell whether the database answers and every lane may write."""
        try:
            leases = await self._store.leases()
        except StoreUnavailable:
            return False
        pairs = zip(self._lanes, leases, strict=True)
        return all(lane.may_write(lease) for lane, lease in pairs)

    @asynccontextmanager
    async def _catalog_change(self) -> AsyncIterator[Queries]:
        """Change the catalog: raises its epoch, so that every lane's next commit notices."""
        async with self._store.transaction() as transaction:
            await transaction.fetch("UPDATE catalog_epoch SET epoch = epoch + 1")
            yield transaction
        await self._catalog.refresh()

    def _lane_for(self, environment_id: int, customer_id: str) -> Lane:
        digest = hashlib.blake2b(f"{environment_id}:{customer_id}".encode(), digest_size=8)
        return self._lanes[int.from_bytes(digest.digest(), "big") % len(self._lanes)]

    async def _lane_of(self, environment_id: int, customer_id: str) -> Lane:
        """Return the lane of a customer of this environment. Raises 404."""
        key = (environment_id, customer_id)
        number = self._lane_by_customer.get(key)
        if number is None:
            row = await directory.find_customer(self._store, environment_id, customer_id)
            number = row.lane
            if len(self._lane_by_customer) >= MAX_KNOWN_CUSTOMERS:
                self._lane_by_customer.clear()
            self._lane_by_customer[key] = number
        return self._lanes[number]

    async def _present(self, environment_id: int, lane: Lane, customer_id: str) -> Present:
        """Return a customer as of now."""
        state = await reading.read_customer(self._store, lane.number, customer_id)
        return reading.as_of(state, self._catalog.view(environment_id), lane.now())

    def _scale(self, environment_id: int, account: str) -> int:
        name, _, code = account.rpartition(":")
        asset = self._catalog.view(environment_id).assets.get(code)
        if asset is None or account != account_id(name, code) or not name:
            detail = f"{account!r} is not an account: write name:ASSET, e.g. default:USD"
            raise FaregateError(Problem(NOT_FOUND, detail))
        return asset.scale

    async def _first_answer(
        self, queries: Queries, key: Key, request: msgspec.Struct, kind: type[T]
    ) -> T | None:
        """Return the first answer under a caller's Idempotency-Key. Raises 409 if it is reused."""
        if key.value is None:
            return None
        first = await first_answer(queries, key.environment_id, key.value)
        if first is None:
            return None
        operation, body, answer = first
        if operation != key.operation:
            differing = ["operation"]
        else:
            again = decode(dict[str, Any], encode(request))
            differing = differing_fields(decode(dict[str, Any], body), again)
        if differing:
            detail = (
                f"Idempotency-Key {key.value!r} was used before with another "
                f"{', '.join(differing)}: use a new key, or send the first body again"
            )
            raise FaregateError(conflict(differing[0], detail, *differing[1:]))
        return decode(kind, answer)

    async def _once(
        self,
        key: Key,
        queries: Queries,
        request: msgspec.Struct,
        kind: type[T],
        action: Callable[[], Awaitable[T]],
    ) -> T:
        """Do something in a transaction, or return what it answered under the same key before."""
        first = await self._first_answer(queries, key, request, kind)
        if first is not None:
            return first
        try:
            answer = await action()
        except FaregateError:
            # What is in its way may be the same request, which somebody else was faster to do.
            first = await self._first_answer(self._store, key, request, kind)
            if first is None:
                raise
            return first
        if key.value is not None:
            try:
                await remember_answer(
                    queries,
                    key.environment_id,
                    key.value,
                    key.operation,
                    encode(request).decode(),
                    encode(answer).decode(),
                    to_us(self._clock()),
                )
            except DuplicateKey:
                detail = "the same request is being answered at this moment: send it again"
                raise AnsweredMeanwhile(Problem(UNAVAILABLE, detail, {}, 1)) from None
        return answer
