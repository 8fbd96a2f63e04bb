"""Operations that move a product's subscribers to another version, and say before what each of them
would pay. Each is moved by the command by which one subscription is: a migration has no rules of
its own, and whoever cannot be moved stays as he was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Final

from msgspec import structs

from faregate.catalog import products
from faregate.catalog.memory import ProductRow
from faregate.catalog.products import VersionName
from faregate.core.codec import checked
from faregate.core.monthly import Bill, Payer, monthly_bill
from faregate.core.problems import (
    INTERNAL,
    OVERLOADED,
    UNAVAILABLE,
    FaregateError,
    Problem,
    invalid,
)
from faregate.core.subscribing import NOT_NOW, ChangeSubscription
from faregate.core.subscriptions import CatalogView, CompiledVersion, Subscription, in_force
from faregate.customers import directory
from faregate.customers.migrating import (
    Forecasting,
    MigrateProduct,
    MigrateSubscribers,
    Migration,
    MigrationForecast,
    MigrationItem,
    MigrationPreview,
    NotMoved,
    show_amounts,
    together,
)
from faregate.engine.base import EngineBase
from faregate.engine.job_run import JobRun
from faregate.ledger import reading, recent_use, subscribers
from faregate.ledger.reading import Present
from faregate.ledger.recent_use import RecentUse
from faregate.ledger.subscribers import Chosen, Subscriber
from faregate.platform.environments import AccountContext
from faregate.store.protocol import Rows

LOOKS_BACK: Final = timedelta(days=30)
AT_ONCE: Final = 20
"""Subscriptions that are moved at the same time."""
MAX_TRIED: Final = 10_000
"""Subscriptions that one call tries to move."""
MAX_WARNINGS: Final = 10
_FAULTS: Final = (INTERNAL, OVERLOADED, UNAVAILABLE)
"""What is no answer about one subscription, but about the server."""


MAX_FAILED_SHOWN: Final = 100
"""Of those that a job could not move, so many are in its result."""
FORECAST_AT_ONCE: Final = 20

Watch = Callable[[int, int, int], None]
"""Called with how many were tried or looked at, how many were moved, and how many there are."""


def _nobody_watches(_tried: int, _moved: int, _total: int) -> None:
    """Let it go on."""


class MigrationOperations(EngineBase):
    """Moving a product's subscribers to another version."""

    async def migrate_subscribers(
        self,
        product: str,
        request: MigrateSubscribers,
        limit: int = 20,
        offset: int = 0,
        *,
        context: AccountContext | None = None,
    ) -> MigrationPreview | Migration:
        """Move subscribers to another version, or say what they would pay (a page of them).

        Those who cannot be moved stay as they were, and are in the answer with the reason. Raises
        404 for a version that is not there, 422 for one that is not published, or for customers
        who are not subscribed to the product; then nobody was moved. A repeat is harmless.
        """
        request = checked(request)
        environment = await self._look(context)
        found = products.find_product(self._catalog, environment, product)
        number = _target(found, request.to_version)
        if request.effective == "now" and request.proration == "next_period":
            raise FaregateError(invalid("proration", NOT_NOW))
        chosen = await self._chosen(found, request)
        if request.dry_run:
            return await self._preview(environment, found, number, request, chosen, limit, offset)
        return await self._migrate(environment, found.id, number, request, chosen, MAX_TRIED)

    async def _migrate_whole(self, run: JobRun) -> tuple[Migration | MigrationForecast, None]:
        """Do the job `migrate_subscribers`: move all of them, or say what all of them would pay."""
        asked: MigrateProduct = run.request
        request, context = asked.subscribers, run.context
        environment = await self._look(context)
        product = products.find_product(self._catalog, environment, asked.product)
        if not request.dry_run:
            chosen = await self._chosen(product, request)

            def watch(tried: int, moved: int, total: int) -> None:
                run.progress(tried, total, f"{moved:,} moved")

            number = _target(product, request.to_version)
            migration = await self._migrate(
                environment, product.id, number, request, chosen, None, watch
            )
            failed = migration.failed[:MAX_FAILED_SHOWN]
            return structs.replace(migration, failed=failed, failures=len(migration.failed)), None
        forecast = Forecasting()
        while True:
            page = await self.migrate_subscribers(
                asked.product, request, FORECAST_AT_ONCE, forecast.subscribers, context=context
            )
            if not isinstance(page, MigrationPreview):
                raise AssertionError("a dry run has moved somebody")
            forecast.add(page)
            run.progress(
                forecast.subscribers, page.total_count, f"{forecast.subscribers:,} looked at"
            )
            await run.breathe()
            if len(page.items) < FORECAST_AT_ONCE:
                return forecast.show(page.to_version), None

    async def _check_migration(self, request: MigrateProduct, context: AccountContext) -> None:
        """Refuse what cannot be done."""
        environment = await self._look(context)
        found = products.find_product(self._catalog, environment, request.product)
        dry = structs.replace(request.subscribers, dry_run=True)
        await self.migrate_subscribers(found.id, dry, 1, context=context)

    async def _chosen(self, found: ProductRow, request: MigrateSubscribers) -> Chosen:
        return Chosen(
            found.id,
            self._clock(),
            _versions(found, request.from_version),
            await self._named(found, request.customer_ids),
        )

    async def _named(
        self, product: ProductRow, customer_ids: Sequence[str] | None
    ) -> tuple[str, ...] | None:
        """Return the named customers, each once. Raises 422 for one who has not got the product."""
        if customer_ids is None:
            return None
        named = tuple(dict.fromkeys(customer_ids))
        there: set[str] = set()
        chosen = Chosen(product.id, self._clock(), None, named)
        lanes = [lane.number for lane in self._lanes]
        async with aclosing(subscribers.walk_subscribers(self._store, chosen, lanes)) as pages:
            async for page in pages:
                there.update(row.customer_id for row in page)
        for index, customer_id in enumerate(customer_ids):
            if customer_id not in there:
                detail = f"{customer_id!r} is not subscribed to {product.code!r}: leave it out"
                raise FaregateError(invalid(f"customer_ids[{index}]", detail))
        return named

    async def _preview(
        self,
        environment: int,
        product: ProductRow,
        number: int | None,
        request: MigrateSubscribers,
        chosen: Chosen,
        limit: int,
        offset: int,
    ) -> MigrationPreview:
        rows, total = await subscribers.list_subscribers(self._store, chosen, limit, offset)
        view = self._catalog.view(environment)
        to_version = view.version_at(product.id, number, self._clock()).version
        items: list[MigrationItem] = []
        bills: list[tuple[Bill, Bill]] = []
        for row, present, subscription in await self._read(view, rows):
            customer = await directory.find_customer(self._store, environment, row.customer_id)
            version = _version_of(view, product.id, subscription, present)
            target = view.version_at(product.id, number, present.now)
            newest: Rows = ()
            if _uses(present, product.id) == subscription.id:
                newest = await recent_use.read_newest(self._store, row.lane, row.customer_id)
            # Pricing thousands of events takes a while: others go on meanwhile.
            use, before, after = await asyncio.to_thread(
                _bills, newest, present, subscription, (version, target), product.id, view
            )
            bills.append((before, after))
            warnings = [text for text in after.warnings if text not in before.warnings]
            items.append(
                MigrationItem(
                    customer.id,
                    customer.name,
                    subscription.id,
                    version.version,
                    _is_there(subscription, product.id, number, request, present),
                    len(use.events),
                    use.is_partial,
                    show_amounts(before, after),
                    warnings[:MAX_WARNINGS],
                )
            )
        totals = show_amounts(*[together([pair[side] for pair in bills]) for side in (0, 1)])
        return MigrationPreview(to_version, items, totals, total, limit, offset)

    async def _read(
        self, view: CatalogView, rows: Sequence[Subscriber]
    ) -> list[tuple[Subscriber, Present, Subscription]]:
        """Return subscribers as of now, each with the subscription."""
        states = await reading.read_customers(
            self._store, [(row.lane, row.customer_id) for row in rows]
        )
        found = []
        for row in rows:
            present = reading.as_of(states[row.customer_id], view, self._lanes[row.lane].now())
            subscription = next(s for s in present.subscriptions if s.id == row.subscription_id)
            found.append((row, present, subscription))
        return found

    async def _migrate(
        self,
        environment: int,
        product_id: str,
        number: int | None,
        request: MigrateSubscribers,
        chosen: Chosen,
        most: int | None,
        watch: Watch = _nobody_watches,
    ) -> Migration:
        total = await subscribers.count_chosen(self._store, chosen)
        moved = already_there = 0
        failed: list[NotMoved] = []
        lanes = [lane.number for lane in self._lanes]
        async with aclosing(subscribers.walk_subscribers(self._store, chosen, lanes)) as pages:
            async for page in pages:
                to_move: list[Subscriber] = []
                read = await self._read(self._catalog.view(environment), page)
                for row, present, subscription in read:
                    if _is_there(subscription, product_id, number, request, present):
                        already_there += 1
                    elif detail := _never_renews(subscription, request):
                        failed.append(NotMoved(row.customer_id, row.subscription_id, detail))
                    else:
                        to_move.append(row)
                room = len(to_move) if most is None else most - moved - len(failed)
                for first in range(0, min(len(to_move), room), AT_ONCE):
                    some = to_move[first : min(first + AT_ONCE, room)]
                    said = await asyncio.gather(
                        *[self._try(environment, product_id, number, request, row) for row in some],
                        return_exceptions=True,
                    )
                    for row, outcome in zip(some, said, strict=True):
                        if isinstance(outcome, BaseException):
                            raise outcome
                        if outcome is None:
                            moved += 1
                        else:
                            why = NotMoved(row.customer_id, row.subscription_id, outcome.detail)
                            failed.append(why)
                    watch(moved + already_there + len(failed), moved, total)
                watch(moved + already_there + len(failed), moved, total)
                if most is not None and moved + len(failed) >= most:
                    break
        return Migration(moved, already_there, failed, total)

    async def _try(
        self,
        environment: int,
        product_id: str,
        number: int | None,
        request: MigrateSubscribers,
        row: Subscriber,
    ) -> Problem | None:
        """Move one subscription; return why it cannot be moved. Raises what is the server's."""
        command = ChangeSubscription(
            row.customer_id,
            row.subscription_id,
            product_id=product_id,
            version=number,
            effective=request.effective,
            proration=request.proration,
            credits=request.credits,
        )
        try:
            await self._lanes[row.lane].submit(command, environment)
        except FaregateError as error:
            if error.problem.kind in _FAULTS:
                raise
            return error.problem
        return None


