"""An account's settings in words: its days, renewals that a balance does not cover, how payments
are taken and who collects them, when to warn; and which assets there are.
"""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import available_timezones

from starlette.responses import Response

from faregate.core.alerts import Alerts
from faregate.core.codec import from_dict
from faregate.core.payment_rules import PaymentRules
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.core.subscriptions import RenewalRules
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.typed import Typed

MAX_ROWS: Final = 200
MESSAGES: Final = "/payments/messages"
BOUNDS: Final = ("minimum", "maximum")
LOWS: Final = ("amount",)


async def show(visit: Visit) -> Response:
    """Show the page."""
    return await _shown(visit)


async def _shown(
    visit: Visit, problem: Problem | None = None, form: str = "", secret: str = ""
) -> Response:
    engine, context = visit.engine, visit.context
    view = engine.catalog_view(context)
    typed = await visit.form() if problem is not None else Form([])
    assets = sorted(view.assets.values(), key=lambda one: (one.is_currency, one.code))
    currencies = [one.code for one in assets if one.is_currency]
    first = [code for code in ("USD", "EUR", "GBP") if code in currencies]
    return visit.render(
        "settings.html",
        200 if problem is None else problem.kind.status,
        section="settings",
        title="Settings",
        rules=view,
        zones=sorted(available_timezones()),
        errors={} if problem is None else problem.errors,
        general="" if problem is None or problem.errors else problem.detail,
        failed=form,
        typed=typed,
        bounds=_rows(typed, "bound", BOUNDS) if form == "payments" else _kept(view.payments),
        lows=_rows(typed, "low", LOWS) if form == "alerts" else _kept_lows(view.alerts),
        providers=engine.payment_providers(context),
        door=f"{visit.base_url}{MESSAGES}",
        is_external=_has_secret(visit),
        own=[one for one in assets if not one.is_currency or one.code in view.bonuses],
        codes=[one.code for one in assets if not one.is_currency]
        + first
        + [code for code in currencies if code not in first],
        secret=secret,
    )


def _kept(payments: PaymentRules) -> list[dict[str, Any]]:
    kept = [
        {"code": code, "minimum": bounds.minimum, "maximum": bounds.maximum}
        for code, bounds in sorted(payments.top_ups.items())
    ]
    return [*kept, {"code": ""}]


def _kept_lows(alerts: Alerts) -> list[dict[str, Any]]:
    kept = [{"code": code, "amount": at} for code, at in sorted(alerts.low_balances.items())]
    return [*kept, {"code": ""}]


