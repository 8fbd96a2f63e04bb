"""One asset: what it has cost when, and what a top-up of it brings beside it."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.catalog.types import AddAssetRate, QuoteAsset
from faregate.core.assets import CURRENCIES
from faregate.core.bonuses import TopUpBonus
from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.money import show_amount
from faregate.web.rendering import show_plain
from faregate.web.typed import Typed, beside, given


async def show(visit: Visit) -> Response:
    """Show an asset; with an amount in the query, what it buys."""
    return await _page(visit)


async def add_rate(visit: Visit) -> Response:
    """Say what it costs from an instant on."""
    form = await visit.form()
    typed = Typed(form)
    try:
        buys, begins = typed.number("inverse_rate"), typed.instant("valid_from")
        if buys is None and not typed.errors:
            typed.refuse("inverse_rate", "is empty: say how many one of the currency buys")
        typed.check()
        body = given(
            source=form.get("source"),
            inverse_rate=buys,
            valid_from=begins,
        )
        await visit.engine.add_asset_rate(
            visit.path["code"], from_dict(AddAssetRate, body), context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    return visit.go(f"assets/{visit.path['code']}", "The new rate is there.")


async def set_bonus(visit: Visit) -> Response:
    """Say what a top-up brings beside it: one rule by percent, or none."""
    form = await visit.form()
    typed = Typed(form)
    try:
        percent, minimum = typed.number("percent"), typed.number("minimum")
        ends, days = typed.instant("valid_to"), typed.whole("expires_in_days")
        typed.check()
        rules = []
        if percent is not None:
            body = given(
                id=form.get("id") or "bonus",
                percent=percent,
                minimum=minimum,
                valid_to=ends,
                expires_in_days=days,
                once_per_customer=typed.is_ticked("once_per_customer"),
            )
            rules.append(from_dict(TopUpBonus, body))
        await visit.engine.set_top_up_bonus(visit.path["code"], rules, context=visit.context)
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    said = "Top-ups from now on bring that beside them." if rules else "There is no bonus any more."
    return visit.go(f"assets/{visit.path['code']}", said)


def _bonus_in_words(rule: TopUpBonus) -> str:
    if rule.percent is not None:
        words = f"{show_plain(rule.percent)}% on top"
    else:
        steps = [f"{show_plain(s.bonus)} from {show_plain(s.amount)} on" for s in rule.steps]
        words = "; ".join(steps)
    if rule.minimum is not None:
        words += f", for top-ups of {show_plain(rule.minimum)} or more"
    if rule.once_per_customer:
        words += ", once for each customer"
    if rule.expires_in_days is not None:
        words += f", to be used within {rule.expires_in_days} days"
    if rule.valid_to is not None:
        words += f", until {rule.valid_to:%-d %b %Y}"
    return words


async def _page(visit: Visit, form: Form | None = None, problem: Problem | None = None) -> Response:
    code = visit.path["code"]
    one = await visit.engine.get_asset(code, context=visit.context)
    quote, asked = None, visit.query if visit.request.method == "GET" else {}
    if asked.get("amount") and problem is None:
        typed = Typed(Form(list(asked.items())))
        try:
            amount = typed.number("amount")
            typed.check()
            body = given(source=asked.get("source", "USD"), amount=amount)
            request = from_dict(QuoteAsset, body)
            quote = await visit.engine.quote_asset(code, request, context=visit.context)
        except FaregateError as error:
            problem = error.problem
    assets = visit.engine.catalog_view(visit.context).assets
    names = {f"top_up_bonus[0].{n}": n for n in ("percent", "minimum", "id", "valid_to")}
    return visit.render(
        "asset.html",
        200 if problem is None else problem.kind.status,
        section="assets",
        title=one.name,
        one=one,
        is_own=code not in CURRENCIES,
        quote=quote,
        bought=show_amount(quote.destination_amount, assets[code]) if quote else None,
        paid=show_amount(quote.source_amount, assets[quote.source]) if quote else None,
        bonuses=[_bonus_in_words(rule) for rule in one.top_up_bonus or ()],
        currencies=[(c, f"{c} · {asset.name}") for c, asset in CURRENCIES.items()],
        form=form or Form([]),
        asked=asked,
        problem=problem,
        errors=beside(problem, names) if problem else {},
    )


PAGES: Final = (
    Page("assets/{code}", show),
    Page("assets/{code}/rates", add_rate, "POST", needs="admin"),
    Page("assets/{code}/bonus", set_bonus, "POST", needs="admin"),
)
