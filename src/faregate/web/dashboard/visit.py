"""One request of a signed-in operator, with all that a page's handler needs, and what a page is: a
row that says where it is, who may have it, and what answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal
from urllib.parse import quote, unquote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from faregate.core.problems import Problem
from faregate.engine import Engine
from faregate.platform.environments import AccountContext
from faregate.platform.sessions import OperatorSession
from faregate.web.forms import Form, read_form
from faregate.web.rendering import NO_STORE, Render

SAID: Final = "faregate_said"
"""The cookie that carries a sentence over a redirect."""
MAX_SAID: Final = 300
MAX_OFFSET_DIGITS: Final = 7
"""Python refuses to read numbers of many thousand digits, databases those of more than 18."""

Needs = Literal["read", "own", "support", "admin"]
"""Who may have a page: whoever is signed in (`own`: to change what is their own, or to export);
those who help customers (support, admin); admins."""


class Visit:
    """A request, who makes it, and in which mode (the path begins with it: `/test/customers`).

    `operator` is who. `said` is what the page before has to tell, once. `csrf` is in every form as
    the field `csrf`.
    """

    def __init__(
        self,
        request: Request,
        engine: Engine,
        context: AccountContext,
        render: Render,
        *,
        session: OperatorSession,
        shared: dict[str, Any],
    ) -> None:
        self.request = request
        self.engine = engine
        self.context = context
        self.session = session
        self.operator = session.operator
        self.operator_name = session.operator.name
        self.role = session.operator.role
        self.csrf = session.csrf
        self.shared = shared
        """What lives as long as the server: the meter of the live numbers, and the like."""
        self._render = render
        self._said = unquote(request.cookies.get(SAID, ""))[:MAX_SAID]
        self._form: Form | None = None
        self.refused_because = ""
        """Why a form was shown again, for the audit log."""
        self.has_made = ""
        """The id of what a change has made, for the audit log; the handler says so."""

    @property
    def mode(self) -> str:
        """`test` or `live`."""
        return self.context.environment

    @property
    def path(self) -> dict[str, str]:
        """What the path names: `visit.path["customer_id"]`."""
        return self.request.path_params

    @property
    def query(self) -> dict[str, str]:
        """The query's values, each name's first one."""
        return {
            name: value.strip() for name, value in reversed(self.request.query_params.multi_items())
        }

    @property
    def offset(self) -> int:
        """Where the page of a list begins, as the query says; what is no such number: 0."""
        text = self.query.get("offset", "")
        is_number = text.isascii() and text.isdecimal() and len(text) <= MAX_OFFSET_DIGITS
        return int(text) if is_number else 0

    @property
    def is_htmx(self) -> bool:
        """Whether htmx asks, who wants a part of the page."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def address(self) -> str:
        """From which network address the request comes."""
        return self.request.client.host if self.request.client else ""

    @property
    def base_url(self) -> str:
        """Where the browser has found us, without a slash at its end."""
        return str(self.request.base_url).rstrip("/")

    def may(self, needs: Needs) -> bool:
        """Tell whether whoever looks may do what `needs` this."""
        return may(self.role, needs)

    def url(self, path: str = "") -> str:
        """Return the address of a page in this mode: `url("customers")` is `/test/customers`."""
        return f"/{self.mode}/{path}".rstrip("/")

    async def form(self) -> Form:
        """Read the form; the same one each time. Raises 413."""
        if self._form is None:
            self._form = await read_form(self.request)
        return self._form

    def render(self, name: str, status: int = 200, **values: object) -> Response:
        """Answer with a template of `templates/dashboard/`; it has this visit as `visit`."""
        if status >= 400:
            self.refused_because = _reason(values) or f"status {status}"
        said, self._said = self._said, ""
        answer = self._render(f"dashboard/{name}", status, visit=self, said=said, **values)
        if said:
            answer.delete_cookie(SAID, path="/")
        return answer

    def go(self, path: str, said: str = "") -> Response:
        """Lead on to a page of this mode after a change, which tells `said`, once."""
        where = self.url(path)
        if self.is_htmx:
            answer: Response = Response(status_code=204, headers={"HX-Redirect": where} | NO_STORE)
        else:
            answer = RedirectResponse(where, 303, headers=NO_STORE)
        if said:
            secure = self.request.url.scheme == "https"
            text = quote(said[:MAX_SAID])
            answer.set_cookie(SAID, text, max_age=60, httponly=True, samesite="lax", secure=secure)
        return answer


def may(role: str, needs: Needs) -> bool:
    """Tell whether a role is enough."""
    return needs in ("read", "own") or role == "admin" or (needs == "support" and role == "support")


def _reason(values: dict[str, object]) -> str:
    """Return in words why a form is shown again, as far as what a template is given says so."""
    problem, errors = values.get("problem"), values.get("errors")
    if isinstance(problem, Problem):
        return problem.detail
    if problem:
        return str(problem)
    if isinstance(errors, dict) and errors:
        return "; ".join(f"{name} {' '.join(words)}".strip() for name, words in errors.items())
    return ""


Handler = Callable[[Visit], Awaitable[Response]]


class Page(msgspec.Struct, frozen=True):
    """A route of the dashboard: `path` without the mode (`customers/{customer_id}`), the handler,
    and who may have it. A change is a POST; one that says nothing of who may is for admins. Changes
    are in the audit log as `action` (else in the words of the path); a POST that changes nothing (a
    preview) says so by `is_change=False`."""

    path: str
    handler: Handler
    method: Literal["GET", "POST"] = "GET"
    needs: Needs = "read"
    is_change: bool = True
    action: str = ""

    @property
    def needed(self) -> Needs:
        """Who may really have it."""
        is_open = self.method == "GET" or not self.is_change or self.needs != "read"
        return self.needs if is_open else "admin"

    @property
    def words(self) -> str:
        """What the audit log calls it: `customers/{customer_id}/block` is "customers block"."""
        names = [part for part in self.path.split("/") if not part.startswith("{")]
        return self.action or " ".join(names)