def _rows(typed: Form, kind: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return rows as they were typed."""
    rows: list[dict[str, Any]] = []
    while f"{kind}-code-{len(rows)}" in typed and len(rows) < MAX_ROWS:
        at = len(rows)
        values = {name: typed.get(f"{kind}-{name}-{at}") for name in names}
        rows.append({"code": typed.get(f"{kind}-code-{at}"), **values})
    return rows or [{"code": ""}]


async def set_timezone(visit: Visit) -> Response:
    """Say where the account's days begin."""
    timezone = (await visit.form()).get("timezone")
    try:
        if not timezone:
            raise FaregateError(invalid("timezone", "is empty: choose one, e.g. Europe/Berlin"))
        await visit.engine.change_settings(timezone, context=visit.context)
    except FaregateError as error:
        return await _shown(visit, error.problem, "timezone")
    return visit.go("settings", f"Days begin by {timezone} now")


async def set_renewals(visit: Visit) -> Response:
    """Say what happens to renewals that a balance does not cover."""
    form = await visit.form()
    hours = form.get("renewals.retry_hours").replace(",", " ").split()
    typed = Typed(form)
    grace = typed.whole("renewals.grace_hours")
    try:
        for text in hours:
            if not text.isascii() or not text.isdigit() or len(text) > 9:
                shown = f"have {text[:50]!r}: write whole hours, e.g. 24, 72, 120"
                typed.refuse("renewals.retry_hours", shown)
        typed.check()
        given = {
            "retry_hours": [int(text) for text in hours],
            "grace_hours": grace or 0,
            "may_overdraw": "renewals.may_overdraw" in form,
        }
        rules = _named(RenewalRules, given, "renewals")
        await visit.engine.change_settings(renewals=rules, context=visit.context)
    except FaregateError as error:
        return await _shown(visit, _by_row(error.problem, "renewals.retry_hours"), "renewals")
    return visit.go("settings", "Renewals follow the new rules from now on")


async def set_payments(visit: Visit) -> Response:
    """Say how payments are taken in this mode."""
    form = await visit.form()
    typed = Typed(form)
    try:
        top_ups: dict[str, dict[str, Any]] = {}
        for at, row in enumerate(_rows(form, "bound", BOUNDS)):
            code = row["code"]
            bounds = {
                name: value
                for name in BOUNDS
                if (value := typed.number(f"bound-{name}-{at}")) is not None
            }
            if code and code in top_ups:
                typed.refuse(f"bound-code-{at}", f"{code} is listed twice: keep one of them")
            if code and bounds:
                top_ups[code] = bounds
            elif bounds:
                typed.refuse(f"bound-code-{at}", "is missing: choose a currency")
        typed.check()
        given: dict[str, Any] = {
            "top_ups": top_ups,
            "blocks_on_dispute": "payments.blocks_on_dispute" in form,
        }
        if form.get("payments.provider"):
            given["provider"] = form.get("payments.provider")
        rules = _named(PaymentRules, given, "payments")
        await visit.engine.change_settings(payments=rules, context=visit.context)
    except FaregateError as error:
        problem = _at_code(error.problem, "payments.top_ups.", "bound", form)
        return await _shown(visit, problem, "payments")
    return visit.go("settings", f"Payments of the {visit.mode} mode follow the new rules")


async def set_alerts(visit: Visit) -> Response:
    """Say when to warn."""
    form = await visit.form()
    typed = Typed(form)
    try:
        lows: dict[str, Any] = {}
        for at, row in enumerate(_rows(form, "low", LOWS)):
            amount = typed.number(f"low-amount-{at}")
            if row["code"] and row["code"] in lows:
                typed.refuse(f"low-code-{at}", f"{row['code']} is listed twice: keep one of them")
            if row["code"] and amount is not None:
                lows[row["code"]] = amount
            elif amount is not None:
                typed.refuse(f"low-code-{at}", "is missing: choose an asset")
        hours = typed.whole("alerts.grant_expiring_hours")
        typed.check()
        given = {"low_balances": lows, "grant_expiring_hours": hours or 0}
        rules = _named(Alerts, given, "alerts")
        await visit.engine.change_settings(alerts=rules, context=visit.context)
    except FaregateError as error:
        problem = _at_code(error.problem, "alerts.low_balances.", "low", form)
        return await _shown(visit, problem, "alerts")
    return visit.go("settings", "Warnings follow the new rules")


def _named(kind: Any, given: dict[str, Any], path: str) -> Any:
    """Build rules of what was typed; problems have the names that the form's fields have."""
    try:
        return from_dict(kind, given)
    except FaregateError as error:
        raise FaregateError(error.problem.under(path)) from None


def _by_row(problem: Problem, path: str) -> Problem:
    """Put problems of a list's items beside the one field that has them all."""
    errors = {
        (path if name.startswith(f"{path}[") else name): words
        for name, words in problem.errors.items()
    }
    return Problem(problem.kind, problem.detail, errors)


def _at_code(problem: Problem, path: str, kind: str, form: Form) -> Problem:
    """Put problems of what is kept by an asset's code beside the row in which that was typed."""
    errors: dict[str, list[str]] = {}
    for name, words in problem.errors.items():
        code, _, part = name.removeprefix(path).partition(".")
        at = 0
        while name.startswith(path) and f"{kind}-code-{at}" in form:
            if form.get(f"{kind}-code-{at}") == code:
                name = f"{kind}-{part or ('amount' if kind == 'low' else 'code')}-{at}"
                break
            at += 1
        errors[name] = words
    return Problem(problem.kind, problem.detail, errors)


def _has_secret(visit: Visit) -> bool:
    try:
        return bool(visit.engine.external_secret(context=visit.context))
    except FaregateError:
        return False


async def show_secret(visit: Visit) -> Response:
    """Show the secret by which the seller's own system signs what it tells."""
    try:
        secret = visit.engine.external_secret(context=visit.context)
    except FaregateError as error:
        return await _shown(visit, error.problem, "secret")
    return await _shown(visit, secret=secret)


PAGES: Final = (
    Page("settings", show),
    Page("settings/timezone", set_timezone, "POST", "admin", action="set the timezone"),
    Page("settings/renewals", set_renewals, "POST", "admin", action="set rules of renewals"),
    Page("settings/payments", set_payments, "POST", "admin", action="set rules of payments"),
    Page("settings/alerts", set_alerts, "POST", "admin", action="set warnings"),
    Page("settings/secret", show_secret, "POST", "admin", action="show the external secret"),
)
