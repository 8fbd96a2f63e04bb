"""What wallets hold: the seller's own credits, and the currencies that everybody has."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.catalog.types import CreateAsset
from faregate.core.assets import CURRENCIES
from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.typed import Typed, beside, given

SHOWN: Final = 100


async def show(visit: Visit) -> Response:
    """List the assets."""
    return await _page(visit)


async def create(visit: Visit) -> Response:
    """Make a credit of one's own."""
    form = await visit.form()
    typed = Typed(form)
    try:
        precision, buys = typed.whole("precision"), typed.number("inverse_rate")
        typed.check()
        rates = None
        if buys is not None:
            rates = [{"source": form.get("source"), "inverse_rate": buys}]
        body = given(
            code=form.get("code"),
            name=form.get("name"),
            label=typed.text("label"),
            symbol=typed.text("symbol"),
            precision=precision,
            rates=rates,
        )
        made = await visit.engine.create_asset(from_dict(CreateAsset, body), context=visit.context)
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    return visit.go(f"assets/{made.code}", f"{form.get('name')} can be sold and spent.")


async def _page(visit: Visit, form: Form | None = None, problem: Problem | None = None) -> Response:
    found = await visit.engine.list_assets(SHOWN, context=visit.context)
    own = [asset for asset in found.items if asset.code not in CURRENCIES]
    names = {"rates[0].inverse_rate": "inverse_rate", "rates[0].source": "source"}
    return visit.render(
        "assets.html",
        200 if problem is None else problem.kind.status,
        section="assets",
        title="Assets",
        own=own,
        currencies=[(code, f"{code} · {asset.name}") for code, asset in CURRENCIES.items()],
        form=form or Form([]),
        problem=problem,
        errors=beside(problem, names) if problem else {},
    )


PAGES: Final = (Page("assets", show), Page("assets", create, "POST", needs="admin"))
