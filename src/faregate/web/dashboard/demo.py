"""The demo's page: begin the month anew, or leave the demo and keep what one likes of it. It is
there only where `faregate demo` serves; how that is done is the command's own business.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from faregate.core.problems import NOT_FOUND, FaregateError, Problem, invalid_fields
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.rendering import NO_STORE, Render


class Mine(msgspec.Struct, frozen=True):
    """Who the first admin is, and what is kept of the demo."""

    name: str
    email: str
    password: str
    keeps_products: bool
    keeps_settings: bool


class Waiting(msgspec.Struct, frozen=True):
    """How far something is (0 to 1), and what is done, in words."""

    done: float
    words: str


class Ready(msgspec.Struct, frozen=True):
    """It is done; `link` leads in, signed in, where somebody takes it."""

    link: str


class Demo(Protocol):
    """What `faregate demo` lets its pages do."""

    @property
    def is_on(self) -> bool:
        """Whether what is shown is the demo's; false once somebody has made it theirs."""
        ...

    @property
    def trouble(self) -> str:
        """Why the last reset came to nothing, in a sentence; empty: it did not."""
        ...

    @property
    def place(self) -> str:
        """Where the demo's data would go if somebody made it theirs, in words."""
        ...

    def reset(self) -> str:
        """Begin to build the month anew; returns a ticket with which to wait. One is built at a
        time: who comes later waits for the same. Raises 409 if that cannot be now."""
        ...

    async def make_mine(self, wanted: Mine) -> str:
        """Begin a database of one's own; returns a ticket as `reset` does. Raises 409, 422."""
        ...

    async def waiting(self, ticket: str, *, takes: bool) -> Waiting | Ready | None:
        """Say how far it is; once it is done, who `takes` it is let in. None: no such ticket (any
        more)."""
        ...


async def show(visit: Visit) -> Response:
    """Show what can be done with the demo."""
    return _page(visit, _demo(visit))


async def reset(visit: Visit) -> Response:
    """Begin anew, and wait for it."""
    return _wait(_demo(visit).reset())


async def make_mine(visit: Visit) -> Response:
    """Leave the demo."""
    demo, form = _demo(visit), await visit.form()
    wanted = Mine(
        form.get("name"),
        form.get("email"),
        form.exact("password"),
        "products" in form,
        "settings" in form,
    )
    try:
        if form.exact("password") != form.exact("again"):
            raise FaregateError(invalid_fields({"again": ["differs from the password above"]}))
        return _wait(await demo.make_mine(wanted))
    except FaregateError as error:
        return _page(visit, demo, error.problem, wanted)


def _page(
    visit: Visit, demo: Demo, problem: Problem | None = None, wanted: Mine | None = None
) -> Response:
    values: dict[str, Any] = {
        "errors": {} if problem is None else problem.errors,
        "problem": demo.trouble if problem is None or problem.errors else problem.detail,
        "wanted": wanted or Mine("", "", "", keeps_products=True, keeps_settings=True),
        "place": demo.place,
    }
    status = 200 if problem is None else problem.kind.status
    return visit.render("demo.html", status, section="demo", title="This demo", **values)


def _demo(visit: Visit) -> Demo:
    demo: Demo | None = visit.shared.get("demo")
    if demo is None or not demo.is_on:
        raise FaregateError(Problem(NOT_FOUND, "this is no demo: there is nothing to reset"))
    return demo


def _wait(ticket: str) -> Response:
    return RedirectResponse(f"/demo/ready?ticket={ticket}", 303, headers=NO_STORE)


class ReadyPage:
    """The page on which somebody waits for what they asked of the demo. Nobody is signed in while
    one database makes room for another: the ticket says who it is."""

    def __init__(self, demo: Demo, render: Render) -> None:
        self._demo = demo
        self._render = render

    async def show(self, request: Request) -> Response:
        """Show how far it is, and lead on when it is done."""
        ticket = request.query_params.get("ticket", "")
        is_part = request.headers.get("hx-request") == "true"
        found = await self._demo.waiting(ticket, takes=not is_part)
        if found is None:
            # What came to nothing is told on the demo's own page.
            where = "/test/demo" if self._demo.trouble else "/"
            if is_part:
                # Without trouble, whoever asks is on their way in: it must not be cut short.
                leads = {"HX-Redirect": where} if self._demo.trouble else {}
                return Response(status_code=204, headers=leads | NO_STORE)
            return RedirectResponse(where, 303, headers=NO_STORE)
        if isinstance(found, Waiting):
            name = "dashboard/demo_progress.html" if is_part else "dashboard/demo_ready.html"
            percent = int(found.done * 100)
            return self._render(name, 200, percent=percent, words=found.words, ticket=ticket)
        if is_part:
            # The page itself takes what is ready.
            where = f"/demo/ready?ticket={ticket}"
            return Response(status_code=204, headers={"HX-Redirect": where} | NO_STORE)
        return RedirectResponse(found.link, 303, headers=NO_STORE)


PAGES: Final = (
    Page("demo", show, needs="admin"),
    Page("demo/reset", reset, "POST", "admin"),
    Page("demo/mine", make_mine, "POST", "admin"),
)
