"""Assets: the ISO 4217 currencies, which exist from the start, and the seller's own credits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from faregate.catalog.memory import CatalogMemory
from faregate.catalog.rates import check_rate, find_asset, read_rates, show_rate, write_rate
from faregate.catalog.types import (
    AssetCreated,
    AssetDetails,
    AssetItem,
    AssetRate,
    AssetRates,
    CreateAsset,
)
from faregate.core.assets import ASSET_CODE, CURRENCIES
from faregate.core.bonuses import TopUpBonus
from faregate.core.codec import encode
from faregate.core.instants import from_us, to_us
from faregate.core.problems import (
    FaregateError,
    conflict,
    invalid_fields,
)
from faregate.core.rates import Rate
from faregate.store.protocol import DuplicateKey, Queries

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def check_asset(request: CreateAsset) -> None:
    """Raise `FaregateError` (422) naming what is wrong with a new asset."""
    errors: dict[str, list[str]] = {}
    if not ASSET_CODE.fullmatch(request.code):
        errors["code"] = [
            f"{request.code!r} is not a code: use 2 to 24 capital letters, digits or '_', "
            "beginning with a letter"
        ]
    elif request.code in CURRENCIES:
        errors["code"] = [f"{request.code!r} is an ISO 4217 currency: choose another code"]
    for index, rate in enumerate(request.rates or ()):
        path = f"rates[{index}]"
        if rate.source not in CURRENCIES:
            errors[f"{path}.source"] = [
                f"{rate.source!r} is not an ISO 4217 currency: send one, e.g. USD"
            ]
        elif rate.source in [earlier.source for earlier in (request.rates or ())[:index]]:
            errors[f"{path}.source"] = [f"{rate.source!r} is listed twice: give one rate for it"]
        wrong = check_rate(rate.rate, rate.inverse_rate)
        if wrong is not None:
            errors[f"{path}.{wrong[0]}"] = [wrong[1]]
    if errors:
        raise FaregateError(invalid_fields(errors))


async def create_asset(
    queries: Queries, environment_id: int, request: CreateAsset, now: datetime
) -> AssetCreated:
    """Write a new custom credit (inside a transaction that also raises the catalog's epoch)."""
    check_asset(request)
    try:
        await queries.fetch(
            "INSERT INTO assets (environment_id, code, name, decimals, label, symbol, created_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            environment_id,
            request.code,
            request.name,
            request.precision or 0,
            request.label,
            request.symbol,
            to_us(now),
        )
    except DuplicateKey:
        detail = f"there is an asset {request.code!r} already: choose another code"
        raise FaregateError(conflict("code", detail)) from None
    for rate in request.rates or ():
        starting = Rate(rate.source, now, None, rate.rate, rate.inverse_rate)
        await write_rate(queries, environment_id, request.code, starting)
    return AssetCreated(request.code, now)


async def write_bonuses(
    queries: Queries, environment_id: int, code: str, rules: Sequence[TopUpBonus]
) -> None:
    """Write what top-ups of an asset bring beside them (inside a transaction that also raises the
    catalog's epoch)."""
    await queries.fetch(
        "INSERT INTO top_up_bonuses (environment_id, asset, terms) VALUES ($1, $2, $3) "
        "ON CONFLICT (environment_id, asset) DO UPDATE SET terms = excluded.terms",
        environment_id,
        code,
        encode(tuple(rules)).decode(),
    )


def list_assets(catalog: CatalogMemory, environment_id: int) -> list[AssetItem]:
    """Return the seller's own credits first, then the currencies, each by code."""
    assets = sorted(
        catalog.view(environment_id).assets.values(), key=lambda a: (a.is_currency, a.code)
    )
    return [AssetItem(a.code, a.name) for a in assets]


async def get_asset(
    queries: Queries, catalog: CatalogMemory, environment_id: int, code: str
) -> AssetDetails:
    """Return an asset with its rates, the newest first. Raises 404."""
    asset = find_asset(catalog, environment_id, code)
    label = asset.label or asset.code
    details = AssetDetails(asset.code, asset.name, _BEGINNING, asset.precision, label, asset.symbol)
    given = catalog.view(environment_id).bonuses.get(code)
    details = msgspec.structs.replace(details, top_up_bonus=list(given) if given else None)
    rates: dict[str, list[AssetRate]] = {}
    for rate in await read_rates(queries, environment_id, code):
        rates.setdefault(rate.source, []).append(show_rate(rate))
    shown = [AssetRates(source, schedule) for source, schedule in rates.items()]
    if asset.is_currency:
        return msgspec.structs.replace(details, rates=shown or None)
    created = await queries.fetch(
        "SELECT created_at FROM assets WHERE environment_id = $1 AND code = $2",
        environment_id,
        code,
    )
    return msgspec.structs.replace(details, created_at=from_us(created[0][0]), rates=shown)