def _target(product: ProductRow, name: VersionName) -> int | None:
    """Return the number of the version to move to; None: the default. Raises 404, 422."""
    if name == "default" and product.default_version is None:
        raise FaregateError(invalid("to_version", "has no published version: publish one"))
    row = products.find_version(product, name)
    if row.status != "published":
        remedy = f"{name} is {row.status}: name a published one"
        raise FaregateError(invalid("to_version", remedy))
    return None if name == "default" else row.version


def _versions(product: ProductRow, name: VersionName | None) -> tuple[int, ...] | None:
    """Return which versions those have who are meant, as the ledger writes them (0: those who
    follow the default). Raises 404."""
    if name is None:
        return None
    if name == "default":
        return (0,)
    number = products.find_version(product, name).version
    return (0, number) if product.default_version == number else (number,)


def _version_of(
    view: CatalogView, product_id: str, subscription: Subscription, present: Present
) -> CompiledVersion:
    bindings = in_force(subscription.bindings, present.now)
    binding = next(b for b in bindings if b.product_id == product_id)
    return view.version_at(product_id, binding.version, present.now)


def _is_there(
    subscription: Subscription,
    product_id: str,
    number: int | None,
    request: MigrateSubscribers,
    present: Present,
) -> bool:
    """Tell whether a subscription has a version, or moves to it in time."""
    last = [b for b in subscription.bindings if b.product_id == product_id][-1]
    return last.version == number and (last.from_at <= present.now or request.effective != "now")


