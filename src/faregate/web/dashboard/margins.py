"""What is left of what is earned: by customer, product, model, vendor and so on, those below zero
first; with the same as CSV."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from faregate.core.assets import CURRENCIES
from faregate.core.problems import FaregateError
from faregate.insights.spreadsheets import harmless
from faregate.insights.types import DEFAULT_CURRENCY, Group, GroupPage, Order
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.money import Money, show_sum
from faregate.web.rendering import NO_STORE
from faregate.web.typed import beside

BY: Final = {
    "customer": "Customer",
    "product": "Product",
    "price": "Price",
    "model": "Model",
    "event_type": "Event type",
    "vendor": "Vendor",
    "category": "Category",
    "day": "Day",
}
COSTS_ONLY: Final = frozenset(("vendor", "category"))
PERIODS: Final = {"7": "7 days", "30": "30 days", "90": "90 days"}
CURRENCIES_SHOWN: Final = ("USD", "EUR", "GBP", "CHF", "JPY")
SHOWN: Final = 50
MAX_DAYS: Final = 1_000
"""Days of a chart; of a longer period those with the lowest margins."""
MAX_CSV: Final = 50_000
"""How a cell begins that a spreadsheet would take for a formula."""


class Asked(msgspec.Struct, frozen=True):
    """What the address asks for, as it was typed where it makes no sense."""

    by: str
    days: str
    from_text: str
    to_text: str
    currency: str
    offset: int
    period_from: date | None
    period_to: date | None
    errors: dict[str, list[str]]

    def link(self, **changes: object) -> str:
        """Return the query of this question, with changes; the offset begins anew."""
        given: dict[str, object] = {"by": self.by, "days": self.days, "currency": self.currency}
        if not self.days:
            given |= {"from": self.from_text, "to": self.to_text}
        given |= changes
        return "?" + urlencode({name: value for name, value in given.items() if value != ""})


class Line(msgspec.Struct, frozen=True):
    """A row of the table. `share` is net revenue out of the largest one's 100, without its sign."""

    name: str
    note: str
    link: str
    events: int
    revenue: Money | None
    costs: Money
    net: Money | None
    margin: Decimal | None
    is_below: bool
    share: int
    group: Group


async def show(visit: Visit) -> Response:
    """Show the page."""
    asked = _read(visit)
    page, problem = await _ask(visit, asked, _limit(asked), asked.offset)
    asset = CURRENCIES.get(asked.currency, CURRENCIES[DEFAULT_CURRENCY])

    def shown(amount: Decimal) -> Money:
        return show_sum(amount, asset)

    return visit.render(
        "margins.html",
        200 if page is not None else 422,
        section="margins",
        title="Margins",
        asked=asked,
        page=page,
        lines=[] if page is None else _lines(visit, asked, page, shown),
        rounded=shown,
        symbol=asset.symbol or "",
        by_words=BY,
        periods=PERIODS,
        currencies=[(code, code) for code in dict.fromkeys((*CURRENCIES_SHOWN, asset.code))],
        seconds_of=seconds_of,
        is_of_costs=asked.by in COSTS_ONLY,
        problem=problem,
    )


async def download(visit: Visit) -> Response:
    """Answer with all groups of the question as CSV."""
    asked = _read(visit)
    page, problem = await _ask(visit, asked, MAX_CSV, 0)
    if page is None:
        return Response(f"{problem}\n", 422, headers=NO_STORE, media_type="text/plain")
    text = io.StringIO()
    writer = csv.writer(text)
    head = [asked.by, "id", "events", "revenue", "costs", "net_revenue", "margin_percent"]
    writer.writerow([*head, "currency", "from", "to"])
    for group in page.items:
        name, note, _ = _named(visit, asked.by, group)
        amounts = (group.gross_revenue, group.total_costs, group.net_revenue, group.margin)
        numbers = ["" if one is None else f"{one:f}" for one in amounts]
        period = (page.currency, page.period_from, page.period_to)
        writer.writerow([harmless(name), harmless(note), group.events, *numbers, *period])
    name = f"margins-by-{asked.by}-{page.period_from}-{page.period_to}.csv"
    return Response(
        text.getvalue(),
        headers={"Content-Disposition": f'attachment; filename="{name}"', **NO_STORE},
        media_type="text/csv; charset=utf-8",
    )


