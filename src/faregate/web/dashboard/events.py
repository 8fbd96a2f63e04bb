"""Events across customers: filters that are in the address, so that a view can be kept and sent on,
and exports of what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem, invalid_fields
from faregate.engine.exploring import ExploredPage, WantedEvents
from faregate.engine.exporting import ExportEvents
from faregate.insights.spreadsheets import check_format
from faregate.ledger.exploring import FoundEvent
from faregate.web.dashboard.event import event_path, state_of
from faregate.web.dashboard.jobs import asker
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.money import Money, show_units
from faregate.web.typed import Typed, beside, given

SHOWN: Final = 50
TEXTS: Final = (
    "customer",
    "event_id",
    "subject",
    "period_from",
    "period_to",
    "shows",
    "asset",
    "data_key",
    "data_text",
)
FIELDS: Final = (*TEXTS, "event_types", "min_fee")
"""The filters, by their names in the address."""
MORE: Final = ("event_id", "min_fee", "asset", "data_key", "data_text")
"""Those that are seldom needed."""
SHOWS: Final = (
    ("", "All events"),
    ("fees", "With fees"),
    ("unpriced", "Without a fee"),
    ("warnings", "With warnings"),
)


class Line(msgspec.Struct, frozen=True):
    """An event as the list shows it."""

    found: FoundEvent
    path: str
    customer: str
    fee: Money | None
    state: tuple[str, str] | None


def read_wanted(form: Form) -> WantedEvents:
    """Read filters. Raises 422 by field."""
    typed = Typed(form)
    least = typed.number("min_fee")
    types = tuple([name.strip() for name in form.get("event_types").split(",") if name.strip()])
    typed.check()
    texts = {name: typed.text(name) for name in TEXTS}
    body: dict[str, Any] = given(**texts, min_fee=least, event_types=types or None)
    try:
        return from_dict(WantedEvents, body)
    except FaregateError as error:
        known = {name: said for name, said in error.problem.errors.items() if name in FIELDS}
        if known:
            raise
        # A field of a type is named with its place: `event_types[0]`.
        errors = {name.partition("[")[0]: said for name, said in error.problem.errors.items()}
        raise FaregateError(invalid_fields(errors)) from None


def filters_of(form: Form) -> dict[str, str]:
    """Return the filters that are set, as they stand in the address."""
    return {name: form.get(name) for name in FIELDS if form.get(name)}


async def show(visit: Visit) -> Response:
    """Show the events that fit."""
    form = Form(list(visit.query.items()))
    cursor = form.get("cursor") or None
    try:
        found = await visit.engine.explore_events(
            read_wanted(form), SHOWN, cursor, context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, form, None, error.problem)
    return await _page(visit, form, found)


async def export(visit: Visit) -> Response:
    """Ask for a file of what fits."""
    form = await visit.form()
    try:
        wanted = read_wanted(form)
        request = ExportEvents("parquet" if form.get("format") == "parquet" else "csv", wanted)
        job = await visit.engine.create_job(
            "export_events", request, asked_by=asker(visit), context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, form, None, error.problem)
    return visit.go(f"jobs/{job.id}")


async def _page(
    visit: Visit, form: Form, found: ExploredPage | None, problem: Problem | None = None
) -> Response:
    set_ = filters_of(form)
    view = visit.engine.catalog_view(visit.context)
    priced = {name for p in view.prices.values() for name in (p.event_type,)}
    errors = {} if problem is None else beside(problem)
    older = None
    if found is not None and found.next is not None:
        older = visit.url("events") + "?" + urlencode({**set_, "cursor": found.next})
    return visit.render(
        "events.html",
        200 if problem is None else problem.kind.status,
        section="events",
        title="Events",
        form=form,
        filters=set_,
        has_more=any(name in set_ or name in errors for name in MORE),
        shows=SHOWS,
        assets=["", *sorted(_used_assets(view))],
        types=sorted(priced)[:200],
        lines=[] if found is None else _lines(visit, found),
        found=found,
        older=older,
        is_first="cursor" not in form,
        problem=problem,
        errors=errors,
        stray=problem is not None and not set(errors) & set(FIELDS),
        no_parquet=_why_no_parquet(),
    )


def _used_assets(view: Any) -> set[str]:
    return {priced.asset.code for price in view.prices.values() for priced in price.assets}


def _why_no_parquet() -> str | None:
    try:
        check_format("parquet")
    except FaregateError as error:
        return error.problem.errors["format"][0]
    return None


def _lines(visit: Visit, page: ExploredPage) -> Sequence[Line]:
    assets = visit.engine.catalog_view(visit.context).assets
    lines = []
    for one in page.events:
        listed = one.listed
        fee = None
        if listed.fee_asset is not None and listed.fee_count:
            fee = show_units(listed.fee_units, assets[listed.fee_asset])
        name = page.names.get(listed.customer_id, ("", None))[0]
        path = visit.url(event_path(listed.customer_id, listed.id))
        state = state_of(listed.outcome, has_warnings=bool(one.warnings))
        lines.append(Line(one, path, name or listed.customer_id, fee, state))
    return lines


PAGES: Final = (
    Page("events", show),
    Page("events/export", export, "POST", "own"),
)
