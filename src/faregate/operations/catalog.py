"""Assets and products over REST."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from faregate.catalog.types import (
    AddAssetRate,
    AssetCreated,
    AssetDetails,
    AssetItem,
    AssetQuote,
    CreateAsset,
    CreateProduct,
    CreateVersion,
    Product,
    ProductItem,
    ProductVersion,
    QuoteAsset,
    UpdateAsset,
    UpdateVersion,
    VersionCreated,
    VersionDiff,
)
from faregate.core.amounts import to_decimal
from faregate.core.prices import Key
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.customers.wire import Events
from faregate.engine import Page, ProductSubscriber
from faregate.operations.operation import (
    ADMIN,
    READ,
    READ_ALL,
    Call,
    Limit,
    Offset,
    Operation,
    PageQuery,
)


class AssetPage(msgspec.Struct, frozen=True):
    """A page of assets."""

    items: list[AssetItem]
    total_count: int
    limit: int
    offset: int


class ProductPage(msgspec.Struct, frozen=True):
    """A page of products."""

    items: list[ProductItem]
    total_count: int
    limit: int
    offset: int


class ProductsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which products."""

    limit: Limit = 20
    offset: Offset = 0
    code: Key | None = None


class SimulateUsage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Made-up events to price."""

    events: Events


class CalculatedFee(msgspec.Struct, omit_defaults=True, frozen=True):
    """What an event would cost under one price; where it is paid in another asset, also there.
    `capped` is what is free of it because a commitment's maximum is reached."""

    price_id: str
    price_name: str
    currency: str
    usage_id: str
    event_type: str
    usage_type: str
    amount: Decimal
    dimensions: dict[str, str] | None = None
    volume_field: str | None = None
    input_volume: Decimal | int | None = None
    unit_price: Decimal | None = None
    volume_rate: Decimal | None = None
    package_size: Decimal | None = None
    paid_amount: Decimal | None = None
    paid_asset: str | None = None
    exchange_rate: Decimal | None = None
    capped: Decimal | None = None


class SimulatedUsage(msgspec.Struct, frozen=True):
    """The fees of made-up events."""

    fees: list[CalculatedFee]
    warnings: list[str]


class DiffQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which version it is compared with: a number or `default`."""

    against: Key = "default"


def _version(call: Call) -> Any:
    return _named(call.path["version"])


def _named(text: str) -> Any:
    if text == "default":
        return "default"
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    raise FaregateError(Problem(NOT_FOUND, f"there is no version {text!r}: name a number"))


async def _create_asset(call: Call) -> AssetCreated:
    return await call.engine.create_asset(
        call.body, idempotency_key=call.idempotency_key, context=call.context
    )


async def _list_assets(call: Call) -> Page:
    return await call.engine.list_assets(call.query.limit, call.query.offset, context=call.context)


async def _get_asset(call: Call) -> AssetDetails:
    return await call.engine.get_asset(call.path["asset_code"], context=call.context)


async def _update_asset(call: Call) -> AssetDetails:
    return await call.engine.set_top_up_bonus(
        call.path["asset_code"], call.body.top_up_bonus, context=call.context
    )


async def _add_rate(call: Call) -> None:
    await call.engine.add_asset_rate(
        call.path["asset_code"],
        call.body,
        idempotency_key=call.idempotency_key,
        context=call.context,
    )


async def _quote(call: Call) -> AssetQuote:
    return await call.engine.quote_asset(call.path["asset_code"], call.body, context=call.context)


async def _create_product(call: Call) -> VersionCreated:
    return await call.engine.create_product(
        call.body, idempotency_key=call.idempotency_key, context=call.context
    )


async def _list_products(call: Call) -> Page:
    query = call.query
    return await call.engine.list_products(
        query.limit, query.offset, query.code, context=call.context
    )


async def _get_product(call: Call) -> Product:
    return await call.engine.get_product(call.path["product_id"], context=call.context)


async def _create_version(call: Call) -> VersionCreated:
    return await call.engine.create_version(
        call.path["product_id"],
        call.body,
        idempotency_key=call.idempotency_key,
        context=call.context,
    )


async def _get_version(call: Call) -> ProductVersion:
    return await call.engine.get_version(
        call.path["product_id"], _version(call), context=call.context
    )


async def _diff(call: Call) -> VersionDiff:
    return await call.engine.diff_versions(
        call.path["product_id"],
        _version(call),
        _named(call.query.against),
        context=call.context,
    )


async def _update_version(call: Call) -> None:
    await call.engine.update_version(
        call.path["product_id"], _version(call), call.body, context=call.context
    )


async def _simulate(call: Call) -> SimulatedUsage:
    fees, warnings = await call.engine.simulate_usage(
        call.path["product_id"], _version(call), call.body.events, context=call.context
    )
    shown = []
    for fee in fees:
        price, source = fee.compiled.price, fee.match.value.source
        calculation, funding = price.usage_calculation, fee.priced.funding
        capped = 0 if fee.reduced is None else fee.reduced.capped_units
        paid: Decimal | None = None
        if funding is not None and fee.paid_units is not None:
            paid = to_decimal(fee.paid_units, funding.asset.scale)
        shown.append(
            CalculatedFee(
                price_id=fee.compiled.id,
                price_name=price.name,
                currency=fee.priced.asset.code,
                usage_id=fee.event_id,
                event_type=fee.compiled.event_type,
                usage_type=calculation.usage_type,
                amount=to_decimal(fee.units, fee.priced.asset.scale),
                dimensions=fee.match.value.dimensions,
                volume_field=calculation.volume_field,
                input_volume=fee.match.volume,
                unit_price=source.unit_price,
                volume_rate=source.volume_rate,
                package_size=source.package_size,
                paid_amount=paid,
                paid_asset=None if funding is None else funding.asset.code,
                exchange_rate=fee.exchange_rate,
                capped=to_decimal(capped, fee.priced.asset.scale) if capped else None,
            )
        )
    return SimulatedUsage(shown, warnings)


class SubscriberPage(msgspec.Struct, frozen=True):
    """A page of subscriptions to a product, by customer."""

    items: list[ProductSubscriber]
    total_count: int
    limit: int
    offset: int


async def _subscribers(call: Call) -> Page:
    query = call.query
    return await call.engine.list_subscribers(
        call.path["product_id"], query.limit, query.offset, context=call.context
    )


async def _archive(call: Call) -> None:
    await call.engine.archive_version(call.path["product_id"], _version(call), context=call.context)


async def _delete(call: Call) -> None:
    await call.engine.delete_product(call.path["product_id"], context=call.context)


OPERATIONS = (
    Operation(
        "POST",
        "/assets",
        _create_asset,
        "Assets",
        "Create a custom credit",
        ADMIN,
        201,
        body=CreateAsset,
        answer=AssetCreated,
        errors=(409,),
    ),
    Operation(
        "GET",
        "/assets",
        _list_assets,
        "Assets",
        "List assets: your own credits first, then the ISO 4217 currencies",
        READ,
        query=PageQuery,
        answer=AssetPage,
    ),
    Operation(
        "GET",
        "/assets/{asset_code}",
        _get_asset,
        "Assets",
        "Get an asset",
        READ,
        answer=AssetDetails,
        errors=(404,),
    ),
    Operation(
        "PATCH",
        "/assets/{asset_code}",
        _update_asset,
        "Assets",
        "Say what top-ups of an asset (or a currency) bring beside them",
        ADMIN,
        body=UpdateAsset,
        answer=AssetDetails,
        errors=(404,),
    ),
    Operation(
        "POST",
        "/assets/{asset_code}/rates",
        _add_rate,
        "Assets",
        "Say what an asset costs in a currency from an instant on",
        ADMIN,
        204,
        body=AddAssetRate,
        errors=(404, 409),
    ),
    Operation(
        "POST",
        "/assets/{asset_code}/quote",
        _quote,
        "Assets",
        "Ask what an amount of a currency buys; changes nothing",
        READ,
        body=QuoteAsset,
        answer=AssetQuote,
        errors=(404,),
    ),
    Operation(
        "POST",
        "/products",
        _create_product,
        "Products",
        "Create a product with its first version",
        ADMIN,
        201,
        body=CreateProduct,
        answer=VersionCreated,
        errors=(409,),
    ),
    Operation(
        "GET",
        "/products",
        _list_products,
        "Products",
        "List products",
        READ,
        query=ProductsQuery,
        answer=ProductPage,
    ),
    Operation(
        "GET",
        "/products/{product_id}",
        _get_product,
        "Products",
        "Get a product by id or code",
        READ,
        answer=Product,
        errors=(404,),
    ),
    Operation(
        "POST",
        "/products/{product_id}",
        _create_version,
        "Products",
        "Create the product's next version",
        ADMIN,
        201,
        body=CreateVersion,
        answer=VersionCreated,
        errors=(404, 409),
    ),
    Operation(
        "DELETE",
        "/products/{product_id}",
        _delete,
        "Products",
        "Delete a product that nobody ever had, or archive one that is not used any more",
        ADMIN,
        204,
        errors=(404, 409),
    ),
    Operation(
        "GET",
        "/products/{product_id}/subscribers",
        _subscribers,
        "Products",
        "List who is subscribed to a product",
        READ_ALL,
        query=PageQuery,
        answer=SubscriberPage,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        "/products/{product_id}/{version}",
        _archive,
        "Products",
        "Archive a version that nobody has any more, or delete a draft",
        ADMIN,
        204,
        errors=(404, 409),
    ),
    Operation(
        "GET",
        "/products/{product_id}/{version}",
        _get_version,
        "Products",
        "Get a version, by number or `default`",
        READ,
        answer=ProductVersion,
        errors=(404,),
    ),
    Operation(
        "GET",
        "/products/{product_id}/{version}/diff",
        _diff,
        "Products",
        "Say what a version has changed of another one, in words",
        READ,
        query=DiffQuery,
        answer=VersionDiff,
        errors=(404,),
    ),
    Operation(
        "PATCH",
        "/products/{product_id}/{version}",
        _update_version,
        "Products",
        "Publish a version, make it the default, or both",
        ADMIN,
        204,
        body=UpdateVersion,
        errors=(404, 409),
    ),
    Operation(
        "POST",
        "/products/{product_id}/{version}/simulate-usage",
        _simulate,
        "Products",
        "Price made-up events as a new customer's, without coupons; changes nothing",
        READ,
        body=SimulateUsage,
        answer=SimulatedUsage,
        errors=(404,),
    ),
)
