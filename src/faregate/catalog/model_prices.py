"""The seller's own prices of models as rows. They do not change: one that is deleted prices nothing
any more, and stays to be looked at, since events name the price that they were costed by."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import structs

from faregate.core.codec import decode, encode
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.own_model_prices import CreateModelPrice, ModelPrice, check_model_price
from faregate.core.problems import (
    NOT_FOUND,
    FaregateError,
    Problem,
    conflict,
    invalid_fields,
)
from faregate.store.protocol import Queries, Row

MAX_MODEL_PRICES: Final = 1_000
"""Own prices of one environment: every process knows them all, and looks through them."""
_COLUMNS: Final = "terms, deleted_at"


async def insert_model_price(
    queries: Queries, environment_id: int, request: CreateModelPrice, ids: IdSource, now: datetime
) -> ModelPrice:
    """Write a new price. Raises 422 naming what is wrong with it, 409 if there are too many."""
    errors = check_model_price(request)
    if errors:
        raise FaregateError(invalid_fields(errors))
    there = await queries.fetch(
        "SELECT count(*) FROM model_prices WHERE environment_id = $1 AND deleted_at IS NULL",
        environment_id,
    )
    if int(there[0][0]) >= MAX_MODEL_PRICES:
        detail = f"there are {MAX_MODEL_PRICES} model prices: delete one that is not used any more"
        raise FaregateError(conflict("model", detail))
    given = structs.asdict(request)
    given["valid_from"] = request.valid_from or now
    price = ModelPrice(ids.next("mpr"), created_at=now, **given)
    await queries.fetch(
        "INSERT INTO model_prices (environment_id, id, created_at, terms) VALUES ($1, $2, $3, $4)",
        environment_id,
        price.id,
        to_us(now),
        encode(price).decode(),
    )
    return price


async def get_model_price(queries: Queries, environment_id: int, price_id: str) -> ModelPrice:
    """Return a price, also one that was deleted. Raises 404."""
    found = await queries.fetch(
        f"SELECT {_COLUMNS} FROM model_prices WHERE environment_id = $1 AND id = $2",
        environment_id,
        price_id,
    )
    if not found:
        raise FaregateError(Problem(NOT_FOUND, f"there is no model price {price_id[:100]!r}"))
    return _read(found[0])


async def list_model_prices(
    queries: Queries, environment_id: int, limit: int, offset: int
) -> tuple[list[ModelPrice], int]:
    """Return a page of the prices that are not deleted, the newest first, and how many there
    are."""
    where = "environment_id = $1 AND deleted_at IS NULL"
    counted = await queries.fetch(
        f"SELECT count(*) FROM model_prices WHERE {where}", environment_id
    )
    found = await queries.fetch(
        f"SELECT {_COLUMNS} FROM model_prices WHERE {where} ORDER BY id DESC LIMIT $2 OFFSET $3",
        environment_id,
        limit,
        offset,
    )
    return [_read(row) for row in found], int(counted[0][0])


async def delete_model_price(
    queries: Queries, environment_id: int, price_id: str, now: datetime
) -> None:
    """Let a price price nothing any more; to delete it again changes nothing. Raises 404."""
    await get_model_price(queries, environment_id, price_id)
    await queries.fetch(
        "UPDATE model_prices SET deleted_at = $3 "
        "WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL",
        environment_id,
        price_id,
        to_us(now),
    )


def _read(row: Row) -> ModelPrice:
    terms, deleted_at = row
    price = decode(ModelPrice, terms)
    return price if deleted_at is None else structs.replace(price, deleted_at=from_us(deleted_at))
