"""Coupons: what can be had off fees, and for how long."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from starlette.responses import Response

from faregate.catalog.coupons import CreateCoupon, ShownCoupon
from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.money import show_amount
from faregate.web.rendering import show_plain
from faregate.web.typed import Typed, beside, given

SHOWN: Final = 50


async def show(visit: Visit) -> Response:
    """List the coupons."""
    return await _page(visit)


async def create(visit: Visit) -> Response:
    """Make a coupon."""
    form = await visit.form()
    typed = Typed(form)
    is_percent = form.get("kind") != "amount"
    try:
        value = typed.number("percent" if is_percent else "amount")
        periods, redeem_by = typed.whole("periods"), typed.instant("redeem_by")
        if value is None and not typed.errors:
            typed.refuse("percent" if is_percent else "amount", "is empty: say how much")
        typed.check()
        body = given(
            code=form.get("code"),
            name=typed.text("name"),
            percent=value if is_percent else None,
            amount=None if is_percent else value,
            asset=None if is_percent else form.get("asset"),
            periods=periods,
            products=tuple(form.all("products")) or None,
            redeem_by=redeem_by,
        )
        made = await visit.engine.create_coupon(
            from_dict(CreateCoupon, body), context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    return visit.go("coupons", f"The coupon {made.code} can be had.")


async def delete(visit: Visit) -> Response:
    """Let a coupon be had no more."""
    await visit.engine.delete_coupon(visit.path["code"], context=visit.context)
    said = f"{visit.path['code']} can be had no more. Who has its discount keeps it."
    return visit.go("coupons", said)


def _in_words(coupon: ShownCoupon, visit: Visit) -> str:
    assets = visit.engine.catalog_view(visit.context).assets
    if coupon.amount is not None and coupon.asset is not None:
        amount = show_amount(coupon.amount, assets[coupon.asset])
        words = f"{amount} off the fees of each period"
    else:
        words = f"{show_plain(coupon.percent or Decimal(0))}% off each fee"
    if coupon.periods is not None:
        words += f", for {coupon.periods} period{'s' if coupon.periods > 1 else ''}"
    return words


async def _page(visit: Visit, form: Form | None = None, problem: Problem | None = None) -> Response:
    found = await visit.engine.list_coupons(SHOWN, context=visit.context)
    products = await visit.engine.list_products(100, context=visit.context)
    assets = await visit.engine.list_assets(100, context=visit.context)
    names = {product.id: product.name for product in products.items}
    custom = [asset.code for asset in assets.items]
    return visit.render(
        "coupons.html",
        200 if problem is None else problem.kind.status,
        section="coupons",
        title="Coupons",
        rows=[(one, _in_words(one, visit)) for one in found.items],
        total=found.total_count,
        products=products.items,
        names=names,
        assets=[(code, code) for code in dict.fromkeys(["USD", "EUR", *custom])],
        form=form or Form([]),
        problem=problem,
        errors=beside(problem) if problem else {},
    )


PAGES: Final = (
    Page("coupons", show),
    Page("coupons", create, "POST", needs="admin"),
    Page("coupons/{code}/delete", delete, "POST", needs="admin"),
)
