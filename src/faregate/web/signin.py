"""Who may look: whoever has shown the page's token once. The browser then keeps a cookie that is
derived from the token by SHA-256, so that the cookie does not give the token away.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

COOKIE: Final = "faregate_page"
MAX_FORM_BYTES: Final = 4_096


class SignIn:
    """Checks tokens and cookies for one token. Comparisons take the same time for any input."""

    def __init__(self, token: str) -> None:
        if not token:
            raise ValueError("the page's token is empty: anybody could sign in")
        self._token = token.encode()
        self._cookie = hashlib.sha256(b"faregate page\n" + self._token).hexdigest().encode()

    def is_token(self, shown: str) -> bool:
        """Tell whether this is the token."""
        return hmac.compare_digest(shown.encode(), self._token)

    def is_signed_in(self, request: Request) -> bool:
        """Tell whether the request carries the cookie."""
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._cookie)

    def csrf(self, request: Request) -> str:
        """Return what the forms of whoever is signed in carry."""
        cookie = request.cookies.get(COOKIE, "").encode()
        return hmac.new(self._token, b"csrf" + cookie, hashlib.sha256).hexdigest()

    def remember(self, request: Request, response: Response) -> Response:
        """Set the cookie for the rest of the browser's session."""
        response.set_cookie(
            COOKIE,
            self._cookie.decode(),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response


async def read_token(request: Request) -> str:
    """Return the form's field `token`; empty if the form has none or is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return ""
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    return fields.get("token", [""])[0].strip()
