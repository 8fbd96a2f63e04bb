"""The page `limits`: what may be spent at most, by the seller's limits and by the customer's own,
which they set here; and the balance below which they want to be warned.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, get_args

import msgspec
from starlette.responses import Response

from faregate.core.amounts import Number, to_decimal
from faregate.core.assets import Asset
from faregate.core.own_limits import OwnLimit, OwnLimitChange
from faregate.core.problems import FaregateError
from faregate.core.windows import Period
from faregate.engine import LimitState
from faregate.web.portal.formats import plain_number, read_number
from faregate.web.portal.saying import PERIODS, no_amount, refused
from faregate.web.portal.visit import PortalPage, PortalVisit

Mode = Literal["hard", "soft"]


class LimitCard(msgspec.Struct, frozen=True):
    """A limit as it is shown: `words` says it in a sentence. `part` of 100 are used."""

    id: str
    words: str
    used: str
    part: int
    resets_at: datetime | None
    is_own: bool
    is_hard: bool
    amount: str
    unit: str
    name: str


async def show(visit: PortalVisit) -> Response:
    """Show limits and alerts."""
    return await _show(visit)


async def add(visit: PortalVisit) -> Response:
    """Set a limit of the customer's own."""
    form = await visit.form()
    amount = read_number(form.get("amount"), visit.locale)
    typed = form.first()
    if amount is None:
        return await _show(visit, typed, {"amount": [no_amount(visit)]})
    period: Period = next((p for p in get_args(Period) if p == form.get("period")), "month")
    mode: Mode = "soft" if form.get("mode") == "soft" else "hard"
    subject = form.get("subject")[:200] or None
    request = OwnLimit(Number(amount), form.get("asset"), period, mode, subject)
    try:
        await visit.engine.set_own_limit(visit.customer_id, request, context=visit.context)
    except FaregateError as error:
        return await _refused(visit, error, typed)
    return visit.go("limits", visit.t("Your limit holds from now on."))


async def change(visit: PortalVisit) -> Response:
    """Change the amount of a limit of the customer's own. Raises 404, also for the seller's."""
    form, limit_id = await visit.form(), visit.path["limit_id"]
    amount = read_number(form.get("amount"), visit.locale)
    field = f"amount-{limit_id}"
    typed = {field: form.get("amount")}
    if amount is None:
        return await _show(visit, typed, {field: [no_amount(visit)]})
    try:
        await visit.engine.change_own_limit(
            visit.customer_id, limit_id, OwnLimitChange(Number(amount)), context=visit.context
        )
    except FaregateError as error:
        return await _refused(visit, error, typed, field)
    return visit.go("limits", visit.t("Your limit was changed."))


async def remove(visit: PortalVisit) -> Response:
    """Take a limit of the customer's own away. Raises 404, also for the seller's."""
    await visit.engine.remove_own_limit(
        visit.customer_id, visit.path["limit_id"], context=visit.context
    )
    return visit.go("limits", visit.t("Your limit was removed."))


async def set_alert(visit: PortalVisit) -> Response:
    """Say below which balance the customer wants to be warned; empty: never."""
    form, account = await visit.form(), visit.path["account_id"]
    text, field = form.get("threshold"), f"alert-{account}"
    threshold = read_number(text, visit.locale) if text else None
    if text and threshold is None:
        return await _show(visit, {field: text}, {field: [no_amount(visit)]})
    try:
        await visit.engine.set_own_alert(
            visit.customer_id,
            account,
            Number(threshold) if threshold else None,
            context=visit.context,
        )
    except FaregateError as error:
        if not error.problem.errors:
            raise
        return await _refused(visit, error, {field: text}, field)
    said = (
        visit.t("You will be warned.") if threshold else visit.t("You will not be warned any more.")
    )
    return visit.go("limits", said)


async def _refused(
    visit: PortalVisit, error: FaregateError, typed: dict[str, str], field: str = "amount"
) -> Response:
    """Show the page again, with what is wrong beside its field. Raises 404 as it is."""
    status = error.problem.kind.status
    if status == 404:
        raise error
    if status != 422:
        return await _show(visit, typed, {}, refused(visit, error))
    words = visit.t(
        "This amount is not possible. It must not be above the limit that holds already."
    )
    return await _show(visit, typed, {field: [words]})


async def _show(
    visit: PortalVisit,
    typed: dict[str, str] | None = None,
    errors: dict[str, list[str]] | None = None,
    sentence: str = "",
) -> Response:
    engine, me, context = visit.engine, visit.customer_id, visit.context
    assets = engine.catalog_view(context).assets
    states = await engine.customer_limits(me, context=context)
    alerts = await engine.list_own_alerts(me, context=context)
    alerts.sort(key=lambda alert: not assets[alert.asset].is_currency)
    codes = dict.fromkeys(alert.asset for alert in alerts)
    if not codes:
        offers = await engine.top_up_offers(me, context=context)
        codes = dict.fromkeys(offered.asset.code for offered in offers)
    return visit.render(
        "limits.html",
        422 if errors or sentence else 200,
        section="limits",
        title=visit.t("Limits and alerts"),
        limits=[_card(visit, state) for state in states if state.limit.mode != "free"],
        alerts=alerts,
        assets=assets,
        codes=list(codes),
        periods=[(p, visit.t(PERIODS[p])) for p in get_args(Period)],
        typed=typed or {},
        errors=errors or {},
        sentence=sentence,
    )


def _card(visit: PortalVisit, state: LimitState) -> LimitCard:
    limit = state.limit
    assets = visit.engine.catalog_view(visit.context).assets
    asset: Asset | None = assets.get(limit.asset or "")
    most, used = (to_decimal(units, limit.scale) for units in (limit.amount_units, _used(state)))

    def write(number: Decimal) -> str:
        if asset is not None:
            return str(visit.money(number, asset.code))
        return f"{visit.language.number(number)} {limit.unit.replace('_', ' ')}"

    words = {"amount": write(most), "period": visit.t(PERIODS[limit.period])}
    said = visit.t("At most %(amount)s %(period)s", **words)
    if limit.subject == "*":
        said = visit.t("%(limit)s, each by itself", limit=said)
    elif limit.subject is not None:
        said = visit.t("%(limit)s for %(subject)s", limit=said, subject=limit.subject)
    part = 100 if not most else min(100, max(0, int(used * 100 / most)))
    return LimitCard(
        limit.id,
        said,
        visit.t("%(amount)s used", amount=write(used)),
        part,
        state.resets_at,
        limit.set_by == "customer",
        limit.mode == "hard",
        plain_number(most, visit.locale),
        (asset.symbol or asset.code) if asset is not None else limit.unit,
        limit.name or "",
    )


def _used(state: LimitState) -> int:
    return state.used_units + state.held_units


PAGES: Final[tuple[PortalPage, ...]] = (
    PortalPage("limits", show),
    PortalPage("limits", add, "POST"),
    PortalPage("limits/{limit_id}", change, "POST"),
    PortalPage("limits/{limit_id}/remove", remove, "POST"),
    PortalPage("limits/alerts/{account_id}", set_alert, "POST"),
)
