"""One event: what came in, what it cost and why, what it cost us, and what became of it."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from faregate.core.amounts import plain
from faregate.core.assets import CURRENCIES, Asset
from faregate.core.codec import decode_request, encode, from_dict
from faregate.core.costs import DEFAULT_COST_CURRENCY
from faregate.core.events import BookedEvent
from faregate.core.outcomes import OutcomeRequest
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.core.reasons import FeeReason
from faregate.core.wording import digits
from faregate.insights.types import Profitability
from faregate.web.dashboard.model_prices import KINDS as COST_KINDS
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.money import Money, show_amount
from faregate.web.typed import beside

PATH: Final = "events/event"
MAX_VENDORS: Final = 100
MAX_DATA_SHOWN: Final = 50
NOTHING_TYPED: Final = Form([])

SAID: Final = {
    "confirmed": "Confirmed: it costs what it was priced with.",
    "changed": "Changed: the old fees were given back, the new ones charged.",
    "withdrawn": "Withdrawn: what it had cost was given back.",
}
KINDS: Final = {
    "use": "Per use",
    "volume": "Quantity",
    "minimum": "At least",
    "maximum": "At most",
    "rounding": "Rounding, carried to the next fee",
    "discount": "Coupon",
    "commitment": "Beyond the cap",
}


class Part(msgspec.Struct, frozen=True):
    """A row of how a fee was worked out."""

    label: str
    how: str
    amount: Money


class Payer(msgspec.Struct, frozen=True):
    """Who paid how much."""

    label: str
    name: str
    amount: Money


class ShownFee(msgspec.Struct, frozen=True):
    """A fee as the page shows it."""

    reason: FeeReason
    amount: Money
    parts: list[Part]
    payers: list[Payer]


def event_path(customer_id: str, event_id: str) -> str:
    """Return where an event's page is, for `visit.url`. An event's id may be any text, so it is in
    the query."""
    return f"{PATH}?{urlencode({'customer_id': customer_id, 'id': event_id})}"


def state_of(outcome: str | None, *, has_warnings: bool = False) -> tuple[str, str] | None:
    """Return what became of an event in a word, and which tag shows it; None: nothing special."""
    known = {
        "pending": ("Pending", "info"),
        "withdrawn": ("Given back", "warn"),
        "changed": ("Changed", "info"),
        "confirmed": ("Confirmed", "good"),
    }
    if outcome in known:
        return known[outcome]
    return ("See why", "warn") if has_warnings else None


def _named(visit: Visit) -> tuple[str, str]:
    """Return which event is meant, by (customer, id), without touching spaces in it."""
    query = visit.request.query_params
    return query.get("customer_id", ""), query.get("id", "")


async def show(visit: Visit) -> Response:
    """Show the event."""
    return await _page(visit)


async def settle(visit: Visit) -> Response:
    """Say what became of it."""
    customer_id, event_id = _named(visit)
    form = await visit.form()
    body: dict[str, Any] = {
        "transaction_id": form.get("transaction_id") or secrets.token_hex(8),
        "outcome": form.get("outcome"),
        "description": form.get("description") or f"by {visit.operator_name}",
    }
    try:
        if form.get("outcome") == "changed":
            body["data"] = decode_request(dict[str, Any], form.get("data").encode())
        request = from_dict(OutcomeRequest, body)
        await visit.engine.settle_outcome(event_id, request, customer_id, context=visit.context)
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    return visit.go(event_path(customer_id, event_id), SAID[request.outcome])


async def _page(
    visit: Visit, form: Form = NOTHING_TYPED, problem: Problem | None = None
) -> Response:
    customer_id, event_id = _named(visit)
    if not event_id:
        raise FaregateError(Problem(NOT_FOUND, "there is no event without an id"))
    owner, booked = await visit.engine.get_event(
        event_id, customer_id or None, context=visit.context
    )
    reason = await visit.engine.explain_event(event_id, owner, context=visit.context)
    (stats,) = await visit.engine.event_stats([booked], context=visit.context)
    customer = await visit.engine.get_customer(owner, context=visit.context)
    assets = visit.engine.catalog_view(visit.context).assets
    event = booked.event
    data = event.data or {}
    errors = {} if problem is None else beside(problem)
    return visit.render(
        "event.html",
        200 if problem is None else problem.kind.status,
        section="events",
        title=event.id,
        booked=booked,
        event=event,
        customer=customer,
        reason=reason,
        fees=[_shown_fee(fee, assets) for fee in reason.fees],
        state=state_of(booked.outcome),
        data=[(key, _value(data[key])) for key in list(data)[:MAX_DATA_SHOWN]],
        more_data=max(0, len(data) - MAX_DATA_SHOWN),
        json=msgspec.json.format(encode(data)).decode(),
        costs=await _costs(visit, booked),
        working=_working(booked),
        margin=_margin(stats),
        form=form,
        transaction_id=secrets.token_hex(12),
        problem=problem,
        errors={name: said for name, said in errors.items() if name.startswith("data")},
    )


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    return plain(value) if isinstance(value, Decimal) else encode(value).decode()


def _shown_fee(fee: FeeReason, assets: Any) -> ShownFee:
    asset = assets[fee.asset]
    paying = assets[fee.paid_asset or fee.asset]
    return ShownFee(
        fee,
        show_amount(fee.amount, asset),
        [
            Part(
                KINDS[part.kind] + (f" {part.code}" if part.code else ""),
                _how(part, asset),
                show_amount(part.amount, asset),
            )
            for part in fee.parts
        ],
        [
            Payer(_payer(one.kind, one.purpose), one.name, show_amount(one.amount, paying))
            for one in fee.paid_by
        ],
    )


def _payer(kind: str, purpose: str | None) -> str:
    if kind == "grant":
        return f"{(purpose or 'A').capitalize()} grant"
    return {"overdraft": "Beyond the balance", "hold": "Hold"}[kind]


def _how(part: Any, asset: Asset) -> str:
    """Say how a part was worked out."""
    if part.kind == "discount":
        return f"{digits(part.percent)}%" if part.percent is not None else "an amount"
    if part.rate is None:
        return ""
    rate = str(show_amount(part.rate, asset).main + show_amount(part.rate, asset).fine)
    if not (asset.is_currency and asset.symbol):
        rate += f" {asset.code}"
    per = "" if part.package_size in (None, 1) else f" per {digits(part.package_size)}"
    tier = "" if part.tier is None else f", tier {part.tier}"
    count = "" if part.quantity is None else f"{digits(part.quantity)} × "
    return f"{count}{rate}{per}{tier}"


async def _costs(visit: Visit, booked: BookedEvent) -> list[tuple[str, str, str, Money]]:
    """Return each cost's vendor (id if there is such a one, name), category and amount."""
    if not booked.event.costs:
        return []
    page = await visit.engine.list_vendors(MAX_VENDORS, context=visit.context)
    by_name = {name: one for one in page.items for name in (one.id, one.external_id) if name}
    found = []
    for cost in booked.event.costs:
        currency = CURRENCIES[cost.currency or DEFAULT_COST_CURRENCY]
        told = cost.vendor_external_id or cost.vendor_id or ""
        vendor = by_name.get(told)
        amount = show_amount(Decimal(cost.amount), currency)
        known = ("", told) if vendor is None else (vendor.id, vendor.name)
        found.append((*known, cost.category or "", amount))
    return found


