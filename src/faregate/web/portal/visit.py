"""One request of a customer who is in the portal, with all that a page's handler needs; and what a
page is: a row that says where it is, and what answers.

Whose data a page shows is `customer_id`, which the session says and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Final, Literal
from urllib.parse import quote, unquote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from faregate.core.portal import Locale
from faregate.core.windows import find_zone
from faregate.customers.types import Customer
from faregate.engine import Engine
from faregate.engine.brands import PortalBrand
from faregate.engine.portal import PortalSession
from faregate.platform.environments import AccountContext
from faregate.web.forms import Form, read_form
from faregate.web.portal.brand import logo_url, sheet_url
from faregate.web.portal.formats import Amount, show_money
from faregate.web.portal.menu import MENU
from faregate.web.portal.words import Language
from faregate.web.rendering import NO_STORE

SAID: Final = "faregate_portal_said"
"""The cookie that carries a sentence over a redirect."""
MAX_SAID: Final = 300
BASE: Final = "/portal"
HOST_ONLY: Final = "__Host-"
"""How a cookie's name begins that browsers take from this host alone, for all of its paths."""


class PortalVisit:
    """A request, and whose it is. `secret` is the session's, which only the engine should see."""

    def __init__(
        self,
        request: Request,
        engine: Engine,
        session: PortalSession,
        secret: str,
        customer: Customer,
        brand: PortalBrand,
        language: Language,
    ) -> None:
        self.request = request
        self.engine = engine
        self.session = session
        self.secret = secret
        self.customer = customer
        self.brand = brand
        self.language = language
        self._said = unquote(request.cookies.get(SAID, ""))[:MAX_SAID]
        self._form: Form | None = None

    @property
    def context(self) -> AccountContext:
        """The account and mode: give it to every call of the engine."""
        return self.session.context

    @property
    def customer_id(self) -> str:
        """Whose portal this is."""
        return self.session.customer_id

    @property
    def csrf(self) -> str:
        """What is in every form as the field `csrf`."""
        return self.session.csrf

    @property
    def locale(self) -> Locale:
        """The language that the page is in."""
        return self.language.locale

    @property
    def zone(self) -> tzinfo:
        """By whose clocks days begin: the account's timezone."""
        return find_zone(self.engine.catalog_view(self.context).timezone) or UTC

    @property
    def now(self) -> datetime:
        """What time it is for this customer, who may live by a test clock."""
        clocks = self.engine.catalog_view(self.context).clocks
        return clocks.get(self.customer.test_clock_id or "", self.engine.now())

    @property
    def path(self) -> dict[str, str]:
        """What the path names: `visit.path["top_up_id"]`."""
        return self.request.path_params

    @property
    def query(self) -> dict[str, str]:
        """The query's values, each name's first one."""
        return {
            name: value.strip() for name, value in reversed(self.request.query_params.multi_items())
        }

    @property
    def is_htmx(self) -> bool:
        """Whether htmx asks, who wants a part of the page."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def base_url(self) -> str:
        """Where the browser has found us, without a slash at its end."""
        return str(self.request.base_url).rstrip("/")

    @property
    def sheet(self) -> str | None:
        """Where the account's colours are."""
        return sheet_url(self.brand)

    @property
    def logo(self) -> str | None:
        """Where the account's logo is."""
        return logo_url(self.brand)

    @property
    def menu(self) -> list[tuple[str, str, str]]:
        """The menu's entries: where they lead, in words, and their icons."""
        return [(path, self.t(words), symbol) for path, words, symbol in MENU]

    def t(self, sentence: str, **values: object) -> str:
        """Translate a sentence, and put values in where it says `%(name)s`."""
        words = self.language.t(sentence)
        return words % values if values else words

    def money(self, amount: Decimal, asset: str) -> Amount:
        """Write an amount of an asset as the language does."""
        assets = self.engine.catalog_view(self.context).assets
        return show_money(amount, assets[asset], self.locale)

    def url(self, path: str = "") -> str:
        """Return the address of a page: `url("top-up")` is `/portal/top-up`."""
        return f"{BASE}/{path}".rstrip("/")

    async def form(self) -> Form:
        """Read the form; the same one each time. Raises 413."""
        if self._form is None:
            self._form = await read_form(self.request)
        return self._form

    def render(self, name: str, status: int = 200, **values: object) -> Response:
        """Answer with a template of `templates/portal/`; it has this visit as `visit`."""
        said, self._said = self._said, ""
        is_embedded = self.session.is_embedded
        answer = self.language.render(
            f"portal/{name}",
            status,
            visit=self,
            brand=self.brand,
            sheet=self.sheet,
            logo=self.logo,
            said=said,
            **values,
        )
        if said:
            set_cookie(self.request, answer, SAID, "", is_embedded=is_embedded, max_age=0)
        return answer

    def go(self, path: str, said: str = "") -> Response:
        """Lead on to a page after a change, which tells `said`, once."""
        where, is_embedded = self.url(path), self.session.is_embedded
        if self.is_htmx:
            answer: Response = Response(status_code=204, headers={"HX-Redirect": where} | NO_STORE)
        else:
            answer = RedirectResponse(where, 303, headers=NO_STORE)
        if said:
            text = quote(said[:MAX_SAID])
            set_cookie(self.request, answer, SAID, text, is_embedded=is_embedded, max_age=60)
        return answer


def set_cookie(
    request: Request,
    answer: Response,
    name: str,
    value: str,
    *,
    is_embedded: bool,
    max_age: int | None = None,
) -> None:
    """Give the browser a cookie of the portal, which scripts cannot read.

    Inside another site's page a browser keeps cookies of ours only for that page (`Partitioned`),
    and asks for `Secure`, which it takes from this machine without TLS as well.
    """
    is_secure = request.url.scheme == "https"
    path = "/" if name.startswith(HOST_ONLY) else BASE
    parts = [f"{name}={value}", f"Path={path}", "HttpOnly"]
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    if is_embedded:
        parts += ["SameSite=None", "Secure", "Partitioned"]
    else:
        parts += ["SameSite=Lax", *(["Secure"] if is_secure else [])]
    answer.headers.append("set-cookie", "; ".join(parts))


Handler = Callable[[PortalVisit], Awaitable[Response]]


class PortalPage(msgspec.Struct, frozen=True):
    """A route of the portal: `path` behind `/portal/`, and the handler. A change is a POST."""

    path: str
    handler: Handler
    method: Literal["GET", "POST"] = "GET"
