"""One product: its versions in words, what became of it, comparing two versions, and what may be
done with them. Who has which version is in `moving`, trying one out in `trying`.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response

from faregate.catalog.types import (
    CreateVersion,
    Product,
    ProductVersion,
    UpdateVersion,
    VersionDiff,
    VersionReference,
)
from faregate.core.codec import encode
from faregate.core.differences import Offer
from faregate.core.price_words import offer_in_words
from faregate.core.problems import FaregateError, Problem
from faregate.web.dashboard import moving, trying
from faregate.web.dashboard.products import kind_of
from faregate.web.dashboard.visit import Page, Visit

DEFAULTS_FOLLOWERS: Final = 0
"""In counts of subscribers: those who have no version of their own, but the default."""


class Version(msgspec.Struct, frozen=True):
    """A row of the table of versions."""

    reference: VersionReference
    kind: str
    is_default: bool
    subscribers: int
    followers: int


async def show(visit: Visit) -> Response:
    """Show a product."""
    return await _show(visit)


async def _show(visit: Visit, problem: Problem | None = None) -> Response:
    engine, context = visit.engine, visit.context
    product = await engine.get_product(visit.path["product"], context=context)
    counts = (await engine.count_subscribers([product.id], context=context))[product.id]
    number = _number(visit.query.get("version", ""), product, product.default_version.version)
    version = await engine.get_version(product.id, number, context=context)
    shown = product.default_version.version
    current = await engine.get_version(product.id, shown, context=context)
    default = shown if current.is_default else None
    rows = [
        Version(
            reference,
            kind_of(reference.status),
            reference.version == default,
            counts.get(reference.version, 0),
            counts.get(DEFAULTS_FOLLOWERS, 0) if reference.version == default else 0,
        )
        for reference in product.versions
    ]
    offer = Offer(version.prices, version.entitlements, version.commitments)
    return visit.render(
        "product.html",
        200 if problem is None else problem.kind.status,
        section="products",
        title=product.name,
        tab="",
        product=product,
        versions=rows,
        version=version,
        words=offer_in_words(offer),
        json=_json(version),
        difference=await _difference(visit, product),
        total=sum(counts.values()),
        problem=problem,
    )


def _number(text: str, product: Product, default: int) -> int:
    there = {str(reference.version): reference.version for reference in product.versions}
    return there.get(text, default)


async def _difference(visit: Visit, product: Product) -> VersionDiff | None:
    """Compare the two versions that the query names, else the newest with the one before it."""
    if len(product.versions) < 2:
        return None
    newest, before = [reference.version for reference in product.versions[:2]]
    to = _number(visit.query.get("to", ""), product, newest)
    against = _number(visit.query.get("from", ""), product, before)
    return await visit.engine.diff_versions(product.id, to, against, context=visit.context)


def _json(version: ProductVersion) -> str:
    """Write a version as the API takes it."""

    def plain(parts: tuple[msgspec.Struct, ...]) -> tuple[msgspec.Struct, ...]:
        return tuple(msgspec.structs.replace(part, id=None) for part in parts)

    request = msgspec.structs.replace(
        CreateVersion(()),
        prices=plain(version.prices),
        entitlements=plain(version.entitlements) or None,
        commitments=plain(version.commitments) or None,
    )
    return msgspec.json.format(encode(request), indent=2).decode()


async def change_version(visit: Visit) -> Response:
    """Publish a version, make it the default, archive it, or delete a draft."""
    engine, context = visit.engine, visit.context
    form = await visit.form()
    product = await engine.get_product(visit.path["product"], context=context)
    number = _number(visit.path["version"], product, 0)
    try:
        match form.get("do"):
            case "publish":
                change = UpdateVersion(publish=True)
                await engine.update_version(product.id, number, change, context=context)
                said = f"Version {number} is published"
            case "make_default":
                change = UpdateVersion(make_default=True)
                await engine.update_version(product.id, number, change, context=context)
                said = f"Version {number} is the default now"
            case "archive":
                await engine.archive_version(product.id, number, context=context)
                said = f"Version {number} is archived"
            case "delete":
                await engine.archive_version(product.id, number, context=context)
                said = f"Draft {number} is deleted"
            case _:
                said = ""
    except FaregateError as error:
        return await _show(visit, error.problem)
    return visit.go(f"products/{product.id}", said)


async def delete(visit: Visit) -> Response:
    """Delete a product that nobody ever had, or archive one that nobody has any more."""
    engine, context = visit.engine, visit.context
    product = await engine.get_product(visit.path["product"], context=context)
    try:
        await engine.delete_product(product.id, context=context)
    except FaregateError as error:
        return await _show(visit, error.problem)
    left = await engine.list_products(1, code=product.code, context=context)
    if left.total_count:
        said = f"{product.name} is archived: somebody once had it, so it stays in the books"
    else:
        said = f"{product.name} is deleted"
    return visit.go("products", said)


PAGES: Final[tuple[Page, ...]] = (
    Page("products/{product}", show),
    Page("products/{product}/delete", delete, "POST", "admin", action="end a product"),
    Page(
        "products/{product}/versions/{version}",
        change_version,
        "POST",
        "admin",
        action="change a version of a product",
    ),
    *moving.PAGES,
    *trying.PAGES,
)