def _never_renews(subscription: Subscription, request: MigrateSubscribers) -> str | None:
    """Say that a subscription ends before it would move; None if it does not."""
    is_paused = subscription.terms.paused_at is not None
    ends_at = subscription.stretches[-1].to_at if subscription.stretches else None
    if request.effective == "now" or is_paused or ends_at is None:
        return None
    return f"it ends on {ends_at.isoformat()} and does not renew: send effective 'now' to move it"


def _uses(present: Present, product_id: str) -> str | None:
    """Return which of a customer's subscriptions to a product its use counts under: the oldest that
    is not over."""
    for subscription in present.subscriptions:
        is_over = (
            subscription.status(present.now) == "inactive" and subscription.terms.paused_at is None
        )
        if not is_over and any(b.product_id == product_id for b in subscription.bindings):
            return subscription.id
    return None


def _bills(
    newest: Rows,
    present: Present,
    subscription: Subscription,
    versions: tuple[CompiledVersion, CompiledVersion],
    product_id: str,
    view: CatalogView,
) -> tuple[RecentUse, Bill, Bill]:
    """Return a customer's use of the last days, and what it comes to under each of two versions."""
    use = recent_use.recent_use(newest, present.now - LOOKS_BACK)
    begins_at = subscription.stretches[0].from_at if subscription.stretches else None
    payer = Payer(
        subscription.terms,
        present.accounts.keys(),
        begins_at,
        view.timezone,
        product_id,
        present.now,
        view.rates,
    )
    before, after = [monthly_bill(version, payer, use.events) for version in versions]
    return use, before, after
