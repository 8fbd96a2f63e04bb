"""What every page of one customer has around it: the name, the state, the tabs; and what their
forms share: a key that makes sending twice harmless, and the same thing as a call of the API.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from starlette.responses import Response

from faregate.core.assets import Asset
from faregate.core.codec import encode
from faregate.core.problems import Problem
from faregate.customers.types import Customer
from faregate.web.dashboard.visit import Visit
from faregate.web.forms import Form
from faregate.web.money import Money, show_amount, show_units
from faregate.web.typed import beside

TABS: Final = (
    ("", "Overview"),
    ("events", "Events"),
    ("money", "Money"),
    ("payments", "Payments"),
    ("plan", "Plan"),
    ("limits", "Limits"),
    ("settings", "Settings"),
)
MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400


def new_key() -> str:
    """Return a name for what one form asks for, so that sending it twice does it once."""
    return f"dashboard-{secrets.token_hex(12)}"


def customer_of(visit: Visit) -> str:
    """Return the id of the customer that the path names. Whether there is one, and in this mode, is
    for the engine to say, with each call."""
    return visit.path["customer_id"]


class Frame:
    """What the templates of one customer's pages call: addresses, amounts, calls of the API."""

    def __init__(self, visit: Visit, customer: Customer) -> None:
        self._visit = visit
        self.customer = customer
        view = visit.engine.catalog_view(visit.context)
        self.assets: Mapping[str, Asset] = view.assets
        self.now = view.clocks.get(customer.test_clock_id or "", visit.engine.now())

    def at(self, path: str = "") -> str:
        """Return the address of one of this customer's pages."""
        return self._visit.url(f"customers/{self.customer.id}/{path}")

    def money(self, amount: Decimal, asset: str) -> Money:
        """Show an amount in whole assets."""
        return show_amount(amount, self.assets[asset])

    def units(self, units: int, asset: str) -> Money:
        """Show units of an asset's ledger scale."""
        return show_units(units, self.assets[asset])

    def until(self, moment: datetime) -> str:
        """Say how far away a moment is: `in 14 min`, `2 days ago`."""
        seconds = (moment - self.now).total_seconds()
        text = _span(abs(seconds))
        return f"in {text}" if seconds >= 0 else f"{text} ago"

    def curl(self, path: str, body: Mapping[str, Any] | None = None, method: str = "") -> str:
        """Return a call of the API on this customer, to copy. `path` comes after the customer's."""
        where = f"{self._visit.base_url}/v1/customers/{self.customer.id}{path}"
        lines = ["curl" + (f" -X {method}" if method else ""), shlex.quote(where)]
        lines.append(f"-H 'X-CREDYT-API-KEY: fg_{self._visit.mode}_…'")
        if body is not None:
            lines.append("-H 'Content-Type: application/json'")
            # Whoever copies it runs it: a quote in what was typed must not end the word.
            lines.append(f"-d {shlex.quote(encode(body).decode())}")
        return " \\\n  ".join([f"{lines[0]} {lines[1]}", *lines[2:]])


def _span(seconds: float) -> str:
    for size, word in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "min")):
        count = int(seconds // size)
        if count:
            return f"{count:,} {word}{'s' if count > 1 and word != 'min' else ''}"
    return f"{int(seconds)} s"


def pretty(value: object) -> str:
    """Return JSON as people read it."""
    return msgspec.json.format(encode(value), indent=2).decode()


async def frame_of(visit: Visit) -> Frame:
    """Look the customer up. Raises 404, also for one of the other mode."""
    found = await visit.engine.get_customer(
        customer_of(visit), base_url=visit.base_url, context=visit.context
    )
    return Frame(visit, found)


def page_of(
    visit: Visit,
    frame: Frame,
    tab: str,
    template: str,
    *,
    status: int = 200,
    heading: str = "",
    **values: object,
) -> Response:
    """Answer with one of the customer's pages. With a `heading` it is a page below the tab."""
    return visit.render(
        template,
        status,
        section="customers",
        title=f"{heading} · {frame.customer.name}" if heading else frame.customer.name,
        frame=frame,
        customer=frame.customer,
        tabs=TABS,
        tab=tab,
        tab_label=dict(TABS)[tab],
        below=heading,
        **values,
    )


def said_above(form: Form, problem: Problem | None, errors: Mapping[str, object]) -> str:
    """Return what is said above a form: the whole refusal, if not all of it is beside a field."""
    if problem is None or (errors and all(name in form for name in errors)):
        return ""
    return problem.detail


def form_page(
    visit: Visit,
    frame: Frame,
    tab: str,
    template: str,
    form: Form,
    problem: Problem | None,
    *,
    heading: str = "",
    names: dict[str, str] | None = None,
    **values: object,
) -> Response:
    """Answer with a page that has a form, again with what was typed if there is a problem: beside
    its fields, and above them what belongs to none that was sent (`names` says how those are called
    whose names differ)."""
    errors = beside(problem, names) if problem is not None else {}
    return page_of(
        visit,
        frame,
        tab,
        template,
        status=200 if problem is None or visit.is_htmx else problem.kind.status,
        heading=heading,
        form=form,
        errors=errors,
        problem=said_above(form, problem, errors),
        **values,
    )
