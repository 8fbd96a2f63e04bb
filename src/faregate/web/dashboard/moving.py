"""Who has a product, and moving them to another version: first what each of them would pay, then,
confirmed, the move."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from faregate.catalog.types import Product
from faregate.core.codec import from_dict
from faregate.core.price_words import money
from faregate.core.problems import FaregateError, Problem
from faregate.customers.migrating import (
    MigrateProduct,
    MigrateSubscribers,
    Migration,
    MigrationPreview,
)
from faregate.web.dashboard.jobs import asker
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form

PER_PAGE: Final = 50
PREVIEWED: Final = 20
FAILED_SHOWN: Final = 50
AT_ONCE: Final = 100
"""Subscriptions that are moved while somebody waits."""
MAX_DIGITS: Final = 9
"""Of a number that a browser sends."""
_FIELDS: Final = ("to_version", "from_version", "effective", "proration", "credits")


async def show(visit: Visit) -> Response:
    """Show a product's subscribers, with the form to move them."""
    return await _show(visit, {})


async def preview_move(visit: Visit) -> Response:
    """Say what a move would change for each."""
    return await _answer(visit, is_dry=True)


async def move(visit: Visit) -> Response:
    """Move, once that is confirmed: at once if they are few, else as a job that can be left."""
    product = await visit.engine.get_product(visit.path["product"], context=visit.context)
    counts = await visit.engine.count_subscribers([product.id], context=visit.context)
    if sum(counts[product.id].values()) <= AT_ONCE:
        return await _answer(visit, is_dry=False)
    form = await visit.form()
    try:
        wanted = MigrateProduct(product.id, _request(form, is_dry=False))
        job = await visit.engine.create_job(
            "migrate_subscribers", wanted, asked_by=asker(visit), context=visit.context
        )
    except FaregateError as error:
        return await _show(visit, form.first(), error.problem)
    return visit.go(f"jobs/{job.id}")


async def _answer(visit: Visit, *, is_dry: bool) -> Response:
    form = await visit.form()
    typed = form.first()
    product = await visit.engine.get_product(visit.path["product"], context=visit.context)
    try:
        answer = await visit.engine.migrate_subscribers(
            product.id, _request(form, is_dry=is_dry), PREVIEWED, context=visit.context
        )
    except FaregateError as error:
        return await _show(visit, typed, error.problem)
    if isinstance(answer, MigrationPreview):
        return await _show(visit, typed, preview=answer)
    said = f"{answer.moved:,} moved, {answer.already_there:,} were there already"
    if not answer.failed and answer.moved + answer.already_there == answer.total:
        return visit.go(f"products/{product.id}/subscribers", said)
    return await _show(visit, typed, moved=answer)


def _request(form: Form, *, is_dry: bool) -> MigrateSubscribers:
    """Read the form. Raises 422."""
    given: dict[str, Any] = {name: form.get(name) for name in _FIELDS if form.get(name)}
    for name in ("to_version", "from_version"):
        text = given.get(name, "")
        if text.isdecimal() and len(text) < MAX_DIGITS:
            given[name] = int(text)
    if given.get("effective") != "now":
        # What becomes of the period under way is asked only for what counts at once.
        given.pop("proration", None)
        given.pop("credits", None)
    return from_dict(MigrateSubscribers, given | {"dry_run": is_dry})


async def _show(
    visit: Visit,
    typed: dict[str, str],
    problem: Problem | None = None,
    *,
    preview: MigrationPreview | None = None,
    moved: Migration | None = None,
) -> Response:
    engine, context = visit.engine, visit.context
    product: Product = await engine.get_product(visit.path["product"], context=context)
    subscribers = await engine.list_subscribers(product.id, PER_PAGE, visit.offset, context=context)
    counts = (await engine.count_subscribers([product.id], context=context))[product.id]
    failed = [one.customer_id for one in moved.failed[:FAILED_SHOWN]] if moved else []
    published = [v.version for v in product.versions if v.status == "published"]
    here = visit.url(f"products/{product.id}/subscribers")
    return visit.render(
        "subscribers.html",
        200 if problem is None else problem.kind.status,
        section="products",
        title=product.name,
        tab="subscribers",
        product=product,
        counts=sorted(counts.items()),
        published=published,
        page=subscribers,
        link=lambda at: f"{here}?offset={at}",
        typed=typed,
        problem=problem,
        errors=problem.errors if problem else {},
        preview=preview,
        moved=moved,
        failed_shown=FAILED_SHOWN,
        names=await engine.customer_names(failed, context=context),
        words_of=money,
        numbered=lambda versions: _numbered([v.version for v in versions]),
        numbered_of=_numbered,
    )


def _numbered(numbers: list[int]) -> list[tuple[str, str]]:
    return [(str(number), f"version {number}") for number in numbers]


PAGES: Final[tuple[Page, ...]] = (
    Page("products/{product}/subscribers", show),
    Page("products/{product}/subscribers", preview_move, "POST", "admin", is_change=False),
    Page("products/{product}/move", show, needs="admin"),
    Page("products/{product}/move", move, "POST", "admin", action="move subscribers"),
)
