"""Trying a version with events of one's own: what each would cost a new customer. Nothing is
booked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.responses import Response

from faregate.core.amounts import to_decimal
from faregate.core.codec import decode_request, encode, from_dict
from faregate.core.events import UsageEvent
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.core.sample_use import sample_uses
from faregate.core.simulating import SimulatedFee
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.money import Money, show_amount

MAX_TRIED: Final = 200


class Row(msgspec.Struct, frozen=True):
    """A fee that an event would cost."""

    event: str
    price: str
    volume: str
    amount: Money


async def show(visit: Visit) -> Response:
    """Show events to begin with, made up from the prices."""
    return await _show(visit, "")


async def attempt(visit: Visit) -> Response:
    """Price the events that were typed."""
    form = await visit.form()
    return await _show(visit, form.get("events") or "[]")


async def _show(visit: Visit, typed: str) -> Response:
    engine, context = visit.engine, visit.context
    product = await engine.get_product(visit.path["product"], context=context)
    form = await visit.form() if typed else None
    wanted = form.get("version") if form else visit.query.get("version", "")
    there = {str(reference.version): reference.version for reference in product.versions}
    number = there.get(wanted, product.default_version.version)
    version = await engine.get_version(product.id, number, context=context)
    text = typed
    problem: Problem | None = None
    rows: list[Row] = []
    warnings: list[str] = []
    if typed:
        try:
            fees, warnings = await engine.simulate_usage(
                product.id, number, _events(typed), context=context
            )
            rows = [_row(fee) for fee in fees]
        except FaregateError as error:
            problem = error.problem
    else:
        samples = [
            {"event_type": use.event_type, "data": use.data}
            | ({} if use.cost is None else {"costs": [use.cost]})
            for use in sample_uses(version.prices)
        ]
        text = msgspec.json.format(encode(samples), indent=2).decode()
    return visit.render(
        "trying.html",
        200 if problem is None else 422,
        section="products",
        title=product.name,
        tab="try",
        product=product,
        number=number,
        text=text,
        is_tried=bool(typed),
        rows=rows,
        warnings=warnings,
        problem=problem,
    )


def _events(text: str) -> list[UsageEvent]:
    """Read events; an id and an instant are made up where none is given. Raises 400, 422."""
    items = decode_request(list[dict[str, Any]], text.encode())
    if len(items) > MAX_TRIED:
        raise FaregateError(invalid("events", f"has {len(items)}: try at most {MAX_TRIED}"))
    now = datetime.now(UTC).isoformat()
    events = []
    for number, item in enumerate(items):
        whole = {"id": f"event-{number + 1}", "occurred_at": now, **item}
        try:
            events.append(from_dict(UsageEvent, whole))
        except FaregateError as error:
            raise FaregateError(error.problem.under(f"events[{number}]")) from None
    return events


def _row(fee: SimulatedFee) -> Row:
    asset, units = fee.priced.asset, fee.units
    if fee.priced.funding is not None and fee.paid_units is not None:
        asset, units = fee.priced.funding.asset, fee.paid_units
    volume = "" if fee.match.volume is None else f"{fee.match.volume:,}"
    amount = show_amount(to_decimal(units, asset.scale), asset)
    return Row(fee.event_id, fee.compiled.price.name, volume, amount)


PAGES: Final[tuple[Page, ...]] = (
    Page("products/{product}/try", show),
    Page("products/{product}/try", attempt, "POST", is_change=False),
)
