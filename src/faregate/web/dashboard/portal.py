"""The page `portal`: how the customers' portal looks, where it may be embedded, and what customers
may change by themselves."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.core.codec import from_dict
from faregate.core.portal import Accent, PortalSettings
from faregate.core.problems import INVALID, FaregateError, Problem, invalid
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.portal.brand import logo_url
from faregate.web.typed import Typed, beside, given

MAX_PRODUCTS: Final = 100
DEFAULT_ACCENT: Final = "#4f46e5"
LANGUAGES: Final = (
    ("", "English, or what the browser asks for"),
    ("en", "English"),
    ("de", "German"),
    ("fr", "French"),
    ("es", "Spanish"),
)


async def show(visit: Visit) -> Response:
    """Show the settings."""
    return await _page(visit)


async def change(visit: Visit) -> Response:
    """Take the form in place of what was set before."""
    form = await visit.form()
    typed = Typed(form)
    body = given(
        name=typed.text("name"),
        accent=typed.text("accent") if typed.is_ticked("has_accent") else None,
        support_email=typed.text("support_email"),
        support_url=typed.text("support_url"),
        locale=typed.text("locale"),
    )
    body |= {
        "origins": form.get("origins").split(),
        "plans": form.all("plans"),
        "may_cancel": typed.is_ticked("may_cancel"),
    }
    try:
        settings = from_dict(PortalSettings, body)
        await visit.engine.set_portal_settings(settings, context=visit.context)
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    return visit.go("portal", "The portal is as you said, from now on.")


async def change_logo(visit: Visit) -> Response:
    """Take a picture, or take it away."""
    form = await visit.form()
    upload = form.files.get("logo")
    try:
        if "remove" in form:
            await visit.engine.set_portal_logo(None, context=visit.context)
            return visit.go("portal", "The portal shows your name in place of a logo.")
        if upload is None:
            raise FaregateError(invalid("logo", "is missing: choose a file"))
        await visit.engine.set_portal_logo(upload.content, context=visit.context)
    except FaregateError as error:
        return await _page(visit, None, error.problem)
    return visit.go("portal", "The portal shows your logo.")


async def _page(visit: Visit, form: Form | None = None, problem: Problem | None = None) -> Response:
    brand = await visit.engine.get_portal_brand(context=visit.context)
    found = await visit.engine.list_products(MAX_PRODUCTS, 0, context=visit.context)
    offered = set(brand.settings.plans) if form is None else set(form.all("plans"))
    products = [
        (product.code, product.name, bool({product.id, product.code} & offered))
        for product in found.items
    ]
    errors = _by_field(problem) if problem else {}
    colour = brand.settings.accent or DEFAULT_ACCENT
    return visit.render(
        "portal.html",
        200 if problem is None else problem.kind.status,
        section="portal",
        title="Customer portal",
        brand=brand,
        logo=logo_url(brand),
        accent=Accent.of(colour),
        shown=_shown(brand.settings) if form is None else _typed(form),
        products=products,
        languages=LANGUAGES,
        problem=problem,
        errors=errors,
    )


def _by_field(problem: Problem) -> dict[str, list[str]]:
    """Return the reasons by field; those of one line of many are the field's."""
    found: dict[str, list[str]] = {}
    for field, reasons in beside(problem).items():
        found.setdefault(field.partition("[")[0], []).extend(reasons)
    return found if problem.kind is INVALID else {}


def _shown(settings: PortalSettings) -> dict[str, str]:
    return {
        "name": settings.name or "",
        "accent": settings.accent or DEFAULT_ACCENT,
        "has_accent": "1" if settings.accent else "",
        "support_email": settings.support_email or "",
        "support_url": settings.support_url or "",
        "locale": settings.locale or "",
        "origins": "\n".join(settings.origins),
        "may_cancel": "1" if settings.may_cancel else "",
    }


def _typed(form: Form) -> dict[str, str]:
    return dict.fromkeys(_shown(PortalSettings()), "") | form.first()


PAGES: Final[tuple[Page, ...]] = (
    Page("portal", show),
    Page("portal", change, "POST", needs="admin"),
    Page("portal/logo", change_logo, "POST", needs="admin"),
)