def _read(visit: Visit) -> Asked:
    query = visit.query
    by = query.get("by", "customer")
    errors: dict[str, list[str]] = {}
    days = query.get("days", "")
    from_text, to_text = query.get("from", ""), query.get("to", "")
    if days not in PERIODS:
        days = "" if from_text or to_text else "30"
    today = visit.engine.now().date()
    period_from: date | None = None
    period_to: date | None = None
    if days:
        period_from, period_to = today - timedelta(days=int(days) - 1), today
    else:
        period_from = _day("from", from_text, errors)
        period_to = _day("to", to_text, errors)
    return Asked(
        by if by in BY else "customer",
        days,
        from_text,
        to_text,
        query.get("currency", DEFAULT_CURRENCY)[:10],
        visit.offset,
        period_from,
        period_to,
        errors,
    )


def _day(name: str, text: str, errors: dict[str, list[str]]) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        errors[name] = [f"{text[:40]!r} is no day: write it as 2026-11-27"]
        return None


def _limit(asked: Asked) -> int:
    return MAX_DAYS if asked.by == "day" else SHOWN


async def _ask(visit: Visit, asked: Asked, limit: int, offset: int) -> tuple[GroupPage | None, str]:
    """Return the groups, those below zero first; or what is wrong with the question."""
    if asked.errors:
        return None, ""
    order: Order = "-total_costs" if asked.by in COSTS_ONLY else "net_revenue"
    try:
        page = await visit.engine.stats(
            asked.by,
            limit,
            offset,
            period_from=asked.period_from,
            period_to=asked.period_to,
            currency=asked.currency,
            sort=order,
            context=visit.context,
        )
    except FaregateError as error:
        names = {"period_from": "from", "period_to": "to"}
        found = beside(error.problem)
        asked.errors.update({names.get(name, name): words for name, words in found.items()})
        shown = any(name in ("from", "to", "currency") for name in asked.errors)
        return None, "" if shown else error.problem.detail
    if asked.by == "day" and limit == MAX_DAYS:
        _fill_days(page)
    return page, ""


def _fill_days(page: GroupPage) -> None:
    """Add the days on which nothing happened, so that a chart has them too."""
    days = (page.period_to - page.period_from).days + 1
    if days <= MAX_DAYS:
        known = {group.day for group in page.items}
        nothing = Decimal(0)
        for n in range(days):
            day = page.period_from + timedelta(days=n)
            if day not in known:
                page.items.append(Group(0, nothing, nothing, nothing, None, day=day))
    page.items.sort(key=lambda group: str(group.day))


def _lines(visit: Visit, asked: Asked, page: GroupPage, shown: Any) -> list[Line]:
    sizes = [abs(one) for group in page.items if (one := _size(group)) is not None]
    largest = max(sizes, default=Decimal(0))
    lines = []
    for group in page.items:
        name, note, path = _named(visit, asked.by, group)
        size = _size(group) or Decimal(0)
        revenue, net = group.gross_revenue, group.net_revenue
        lines.append(
            Line(
                name,
                note,
                visit.url(path) if path else "",
                group.events,
                None if revenue is None else shown(revenue),
                shown(group.total_costs),
                None if net is None else shown(net),
                group.margin,
                net is not None and net < 0,
                int(abs(size) / largest * 100) if largest else 0,
                group,
            )
        )
    return lines


def _size(group: Group) -> Decimal | None:
    return group.total_costs if group.net_revenue is None else group.net_revenue


def _named(visit: Visit, by: str, group: Group) -> tuple[str, str, str]:
    """Return what a group is called, what else identifies it, and the path of its page."""
    none = {"product": "No product", "price": "No price", "model": "No model"}
    if by == "customer":
        name = str(group.customer_name or group.customer_id)
        return name, str(group.customer_id), f"customers/{group.customer_id}"
    if by == "product" and group.product_id:
        code = group.product_code or group.product_id
        name = f"{code}, version {group.product_version}"
        return name, str(group.product_id), f"products/{group.product_id}"
    if by == "price" and group.price_id:
        return str(group.price_name or group.price_id), str(group.price_id), ""
    if by == "model" and group.model:
        return str(group.model), "", ""
    if by == "event_type" and group.event_type:
        query = urlencode({"event_type": str(group.event_type)})
        return str(group.event_type), "", f"events?{query}"
    if by == "vendor" and (group.vendor_id or group.vendor_external_id):
        if group.vendor_id:
            name = str(group.vendor_name or group.vendor_id)
            return name, str(group.vendor_id), f"vendors/{group.vendor_id}"
        return str(group.vendor_external_id), "not known yet", ""
    if by == "category" and group.category:
        return str(group.category), "", ""
    if by == "day":
        return str(group.day), "", ""
    words = {"event_type": "Charges without an event", "vendor": "No vendor"}
    return none.get(by) or words.get(by) or "No category", "", ""


def seconds_of(day: date) -> int:
    """Return when a day begins, in seconds since 1970."""
    return (day - datetime(1970, 1, 1).date()).days * 86_400


PAGES: Final = (Page("margins", show), Page("margins.csv", download))
