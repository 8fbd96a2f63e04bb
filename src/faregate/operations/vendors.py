"""Vendors over REST."""

from __future__ import annotations

import msgspec

from faregate.catalog.vendors import CreateVendor, Vendor, VendorCreated
from faregate.core.given import Id
from faregate.engine import Page
from faregate.operations.operation import ADMIN, READ_ALL, Call, Limit, Offset, Operation


class VendorPage(msgspec.Struct, frozen=True):
    """A page of vendors."""

    items: list[Vendor]
    total_count: int
    limit: int
    offset: int


class VendorsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which vendors."""

    limit: Limit = 20
    offset: Offset = 0
    external_id: Id | None = None


async def _create(call: Call) -> VendorCreated:
    return await call.engine.create_vendor(
        call.body, idempotency_key=call.idempotency_key, context=call.context
    )


async def _list(call: Call) -> Page:
    query = call.query
    return await call.engine.list_vendors(
        query.limit, query.offset, query.external_id, context=call.context
    )


async def _get(call: Call) -> Vendor:
    return await call.engine.get_vendor(call.path["vendor_id"], context=call.context)


OPERATIONS = (
    Operation(
        "POST",
        "/vendors",
        _create,
        "Vendors",
        "Create a vendor, whom events name in their costs",
        ADMIN,
        201,
        body=CreateVendor,
        answer=VendorCreated,
        errors=(409,),
    ),
    Operation(
        "GET",
        "/vendors",
        _list,
        "Vendors",
        "List vendors, the newest first",
        READ_ALL,
        query=VendorsQuery,
        answer=VendorPage,
    ),
    Operation(
        "GET",
        "/vendors/{vendor_id}",
        _get,
        "Vendors",
        "Get a vendor",
        READ_ALL,
        answer=Vendor,
        errors=(404,),
    ),
)
