"""Programs that ask operators to let them in (OAuth 2.1 clients). Anybody may register one (RFC
7591), so a registration is worth nothing: it only says to which addresses an answer may go. Clients
have no secret; what proves that whoever brings a code is who asked for it is PKCE (RFC 7636).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.problems import OVERLOADED, FaregateError, Problem, invalid
from faregate.store.protocol import Queries

MAX_NAME: Final = 80
MAX_URI: Final = 500
MAX_URIS: Final = 10
MAX_UNUSED: Final = 500
UNUSED: Final = timedelta(hours=24)
"""For so long a registration is kept that nobody was let in by."""
_URI: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?"
    r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)


class OauthClient(msgspec.Struct, frozen=True):
    """A registered client. `name` is what it calls itself: nobody has checked it."""

    id: str
    name: str
    redirect_uris: list[str]
    created_at: datetime

    def may_redirect(self, uri: str) -> bool:
        """Tell whether answers may go to this address: one of the client's own, exactly; on the
        reader's own machine any port will do (RFC 8252, section 7.3)."""
        return uri in self.redirect_uris or (
            is_loopback(uri) and _portless(uri) in [_portless(one) for one in self.redirect_uris]
        )


def is_loopback(uri: str) -> bool:
    """Tell whether an address is on the machine of whoever opens it.

    >>> [is_loopback(f"http://{h}/cb") for h in ("127.0.0.1:33418", "localhost", "127.0.0.1.evil")]
    [True, True, False]
    """
    match = _URI.fullmatch(uri)
    if match is None:
        return False
    host = match["host"].strip("[]").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _portless(uri: str) -> tuple[str, str, str, str]:
    parts = urlsplit(uri)
    return parts.scheme, parts.hostname or "", parts.path, parts.query


def check_redirect_uri(uri: str) -> None:
    """Refuse an address to which no code goes: https anywhere, http on one's own machine. Raises
    422."""
    match = _URI.fullmatch(uri)
    if match is None or len(uri) > MAX_URI:
        detail = f"{uri[:100]!r} is no address for an answer: send https://… without a fragment"
        raise FaregateError(invalid("redirect_uris", detail))
    if match["scheme"] != "https" and not is_loopback(uri):
        detail = f"{uri[:100]!r} is neither https nor on the user's own machine: use one of the two"
        raise FaregateError(invalid("redirect_uris", detail))


def _shown(name: str) -> str:
    """Return a name that a stranger has sent without what is not seen or deceives."""
    return "".join(one for one in name if one.isprintable()).strip()[:MAX_NAME] or "an assistant"


async def register(
    queries: Queries, name: str, redirect_uris: Sequence[str], ids: IdSource, now: datetime
) -> OauthClient:
    """Write a client down. Those that nobody was let in by for a day go, and there are at most
    `MAX_UNUSED` of them. Raises 422, 429."""
    if not 1 <= len(redirect_uris) <= MAX_URIS:
        detail = f"has {len(redirect_uris)} addresses: send 1 to {MAX_URIS}"
        raise FaregateError(invalid("redirect_uris", detail))
    for uri in redirect_uris:
        check_redirect_uri(uri)
    unused = "id NOT IN (SELECT client_id FROM oauth_grants)"
    await queries.fetch(
        f"DELETE FROM oauth_clients WHERE created_at < $1 AND {unused}", to_us(now - UNUSED)
    )
    rows = await queries.fetch(f"SELECT count(*) FROM oauth_clients WHERE {unused}")
    if rows[0][0] >= MAX_UNUSED:
        detail = "too many programs have registered today: try again later, or use an API key"
        raise FaregateError(Problem(OVERLOADED, detail, {}, 3_600))
    made = OauthClient(ids.next("ocl"), _shown(name), list(redirect_uris), now)
    await queries.fetch(
        "INSERT INTO oauth_clients (id, name, redirect_uris, created_at) VALUES ($1, $2, $3, $4)",
        made.id,
        made.name,
        encode(made.redirect_uris).decode(),
        to_us(now),
    )
    return made


async def find(queries: Queries, client_id: str) -> OauthClient | None:
    """Find a client; None if there is none."""
    rows = await queries.fetch(
        "SELECT id, name, redirect_uris, created_at FROM oauth_clients WHERE id = $1",
        client_id[:100].replace("\0", ""),
    )
    if not rows:
        return None
    identifier, name, uris, created = rows[0]
    return OauthClient(identifier, name, decode(list[str], uris), from_us(created))
