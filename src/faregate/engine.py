"""The composition root: one object with every operation, its clock and its store. REST, the
command line and a program that embeds Faregate all call the same methods, so they cannot differ.

    async with Engine.open("sqlite:///faregate.db") as engine:
        await engine.record_events("cust_…", [UsageEvent(id="1", event_type="call", …)])

Every method takes an optional `context` (account and mode); without one, it acts in the first
account's mode that `open` was given. Every refusal is a `FaregateError` and has changed nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeVar, cast

import msgspec

from faregate.catalog import assets, products
from faregate.catalog.memory import CatalogMemory
from faregate.catalog.products import VersionName
from faregate.catalog.types import (
    AssetCreated,
    AssetDetails,
    AssetItem,
    CreateAsset,
    CreateProduct,
    CreateVersion,
    Product,
    ProductItem,
    ProductVersion,
    UpdateVersion,
    VersionCreated,
)
from faregate.core.amounts import AmountError, to_decimal, to_units
from faregate.core.codec import checked, decode, encode, same_json
from faregate.core.customers import CustomerState
from faregate.core.decide import Answer, ChangeSubscription, SetOverdraft, Subscribe
from faregate.core.events import (
    MAX_EVENTS,
    BookedEvent,
    EventsBooked,
    Fee,
    RecordEvents,
    UsageEvent,
    check_free,
)
from faregate.core.grants import Grant
from faregate.core.ids import IdSource
from faregate.core.instants import is_in_range, to_us
from faregate.core.prices import ACCOUNT_NAME
from faregate.core.pricing import SimulatedFee, simulate
from faregate.core.problems import (
    CONFLICT,
    NOT_FOUND,
    UNAVAILABLE,
    FaregateError,
    Problem,
    invalid,
)
from faregate.core.subscriptions import CatalogView, Subscription
from faregate.core.transactions import (
    Adjust,
    AdjustmentRequest,
    BookedTransaction,
    Charge,
    ChargeRequest,
)
from faregate.core.wallet import Account, account_id, open_account
from faregate.customers import directory
from faregate.customers.directory import CustomerRow
from faregate.customers.subscribing import new_subscription, show_subscription
from faregate.customers.types import (
    CreateCustomer,
    CreateSubscription,
    Customer,
    CustomerCreated,
    Overdraft,
    ShownGrant,
    ShownSubscription,
    UpdateCustomer,
    Wallet,
    WalletAccount,
)
from faregate.ledger import reading, totals
from faregate.ledger.lane import Lane
from faregate.ledger.lease import new_holder
from faregate.ledger.reading import ListedEvent
from faregate.ledger.totals import Charged
from faregate.ledger.verify import Progress, Report, verify
from faregate.platform import environments, keys
from faregate.platform.environments import AccountContext, Mode
from faregate.platform.keys import ApiKey, Role
from faregate.store.idempotency import first_answer, remember_answer
from faregate.store.migrate import is_known, newest_version
from faregate.store.open import open_store
from faregate.store.protocol import DuplicateKey, Queries, Store, StoreUnavailable

Clock = Callable[[], datetime]
T = TypeVar("T")
WAIT_SECONDS: Final = 15.0
MAX_KNOWN_CUSTOMERS: Final = 200_000


def system_clock() -> datetime:
    """Return the present instant, in UTC."""
    return datetime.now(UTC)


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


class _MadeSubscription(msgspec.Struct, frozen=True):
    """A new subscription, and how it is answered."""

    subscription: Subscription
    shown: ShownSubscription


class BookedFee(msgspec.Struct, frozen=True):
    """A fee of an event, and when it was booked."""

    fee: Fee
    created_at: datetime


class Engine:
    """Faregate in this process. Make one with `Engine.open`."""

    def __init__(self, store: Store, clock: Clock, mode: Mode) -> None:
        self._store = store
        self._clock = clock
        self._mode = mode
        self._ids = IdSource(secrets.randbits)
        self._catalog = CatalogMemory(store)
        self._lanes: list[Lane] = []
        self._contexts: list[AccountContext] = []
        self._lane_by_customer: dict[tuple[int, str], int] = {}
        self._serves = False

    # -- life ---------------------------------------------------------------------------------

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
    ) -> AsyncIterator[Engine]:
        """Open a database and serve it until the block ends.

        With `serves` false no lane is taken: keys, catalog and reads work, also while another
        process serves the database; what changes a wallet is refused.

        SQLite is migrated by itself, PostgreSQL only if it is empty or `migrate` is true.
        Raises `FaregateError` (503) if the database cannot be used, with the reason.
        """
        try:
            store = await open_store(url)
        except StoreUnavailable as error:
            raise FaregateError(Problem(UNAVAILABLE, str(error))) from error
        engine = cls(store, clock, mode)
        try:
            await engine._start(migrate, wait_seconds if serves else None)
            yield engine
        finally:
            for lane in engine._lanes:
                await lane.stop()
            await store.close()

    async def _start(self, migrate: bool | None, wait_seconds: float | None) -> None:
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
        self._contexts = await environments.list_contexts(self._store)
        self._context = self.context_of(self._mode)
        await self._catalog.refresh()
        self._serves = wait_seconds is not None
        holder = new_holder()
        for lease in await self._store.leases():
            lane = Lane(
                self._store,
                lease.lane,
                self._catalog,
                self._clock,
                IdSource(secrets.randbits),
                holder,
            )
            self._lanes.append(lane)
            if wait_seconds is not None:
                await lane.start(wait_seconds)

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

    def context_of(self, mode: Mode) -> AccountContext:
        """Return the first account's context in this mode."""
        return next(c for c in self._contexts if c.environment == mode)

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
        if not self._serves:
            await self._catalog.refresh()
            for lane, lease in zip(self._lanes, await self._store.leases(), strict=True):
                lane.follow(lease)
        return self._environment(context)

    def catalog_view(self, context: AccountContext | None = None) -> CatalogView:
        """Return the catalog's newest snapshot."""
        return self._catalog.view(self._environment(context))

    # -- keys ---------------------------------------------------------------------------------

    async def create_key(
        self, mode: Mode, role: Role, name: str, secret: str | None = None
    ) -> tuple[ApiKey, str]:
        """Make an API key; returns it with its secret, which is shown this once."""
        secret = secret or keys.new_secret(mode)
        context = self.context_of(keys.mode_of(secret))
        async with self._store.transaction() as transaction:
            key = await keys.store_key(
                transaction, context, secret, role, name, self._ticked(), self._clock()
            )
        return key, secret

    async def find_key(self, secret: str) -> ApiKey | None:
        """Return the key with this secret, None if there is none in force."""
        return await keys.find_key(self._store, secret) if keys.KEY.fullmatch(secret) else None

    async def list_keys(self) -> list[ApiKey]:
        """Return all keys, revoked ones too."""
        return await keys.list_keys(self._store)

    async def revoke_key(self, key_id: str) -> None:
        """End a key."""
        async with self._store.transaction() as transaction:
            await keys.revoke_key(transaction, key_id, self._clock())

    # -- catalog ------------------------------------------------------------------------------

    @asynccontextmanager
    async def _catalog_change(self) -> AsyncIterator[Queries]:
        """Change the catalog: raises its epoch, so that every lane's next commit notices."""
        async with self._store.transaction() as transaction:
            await transaction.fetch("UPDATE catalog_epoch SET epoch = epoch + 1")
            yield transaction
        await self._catalog.refresh()

    async def create_asset(
        self,
        request: CreateAsset,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> AssetCreated:
        """Create a custom credit."""
        request = checked(request)
        assets.check_asset(request)
        environment = self._environment(context)
        async with self._catalog_change() as change:
            return await self._once(
                Key("assets", idempotency_key, environment),
                change,
                request,
                AssetCreated,
                lambda: assets.create_asset(change, environment, request, self._clock()),
            )

    async def list_assets(
        self, limit: int = 20, offset: int = 0, *, context: AccountContext | None = None
    ) -> Page:
        """List custom credits, then currencies."""
        items = assets.list_assets(self._catalog, await self._look(context))
        return _page(items, limit, offset)

    async def get_asset(self, code: str, *, context: AccountContext | None = None) -> AssetDetails:
        """Return an asset with its rates."""
        environment = await self._look(context)
        return await assets.get_asset(self._store, self._catalog, environment, code)

    async def create_product(
        self,
        request: CreateProduct,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> VersionCreated:
        """Create a product with its version 1."""
        request = checked(request)
        environment = self._environment(context)
        products.check_version(self._catalog, environment, request)
        async with self._catalog_change() as change:
            return await self._once(
                Key("products", idempotency_key, environment),
                change,
                request,
                VersionCreated,
                lambda: products.create_product(
                    change, environment, request, self._ticked(), self._clock()
                ),
            )

    async def create_version(
        self,
        product: str,
        request: CreateVersion,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> VersionCreated:
        """Create the next version of a product."""
        request = checked(request)
        environment = self._environment(context)
        found = products.find_product(self._catalog, environment, product)
        products.check_version(self._catalog, environment, request)
        async with self._catalog_change() as change:
            return await self._once(
                Key(f"versions of {found.id}", idempotency_key, environment),
                change,
                request,
                VersionCreated,
                lambda: products.create_version(
                    change, found, request, self._ticked(), self._clock()
                ),
            )

    async def update_version(
        self,
        product: str,
        version: VersionName,
        request: UpdateVersion,
        *,
        context: AccountContext | None = None,
    ) -> None:
        """Publish a version, make it the default, or both."""
        request = checked(request)
        found = products.find_product(self._catalog, self._environment(context), product)
        row = products.find_version(found, version)
        async with self._catalog_change() as change:
            await products.update_version(change, found, row, request, self._clock())

    async def get_product(self, product: str, *, context: AccountContext | None = None) -> Product:
        """Return a product by id or code."""
        found = products.find_product(self._catalog, await self._look(context), product)
        return products.show_product(found)

    async def get_version(
        self, product: str, version: VersionName, *, context: AccountContext | None = None
    ) -> ProductVersion:
        """Return one version of a product."""
        found = products.find_product(self._catalog, await self._look(context), product)
        return products.show_version(found, products.find_version(found, version))

    async def list_products(
        self,
        limit: int = 20,
        offset: int = 0,
        code: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List products, the newest first."""
        rows = reversed(self._catalog.products(await self._look(context)).values())
        items = [ProductItem(p.id, p.code, p.name) for p in rows if code in (None, p.code)]
        return _page(items, limit, offset)

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
            before = decode(dict[str, Any], body)
            now = decode(dict[str, Any], encode(request))
            differing = [
                name
                for name in dict.fromkeys((*before, *now))
                if name not in before or name not in now or not same_json(before[name], now[name])
            ]
        if differing:
            detail = (
                f"Idempotency-Key {key.value!r} was used before with another "
                f"{', '.join(differing)}: use a new key, or send the first body again"
            )
            errors = {name: ["differs"] for name in differing}
            raise FaregateError(Problem(CONFLICT, detail, errors))
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
                raise FaregateError(Problem(UNAVAILABLE, detail, {}, 1)) from None
        return answer

    # -- customers ----------------------------------------------------------------------------

    async def create_customer(
        self,
        request: CreateCustomer,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> CustomerCreated:
        """Create a customer with subscriptions.

        The subscriptions are written first, the customer last: whatever happens in between,
        nobody ever sees a customer without them.
        """
        request = checked(request)
        environment = self._environment(context)
        key = Key("customers", idempotency_key, environment)
        first = await self._first_answer(self._store, key, request, CustomerCreated)
        if first is not None:
            return first
        too_large = check_free("metadata", request.metadata)
        if too_large is not None:
            raise FaregateError(too_large)
        if request.external_id is not None:
            try:
                await directory.check_external_id(self._store, environment, request.external_id)
            except FaregateError:
                # It may have been the same request, that somebody else has just done.
                first = await self._first_answer(self._store, key, request, CustomerCreated)
                if first is None:
                    raise
                return first
        now, ids = self._clock(), self._ticked()
        customer_id = ids.next("cust")
        view = self._catalog.view(environment)
        subscriptions = tuple(
            new_subscription(wanted, view.products, f"subscriptions[{i}].", ids, now)
            for i, wanted in enumerate(request.subscriptions or ())
        )
        lane = self._lane_for(environment, customer_id)
        if subscriptions:
            await lane.submit(Subscribe(customer_id, subscriptions), environment)
        shown = [show_subscription(s, view.products, now) for s in subscriptions]

        async def insert() -> CustomerCreated:
            await directory.insert_customer(
                transaction, environment, customer_id, lane.number, request, now
            )
            return CustomerCreated(customer_id, shown)

        async with self._store.transaction() as transaction:
            return await self._once(key, transaction, request, CustomerCreated, insert)

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

    async def customer_id_of(
        self, external_id: str, *, context: AccountContext | None = None
    ) -> str:
        """Return the id of the customer with this external id."""
        environment = self._environment(context)
        return await directory.find_by_external_id(self._store, environment, external_id)

    async def external_ids(
        self, customer_ids: Sequence[str], *, context: AccountContext | None = None
    ) -> dict[str, str | None]:
        """Return the external ids of customers, by id."""
        environment = self._environment(context)
        return await directory.external_ids(self._store, environment, customer_ids)

    async def is_ready(self) -> bool:
        """Tell whether the database answers and every lane may write."""
        try:
            await self._store.leases()
        except StoreUnavailable:
            return False
        return all(lane.has_lease for lane in self._lanes)

    async def update_customer(
        self, customer_id: str, request: UpdateCustomer, *, context: AccountContext | None = None
    ) -> None:
        """Change a customer's name, e-mail or external id."""
        request = checked(request)
        async with self._store.transaction() as transaction:
            await directory.update_customer(
                transaction, self._environment(context), customer_id, request
            )

    async def get_customer(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> Customer:
        """Return a customer with subscriptions."""
        environment = await self._look(context)
        row = await directory.find_customer(self._store, environment, customer_id)
        state = await reading.read_customer(self._store, row.lane, row.id)
        return self._show_customer(row, state, environment)

    def _show_customer(
        self, row: CustomerRow, state: CustomerState, environment_id: int
    ) -> Customer:
        view, now = self._catalog.view(environment_id), self._clock()
        shown = [show_subscription(s, view.products, now) for s in state.subscriptions]
        return Customer(
            id=row.id,
            name=row.name,
            active_subscription_count=sum(s.status == "active" for s in shown),
            created_at=row.created_at,
            external_id=row.external_id,
            email=row.email,
            metadata=row.metadata,
            subscriptions=shown,
            external_accounts=row.external_accounts,
        )

    async def list_customers(
        self,
        limit: int = 20,
        offset: int = 0,
        filters: Mapping[str, str] | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List customers, the newest first. Filters: customer_id, external_id, email, name."""
        environment = await self._look(context)
        rows, total = await directory.list_customers(
            self._store, environment, filters or {}, limit, offset, self._clock()
        )
        states = await reading.read_customers(self._store, [(row.lane, row.id) for row in rows])
        items = [self._show_customer(row, states[row.id], environment) for row in rows]
        return Page(items, total, limit, offset)

    async def create_subscription(
        self,
        customer_id: str,
        request: CreateSubscription,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> ShownSubscription:
        """Subscribe a customer to products."""
        request = checked(request)
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        key = Key(f"subscriptions of {customer_id}", idempotency_key, environment)

        async def make() -> _MadeSubscription:
            view, now = self._catalog.view(environment), self._clock()
            subscription = new_subscription(request, view.products, "", self._ticked(), now)
            return _MadeSubscription(
                subscription, show_subscription(subscription, view.products, now)
            )

        if idempotency_key is None:
            made = await make()
        else:
            # What is to be written is kept first: a repeat after a fault writes just that, if it
            # was not written.
            async with self._store.transaction() as transaction:
                made = await self._once(key, transaction, request, _MadeSubscription, make)
        await lane.submit(Subscribe(customer_id, (made.subscription,)), environment)
        return made.shown

    async def set_subscription_status(
        self,
        customer_id: str,
        subscription_id: str,
        *,
        is_active: bool,
        context: AccountContext | None = None,
    ) -> Subscription:
        """Switch a subscription on or off, from now."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        command = ChangeSubscription(customer_id, subscription_id, is_active)
        return cast(Subscription, await lane.submit(command, environment))

    async def set_subscription_version(
        self,
        customer_id: str,
        subscription_id: str,
        product: str,
        version: VersionName,
        *,
        context: AccountContext | None = None,
    ) -> Subscription:
        """Bind a subscription's product to another version, from now."""
        environment = self._environment(context)
        found = products.find_product(self._catalog, environment, product)
        number: int | None = None
        if version != "default":
            row = products.find_version(found, version)
            if row.status != "published":
                raise FaregateError(invalid("version", f"{version} is {row.status}: publish it"))
            number = row.version
        lane = await self._lane_of(environment, customer_id)
        command = ChangeSubscription(customer_id, subscription_id, None, found.id, number)
        return cast(Subscription, await lane.submit(command, environment))

    # -- usage --------------------------------------------------------------------------------

    async def record_events(
        self,
        customer_id: str,
        events: Sequence[UsageEvent],
        *,
        is_lenient: bool = False,
        are_checked: bool = False,
        weight: int = 0,
        context: AccountContext | None = None,
    ) -> EventsBooked:
        """Price and charge a customer's usage events, in order, each once.

        All or nothing, unless `is_lenient`: then each event's own status is in the answer.
        `are_checked` says that the events were decoded from JSON, which checks them already.
        `weight` is what they count for in the lane's bounded queue, at least 1 each.
        """
        if not 1 <= len(events) <= MAX_EVENTS:
            raise FaregateError(invalid("events", f"has {len(events)}: send 1 to {MAX_EVENTS}"))
        if not are_checked:
            events = [_checked_event(event, index) for index, event in enumerate(events)]
        weight = max(weight, len(events))
        answer = self.try_record(customer_id, tuple(events), is_lenient, weight, context)
        if answer is None:
            await self._lane_of(self._environment(context), customer_id)
            answer = self.try_record(customer_id, tuple(events), is_lenient, weight, context)
        if answer is None:
            raise AssertionError("the customer's lane was just looked up")
        return cast(EventsBooked, await answer)

    def try_record(
        self,
        customer_id: str,
        events: tuple[UsageEvent, ...],
        is_lenient: bool,
        weight: int,
        context: AccountContext | None,
    ) -> asyncio.Future[Answer] | None:
        """Queue checked events of a customer whose lane is known; None if it is to be looked up.

        The short way in for those who call very often: what comes back is the lane's own future.
        Raises `FaregateError` (429, 503) as `Lane.submit` does.
        """
        environment = (context or self._context).environment_id
        number = self._lane_by_customer.get((environment, customer_id))
        if number is None:
            return None
        command = RecordEvents(customer_id, events, is_lenient, self._clock())
        return self._lanes[number].submit(command, environment, weight)

    async def simulate_usage(
        self,
        product: str,
        version: VersionName,
        events: Sequence[UsageEvent],
        *,
        context: AccountContext | None = None,
    ) -> tuple[list[SimulatedFee], list[str]]:
        """Price made-up events under one version, a draft too; changes nothing.

        Returns the fees and, per event that gave none, a warning.
        """
        environment = await self._look(context)
        found = products.find_product(self._catalog, environment, product)
        row = products.find_version(found, version)
        compiled = self._catalog.compile(found, row, self._catalog.view(environment).assets)
        outcome = simulate(compiled, events)
        if isinstance(outcome, Problem):
            raise FaregateError(outcome)
        return outcome

    async def get_event(
        self,
        event_id: str,
        customer_id: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> tuple[str, BookedEvent]:
        """Return (customer id, event). Raises 409 if several customers have used the id."""
        environment = await self._look(context)
        if customer_id is None:
            owners = await reading.owners_of_event(self._store, environment, event_id)
            if len(owners) > 1:
                detail = f"several customers have an event {event_id!r}: add ?customer_id="
                raise FaregateError(Problem(CONFLICT, detail, {"customer_id": ["is needed"]}))
            customer_id = owners[0] if owners else ""
        else:
            await self._lane_of(environment, customer_id)
        if customer_id:
            lane = await self._lane_of(environment, customer_id)
            booked = await reading.read_event(self._store, lane.number, (event_id, customer_id))
            if booked is not None:
                return customer_id, booked
        raise FaregateError(Problem(NOT_FOUND, f"there is no event {event_id!r}"))

    async def list_events(
        self,
        limit: int = 20,
        offset: int = 0,
        filters: Mapping[str, Any] | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List events, the newest first. Filters as in `reading.list_events`; dates as days."""
        wanted = dict(filters or {})
        for field, bound, days in (
            ("period_from", "occurred_from", 0),
            ("period_to", "occurred_before", 1),
        ):
            day = wanted.get(field)
            if isinstance(day, date):
                if not is_in_range(datetime.combine(day, time(), UTC)):
                    raise FaregateError(invalid(field, f"is {day}: send a day from 1970 to 8999"))
                wanted[bound] = datetime.combine(day + timedelta(days=days), time(), UTC)
        environment = await self._look(context)
        lanes = [lane.number for lane in self._lanes]
        customer_id = wanted.get("customer_id")
        if customer_id is not None:
            try:
                lanes = [(await self._lane_of(environment, customer_id)).number]
            except FaregateError:
                return Page([], 0, limit, offset)
        found: list[ListedEvent]
        found, total = await reading.list_events(
            self._store, environment, lanes, wanted, limit, offset
        )
        return Page(found, total, limit, offset)

    async def charged_since(
        self, before: Mapping[int, int], *, context: AccountContext | None = None
    ) -> Charged:
        """Return what was charged since an earlier call's `upto` (empty: ever)."""
        return await totals.charged_since(self._store, self._environment(context), before)

    async def latest_events(
        self, limit: int = 20, *, context: AccountContext | None = None
    ) -> list[ListedEvent]:
        """Return the newest events, the newest first, without counting how many there are."""
        return await totals.latest_events(self._store, self._environment(context), limit)

    # -- wallet -------------------------------------------------------------------------------

    async def adjust(
        self,
        customer_id: str,
        request: AdjustmentRequest,
        *,
        context: AccountContext | None = None,
    ) -> BookedTransaction:
        """Credit or debit a wallet."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        return cast(
            BookedTransaction, await lane.submit(Adjust(customer_id, checked(request)), environment)
        )

    async def charge(
        self, customer_id: str, request: ChargeRequest, *, context: AccountContext | None = None
    ) -> BookedTransaction:
        """Charge a wallet an ad-hoc fee."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        return cast(
            BookedTransaction, await lane.submit(Charge(customer_id, checked(request)), environment)
        )

    async def get_transaction(
        self, customer_id: str, identifier: str, *, context: AccountContext | None = None
    ) -> BookedTransaction | BookedFee:
        """Find an adjustment, a charge or an event's fee, by its id or the caller's own."""
        lane = await self._lane_of(await self._look(context), customer_id)
        if identifier.startswith("fee_"):
            fee = await reading.read_fee(self._store, lane.number, customer_id, identifier)
            if fee is not None:
                return BookedFee(*fee)
        booked = await reading.read_transaction(self._store, lane.number, customer_id, identifier)
        if booked is None:
            raise FaregateError(Problem(NOT_FOUND, f"there is no transaction {identifier!r}"))
        return booked

    async def set_overdraft(
        self,
        customer_id: str,
        account: str,
        request: Overdraft,
        *,
        context: AccountContext | None = None,
    ) -> WalletAccount:
        """Say how far an account may go below zero."""
        request = checked(request)
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        scale = self._scale(environment, account)
        if not ACCOUNT_NAME.fullmatch(account.rpartition(":")[0]):
            remedy = "has 1 to 64 letters, digits, '_', '.' or '-': use another name"
            raise FaregateError(invalid("account_id", f"{account[:100]!r}: the name {remedy}"))
        limit = request.limit
        if (request.policy == "limit") != (limit is not None):
            raise FaregateError(invalid("limit", "belongs to the policy 'limit', and only to it"))
        try:
            units = 0 if limit is None else to_units(limit, scale)
        except AmountError as error:
            raise FaregateError(invalid("limit", f"{limit} {error}")) from None
        command = SetOverdraft(customer_id, account, request.policy, units)
        changed = cast(Account, await lane.submit(command, environment))
        return _show_account(changed, scale)

    def _scale(self, environment_id: int, account: str) -> int:
        name, _, code = account.rpartition(":")
        asset = self._catalog.view(environment_id).assets.get(code)
        if asset is None or account != account_id(name, code) or not name:
            detail = f"{account!r} is not an account: write name:ASSET, e.g. default:USD"
            raise FaregateError(Problem(NOT_FOUND, detail))
        return asset.scale

    async def get_wallet(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> Wallet:
        """Return every account of a customer, with its balance now."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        accounts = await reading.read_accounts(self._store, lane.number, customer_id, lane.now())
        return Wallet([_show_account(a, self._scale(environment, a.id)) for a in accounts.values()])

    async def get_account(
        self, customer_id: str, account: str, *, context: AccountContext | None = None
    ) -> WalletAccount:
        """Return one account's balance now; an account that was never used has 0."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        scale = self._scale(environment, account)
        accounts = await reading.read_accounts(self._store, lane.number, customer_id, lane.now())
        return _show_account(accounts.get(account) or open_account(account), scale)

    async def list_grants(
        self,
        customer_id: str,
        account: str,
        limit: int = 20,
        offset: int = 0,
        keep: Callable[[Grant, datetime], bool] = lambda _grant, _now: True,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List an account's grants, the newest first, that `keep` says yes to."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        scale, now = self._scale(environment, account), lane.now()
        found = await reading.list_grants(self._store, lane.number, customer_id, account, now)
        shown = [
            ShownGrant(
                grant.id,
                to_decimal(grant.remaining_units, scale),
                grant.effective_at,
                grant.expires_at,
                grant.purpose,
                grant.created_at,
            )
            for grant in found
            if keep(grant, now)
        ]
        return _page(shown, limit, offset)

    # -- proof --------------------------------------------------------------------------------

    async def verify(self, progress: Progress | None = None) -> Report:
        """Recompute every balance from the transfers and compare."""
        return await verify(self._store, progress) if progress else await verify(self._store)


def _checked_event(event: UsageEvent, index: int) -> UsageEvent:
    try:
        return checked(event)
    except FaregateError as error:
        raise FaregateError(error.problem.under(f"events[{index}]")) from None


def _page(items: Sequence[Any], limit: int, offset: int) -> Page:
    return Page(list(items[offset : offset + limit]), len(items), limit, offset)


def _show_account(account: Account, scale: int) -> WalletAccount:
    limit = to_decimal(account.overdraft_limit_units, scale)
    is_limited = account.overdraft_policy == "limit"
    return WalletAccount(
        account.id,
        account.name,
        account.asset,
        to_decimal(account.available_units, scale),
        to_decimal(0, scale),
        to_decimal(0, scale),
        msgspec.convert(
            {"policy": account.overdraft_policy, **({"limit": limit} if is_limited else {})},
            Overdraft,
            dec_hook=lambda kind, value: kind(value),
        ),
    )


__all__ = ["AssetItem", "Engine", "Page", "system_clock"]
