"""Products and their versions. A version is a draft until it is published, and never changes
after that; the first one published becomes the default. A later version is a new set of prices.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from faregate.catalog.memory import (
    VERSION_COLUMNS,
    CatalogMemory,
    ProductRow,
    VersionRow,
    read_version,
)
from faregate.catalog.types import (
    CreateProduct,
    CreateVersion,
    DefaultVersion,
    Product,
    ProductVersion,
    UpdateVersion,
    VersionCreated,
    VersionReference,
)
from faregate.core.codec import encode
from faregate.core.commitments import validate_commitments
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.plan_checks import validate_entitlements
from faregate.core.price_checks import validate_prices
from faregate.core.problems import (
    NOT_FOUND,
    FaregateError,
    Problem,
    conflict,
    invalid,
    invalid_fields,
)
from faregate.core.topics import PriceChanged
from faregate.store.protocol import DuplicateKey, Queries

VersionName = int | Literal["default"]
Tell = Callable[[PriceChanged], Awaitable[None]]
"""Tells others of a price, in the transaction that changes it."""


def check_version(
    catalog: CatalogMemory, environment_id: int, request: CreateProduct | CreateVersion
) -> None:
    """Raise `FaregateError` (422) naming what is wrong with a version."""
    assets = dict(catalog.view(environment_id).assets)
    errors = validate_prices(request.prices, assets)
    errors |= validate_entitlements(request.entitlements, assets)
    errors |= validate_commitments(request.commitments, request.prices, assets)
    if errors:
        raise FaregateError(invalid_fields(errors))


async def create_product(
    queries: Queries,
    environment_id: int,
    request: CreateProduct,
    ids: IdSource,
    now: datetime,
    tell: Tell,
) -> VersionCreated:
    """Write a checked product and its version 1. Raises 409 if the code is taken."""
    product_id = ids.next("prp")
    try:
        await queries.fetch(
            "INSERT INTO products (id, environment_id, code, name, created_at) "
            "VALUES ($1, $2, $3, $4, $5)",
            product_id,
            environment_id,
            request.code,
            request.name,
            to_us(now),
        )
    except DuplicateKey:
        detail = f"there is a product {request.code!r} already: make a new version of it instead"
        raise FaregateError(conflict("code", detail)) from None
    publish = request.publish is True
    await _write_version(queries, product_id, 1, request, publish, ids, now)
    if publish:
        await _write_default(queries, PriceChanged(product_id, request.code, 1, now), tell)
    status: Literal["published", "draft"] = "published" if publish else "draft"
    return VersionCreated(product_id, request.code, 1, status, publish)


async def create_version(
    queries: Queries,
    product: ProductRow,
    request: CreateVersion,
    ids: IdSource,
    now: datetime,
    tell: Tell,
) -> VersionCreated:
    """Write the next version of a product. Raises 409 if somebody else has just made one."""
    product = await read_again(queries, product)
    version = max(product.versions) + 1
    publish = request.publish is True
    try:
        await _write_version(queries, product.id, version, request, publish, ids, now)
    except DuplicateKey:
        detail = f"version {version} has just been made by someone else: send it again"
        raise FaregateError(conflict("version", detail)) from None
    is_default = publish and product.default_version is None
    if is_default:
        changed = PriceChanged(product.id, product.code, version, now, _last_default(product))
        await _write_default(queries, changed, tell)
    status: Literal["published", "draft"] = "published" if publish else "draft"
    return VersionCreated(product.id, product.code, version, status, is_default)


async def _write_version(
    queries: Queries,
    product_id: str,
    version: int,
    request: CreateProduct | CreateVersion,
    publish: bool,
    ids: IdSource,
    now: datetime,
) -> None:
    named = msgspec.structs.replace
    prices = tuple(named(price, id=ids.next("prc")) for price in request.prices)
    entitlements = tuple(named(e, id=ids.next("ent")) for e in request.entitlements or ())
    commitments = tuple(named(c, id=ids.next("cmt")) for c in request.commitments or ())
    await queries.fetch(
        "INSERT INTO product_versions "
        "(product_id, version, status, prices, entitlements, created_at, commitments) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        product_id,
        version,
        "published" if publish else "draft",
        encode(prices).decode(),
        encode(entitlements).decode(),
        to_us(now),
        encode(commitments).decode() if commitments else None,
    )


async def read_again(queries: Queries, product: ProductRow) -> ProductRow:
    """Return a product as it is inside a change of the catalog: every change begins by raising the
    one row of the epoch, so nobody else can change it until this one has ended. Raises 404."""
    found = await queries.fetch(
        f"SELECT {VERSION_COLUMNS} FROM product_versions WHERE product_id = $1 ORDER BY version",
        product.id,
    )
    if not found:
        raise FaregateError(Problem(NOT_FOUND, f"product {product.code!r} has just been deleted"))
    defaults = await queries.fetch(
        "SELECT from_at, version FROM product_defaults WHERE product_id = $1 ORDER BY from_at",
        product.id,
    )
    return msgspec.structs.replace(
        product,
        versions={row[0]: read_version(row) for row in found},
        defaults=[(from_us(from_at), version) for from_at, version in defaults],
    )


def _last_default(product: ProductRow) -> int | None:
    return product.defaults[-1][1] if product.defaults else None


async def _write_default(queries: Queries, changed: PriceChanged, tell: Tell) -> None:
    """Make a version the default from now on, and tell of it.

    What was made the default later than now, by a clock that was wrong, is not any more.
    """
    await queries.fetch(
        "DELETE FROM product_defaults WHERE product_id = $1 AND from_at >= $2 RETURNING version",
        changed.product_id,
        to_us(changed.at),
    )
    await queries.fetch(
        "INSERT INTO product_defaults (product_id, from_at, version) VALUES ($1, $2, $3)",
        changed.product_id,
        to_us(changed.at),
        changed.version,
    )
    await tell(changed)


async def update_version(
    queries: Queries,
    product: ProductRow,
    row: VersionRow,
    request: UpdateVersion,
    now: datetime,
    tell: Tell,
) -> None:
    """Publish a draft and/or make a published version the default. Raises 404, 409, 422."""
    product = await read_again(queries, product)
    row = find_version(product, row.version)
    publish = request.publish is True
    if request.publish is False and row.status == "published":
        detail = f"version {row.version} is published and cannot become a draft: make a new version"
        raise FaregateError(conflict("publish", detail))
    if row.status == "archived":
        detail = f"version {row.version} is archived, for good: make a new version"
        raise FaregateError(conflict("version", detail))
    is_published = publish or row.status == "published"
    if request.make_default and not is_published:
        remedy = f"version {row.version} is a draft: publish it in the same request or before"
        raise FaregateError(invalid("make_default", remedy))
    if request.make_default is False:
        raise FaregateError(invalid("make_default", "is false: make another version the default"))
    if publish and row.status == "draft":
        await queries.fetch(
            "UPDATE product_versions SET status = 'published' "
            "WHERE product_id = $1 AND version = $2 AND status = 'draft'",
            product.id,
            row.version,
        )
    default = product.default_version
    if (request.make_default or (publish and default is None)) and default != row.version:
        last = _last_default(product)
        changed = PriceChanged(product.id, product.code, row.version, now, last)
        await _write_default(queries, changed, tell)


async def archive_versions(queries: Queries, product_id: str, versions: Sequence[int]) -> None:
    """Archive those of these versions that are published (inside a change of the catalog)."""
    for version in versions:
        await queries.fetch(
            "UPDATE product_versions SET status = 'archived' "
            "WHERE product_id = $1 AND version = $2 AND status = 'published'",
            product_id,
            version,
        )


async def delete_version(queries: Queries, product_id: str, version: int) -> None:
    """Take a draft away for good (inside a change of the catalog)."""
    await queries.fetch(
        "DELETE FROM product_versions WHERE product_id = $1 AND version = $2 "
        "AND status = 'draft' RETURNING version",
        product_id,
        version,
    )


async def delete_product(queries: Queries, product_id: str) -> None:
    """Take a product that nobody ever had away for good (inside a change of the catalog)."""
    for table in ("product_defaults", "product_versions"):
        await queries.fetch(f"DELETE FROM {table} WHERE product_id = $1", product_id)
    await queries.fetch("DELETE FROM products WHERE id = $1", product_id)


def check_archive(product: ProductRow, row: VersionRow) -> None:
    """Raise 409 if a version cannot be archived, or a draft not be taken away, whoever has it."""
    others = [v for v in product.versions.values() if v.version != row.version]
    if row.status == "draft" and not others:
        detail = f"version {row.version} is the only one of {product.code!r}: delete the product"
        raise FaregateError(conflict("version", detail))
    is_default = product.default_version == row.version
    if is_default and any(other.status == "published" for other in others):
        detail = f"version {row.version} is the default: make another one the default first"
        raise FaregateError(conflict("version", detail))


def find_product(catalog: CatalogMemory, environment_id: int, product: str) -> ProductRow:
    """Find a product by id or code. Raises 404."""
    products = catalog.products(environment_id)
    found = products.get(product)
    if found is None:
        found = next((p for p in products.values() if p.code == product), None)
    if found is None:
        raise FaregateError(Problem(NOT_FOUND, f"there is no product {product!r}"))
    return found


def find_version(product: ProductRow, version: VersionName) -> VersionRow:
    """Find a version by number or `default`. Raises 404."""
    number = product.default_version if version == "default" else version
    row = product.versions.get(number) if isinstance(number, int) else None
    if row is None:
        detail = f"product {product.code!r} has no version {version}"
        raise FaregateError(Problem(NOT_FOUND, detail))
    return row


def show_product(product: ProductRow) -> Product:
    """Return a product as the API shows it."""
    shown = product.versions[product.default_version or max(product.versions)]
    newest_first = sorted(product.versions.values(), key=lambda row: -row.version)
    return Product(
        product.id,
        product.code,
        product.name,
        DefaultVersion(shown.version, shown.entitlements, shown.prices, shown.commitments),
        [VersionReference(row.version, row.created_at, row.status) for row in newest_first],
    )


def show_version(product: ProductRow, row: VersionRow) -> ProductVersion:
    """Return a version as the API shows it."""
    return ProductVersion(
        product.id,
        row.version,
        product.code,
        product.name,
        row.prices,
        row.entitlements,
        row.status,
        product.default_version == row.version,
        row.commitments,
    )
