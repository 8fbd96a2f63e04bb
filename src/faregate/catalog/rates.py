"""What assets cost in currencies: rates as they are kept, and quotes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from faregate.catalog.memory import CatalogMemory, read_rate
from faregate.catalog.types import AddAssetRate, AssetQuote, AssetRate, QuoteAsset
from faregate.core.amounts import AmountError, Number, plain, shown, to_units
from faregate.core.assets import CURRENCIES, Asset
from faregate.core.instants import is_in_range, out_of_range, to_us
from faregate.core.prices import RATE_DECIMALS
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict, invalid
from faregate.core.rates import Rate, convert, rate_at, schedule
from faregate.store.protocol import Queries


def check_rate(rate: Number | None, inverse_rate: Number | None) -> tuple[str, str] | None:
    """Return which field of a rate is wrong, and how: one of the two numbers is to be given."""
    if rate is None and inverse_rate is None:
        return "rate", "or inverse_rate is missing: send one of the two"
    if rate is not None and inverse_rate is not None:
        return "rate", "and inverse_rate say the same: send one of the two"
    field, given = ("rate", rate) if rate is not None else ("inverse_rate", inverse_rate)
    if given is None or not given.is_finite() or not Decimal(0) < given <= Decimal(10**18):
        return field, f"is {shown(given or Decimal(0))}: send a number above 0, at most 1e18"
    if -int(given.as_tuple().exponent) > RATE_DECIMALS:
        return field, f"is {shown(given)}: send at most {RATE_DECIMALS} decimals"
    return None


async def read_rates(queries: Queries, environment_id: int, code: str) -> list[Rate]:
    """Return an asset's rates by source, the newest first."""
    found = await queries.fetch(
        "SELECT source, valid_from, valid_to, rate, inverse_rate FROM asset_rates "
        "WHERE environment_id = $1 AND asset = $2 ORDER BY source, valid_from DESC",
        environment_id,
        code,
    )
    return [read_rate(row) for row in found]


async def rates_of_currency(
    queries: Queries, environment_id: int, currency: str
) -> list[tuple[str, Rate]]:
    """Return all rates that name a currency, whether as what is priced or as what it is priced in:
    (asset, rate)."""
    found = await queries.fetch(
        "SELECT asset, source, valid_from, valid_to, rate, inverse_rate FROM asset_rates "
        "WHERE environment_id = $1 AND (source = $2 OR asset = $2)",
        environment_id,
        currency,
    )
    return [(asset, read_rate(row)) for asset, *row in found]


async def write_rate(queries: Queries, environment_id: int, code: str, rate: Rate) -> None:
    """Write a rate that begins when no other does."""
    await queries.fetch(
        "INSERT INTO asset_rates "
        "(environment_id, asset, source, valid_from, valid_to, rate, inverse_rate) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        environment_id,
        code,
        rate.source,
        to_us(rate.valid_from),
        None if rate.valid_to is None else to_us(rate.valid_to),
        "" if rate.rate is None else plain(rate.rate),
        None if rate.inverse_rate is None else plain(rate.inverse_rate),
    )


async def add_rate(
    queries: Queries,
    catalog: CatalogMemory,
    environment_id: int,
    code: str,
    request: AddAssetRate,
    now: datetime,
) -> AssetRate:
    """Add a rate, and close the one that it follows (inside a transaction that also raises the
    catalog's epoch). Raises 404, 409 or 422."""
    asset = find_asset(catalog, environment_id, code)
    source = _source(asset, request.source)
    wrong = check_rate(request.rate, request.inverse_rate)
    if wrong is not None:
        raise FaregateError(invalid(*wrong))
    for field, moment in (("valid_from", request.valid_from), ("valid_to", request.valid_to)):
        if moment is not None and not is_in_range(moment):
            raise FaregateError(invalid(field, out_of_range(moment)))
    if any(rate.source == code for rate in await read_rates(queries, environment_id, source.code)):
        detail = f"{source.code} has a rate from {code}: a rate back would make a circle"
        raise FaregateError(conflict("source", detail))
    new = Rate(
        source.code,
        request.valid_from or now,
        request.valid_to,
        request.rate,
        request.inverse_rate,
    )
    outcome = schedule(await read_rates(queries, environment_id, code), new)
    if isinstance(outcome, Problem):
        raise FaregateError(outcome)
    new, closed = outcome
    if closed is not None and closed.valid_to is not None:
        await queries.fetch(
            "UPDATE asset_rates SET valid_to = $1 "
            "WHERE environment_id = $2 AND asset = $3 AND source = $4 AND valid_from = $5",
            to_us(closed.valid_to),
            environment_id,
            code,
            closed.source,
            to_us(closed.valid_from),
        )
    await write_rate(queries, environment_id, code, new)
    return show_rate(new)


async def quote(
    queries: Queries,
    catalog: CatalogMemory,
    environment_id: int,
    code: str,
    request: QuoteAsset,
    now: datetime,
) -> AssetQuote:
    """Say how much an amount buys. Raises 404, or 422 if there is no rate at that time."""
    asset = find_asset(catalog, environment_id, code)
    source = _source(asset, request.source)
    try:
        units = to_units(request.amount, source.scale)
    except AmountError as error:
        raise FaregateError(invalid("amount", f"{shown(request.amount)} {error}")) from None
    if units < 0:
        raise FaregateError(invalid("amount", f"is {shown(request.amount)}: send 0 or more"))
    at = request.exchange_at or now
    if not is_in_range(at):
        raise FaregateError(invalid("exchange_at", out_of_range(at)))
    rate = rate_at(await read_rates(queries, environment_id, code), source.code, at)
    if rate is None:
        detail = f"{code} has no rate from {source.code} at {at.isoformat()}: add one"
        raise FaregateError(invalid("source", detail))
    bought = convert(rate, request.amount, asset.precision)
    told = show_rate(rate)
    return AssetQuote(
        source.code,
        request.amount,
        code,
        bought.amount,
        told.rate,
        told.inverse_rate,
        bought.is_rounded,
    )


def show_rate(rate: Rate) -> AssetRate:
    """Return a rate as the API shows it, which needs `rate` even where its inverse is exact."""
    price = rate.rate if rate.rate is not None else Decimal(1) / (rate.inverse_rate or Decimal(1))
    return AssetRate(rate.valid_from, price, rate.valid_to, rate.inverse_rate)


def find_asset(catalog: CatalogMemory, environment_id: int, code: str) -> Asset:
    """Return an asset. Raises 404."""
    asset = catalog.view(environment_id).assets.get(code)
    if asset is None:
        raise FaregateError(Problem(NOT_FOUND, f"there is no asset {code!r}"))
    return asset


def _source(asset: Asset, code: str) -> Asset:
    source = CURRENCIES.get(code)
    if source is None:
        raise FaregateError(
            invalid("source", f"{code!r} is not an ISO 4217 currency: send one, e.g. USD")
        )
    if source.code == asset.code:
        raise FaregateError(invalid("source", f"is {code} itself: name another currency"))
    return source
