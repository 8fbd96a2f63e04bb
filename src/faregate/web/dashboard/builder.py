"""Building a price without JSON: a new product, or the next version of one. Each button sends the
whole form, which comes back with what the button does; a preview says beside it what one use and
a normal month cost.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Any, Final

import msgspec
from starlette.responses import Response

from faregate.catalog import guide
from faregate.catalog.types import CreateProduct, CreateVersion, UpdateVersion, VersionCreated
from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError
from faregate.web.dashboard.visit import Handler, Page, Visit
from faregate.web.product_form.acting import (
    MODELS,
    act,
    bases,
    complete,
    label_of,
    measures,
    place_of,
)
from faregate.web.product_form.branches import Branch, flat, grow
from faregate.web.product_form.parts import default_basis, names_in
from faregate.web.product_form.previews import Shown, preview
from faregate.web.product_form.reading import Draft, read_form, request_of
from faregate.web.product_form.writing import MAX_SHOWN_FIELDS, write_form

MAX_LISTED_ASSETS: Final = 100


class Target(msgspec.Struct, frozen=True):
    """What is built: a new product, or the next version of one. Without a `product`, the first."""

    path: str
    title: str
    product_id: str = ""
    code: str = ""
    replaces: int | None = None


async def start_product(visit: Visit) -> Response:
    """Show an empty form, or one that the guide's answers have filled in."""
    answers = guide_answers(visit.query)
    root = Branch({"once": secrets.token_hex(8)})
    advice: list[str] = []
    if answers is None:
        root.all("price").append(Branch({"model": "flat"}))
    else:
        plan = guide.plan(answers)
        advice = plan.advice
        product = plan.product
        credits = product.entitlements or ()
        form = write_form(product.prices, credits, (), product.name, product.code)
        root.fields |= form.fields
        root.lists = form.lists
    return await _show(visit, _NEW, root, advice=advice)


async def start_version(visit: Visit) -> Response:
    """Show a form with what a version says: what is saved is the next version."""
    target = await _target(visit)
    product = await visit.engine.get_product(target.product_id, context=visit.context)
    there = {str(reference.version): reference.version for reference in product.versions}
    number = there.get(visit.query.get("from", ""), product.default_version.version)
    version = await visit.engine.get_version(product.id, number, context=visit.context)
    root = write_form(version.prices, version.entitlements, version.commitments)
    root.fields["once"] = secrets.token_hex(8)
    if version.status == "draft":
        root.fields["replaces"] = str(version.version)
    return await _show(visit, target, root)


async def act_on_product(visit: Visit) -> Response:
    """Do what a button says to a new product."""
    return await _act(visit, _NEW)


async def act_on_version(visit: Visit) -> Response:
    """Do what a button says to a new version."""
    return await _act(visit, await _target(visit))


async def save_product(visit: Visit) -> Response:
    """Create a product, as a draft or published."""
    return await _finish(visit, _NEW)


async def save_version(visit: Visit) -> Response:
    """Create the next version of a product, as a draft or published."""
    return await _finish(visit, await _target(visit))


async def show_preview(visit: Visit) -> Response:
    """Show what is typed, in words and numbers."""
    form = await visit.form()
    root = grow(form.first())
    complete(root)
    target = _NEW
    if form.get("product"):
        product = await visit.engine.get_product(form.get("product"), context=visit.context)
        target = _next_of(product.id, product.code, product.name)
    shown = await _preview(visit, target, root, read_form(root))
    return visit.render("preview.html", shown=shown, is_part=True)


_NEW: Final = Target("new-product", "New product")


def _next_of(product_id: str, code: str, name: str) -> Target:
    return Target(f"products/{product_id}/new-version", f"New version of {name}", product_id, code)


async def _target(visit: Visit) -> Target:
    product = await visit.engine.get_product(visit.path["product"], context=visit.context)
    return _next_of(product.id, product.code, product.name)


async def _act(visit: Visit, target: Target) -> Response:
    form = await visit.form()
    root, action = grow(form.first()), form.get("do")
    changed = ""
    errors: dict[str, list[str]] = {}
    if action.startswith("add:") and len(flat(root)) > MAX_SHOWN_FIELDS:
        remedy = "show a price as JSON, and add it there"
        errors = {"": [f"the form is full, with {len(flat(root)):,} fields: {remedy}"]}
    elif ":" in action:
        changed = act(root, action)
    return await _show(visit, target, root, errors, changed=changed)


async def _finish(visit: Visit, target: Target) -> Response:
    form = await visit.form()
    root = grow(form.first())
    is_published = form.get("do") == "publish"
    saved = await _save(visit, target, root, read_form(root), is_published=is_published)
    return saved if isinstance(saved, Response) else await _show(visit, target, root, saved)