def _working(booked: BookedEvent) -> list[tuple[str, str, Money]]:
    """Return how an attached cost was worked out: kinds, how many at which price, amounts."""
    if booked.cost_source is None:
        return []
    dollar = CURRENCIES[DEFAULT_COST_CURRENCY]
    found = []
    for cost in booked.event.costs or ():
        for part in (cost.metadata or {}).get("parts", ()):
            price = Decimal(part["price"])
            how = f"{digits(Decimal(part['count']))} × ${plain(price)}"
            how += " per million" if part["per"] > 1 else ""
            amount = Decimal(part["count"]) * price / part["per"]
            found.append((COST_KINDS[part["kind"]], how, show_amount(amount, dollar)))
    return found


def _margin(stats: Profitability | None) -> list[tuple[str, Money | str, bool]] | None:
    """Return what the event brings, in US dollars, and whether that is below zero."""
    if stats is None:
        return None
    dollar = CURRENCIES[stats.currency]
    rows: list[tuple[str, Money | str, bool]] = [
        (label, show_amount(amount, dollar), amount < 0)
        for label, amount in (
            ("Revenue", stats.gross_revenue),
            ("Cost", stats.total_costs),
            ("Left", stats.net_revenue),
        )
    ]
    if stats.margin is not None:
        rows.append(("Margin", f"{plain(stats.margin)}%", stats.margin < 0))
    return rows


PAGES: Final = (
    Page(PATH, show),
    Page(PATH, settle, "POST", needs="support"),
)
