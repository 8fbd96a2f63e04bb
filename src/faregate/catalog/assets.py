"""Assets: the ISO 4217 currencies, which exist from the start, and the seller's own credits."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from faregate.catalog.memory import CatalogMemory
from faregate.catalog.types import (
    AssetCreated,
    AssetDetails,
    AssetItem,
    AssetRate,
    AssetRates,
    CreateAsset,
    StartingRate,
)
from faregate.core.amounts import plain
from faregate.core.assets import ASSET_CODE, CURRENCIES
from faregate.core.instants import from_us, to_us
from faregate.core.prices import RATE_DECIMALS
from faregate.core.problems import (
    CONFLICT,
    NOT_FOUND,
    FaregateError,
    Problem,
    invalid_fields,
)
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
            errors[f"{path}.source"] = [f"{rate.source!r} is not an ISO 4217 currency"]
        elif rate.source in [earlier.source for earlier in (request.rates or ())[:index]]:
            errors[f"{path}.source"] = [f"{rate.source!r} is listed twice: give one rate for it"]
        given = [n for n in (rate.rate, rate.inverse_rate) if n is not None]
        if len(given) != 1:
            errors[f"{path}.rate"] = ["give either rate or inverse_rate"]
        elif not (Decimal(0) < given[0] <= Decimal(10**18)):
            errors[f"{path}.rate"] = [f"is {given[0]}: it must be above 0, at most 1e18"]
        elif -int(given[0].as_tuple().exponent) > RATE_DECIMALS:
            errors[f"{path}.rate"] = [f"has more than {RATE_DECIMALS} decimals"]
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
        raise FaregateError(Problem(CONFLICT, detail, {"code": ["is taken"]})) from None
    for rate in request.rates or ():
        await _add_rate(queries, environment_id, request.code, rate, now)
    return AssetCreated(request.code, now)


async def _add_rate(
    queries: Queries, environment_id: int, code: str, rate: StartingRate, now: datetime
) -> None:
    await queries.fetch(
        "INSERT INTO asset_rates "
        "(environment_id, asset, source, valid_from, valid_to, rate, inverse_rate) "
        "VALUES ($1, $2, $3, $4, NULL, $5, $6)",
        environment_id,
        code,
        rate.source,
        to_us(now),
        "" if rate.rate is None else plain(rate.rate),
        None if rate.inverse_rate is None else plain(rate.inverse_rate),
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
    asset = catalog.view(environment_id).assets.get(code)
    if asset is None:
        raise FaregateError(Problem(NOT_FOUND, f"there is no asset {code!r}"))
    label = asset.label or asset.code
    details = AssetDetails(asset.code, asset.name, _BEGINNING, asset.precision, label, asset.symbol)
    if asset.is_currency:
        return details
    created = await queries.fetch(
        "SELECT created_at FROM assets WHERE environment_id = $1 AND code = $2",
        environment_id,
        code,
    )
    rates: dict[str, list[AssetRate]] = {}
    for source, valid_from, valid_to, rate, inverse in await queries.fetch(
        "SELECT source, valid_from, valid_to, rate, inverse_rate FROM asset_rates "
        "WHERE environment_id = $1 AND asset = $2 ORDER BY source, valid_from DESC",
        environment_id,
        code,
    ):
        inverse_rate = None if inverse is None else Decimal(inverse)
        rates.setdefault(source, []).append(
            AssetRate(
                from_us(valid_from),
                # The wire needs a rate even where the exact number is its inverse.
                Decimal(rate) if rate else Decimal(1) / (inverse_rate or Decimal(1)),
                None if valid_to is None else from_us(valid_to),
                inverse_rate,
            )
        )
    return msgspec.structs.replace(
        details,
        created_at=from_us(created[0][0]),
        rates=[AssetRates(source, schedule) for source, schedule in rates.items()],
    )
