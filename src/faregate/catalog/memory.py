"""The catalog in memory: one snapshot per environment, read again when the epoch has moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from faregate.catalog.types import Status
from faregate.core.alerts import ALERTS, Alerts
from faregate.core.assets import CURRENCIES, Asset, custom_asset
from faregate.core.bonuses import TopUpBonus
from faregate.core.codec import decode
from faregate.core.commitments import PlanCommitment, compile_commitment
from faregate.core.compiled import CompiledPrice, compile_price
from faregate.core.discounts import Coupon
from faregate.core.instants import from_us
from faregate.core.limits import Limit
from faregate.core.model_prices import Attach
from faregate.core.own_model_prices import ModelPrice
from faregate.core.payment_rules import PAYMENTS, PaymentRules
from faregate.core.plans import PlanCredit, PlanPrice, compile_credit, compile_fixed
from faregate.core.prices import Commitment, Entitlement, FixedPrice, Price, UsageBasedPrice
from faregate.core.rates import Rate
from faregate.core.subscriptions import (
    RENEWALS,
    CatalogView,
    CompiledProduct,
    CompiledVersion,
    RenewalRules,
)
from faregate.store.protocol import Row, Rows, Store

Plans = tuple[tuple[PlanPrice, ...], tuple[PlanCredit, ...], tuple[PlanCommitment, ...]]
"""A version's fixed prices, entitlements and commitments."""


VERSION_COLUMNS: Final = "version, status, prices, entitlements, created_at, commitments"


class VersionRow(msgspec.Struct, frozen=True):
    """A version as it is stored."""

    version: int
    status: Status
    prices: tuple[Price, ...]
    entitlements: tuple[Entitlement, ...]
    created_at: datetime
    commitments: tuple[Commitment, ...] = ()


class ProductRow(msgspec.Struct, frozen=True):
    """A product as it is stored, its versions by number."""

    id: str
    environment_id: int
    code: str
    name: str
    versions: dict[int, VersionRow]
    defaults: list[tuple[datetime, int]]

    @property
    def default_version(self) -> int | None:
        """The version that is the default now; None if there is none, or if it is archived."""
        if not self.defaults:
            return None
        row = self.versions.get(self.defaults[-1][1])
        return None if row is None or row.status == "archived" else row.version


class Settings(msgspec.Struct, frozen=True):
    """What an account has said of itself in one of its modes."""

    timezone: str = "UTC"
    renewals: RenewalRules = RENEWALS
    payments: PaymentRules = PAYMENTS
    alerts: Alerts = ALERTS
    attaches_costs: bool = False


def _settings(
    timezone: str,
    renewals: str | None,
    payments: str | None,
    alerts: str | None,
    attaches_costs: int,
) -> Settings:
    return Settings(
        timezone,
        RENEWALS if renewals is None else decode(RenewalRules, renewals),
        PAYMENTS if payments is None else decode(PaymentRules, payments),
        ALERTS if alerts is None else decode(Alerts, alerts),
        bool(attaches_costs),
    )


def read_version(row: Row) -> VersionRow:
    """Read `VERSION_COLUMNS`."""
    version, status, prices, entitlements, created_at, committed = row
    return VersionRow(
        version,
        status,
        decode(tuple[Price, ...], prices),
        decode(tuple[Entitlement, ...], entitlements),
        from_us(created_at),
        () if committed is None else decode(tuple[Commitment, ...], committed),
    )


def read_rate(row: Row) -> Rate:
    """Read a row of `asset_rates` from its source on."""
    source, valid_from, valid_to, rate, inverse = row
    return Rate(
        source,
        from_us(valid_from),
        None if valid_to is None else from_us(valid_to),
        Decimal(rate) if rate else None,
        None if inverse is None else Decimal(inverse),
    )


