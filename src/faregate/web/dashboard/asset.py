"""Assets: credits that the seller has made up, what they cost over time, and what top-ups bring
beside them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from faregate.catalog.types import AddAssetRate, AssetDetails, CreateAsset
from faregate.core.bonuses import TopUpBonus
from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.web.dashboard.typed import day, number, whole
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.rendering import show_day, show_plain

CURRENCIES_FIRST: Final = ("USD", "EUR", "GBP")


async def show_new(visit: Visit) -> Response:
    """Show the form of a new asset."""
    return await _new(visit)


async def _new(visit: Visit, problem: Problem | None = None) -> Response:
    form = await visit.form() if problem is not None else Form([])
    return visit.render(
        "asset_new.html",
        200 if problem is None else problem.kind.status,
        section="settings",
        title="New credit",
        errors={} if problem is None else problem.errors,
        general="" if problem is None or problem.errors else problem.detail,
        typed=form,
        currencies=_currencies(visit),
    )


def _currencies(visit: Visit) -> list[str]:
    known = visit.engine.catalog_view(visit.context).assets
    rest = sorted(code for code, one in known.items() if one.is_currency)
    return [*CURRENCIES_FIRST, *[code for code in rest if code not in CURRENCIES_FIRST]]


async def create(visit: Visit) -> Response:
    """Make an asset, with its first price where one was typed."""
    form = await visit.form()
    try:
        given: dict[str, Any] = {
            "code": form.get("code").upper(),
            "name": form.get("name"),
            "precision": whole(form, "precision", 0),
        }
        if form.get("symbol"):
            given["symbol"] = form.get("symbol")
        cost = number(form, "rate")
        if cost is not None:
            given["rates"] = [{"source": form.get("source"), "rate": cost}]
        made = await visit.engine.create_asset(from_dict(CreateAsset, given), context=visit.context)
    except FaregateError as error:
        renamed = {name.replace("rates[0].", ""): e for name, e in error.problem.errors.items()}
        return await _new(visit, Problem(error.problem.kind, error.problem.detail, renamed))
    visit.has_made = made.code
    return visit.go(f"settings/assets/{made.code}", f"{made.code} was made")


async def find(visit: Visit) -> Response:
    """Lead on to an asset that was chosen by its code."""
    return visit.go(f"settings/assets/{quote(visit.query.get('code', ''), safe='')}")


async def show(visit: Visit) -> Response:
    """Show an asset."""
    return await _shown(visit)


async def _shown(visit: Visit, problem: Problem | None = None, form: str = "") -> Response:
    asset = await visit.engine.get_asset(visit.path["code"], context=visit.context)
    return visit.render(
        "asset.html",
        200 if problem is None else problem.kind.status,
        section="settings",
        title=asset.name,
        asset=asset,
        is_own=not visit.engine.catalog_view(visit.context).assets[asset.code].is_currency,
        bonuses=[(rule, words_of(rule, asset.code)) for rule in asset.top_up_bonus or ()],
        errors={} if problem is None else problem.errors,
        general="" if problem is None or problem.errors else problem.detail,
        failed=form,
        typed=await visit.form() if problem is not None else Form([]),
        currencies=[code for code in _currencies(visit) if code != asset.code],
    )


def words_of(rule: TopUpBonus, code: str) -> str:
    """Say in a sentence what a rule gives.

    >>> from decimal import Decimal
    >>> from faregate.core.amounts import Number
    >>> words_of(TopUpBonus("more", Number(20), minimum=Number(50), once_per_customer=True), "USD")
    '20% more on top-ups from 50 USD, once per customer'
    """
    if rule.percent is not None:
        gives = f"{show_plain(rule.percent)}% more on top-ups"
    else:
        steps = [
            f"{show_plain(step.bonus)} {code} from {show_plain(step.amount)}" for step in rule.steps
        ]
        gives = f"{', '.join(steps)} on top-ups"
    if rule.minimum is not None:
        gives += f" from {show_plain(rule.minimum)} {code}"
    if rule.maximum is not None:
        gives += f" up to {show_plain(rule.maximum)} {code}"
    if rule.once_per_customer:
        gives += ", once per customer"
    if rule.valid_from is not None:
        gives += f", from {show_day(rule.valid_from)} on"
    if rule.valid_to is not None:
        gives += f", until {show_day(rule.valid_to)}"
    if rule.expires_in_days is not None:
        gives += f"; it expires after {rule.expires_in_days} days"
    return gives


async def add_rate(visit: Visit) -> Response:
    """Say what an asset costs from a day on."""
    form, code = await visit.form(), visit.path["code"]
    try:
        given: dict[str, Any] = {"source": form.get("source")}
        price = number(form, "rate")
        if price is None:
            raise FaregateError(invalid("rate", "is missing: write what one costs, e.g. 0.01"))
        name = "inverse_rate" if form.get("way") == "inverse" else "rate"
        begins = day(form, "valid_from")
        request = from_dict(AddAssetRate, given | {name: price})
        if begins is not None:
            request = AddAssetRate(request.source, request.rate, request.inverse_rate, begins)
        await visit.engine.add_asset_rate(code, request, context=visit.context)
    except FaregateError as error:
        return await _shown(visit, _renamed(error.problem, {"inverse_rate": "rate"}), "rate")
    return visit.go(f"settings/assets/{code}", "The new rate is kept")


async def add_bonus(visit: Visit) -> Response:
    """Add a rule of what top-ups bring beside them."""
    form, code = await visit.form(), visit.path["code"]
    try:
        asset = await visit.engine.get_asset(code, context=visit.context)
        given = {
            "id": form.get("id"),
            "percent": number(form, "percent"),
            "minimum": number(form, "minimum"),
            "maximum": number(form, "maximum"),
            "once_per_customer": "once_per_customer" in form,
            "expires_in_days": whole(form, "expires_in_days"),
        }
        if given["percent"] is None:
            raise FaregateError(invalid("percent", "is missing: write how much more, e.g. 20"))
        rule = from_dict(TopUpBonus, {k: v for k, v in given.items() if v is not None})
        rules = [*(asset.top_up_bonus or ()), rule]
        await visit.engine.set_top_up_bonus(code, rules, context=visit.context)
    except FaregateError as error:
        return await _shown(visit, _of_rule(error.problem), "bonus")
    return visit.go(f"settings/assets/{code}", f"From now on: {words_of(rule, code)}")


async def end_bonus(visit: Visit) -> Response:
    """Take a rule away."""
    code, wanted = visit.path["code"], visit.path["rule"]
    asset: AssetDetails = await visit.engine.get_asset(code, context=visit.context)
    rules = [rule for rule in asset.top_up_bonus or () if rule.id != wanted]
    await visit.engine.set_top_up_bonus(code, rules, context=visit.context)
    return visit.go(f"settings/assets/{code}", f"The rule {wanted} applies no more")


def _renamed(problem: Problem, names: dict[str, str]) -> Problem:
    errors = {names.get(name, name): words for name, words in problem.errors.items()}
    return Problem(problem.kind, problem.detail, errors)


def _of_rule(problem: Problem) -> Problem:
    """Name the fields of a rule as the form does: `top_up_bonus[2].percent` is `percent`."""
    names = {name: name.rpartition(".")[2] for name in problem.errors}
    return _renamed(problem, names)


PAGES: Final = (
    Page("settings/assets", show_new),
    Page("settings/assets", create, "POST", "admin", action="make an asset"),
    Page("settings/asset", find),
    Page("settings/assets/{code}", show),
    Page("settings/assets/{code}/rates", add_rate, "POST", "admin", action="add an asset's rate"),
    Page("settings/assets/{code}/bonus", add_bonus, "POST", "admin", action="add a top-up bonus"),
    Page(
        "settings/assets/{code}/bonus/{rule}/end",
        end_bonus,
        "POST",
        "admin",
        action="end a top-up bonus",
    ),
)
