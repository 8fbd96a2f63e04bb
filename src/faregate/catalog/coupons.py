"""Coupons: what the seller offers to take off fees. Their terms do not change; one that is deleted
can be had no more, and whoever has its discount keeps it, so its code is not given out again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta, structs

from faregate.catalog.memory import CatalogMemory
from faregate.catalog.products import find_product
from faregate.core.amounts import AmountError, Number, scaled, shown, to_decimal, to_units
from faregate.core.assets import Asset
from faregate.core.codec import decode, encode
from faregate.core.discounts import PERCENT_DECIMALS, Coupon
from faregate.core.given import Instant
from faregate.core.instants import from_us, is_in_range, out_of_range, to_us
from faregate.core.prices import Key, Text
from faregate.core.problems import (
    NOT_FOUND,
    FaregateError,
    Problem,
    conflict,
    invalid_fields,
)
from faregate.store.protocol import DuplicateKey, Queries, Row

MAX_COUPONS: Final = 10_000
"""Coupons of one environment that can be had: every process knows them all."""
_COLUMNS: Final = "code, created_at, deleted_at, terms"

Code = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z",
        description="1 to 64 letters, digits, '_', '.' or '-', beginning with a letter or a digit",
    ),
]


class CreateCoupon(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new coupon: a `percent` off each fee, or an `amount` of an asset off all fees of a period
    together; for so many `periods` (default: for ever), on these products (ids or codes; default:
    all)."""

    code: Code
    name: Text | None = None
    percent: Number | None = None
    amount: Number | None = None
    asset: Key | None = None
    periods: Annotated[int, Meta(ge=1, le=1000)] | None = None
    products: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=100)] | None = None
    redeem_by: Instant | None = None


class ShownCoupon(msgspec.Struct, omit_defaults=True, frozen=True):
    """A coupon; `products` are ids. One with `deleted_at` can be had no more."""

    code: str
    created_at: datetime
    name: str | None = None
    percent: Decimal | None = None
    amount: Decimal | None = None
    asset: str | None = None
    periods: int | None = None
    products: tuple[str, ...] | None = None
    redeem_by: datetime | None = None
    deleted_at: datetime | None = None


def read_coupon(
    catalog: CatalogMemory, environment_id: int, request: CreateCoupon, now: datetime
) -> Coupon:
    """Return what a request offers. Raises 422 naming what is wrong with it."""
    view = catalog.view(environment_id)
    errors: dict[str, list[str]] = {}
    percent = units = 0
    if (request.percent is None) == (request.amount is None):
        errors["percent"] = ["or amount: send one of the two, to say what is taken off"]
    elif request.percent is not None:
        percent = _read_percent(request.percent, errors)
    if request.amount is not None:
        units = _read_amount(request, view.assets, errors)
    elif request.asset is not None:
        errors["asset"] = ["belongs to an amount: leave it out"]
    products: list[str] = []
    for place, name in enumerate(request.products or ()):
        try:
            products.append(find_product(catalog, environment_id, name).id)
        except FaregateError:
            errors[f"products[{place}]"] = [f"{name!r} is unknown: create the product first"]
    if len(set(products)) != len(products):
        errors["products"] = ["names a product twice: list it once"]
    if request.redeem_by is not None and not is_in_range(request.redeem_by):
        errors["redeem_by"] = [out_of_range(request.redeem_by)]
    elif request.redeem_by is not None and request.redeem_by <= now:
        errors["redeem_by"] = [f"{request.redeem_by.isoformat()} is over: send a later instant"]
    if errors:
        raise FaregateError(invalid_fields(errors))
    asset = request.asset
    return Coupon(
        request.code,
        request.name,
        percent,
        units,
        asset,
        0 if asset is None else view.assets[asset].scale,
        request.periods,
        tuple(products) or None,
        request.redeem_by,
    )


def _read_percent(number: Number, errors: dict[str, list[str]]) -> int:
    try:
        percent = scaled(number, PERCENT_DECIMALS)
    except AmountError:
        percent = 0
    if percent is None:
        remedy = f"send at most {PERCENT_DECIMALS} decimals"
        errors["percent"] = [f"{shown(number)} has more decimals than are kept: {remedy}"]
        return 0
    if not 0 < percent <= 100 * 10**PERCENT_DECIMALS:
        errors["percent"] = [f"is {shown(number)}: send more than 0, at most 100"]
    return percent