async def _save(
    visit: Visit, target: Target, root: Branch, draft: Draft, *, is_published: bool
) -> Response | dict[str, list[str]]:
    """Write what the form says; return what is wrong with it, by field, if it cannot be."""
    request: CreateProduct | CreateVersion | dict[str, list[str]]
    if target.product_id:
        request = request_of(CreateVersion, draft)
    else:
        request = request_of(CreateProduct, draft)
    if isinstance(request, dict):
        return request
    request = msgspec.structs.replace(request, publish=is_published)
    # The same form sent twice makes one version; changed and sent again, another.
    once = None
    if root.get("once"):
        whole = f"{root.get('once')} {is_published} {draft.content}"
        once = sha256(whole.encode()).hexdigest()
    engine, context = visit.engine, visit.context
    try:
        made: VersionCreated
        if isinstance(request, CreateProduct):
            made = await engine.create_product(request, idempotency_key=once, context=context)
        else:
            made = await engine.create_version(
                target.product_id, request, idempotency_key=once, context=context
            )
            if is_published and root.get("make_default") and not made.is_default:
                default = UpdateVersion(make_default=True)
                await engine.update_version(made.id, made.version, default, context=context)
    except FaregateError as error:
        return draft.places.fields(error.problem.errors) or {"": [error.problem.detail]}
    visit.has_made = made.id
    await _take_away(visit, made, root.get("replaces"))
    said = "is published" if is_published else "is saved as a draft"
    return visit.go(f"products/{made.id}", f"Version {made.version} of {made.code} {said}")


async def _take_away(visit: Visit, made: VersionCreated, replaced: str) -> None:
    """Take the draft away that was worked on: it lives on in what was just saved."""
    product = await visit.engine.get_product(made.id, context=visit.context)
    for reference in product.versions:
        if str(reference.version) == replaced and reference.status == "draft":
            await visit.engine.archive_version(made.id, reference.version, context=visit.context)


async def _show(
    visit: Visit,
    target: Target,
    root: Branch,
    errors: dict[str, list[str]] | None = None,
    *,
    changed: str = "",
    advice: list[str] | None = None,
) -> Response:
    complete(root)
    shown = await _preview(visit, target, root, read_form(root))
    said = {
        field: [f"{label_of(field)} {message}".strip() for message in messages]
        for field, messages in (errors or {}).items()
    }
    assets = await visit.engine.list_assets(MAX_LISTED_ASSETS, context=visit.context)
    # htmx shows nothing of an answer that is an error.
    status = 422 if errors and not visit.is_htmx else 200
    return visit.render(
        "builder.html",
        status,
        section="products",
        title=target.title,
        target=target,
        root=root,
        errors={name: [_sentence(text) for text in texts] for name, texts in said.items()},
        places=[(place_of(name), name) for name in said],
        changed=changed,
        models=MODELS,
        measures=measures,
        bases=bases,
        default_basis=default_basis,
        dimension_names=_dimension_names,
        advice=advice or [],
        assets=assets.items,
        shown=shown,
        is_part=False,
    )


def _dimension_names(price: Branch) -> list[str]:
    return names_in(price.get("dimensions"))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


async def _preview(visit: Visit, target: Target, root: Branch, draft: Draft) -> Shown:
    path = f"/v1/products/{target.code}" if target.code else "/v1/products"
    return await preview(visit.engine, visit.context, root, draft, visit.base_url + path)


def guide_answers(fields: dict[str, str]) -> guide.Answers | None:
    """Read the guide's answers; None if there are none. Raises 422."""
    if "costs" not in fields:
        return None
    names = guide.Answers.__struct_fields__
    given: dict[str, Any] = {name: fields[name] for name in names if fields.get(name)}
    return from_dict(guide.Answers, given)


def _pages(path: str, handlers: tuple[Handler, Handler, Handler], action: str) -> tuple[Page, ...]:
    """Return where a form begins, where its buttons work on it, and where it is saved; to load the
    last one again begins anew."""
    start, work, save = handlers
    return (
        Page(path, start, needs="admin"),
        Page(path, work, "POST", "admin", is_change=False),
        Page(f"{path}/save", start, needs="admin"),
        Page(f"{path}/save", save, "POST", "admin", action=action),
    )


PAGES: Final[tuple[Page, ...]] = (
    *_pages("new-product", (start_product, act_on_product, save_product), "make a product"),
    *_pages(
        "products/{product}/new-version",
        (start_version, act_on_version, save_version),
        "make a version of a product",
    ),
    Page("preview-product", show_preview, "POST", is_change=False),
)
