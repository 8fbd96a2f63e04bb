"""What is kept of the demo by whoever makes it theirs: what is sold, if they want it, and how it is
set up. It is read through one engine and written through another, as a program would that moves
from one Faregate to the next; what customers did stays behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import structs

from faregate.catalog.types import (
    AssetDetails,
    CreateAsset,
    CreateProduct,
    CreateVersion,
    ProductVersion,
    StartingRate,
    UpdateVersion,
)
from faregate.core.alerts import Alerts
from faregate.core.amounts import Number
from faregate.core.bonuses import TopUpBonus
from faregate.core.payment_rules import PaymentRules
from faregate.core.subscriptions import RenewalRules
from faregate.engine import Engine
from faregate.web.dashboard.demo import Mine

PAGE: Final = 100


class KeptAsset(msgspec.Struct, frozen=True):
    """A custom credit, and what top-ups of it bring beside them."""

    asset: CreateAsset
    bonuses: tuple[TopUpBonus, ...]


class KeptProduct(msgspec.Struct, frozen=True):
    """A product with those of its versions that are not archived, the first one first; `default` is
    the place of the one that is the default."""

    name: str
    code: str
    versions: tuple[CreateVersion, ...]
    default: int | None


class KeptSettings(msgspec.Struct, frozen=True):
    """In which timezone days begin, what becomes of renewals that are not paid, and how payments
    are taken."""

    timezone: str
    renewals: RenewalRules
    payments: PaymentRules


class Kept(msgspec.Struct, frozen=True):
    """What is taken along."""

    assets: tuple[KeptAsset, ...] = ()
    products: tuple[KeptProduct, ...] = ()
    settings: KeptSettings | None = None
    alerts: Alerts | None = None


async def read_kept(engine: Engine, *, products: bool, settings: bool) -> Kept:
    """Read what is sold, how it is set up, or both. Below which balance customers are warned may
    depend on assets that are sold, so it goes with both."""
    assets, kept = await _read_products(engine) if products else ((), ())
    view = engine.catalog_view()
    chosen = KeptSettings(view.timezone, view.renewals, view.payments) if settings else None
    return Kept(assets, kept, chosen, view.alerts if settings and products else None)


async def _read_products(
    engine: Engine,
) -> tuple[tuple[KeptAsset, ...], tuple[KeptProduct, ...]]:
    assets: list[KeptAsset] = []
    for code in _custom(engine):
        found = await engine.get_asset(code)
        assets.append(KeptAsset(_asset(found, engine.now()), tuple(found.top_up_bonus or ())))
    kept: list[KeptProduct] = []
    offset = 0
    while True:
        page = await engine.list_products(PAGE, offset)
        for item in page.items:
            product = await engine.get_product(item.code)
            numbers = sorted(v.version for v in product.versions if v.status != "archived")
            versions = [await engine.get_version(item.code, number) for number in numbers]
            defaults = [place for place, one in enumerate(versions) if one.is_default]
            if versions:
                kept.append(
                    KeptProduct(
                        product.name,
                        product.code,
                        tuple([_version(one) for one in versions]),
                        defaults[0] if defaults else None,
                    )
                )
        offset += PAGE
        if offset >= page.total_count:
            break
    # The newest are listed first.
    return tuple(assets), tuple(reversed(kept))


async def write_kept(engine: Engine, kept: Kept) -> None:
    """Sell again what was kept."""
    for one in kept.assets:
        await engine.create_asset(one.asset)
        if one.bonuses:
            await engine.set_top_up_bonus(one.asset.code, one.bonuses)
    for product in kept.products:
        first, *later = product.versions
        await engine.create_product(
            CreateProduct(
                product.name,
                product.code,
                first.prices,
                first.entitlements,
                first.publish,
                first.commitments,
            )
        )
        for version in later:
            await engine.create_version(product.code, version)
        if product.default:
            chosen = UpdateVersion(make_default=True)
            await engine.update_version(product.code, product.default + 1, chosen)
    if kept.settings is not None:
        await engine.change_settings(
            kept.settings.timezone, kept.settings.renewals, kept.settings.payments, kept.alerts
        )


async def begin_own(engine: Engine, wanted: Mine, kept: Kept) -> None:
    """Begin a new database with its admin and what was kept. Raises 422 naming `name`, `email` or
    `password`."""
    await engine.create_operator(wanted.email, wanted.name, "admin", wanted.password)
    await write_kept(engine, kept)


def _custom(engine: Engine) -> Sequence[str]:
    return [code for code, one in engine.catalog_view().assets.items() if not one.is_currency]


def _asset(found: AssetDetails, now: datetime) -> CreateAsset:
    rates = [
        StartingRate(source=rates.source, rate=Number(rate.rate))
        if rate.inverse_rate is None
        else StartingRate(source=rates.source, inverse_rate=Number(rate.inverse_rate))
        for rates in found.rates or ()
        for rate in rates.schedule
        if rate.valid_from <= now and (rate.valid_to is None or rate.valid_to > now)
    ]
    return CreateAsset(
        found.code, found.name, found.precision, found.label, found.symbol, rates or None
    )


def _version(found: ProductVersion) -> CreateVersion:
    """Return a version as it would be asked for: ids are given anew."""
    return CreateVersion(
        tuple([structs.replace(price, id=None) for price in found.prices]),
        tuple([structs.replace(one, id=None) for one in found.entitlements]) or None,
        found.status == "published",
        tuple([structs.replace(one, id=None) for one in found.commitments]) or None,
    )
