"""The pages `history`: what the customer has paid, with receipts, and what they have used; each
also as a file of comma-separated values with every decimal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from starlette.responses import Response, StreamingResponse

from faregate.payments.types import TopUp
from faregate.web.portal.menu import mark
from faregate.web.portal.rows import csv_line
from faregate.web.portal.saying import failed
from faregate.web.portal.uses import Use, list_uses
from faregate.web.portal.visit import PortalPage, PortalVisit
from faregate.web.rendering import NO_STORE

PER_PAGE: Final = 20
AT_ONCE: Final = 1_000
"""Rows of a file that are read together."""
MAX_ROWS: Final = 50_000
"""Rows of a file; those of another time are in another file."""
MAX_OFFSET: Final = 1_000_000
FILE_DAYS: Final = (30, 90, 365)

KINDS: Final = {
    "top_up": mark("Top-up"),
    "auto": mark("Auto top-up"),
    "subscription": mark("Subscription"),
}
STATUS: Final = {
    "succeeded": mark("Paid"),
    "failed": mark("Failed"),
    "expired": mark("Expired"),
    "pending": mark("In progress"),
    "initiated": mark("Not paid yet"),
}


async def show_payments(visit: PortalVisit) -> Response:
    """Show what the customer has paid, the newest first."""
    offset = _offset(visit)
    page = await visit.engine.list_top_ups(
        visit.customer_id, PER_PAGE, offset, context=visit.context
    )
    payments: list[TopUp] = page.items
    return visit.render(
        "history.html",
        section="history",
        title=visit.t("History"),
        payments=payments,
        kinds={kind: visit.t(words) for kind, words in KINDS.items()},
        reasons={one.id: failed(visit, one.problem) for one in payments if one.problem},
        assets=visit.engine.catalog_view(visit.context).assets,
        total=page.total_count,
        offset=offset,
        limit=PER_PAGE,
    )


async def show_uses(visit: PortalVisit) -> Response:
    """Show what the customer has used, the newest first."""
    offset = _offset(visit)
    uses, total = await list_uses(visit, PER_PAGE, offset)
    return visit.render(
        "history_uses.html",
        section="history",
        title=visit.t("History"),
        uses=uses,
        total=total,
        offset=offset,
        limit=PER_PAGE,
        file_days=FILE_DAYS,
    )


async def payments_file(visit: PortalVisit) -> Response:
    """Answer with all payments as a file."""

    async def rows(offset: int) -> tuple[list[tuple[str, str]], int]:
        page = await visit.engine.list_top_ups(
            visit.customer_id, AT_ONCE, offset, context=visit.context
        )
        return [(one.id, _payment_line(visit, one)) for one in page.items], page.total_count

    head = ("Id", "Time", "Kind", "Status", "Paid", "Currency", "Credit", "Bonus", "Asset")
    return _file(visit, head, rows, "payments")


def _payment_line(visit: PortalVisit, one: TopUp) -> str:
    return csv_line(
        [
            one.id,
            one.created_at.astimezone(UTC),
            visit.t(KINDS.get(one.kind, one.kind)),
            visit.t(STATUS[one.status]),
            one.amount,
            one.currency,
            one.destination.amount,
            one.bonus or Decimal(0),
            one.destination.asset,
        ]
    )


async def uses_file(visit: PortalVisit) -> Response:
    """Answer with the uses of the last days as a file; `days` says of how many."""
    days = next((span for span in FILE_DAYS if str(span) == visit.query.get("days")), FILE_DAYS[0])
    today: date = visit.now.astimezone(visit.zone).date()
    first = datetime.combine(today - timedelta(days=days - 1), datetime.min.time(), visit.zone)

    async def rows(offset: int) -> tuple[list[tuple[str, str]], int]:
        uses, total = await list_uses(visit, AT_ONCE, offset, {"occurred_from": first})
        return [(use.id, _use_line(use)) for use in uses], total

    head = ("Id", "Time", "Use", "Subject", "Description", "Amount", "Asset")
    return _file(visit, head, rows, f"uses-{today.isoformat()}-{days}")


def _use_line(use: Use) -> str:
    asset = None if use.asset is None else use.asset.code
    who = (use.subject, use.description)
    return csv_line([use.id, use.at.astimezone(UTC), use.name, *who, use.amount, asset])


HEADS: Final = (
    mark("Id"),
    mark("Time"),
    mark("Kind"),
    mark("Status"),
    mark("Currency"),
    mark("Credit"),
    mark("Bonus"),
    mark("Asset"),
    mark("Use"),
    mark("Subject"),
    mark("Description"),
    mark("Amount"),
)


Rows = Callable[[int], Awaitable[tuple[list[tuple[str, str]], int]]]
"""Returns rows from an offset on, each with what names it, and how many there are in all."""


def _file(visit: PortalVisit, head: Sequence[str], rows: Rows, name: str) -> Response:
    """Answer with a file. What comes in meanwhile moves the others on, so none is written twice."""

    async def lines() -> AsyncIterator[str]:
        yield csv_line([visit.t(words) for words in head])
        written: set[str] = set()
        for offset in range(0, MAX_ROWS, AT_ONCE):
            found, total = await rows(offset)
            for row_id, line in found:
                if row_id not in written:
                    written.add(row_id)
                    yield line
            if offset + AT_ONCE >= total:
                return
        yield csv_line([visit.t("There are more rows: choose fewer days.")])

    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'} | NO_STORE
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _offset(visit: PortalVisit) -> int:
    text = visit.query.get("offset", "0")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return min(number, MAX_OFFSET) // PER_PAGE * PER_PAGE


PAGES: Final[tuple[PortalPage, ...]] = (
    PortalPage("history", show_payments),
    PortalPage("history/payments.csv", payments_file),
    PortalPage("history/uses", show_uses),
    PortalPage("history/uses.csv", uses_file),
)
