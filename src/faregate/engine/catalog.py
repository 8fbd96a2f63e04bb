"""Operations on what is sold: assets, products and their versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from faregate.catalog import assets, products, rates
from faregate.catalog.products import VersionName
from faregate.catalog.types import (
    AddAssetRate,
    AssetCreated,
    AssetDetails,
    AssetQuote,
    AssetRate,
    CreateAsset,
    CreateProduct,
    CreateVersion,
    Product,
    ProductItem,
    ProductVersion,
    QuoteAsset,
    UpdateVersion,
    VersionCreated,
    VersionDiff,
)
from faregate.core.alerts import Alerts, check_alerts
from faregate.core.bonuses import TopUpBonus, check_bonuses
from faregate.core.codec import checked
from faregate.core.differences import Offer, differences
from faregate.core.limits import check_timezone
from faregate.core.payment_rules import PaymentRules, check_payments
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.core.subscriptions import RenewalRules, check_renewals
from faregate.core.topics import PriceChanged
from faregate.engine.base import EngineBase, Key, Page, page_of, place_of
from faregate.platform import environments
from faregate.platform.environments import AccountContext
from faregate.store.protocol import Queries
from faregate.webhooks import destinations, fanning
from faregate.webhooks.fanning import Audience

_PRICE_CHANGED: Final = "price.changed"


class CatalogOperations(EngineBase):
    """Assets, products and their versions."""

    async def change_settings(
        self,
        timezone: str | None = None,
        renewals: RenewalRules | None = None,
        payments: PaymentRules | None = None,
        alerts: Alerts | None = None,
        *,
        attach_costs: bool | None = None,
        context: AccountContext | None = None,
    ) -> None:
        """Say in which timezone the account's days begin (an IANA name), for what is set up from
        now on, what happens when a balance does not cover a renewal, how payments are taken in
        this mode, when the account wants to be warned, and whether events of this mode get the
        costs of the models that they name: all, or what is given. Raises 422."""
        if all(one is None for one in (timezone, renewals, payments, alerts, attach_costs)):
            remedy = "or renewals, payments, alerts or attach_costs is missing: say what changes"
            raise FaregateError(invalid("timezone", remedy))
        problem = None if timezone is None else check_timezone(timezone)
        if renewals is not None:
            renewals = checked(renewals)
            problem = problem or check_renewals(renewals)
        acts = context or self.context
        if payments is not None:
            payments = checked(payments)
            problem = problem or check_payments(payments, self.catalog_view(acts).assets)
            problem = problem or self._check_provider(payments.provider, acts)
        if alerts is not None:
            alerts = checked(alerts)
            problem = problem or check_alerts(alerts, self.catalog_view(context).assets)
        if problem is not None:
            raise FaregateError(problem)
        account_id = acts.account_id
        async with self._catalog_change() as change:
            if timezone is not None:
                await environments.set_timezone(change, account_id, timezone)
            if renewals is not None:
                await environments.set_renewals(change, account_id, renewals)
            if alerts is not None:
                await environments.set_alerts(change, account_id, alerts)
            if payments is not None:
                await environments.set_payments(change, acts.environment_id, payments)
            if attach_costs is not None:
                await environments.set_attaches_costs(
                    change, acts.environment_id, attaches_costs=attach_costs
                )

    def _check_provider(self, name: str | None, acts: AccountContext) -> Problem | None:
        """Refuse a payment provider that is not there, or not for this account and mode."""
        able = self.payment_providers(acts)
        if name is None or name in able:
            return None
        shown = ", ".join(able) or "none yet"
        return invalid("payments.provider", f"is {name!r}; known here are: {shown}")

    async def set_top_up_bonus(
        self,
        code: str,
        rules: Sequence[TopUpBonus],
        *,
        context: AccountContext | None = None,
    ) -> AssetDetails:
        """Say what top-ups of an asset bring beside them, from now on, in place of what was said
        before; nothing, if there are no rules. Payments that have begun keep what was promised.
        Raises 404, 422."""
        environment = await self._look(context)
        asset = rates.find_asset(self._catalog, environment, code)
        problem = check_bonuses(rules, asset)
        if problem is not None:
            raise FaregateError(problem)
        async with self._catalog_change() as change:
            await assets.write_bonuses(change, environment, code, rules)
        return await self.get_asset(code, context=context)

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
        return page_of(items, limit, offset)

    async def get_asset(self, code: str, *, context: AccountContext | None = None) -> AssetDetails:
        """Return an asset with its rates."""
        environment = await self._look(context)
        return await assets.get_asset(self._store, self._catalog, environment, code)

    async def add_asset_rate(
        self,
        code: str,
        request: AddAssetRate,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> AssetRate:
        """Say what an asset costs in a currency from an instant on; closes the rate before.

        Raises 404, 409 (a rate begins then, or it would make a circle) or 422.
        """
        request = checked(request)
        environment = await self._look(context)
        async with self._catalog_change() as change:
            return await self._once(
                Key(f"assets/{code}/rates", idempotency_key, environment),
                change,
                request,
                AssetRate,
                lambda: rates.add_rate(
                    change, self._catalog, environment, code, request, self._clock()
                ),
            )

    async def quote_asset(
        self, code: str, request: QuoteAsset, *, context: AccountContext | None = None
    ) -> AssetQuote:
        """Return what an amount of a currency buys at an instant, rounded down to the asset's
        precision. Raises 404 or 422."""
        request = checked(request)
        environment = await self._look(context)
        now = self._clock()
        return await rates.quote(self._store, self._catalog, environment, code, request, now)

    @asynccontextmanager
    async def _price_change(
        self, context: AccountContext | None
    ) -> AsyncIterator[tuple[Queries, products.Tell]]:
        """Change the catalog, with what tells webhooks of a price in the same transaction."""
        place = place_of(context or self.context)
        async with self._catalog_change() as change:

            async def tell(changed: PriceChanged) -> None:
                await destinations.lock(change)
                there = await destinations.may_hear(change, place.environment_id)
                hearing = await Audience(there, self._places).of(place, _PRICE_CHANGED)
                if hearing:
                    ids, line = self._ticked(), place.account_id
                    await fanning.tell(
                        change, hearing, _PRICE_CHANGED, changed, place, ids, changed.at, line=line
                    )

            yield change, tell
        self._sender.wake()

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
        async with self._price_change(context) as (change, tell):
            return await self._once(
                Key("products", idempotency_key, environment),
                change,
                request,
                VersionCreated,
                lambda: products.create_product(
                    change,
                    environment,
                    request,
                    self._ticked(),
                    self._clock(),
                    tell,
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
        async with self._price_change(context) as (change, tell):
            return await self._once(
                Key(f"versions of {found.id}", idempotency_key, environment),
                change,
                request,
                VersionCreated,
                lambda: products.create_version(
                    change,
                    found,
                    request,
                    self._ticked(),
                    self._clock(),
                    tell,
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
        async with self._price_change(context) as (change, tell):
            await products.update_version(change, found, row, request, self._clock(), tell)

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

    async def diff_versions(
        self,
        product: str,
        version: VersionName,
        against: VersionName,
        *,
        context: AccountContext | None = None,
    ) -> VersionDiff:
        """Say what a version has changed of another one (`against`). Raises 404."""
        found = products.find_product(self._catalog, await self._look(context), product)
        after, before = [products.find_version(found, name) for name in (version, against)]
        old, new = [Offer(v.prices, v.entitlements, v.commitments) for v in (before, after)]
        changes = differences(old, new)
        return VersionDiff(before.version, after.version, changes)

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
        return page_of(items, limit, offset)
