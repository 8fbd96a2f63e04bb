"""One vendor: what they have charged in 30 days, by day and by category."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Final

from starlette.responses import Response

from faregate.core.assets import CURRENCIES
from faregate.insights.types import Group
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.money import show_sum

MAX_PAGES: Final = 20
_EVENT: Final = """curl {base}/v1/events \\
  -H "X-CREDYT-API-KEY: $FAREGATE_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"customer_id": "cust_…", "events": [{{
        "id": "call-1", "event_type": "llm_call",
        "occurred_at": "{now}",
        "costs": [{{"id": "cost-1", "vendor_id": "{vendor}", "category": "tokens",
                   "amount": 0.0042, "currency": "USD"}}]}}]}}'"""


async def show(visit: Visit) -> Response:
    """Show a vendor."""
    one = await visit.engine.get_vendor(visit.path["id"], context=visit.context)
    stats = await visit.engine.vendor_stats(one.id, context=visit.context)
    days = await _days(visit, one.id)
    dollar = CURRENCIES[stats.currency]
    now = visit.engine.now()
    return visit.render(
        "vendor.html",
        section="vendors",
        title=one.name,
        one=one,
        stats=stats,
        days=days,
        dollar=lambda amount: show_sum(amount, dollar),
        example=_EVENT.format(base=visit.base_url, now=f"{now:%Y-%m-%dT%H:%M:%SZ}", vendor=one.id),
    )


async def _days(visit: Visit, vendor_id: str) -> list[tuple[Group, int]]:
    """Return what each of the last 30 days cost, the oldest first, with when it began (seconds
    since 1970)."""
    found: list[tuple[Group, int]] = []
    for page in range(MAX_PAGES):
        stats = await visit.engine.stats(
            "vendor,day", 100, page * 100, sort="-total_costs", context=visit.context
        )
        for group in stats.items:
            if group.vendor_id == vendor_id and group.day:
                began = datetime.combine(group.day, time(), UTC)
                found.append((group, int(began.timestamp())))
        if (page + 1) * 100 >= stats.total_count:
            break
    return sorted(found, key=lambda one: one[1])


PAGES: Final = (Page("vendors/{id}", show),)
