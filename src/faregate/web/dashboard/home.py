"""The first page: what happens now, how it went over time, and what needs attention."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from faregate.core.assets import CURRENCIES
from faregate.insights.overview import SPANS, Attention, Overview, Pulse, Subject
from faregate.insights.types import DEFAULT_CURRENCY, Summary
from faregate.web.dashboard.event import event_path
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.money import Money, show_amount, show_sum
from faregate.web.rate import Rate
from faregate.web.sparkline import Sparkline, draw

DEFAULT_SPAN: Final = "30d"
SPAN_WORDS: Final = {
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
}
PULSE_SECONDS: Final = 1.0
OVERVIEW_SECONDS: Final = 5.0
"""How long an answer is good for everybody who looks."""
LOSSES_SECONDS: Final = 60.0
STALE_SECONDS: Final = 3_600.0
"""How old losses may be where somebody comes after a while: 30 days' do not change much."""
MAX_LATEST: Final = 8
_ICONS: Final = {
    "overdrawn": "wallet",
    "payments_failed": "triangle-alert",
    "auto_top_ups_stopped": "triangle-alert",
    "actions_required": "users",
    "webhooks_disabled": "webhook",
    "customers_at_a_loss": "trending-up",
    "products_at_a_loss": "trending-up",
    "unpriced_events": "tag",
}


class Latest(msgspec.Struct, frozen=True):
    """One of the newest events; without a fee, nothing priced it."""

    path: str
    customer_id: str
    customer: str
    event_type: str
    fee: Money | None
    occurred_at: Any


class Now(msgspec.Struct, frozen=True):
    """What moves by itself."""

    pulse: Pulse
    rate: float
    sparkline: Sparkline
    latest: list[Latest]


async def show(visit: Visit) -> Response:
    """Show the page."""
    span = visit.query.get("span", DEFAULT_SPAN)
    if span not in SPANS:
        span = DEFAULT_SPAN
    overview: Overview = await visit.shared["kept"].get(
        ("overview", visit.mode, span),
        OVERVIEW_SECONDS,
        lambda: visit.engine.overview(span, context=visit.context),
    )
    losses: list[Attention] = await visit.shared["kept"].get(
        ("losses", visit.mode),
        LOSSES_SECONDS,
        lambda: visit.engine.losses(context=visit.context),
        stale_seconds=STALE_SECONDS,
    )
    return visit.render(
        "home.html",
        section="",
        title="Home",
        overview=overview,
        attention=[*overview.attention, *losses],
        waiting=await visit.engine.count_open_confirmations(visit.context.environment),
        span_words=SPAN_WORDS,
        changes=_changes(overview.summary, overview.before),
        icons=_ICONS,
        link=lambda subject: _link(visit, subject),
        owed=lambda subject: _owed(visit, subject),
        **await _now(visit),
    )


async def show_now(visit: Visit) -> Response:
    """Show the part of the page that moves."""
    return visit.render("now.html", is_alone=True, **await _now(visit))


async def _now(visit: Visit) -> dict[str, Any]:
    rate: Rate = visit.shared["rate"]
    rate.watch()
    now: Now = await visit.shared["kept"].get(
        ("now", visit.mode), PULSE_SECONDS, lambda: _make(visit, rate)
    )
    at = f"{visit.engine.now():%Y-%m-%dT%H:%M:%SZ}"
    return {
        "now": now,
        "dollar": _dollar,
        "rounded": _rounded,
        "base": visit.base_url,
        "now_text": at,
    }


async def _make(visit: Visit, rate: Rate) -> Now:
    engine, context = visit.engine, visit.context
    rate.sample()
    pulse = await engine.pulse(context=context)
    newest = await engine.latest_events(MAX_LATEST, context=context)
    assets = engine.catalog_view(context).assets
    names = await engine.customer_names([one.customer_id for one in newest], context=context)
    latest = []
    for event in newest:
        fee = None
        if event.fee_asset is not None:
            asset = assets[event.fee_asset]
            fee = show_amount(Decimal(event.fee_units).scaleb(-asset.scale), asset)
        latest.append(
            Latest(
                event_path(event.customer_id, event.id),
                event.customer_id,
                names.get(event.customer_id, event.customer_id),
                event.event_type,
                fee,
                event.occurred_at,
            )
        )
    return Now(pulse, rate.recent, draw(rate.per_second), latest)


def _dollar(amount: Decimal) -> Money:
    return show_amount(amount, CURRENCIES[DEFAULT_CURRENCY])


def _rounded(amount: Decimal) -> Money:
    return show_sum(amount, CURRENCIES[DEFAULT_CURRENCY])


def _changes(now: Summary, before: Summary) -> dict[str, str]:
    """Say in words how sums differ from those of the span before it."""
    found = {}
    for name in ("gross_revenue", "total_costs", "net_revenue"):
        old: Decimal = getattr(before, name)
        change: Decimal = getattr(now, name) - old
        if old > 0:
            percent = change / old * 100
            shown = f"{abs(percent):,.0f}%"
            word = "as much as" if shown == "0%" else f"{shown} {_more(change)} than"
            found[name] = f"{word} in the {{}} before"
        elif change and not old:
            found[name] = "nothing in the {} before"
    return found


def _more(change: Decimal) -> str:
    return "more" if change > 0 else "less"


def _link(visit: Visit, subject: Subject) -> str:
    """Return where what needs attention is looked after."""
    places: dict[str, Callable[[str], str]] = {
        "customer": lambda name: f"customers/{name}",
        "product": lambda name: f"products/{name}",
        "webhook": lambda name: f"webhooks/{name}",
        "event_type": lambda name: (
            f"events?{urlencode({'event_types': name, 'shows': 'unpriced'})}"
        ),
    }
    return visit.url(places[subject.kind](subject.id))


def _owed(visit: Visit, subject: Subject) -> Money | None:
    if subject.amount is None or subject.asset is None:
        return None
    assets = visit.engine.catalog_view(visit.context).assets
    return show_sum(subject.amount, assets.get(subject.asset) or CURRENCIES[subject.asset])


PAGES: Final = (Page("", show), Page("now", show_now))
