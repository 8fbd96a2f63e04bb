"""Vendors: who the seller pays for what customers use. Events name them in their costs, by id or by
the seller's own id."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from faregate.core.given import Id
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.prices import Text
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict
from faregate.store.protocol import DuplicateKey, Queries, Row

_COLUMNS = "id, name, external_id, created_at"


class CreateVendor(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new vendor; `external_id` is the seller's own, unique among them."""

    name: Text
    external_id: Id | None = None


class VendorCreated(msgspec.Struct, frozen=True):
    """The answer to a new vendor."""

    id: str
    created_at: datetime


class Vendor(msgspec.Struct, omit_defaults=True, frozen=True):
    """A vendor."""

    id: str
    name: str
    created_at: datetime
    external_id: str | None = None


async def insert_vendor(
    queries: Queries, environment_id: int, request: CreateVendor, ids: IdSource, now: datetime
) -> VendorCreated:
    """Write a new vendor. Raises 409 if the external id is taken."""
    vendor_id = ids.next("ven")
    try:
        await queries.fetch(
            "INSERT INTO vendors (id, environment_id, name, external_id, created_at) "
            "VALUES ($1, $2, $3, $4, $5)",
            vendor_id,
            environment_id,
            request.name,
            request.external_id,
            to_us(now),
        )
    except DuplicateKey:
        detail = f"there is a vendor with external_id {request.external_id!r} already: use that one"
        raise FaregateError(conflict("external_id", detail)) from None
    return VendorCreated(vendor_id, now)


async def get_vendor(queries: Queries, environment_id: int, vendor_id: str) -> Vendor:
    """Return a vendor. Raises 404."""
    found = await queries.fetch(
        f"SELECT {_COLUMNS} FROM vendors WHERE environment_id = $1 AND id = $2",
        environment_id,
        vendor_id,
    )
    if not found:
        raise FaregateError(Problem(NOT_FOUND, f"there is no vendor {vendor_id[:100]!r}"))
    return _read(found[0])


async def list_vendors(
    queries: Queries, environment_id: int, limit: int, offset: int, external_id: str | None
) -> tuple[list[Vendor], int]:
    """Return a page of vendors, the newest first, and how many there are in all."""
    where, values = "environment_id = $1", [environment_id]
    if external_id is not None:
        where += " AND external_id = $2"
    given = values if external_id is None else [*values, external_id]
    counted = await queries.fetch(f"SELECT count(*) FROM vendors WHERE {where}", *given)
    marks = (len(given) + 1, len(given) + 2)
    found = await queries.fetch(
        f"SELECT {_COLUMNS} FROM vendors WHERE {where} "
        f"ORDER BY id DESC LIMIT ${marks[0]} OFFSET ${marks[1]}",
        *given,
        limit,
        offset,
    )
    return [_read(row) for row in found], int(counted[0][0])


async def names(
    queries: Queries, environment_id: int, vendor_ids: Sequence[str]
) -> dict[str, tuple[str, str | None]]:
    """Return (name, external id) of vendors that are there, by id; at most a page of them."""
    if not vendor_ids:
        return {}
    marks = ", ".join(f"${n}" for n in range(2, len(vendor_ids) + 2))
    found = await queries.fetch(
        f"SELECT id, name, external_id FROM vendors WHERE environment_id = $1 AND id IN ({marks})",
        environment_id,
        *vendor_ids,
    )
    return {row[0]: (row[1], row[2]) for row in found}


def _read(row: Row) -> Vendor:
    vendor_id, name, external_id, created_at = row
    return Vendor(vendor_id, name, from_us(created_at), external_id)
