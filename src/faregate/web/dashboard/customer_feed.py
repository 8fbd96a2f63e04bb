"""A customer's newest events, with their fees and why each fee is what it is; the list looks again
every few seconds until it is paused."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response

from faregate.core.events import BookedEvent
from faregate.core.reasons import EventReason
from faregate.core.subscriptions import CatalogView
from faregate.web.dashboard.customer_frame import Frame, customer_of, frame_of, page_of
from faregate.web.dashboard.event import event_path
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.money import Money, show_units

LATEST: Final = 25
GLANCE: Final = 6


class FeeLine(msgspec.Struct, frozen=True):
    """A fee, and a sentence on why it is what it is."""

    amount: Money
    why: str


class FeedRow(msgspec.Struct, frozen=True):
    """An event with its fees, what it left in the accounts it was paid from, and what was odd."""

    booked: BookedEvent
    fees: list[FeeLine]
    balances: list[Money]
    warnings: tuple[str, ...]
    path: str
    """Where its page is, for `visit.url`."""


async def latest(visit: Visit, limit: int = LATEST) -> list[FeedRow]:
    """Return the customer's newest events as they are shown. Raises 404."""
    mine = customer_of(visit)
    found = await visit.engine.latest_of_customer(mine, limit, context=visit.context)
    keys = [(booked.event.id, mine) for booked in found]
    reasons = await visit.engine.explain_events(keys, context=visit.context)
    view = visit.engine.catalog_view(visit.context)
    return [_row(mine, booked, reasons.get((booked.event.id, mine)), view) for booked in found]


def _row(mine: str, booked: BookedEvent, reason: EventReason | None, view: CatalogView) -> FeedRow:
    paid_from = {fee.account_id for fee in booked.result.fees}
    balances = [
        show_units(units, view.assets[account.rpartition(":")[2]])
        for account, units in booked.result.balances.items()
        if account in paid_from
    ]
    why = {} if reason is None else {fee.fee_id: fee.sentence for fee in reason.fees}
    fees = [
        FeeLine(show_units(fee.debited_units, view.assets[fee.debited_asset]), why.get(fee.id, ""))
        for fee in booked.result.fees
    ]
    path = event_path(mine, booked.event.id)
    return FeedRow(booked, fees, balances, booked.result.warnings, path)


class Feed(msgspec.Struct, frozen=True):
    """The rows of the feed, where it looks again, and whether it stands still."""

    rows: list[FeedRow]
    at: str
    is_paused: bool


async def feed_of(visit: Visit, frame: Frame, *, is_glance: bool = False) -> Feed:
    """Return the newest events as they are shown; few for a glance. Raises 404."""
    rows = await latest(visit, GLANCE if is_glance else LATEST)
    at = frame.at("feed") + ("?glance=yes&" if is_glance else "?")
    return Feed(rows, at, "paused" in visit.query)


async def show(visit: Visit) -> Response:
    """Show the tab of events."""
    frame = await frame_of(visit)
    feed = await feed_of(visit, frame)
    return page_of(visit, frame, "events", "customer_events.html", feed=feed)


async def show_feed(visit: Visit) -> Response:
    """Show the list alone: its rows, or with `paused` or `going` in the query the card around it,
    which then stands still, or goes on."""
    frame = await frame_of(visit)
    feed = await feed_of(visit, frame, is_glance="glance" in visit.query)
    whole = "paused" in visit.query or "going" in visit.query
    name = "customer_feed.html" if whole else "customer_feed_rows.html"
    return visit.render(name, frame=frame, feed=feed, customer=frame.customer)


PAGES: Final = (
    Page("customers/{customer_id}/events", show),
    Page("customers/{customer_id}/feed", show_feed),
)