class CatalogMemory:
    """All environments' catalogs. `epoch` says which state of the database they show."""

    def __init__(
        self,
        store: Store,
        costing: Callable[[Sequence[ModelPrice]], Attach] | None = None,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`costing` makes of an account's own prices what says which costs are attached; `prepare`
        is awaited before anybody's are."""
        self.epoch = 0
        self._store = store
        self._costing = costing
        self._prepare = prepare
        self._model_prices: dict[int, tuple[ModelPrice, ...]] = {}
        self._products: dict[int, dict[str, ProductRow]] = {}
        self._views: dict[int, CatalogView] = {}
        self._compiled: dict[tuple[str, int], tuple[CompiledPrice, ...]] = {}
        self._plans: dict[tuple[str, int], Plans] = {}

    def view(self, environment_id: int) -> CatalogView:
        """Return the newest snapshot that this process knows."""
        found = self._views.get(environment_id)
        if found is None:
            found = CatalogView(self.epoch, CURRENCIES, {}, {})
            self._views[environment_id] = found
        return found

    def products(self, environment_id: int) -> dict[str, ProductRow]:
        """Return an environment's products by id, the oldest first."""
        return self._products.get(environment_id, {})

    def model_prices(self, environment_id: int) -> tuple[ModelPrice, ...]:
        """Return what the seller says that models cost."""
        return self._model_prices.get(environment_id, ())

    async def refresh(self, *, for_lane: bool = False) -> None:
        """Read the catalog again, if it has changed, as of one instant.

        `for_lane` says that charges wait for it.
        """
        async with self._store.snapshot(for_lane=for_lane) as snapshot:
            await self._read(snapshot.fetch)

    async def _read(self, fetch: Callable[[str], Awaitable[Rows]]) -> None:
        epoch = int((await fetch("SELECT epoch FROM catalog_epoch"))[0][0])
        if epoch <= self.epoch:
            return
        assets: dict[int, dict[str, Asset]] = defaultdict(lambda: dict(CURRENCIES))
        for environment_id, code, name, decimals, label, symbol in await fetch(
            "SELECT environment_id, code, name, decimals, label, symbol FROM assets"
        ):
            assets[environment_id][code] = custom_asset(code, name, decimals, label, symbol)
        versions: dict[str, dict[int, VersionRow]] = defaultdict(dict)
        for product_id, *row in await fetch(
            f"SELECT product_id, {VERSION_COLUMNS} FROM product_versions "
            "ORDER BY product_id, version"
        ):
            versions[product_id][row[0]] = read_version(row)
        defaults: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        for product_id, from_at, version in await fetch(
            "SELECT product_id, from_at, version FROM product_defaults ORDER BY from_at"
        ):
            defaults[product_id].append((from_us(from_at), version))
        products: dict[int, dict[str, ProductRow]] = defaultdict(dict)
        for product_id, environment_id, code, name in await fetch(
            "SELECT id, environment_id, code, name FROM products ORDER BY id"
        ):
            products[environment_id][product_id] = ProductRow(
                product_id,
                environment_id,
                code,
                name,
                versions[product_id],
                defaults[product_id],
            )
        limits: dict[int, list[Limit]] = defaultdict(list)
        for environment_id, terms in await fetch(
            "SELECT environment_id, terms FROM account_limits ORDER BY limit_id"
        ):
            limits[environment_id].append(decode(Limit, terms))
        settings: dict[int, Settings] = {
            row[0]: _settings(*row[1:])
            for row in await fetch(
                "SELECT id, timezone, renewals, payments, alerts, attaches_costs FROM environments"
            )
        }
        bonuses: dict[int, dict[str, tuple[TopUpBonus, ...]]] = defaultdict(dict)
        for environment_id, code, terms in await fetch(
            "SELECT environment_id, asset, terms FROM top_up_bonuses"
        ):
            bonuses[environment_id][code] = decode(tuple[TopUpBonus, ...], terms)
        rates: dict[int, dict[str, list[Rate]]] = defaultdict(lambda: defaultdict(list))
        for environment_id, code, *columns in await fetch(
            "SELECT environment_id, asset, source, valid_from, valid_to, rate, inverse_rate "
            "FROM asset_rates ORDER BY asset, valid_from DESC"
        ):
            rates[environment_id][code].append(read_rate(columns))
        clocks: dict[int, dict[str, datetime]] = defaultdict(dict)
        for environment_id, clock_id, now_us in await fetch(
            "SELECT environment_id, id, now_us FROM test_clocks"
        ):
            clocks[environment_id][clock_id] = from_us(now_us)
        coupons: dict[int, dict[str, Coupon]] = defaultdict(dict)
        for environment_id, code, terms in await fetch(
            "SELECT environment_id, code, terms FROM coupons WHERE deleted_at IS NULL"
        ):
            coupons[environment_id][code] = decode(Coupon, terms)
        model_prices: dict[int, tuple[ModelPrice, ...]] = defaultdict(tuple)
        for environment_id, terms in await fetch(
            "SELECT environment_id, terms FROM model_prices WHERE deleted_at IS NULL ORDER BY id"
        ):
            model_prices[environment_id] += (decode(ModelPrice, terms),)
        # Discounts live on when their coupons are deleted.
        discounted = {row[0] for row in await fetch("SELECT DISTINCT environment_id FROM coupons")}
        if self._prepare is not None and any(one.attaches_costs for one in settings.values()):
            await self._prepare()
        if epoch <= self.epoch:
            return  # Another refresh has read something newer meanwhile.
        environments = set(assets) | set(products) | set(settings)
        self._products = products
        self._model_prices = dict(model_prices)
        self._views = {
            environment_id: self._view(
                epoch,
                assets[environment_id],
                products[environment_id],
                tuple(limits[environment_id]),
                settings.get(environment_id, Settings()),
                clocks[environment_id],
                {code: tuple(found) for code, found in rates[environment_id].items()},
                coupons[environment_id],
                bonuses[environment_id],
                model_prices[environment_id],
                has_discounts=environment_id in discounted,
            )
            for environment_id in environments
        }
        self.epoch = epoch

    def _view(
        self,
        epoch: int,
        assets: dict[str, Asset],
        products: dict[str, ProductRow],
        limits: tuple[Limit, ...],
        settings: Settings,
        clocks: dict[str, datetime],
        rates: dict[str, tuple[Rate, ...]],
        coupons: dict[str, Coupon],
        bonuses: dict[str, tuple[TopUpBonus, ...]],
        model_prices: tuple[ModelPrice, ...],
        *,
        has_discounts: bool,
    ) -> CatalogView:
        compiled: dict[str, CompiledProduct] = {}
        prices: dict[str, CompiledPrice] = {}
        for product in products.values():
            versions: dict[int, CompiledVersion] = {}
            for row in product.versions.values():
                if row.status == "draft":
                    continue
                by_type: dict[str, tuple[CompiledPrice, ...]] = {}
                for price in self.compile(product, row, assets):
                    by_type[price.event_type] = (*by_type.get(price.event_type, ()), price)
                    prices[price.id] = price
                versions[row.version] = CompiledVersion(
                    row.version,
                    by_type,
                    *self.compile_plans(product, row, assets),
                    row.status == "published",
                )
            compiled[product.id] = CompiledProduct(
                product.id,
                product.code,
                product.name,
                versions,
                tuple(from_at for from_at, _ in product.defaults),
                tuple(version for _, version in product.defaults),
            )
        has_tiers = any(price.tiering is not None for price in prices.values())
        has_commitments = any(
            version.commitments for one in compiled.values() for version in one.versions.values()
        )
        costing = self._costing if settings.attaches_costs else None
        return CatalogView(
            epoch,
            assets,
            compiled,
            prices,
            limits,
            settings.timezone,
            has_tiers,
            settings.renewals,
            clocks,
            rates,
            coupons,
            has_discounts or has_commitments,
            settings.payments,
            bonuses,
            settings.alerts.low_units(assets),
            settings.alerts.expiring_before,
            settings.alerts,
            None if costing is None else costing(model_prices),
        )

    def compile_plans(
        self, product: ProductRow, row: VersionRow, assets: Mapping[str, Asset]
    ) -> Plans:
        """Compile what a version brings by itself, once."""
        key = (product.id, row.version)
        found = self._plans.get(key)
        if found is None:
            of = (assets, product.id, product.code, row.version)
            prices = [compile_fixed(p, *of) for p in row.prices if isinstance(p, FixedPrice)]
            credits = [compile_credit(entitlement, *of) for entitlement in row.entitlements]
            commitments = [compile_commitment(commitment, *of) for commitment in row.commitments]
            found = self._plans[key] = (tuple(prices), tuple(credits), tuple(commitments))
        return found

    def compile(
        self, product: ProductRow, row: VersionRow, assets: Mapping[str, Asset]
    ) -> tuple[CompiledPrice, ...]:
        """Compile a version's usage prices, once: a version's prices never change."""
        key = (product.id, row.version)
        found = self._compiled.get(key)
        if found is None:
            found = tuple(
                compile_price(price, assets, product.id, product.code, row.version)
                for price in row.prices
                if isinstance(price, UsageBasedPrice)
            )
            self._compiled[key] = found
        return found