def _read_amount(
    request: CreateCoupon, assets: Mapping[str, Asset], errors: dict[str, list[str]]
) -> int:
    amount = request.amount
    asset = None if request.asset is None else assets.get(request.asset)
    if request.asset is None:
        errors["asset"] = ["is missing: say of which asset the amount is"]
    elif asset is None:
        errors["asset"] = [f"{request.asset!r} is unknown: create the asset first"]
    if amount is None or asset is None:
        return 0
    try:
        units = to_units(amount, asset.scale)
    except AmountError as error:
        errors["amount"] = [f"{shown(amount)} {error}"]
        return 0
    if units <= 0:
        errors["amount"] = [f"is {shown(amount)}: send more than 0"]
    return units


async def insert_coupon(
    queries: Queries, environment_id: int, coupon: Coupon, now: datetime
) -> ShownCoupon:
    """Write a new coupon. Raises 409 if its code is taken, or there are too many."""
    there = await queries.fetch(
        "SELECT count(*) FROM coupons WHERE environment_id = $1 AND deleted_at IS NULL",
        environment_id,
    )
    if int(there[0][0]) >= MAX_COUPONS:
        detail = f"there are {MAX_COUPONS} coupons: delete one that nobody needs"
        raise FaregateError(conflict("code", detail))
    try:
        await queries.fetch(
            "INSERT INTO coupons (environment_id, code, created_at, terms) VALUES ($1, $2, $3, $4)",
            environment_id,
            coupon.code,
            to_us(now),
            encode(coupon).decode(),
        )
    except DuplicateKey:
        detail = f"there is, or was, a coupon {coupon.code!r}: use another code"
        raise FaregateError(conflict("code", detail)) from None
    return _show(coupon, now, None)


async def get_coupon(queries: Queries, environment_id: int, code: str) -> ShownCoupon:
    """Return a coupon, also one that can be had no more. Raises 404."""
    found = await queries.fetch(
        f"SELECT {_COLUMNS} FROM coupons WHERE environment_id = $1 AND code = $2",
        environment_id,
        code,
    )
    if not found:
        raise FaregateError(Problem(NOT_FOUND, f"there is no coupon {code[:100]!r}"))
    return _read(found[0])


async def list_coupons(
    queries: Queries, environment_id: int, limit: int, offset: int
) -> tuple[list[ShownCoupon], int]:
    """Return a page of the coupons that can be had, the newest first, and how many there are."""
    where = "environment_id = $1 AND deleted_at IS NULL"
    counted = await queries.fetch(f"SELECT count(*) FROM coupons WHERE {where}", environment_id)
    found = await queries.fetch(
        f"SELECT {_COLUMNS} FROM coupons WHERE {where} "
        "ORDER BY created_at DESC, code LIMIT $2 OFFSET $3",
        environment_id,
        limit,
        offset,
    )
    return [_read(row) for row in found], int(counted[0][0])


async def delete_coupon(queries: Queries, environment_id: int, code: str, now: datetime) -> None:
    """Let a coupon be had no more; to delete it again changes nothing. Raises 404."""
    await get_coupon(queries, environment_id, code)
    await queries.fetch(
        "UPDATE coupons SET deleted_at = $3 "
        "WHERE environment_id = $1 AND code = $2 AND deleted_at IS NULL",
        environment_id,
        code,
        to_us(now),
    )


def _read(row: Row) -> ShownCoupon:
    _, created_at, deleted_at, terms = row
    gone = None if deleted_at is None else from_us(deleted_at)
    return _show(decode(Coupon, terms), from_us(created_at), gone)


def _show(coupon: Coupon, created_at: datetime, deleted_at: datetime | None) -> ShownCoupon:
    given = structs.asdict(coupon)
    del given["scale"], given["units"]
    given["percent"] = to_decimal(coupon.percent, PERCENT_DECIMALS) if coupon.percent else None
    amount = to_decimal(coupon.units, coupon.scale) if coupon.units else None
    return ShownCoupon(**given, amount=amount, created_at=created_at, deleted_at=deleted_at)
