"""What a customer may use at most: their own limits and those for all, each with what of it is
used."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec
from starlette.responses import Response

from faregate.core.amounts import to_decimal
from faregate.core.codec import from_dict
from faregate.core.limits import Limit, LimitChange, LimitRequest
from faregate.core.problems import FaregateError, Problem
from faregate.engine import LimitState
from faregate.web.dashboard.customer_frame import (
    customer_of,
    form_page,
    frame_of,
    new_key,
    pretty,
)
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.money import Money, show_units
from faregate.web.rendering import show_plain
from faregate.web.typed import Typed, given

PERIODS: Final = (
    ("month", "a month"),
    ("day", "a day"),
    ("hour", "an hour"),
    ("lifetime", "ever"),
)
MODES: Final[tuple[tuple[str, str, str], ...]] = (
    ("hard", "Hard", "Declines holds that would pass it."),
    ("soft", "Soft", "Lets everything pass, and tells you."),
    ("free", "Free tier", "So much costs nothing. For a volume or events."),
)
MEASURES: Final = (("fees", "Money"), ("volume", "A volume"), ("events", "Events"))


class Bar(msgspec.Struct, frozen=True):
    """A limit with what of it is used; `percent` is at most 100."""

    state: LimitState
    used: Money | str
    held: Money | str | None
    amount: Money | str
    percent: int
    words: str

    @property
    def is_reached(self) -> bool:
        """Whether nothing is left of it."""
        state = self.state
        return state.used_units + state.held_units >= state.limit.amount_units


async def bars(visit: Visit) -> list[Bar]:
    """Return what limits the customer, their own first. Raises 404."""
    found = await visit.engine.customer_limits(customer_of(visit), context=visit.context)
    return [_bar(visit, state) for state in found]


def _bar(visit: Visit, state: LimitState) -> Bar:
    limit, taken = state.limit, state.used_units + state.held_units
    percent = min(100, taken * 100 // limit.amount_units) if limit.amount_units else 100
    held = _shown(visit, limit, state.held_units) if state.held_units else None
    return Bar(
        state,
        _shown(visit, limit, state.used_units),
        held,
        _shown(visit, limit, limit.amount_units),
        percent,
        in_words(limit),
    )


def _shown(visit: Visit, limit: Limit, units: int) -> Money | str:
    if limit.asset is not None:
        return show_units(units, visit.engine.catalog_view(visit.context).assets[limit.asset])
    return f"{to_decimal(units, limit.scale).normalize():,f} {limit.unit}"


def in_words(limit: Limit) -> str:
    """Say what a limit counts, and when it begins anew."""
    if limit.subject == "*":
        of = "each subject by itself"
    else:
        of = f"subject {limit.subject}" if limit.subject else "all use"
    if limit.event_type:
        of += f", events {limit.event_type}"
    if limit.dimensions:
        of += ", " + ", ".join(f"{name}={value}" for name, value in limit.dimensions.items())
    if limit.period == "lifetime":
        return f"{of}, ever"
    if limit.window == "rolling":
        return f"{of}, in any {limit.period}"
    return f"{of}, per {limit.period}"


async def show(visit: Visit) -> Response:
    """Show the tab of limits."""
    return await _page(visit, Form([("key", new_key())]))


async def add(visit: Visit) -> Response:
    """Set a limit."""
    form = await visit.form()
    typed = Typed(form)
    measure = form.get("measure") or "fees"
    amount = typed.number("amount")
    try:
        if amount is None and not typed.errors:
            typed.refuse("amount", "is empty: write how much at most")
        typed.check()
        body = given(
            amount=amount,
            period=form.get("period"),
            mode=form.get("mode"),
            measure=measure,
            asset=form.get("asset") if measure == "fees" else None,
            volume_field=typed.text("volume_field") if measure == "volume" else None,
            event_type=typed.text("event_type"),
            subject=typed.text("subject"),
            name=typed.text("name"),
            rejects_events=True if typed.is_ticked("rejects_events") else None,
        )
        made = await visit.engine.create_customer_limit(
            customer_of(visit),
            from_dict(LimitRequest, body),
            idempotency_key=form.get("key") or None,
            context=visit.context,
        )
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    visit.has_made = made.id
    return visit.go(f"customers/{customer_of(visit)}/limits", "The limit holds from now on.")


async def _page(visit: Visit, form: Form, problem: Problem | None = None) -> Response:
    frame = await frame_of(visit)
    found = await bars(visit)
    custom = [code for code, asset in frame.assets.items() if not asset.is_currency]
    codes = dict.fromkeys(["USD", "EUR", "GBP", *custom])
    return form_page(
        visit,
        frame,
        "limits",
        "customer_limits.html",
        form,
        problem,
        bars=found,
        periods=PERIODS,
        modes=MODES,
        measures=MEASURES,
        assets=[(code, code) for code in codes],
        raw=pretty([bar.state.limit for bar in found]),
    )


async def show_change(visit: Visit) -> Response:
    """Show the form to change a limit."""
    state = await _state(visit)
    limit = state.limit
    typed = [
        ("amount", show_plain(Decimal(to_decimal(limit.amount_units, limit.scale)))),
        ("mode", limit.mode),
        ("name", limit.name or ""),
    ]
    if limit.rejects_events:
        typed.append(("rejects_events", "yes"))
    return await _change_page(visit, Form(typed))


async def change(visit: Visit) -> Response:
    """Change a limit; what it has counted stays."""
    form = await visit.form()
    typed = Typed(form)
    limit = (await _state(visit)).limit
    amount = typed.number("amount")
    try:
        if amount is None and not typed.errors:
            typed.refuse("amount", "is empty: write how much at most")
        typed.check()
        mode = form.get("mode")
        body = given(
            amount=amount,
            mode=None if limit.mode == "free" else mode,
            name=typed.text("name"),
            rejects_events=typed.is_ticked("rejects_events"),
        )
        await visit.engine.change_customer_limit(
            customer_of(visit), limit.id, from_dict(LimitChange, body), context=visit.context
        )
    except FaregateError as error:
        return await _change_page(visit, form, error.problem)
    said = "The limit is changed; what it has counted stays."
    return visit.go(f"customers/{customer_of(visit)}/limits", said)


async def _state(visit: Visit) -> LimitState:
    return await visit.engine.get_customer_limit(
        customer_of(visit), visit.path["limit_id"], context=visit.context
    )


async def _change_page(visit: Visit, form: Form, problem: Problem | None = None) -> Response:
    state = await _state(visit)
    return form_page(
        visit,
        await frame_of(visit),
        "limits",
        "customer_limit.html",
        form,
        problem,
        heading="Change a limit",
        bar=_bar(visit, state),
        modes=[one for one in MODES if one[0] != "free"],
    )


async def remove(visit: Visit) -> Response:
    """Take a limit away."""
    mine = customer_of(visit)
    await visit.engine.delete_customer_limit(mine, visit.path["limit_id"], context=visit.context)
    return visit.go(f"customers/{mine}/limits", "The limit is gone.")


_LIMIT: Final = "customers/{customer_id}/limits/{limit_id}"
PAGES: Final = (
    Page("customers/{customer_id}/limits", show),
    Page("customers/{customer_id}/limits", add, "POST", needs="support"),
    Page(_LIMIT, show_change, needs="support"),
    Page(_LIMIT, change, "POST", needs="support"),
    Page(f"{_LIMIT}/remove", remove, "POST", needs="support"),
)
