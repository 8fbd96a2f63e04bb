"""What a browser keeps of a session in the portal: its secret, in a cookie. A portal inside another
site's page has a cookie of its own, so that neither session takes the other one's place.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from faregate.web.portal.visit import HOST_ONLY, set_cookie

COOKIE: Final = "faregate_portal"
EMBEDDED: Final = "faregate_portal_embedded"
MAX_SECRET: Final = 100


def secrets_of(request: Request) -> list[str]:
    """Return the secrets that a browser sends, that of the page around us first."""
    names = (_name(request, is_embedded=True), _name(request, is_embedded=False))
    found = [request.cookies.get(name, "") for name in names]
    return [secret for secret in found if 0 < len(secret) <= MAX_SECRET]


def remember(request: Request, answer: Response, secret: str, *, is_embedded: bool) -> None:
    """Let the browser keep a session's secret until it is closed."""
    name = _name(request, is_embedded=is_embedded)
    set_cookie(request, answer, name, secret, is_embedded=is_embedded)


def forget(request: Request, answer: Response, *, is_embedded: bool) -> None:
    """Let the browser forget a session's secret."""
    name = _name(request, is_embedded=is_embedded)
    set_cookie(request, answer, name, "", is_embedded=is_embedded, max_age=0)


def _name(request: Request, *, is_embedded: bool) -> str:
    """Name the cookie: over TLS so that no other host of the domain can have put it there, and
    with it somebody else's session, into which this customer would pay."""
    name = EMBEDDED if is_embedded else COOKIE
    return f"{HOST_ONLY}{name}" if request.url.scheme == "https" else name


def is_from_elsewhere(request: Request, base_url: str) -> bool:
    """Tell whether another site's page has sent a form to us. Browsers say so, those that are
    older by the form's origin alone."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and origin.rstrip("/") != base_url
