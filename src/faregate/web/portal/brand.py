"""How an account's portal looks: its colours as a stylesheet, and its logo. Both are the same for
everybody, so browsers may keep them; the address changes with what is in them.
"""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from faregate.core.portal import Accent
from faregate.engine import Engine
from faregate.engine.brands import PortalBrand

_KEPT: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_CHECKED: Final = {"Cache-Control": "no-cache"}
_SHEET: Final = """\
:root {{ --accent: {accent.on_light}; --fill: {accent.fill}; --on-fill: {accent.on_fill};
  --area: color-mix(in srgb, {accent.on_light} 12%, #ffffff); }}
@media (prefers-color-scheme: dark) {{
  :root {{ --accent: {accent.on_dark}; --area: color-mix(in srgb, {accent.on_dark} 22%, #151a23); }}
}}
button:not(.quiet), .button:not(.quiet) {{
  background: var(--fill); color: var(--on-fill); border-color: var(--accent); }}
"""


def stylesheet(brand: PortalBrand) -> str:
    """Return an account's colours as CSS; nothing for one that has chosen none."""
    colour = brand.settings.accent
    return "" if colour is None else _SHEET.format(accent=Accent.of(colour))


def sheet_url(brand: PortalBrand) -> str | None:
    """Return where an account's stylesheet is; None: it has none."""
    text = stylesheet(brand)
    if not text:
        return None
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"/portal/brand.css?{urlencode({'account': brand.account_id, 'v': digest})}"


def logo_url(brand: PortalBrand) -> str | None:
    """Return where an account's logo is; None: it has none."""
    if brand.logo_digest is None:
        return None
    return f"/portal/logo?{urlencode({'account': brand.account_id, 'v': brand.logo_digest})}"


class BrandFiles:
    """The two files' handlers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def show_sheet(self, request: Request) -> Response:
        """Answer with an account's stylesheet."""
        brand = await self._engine.find_portal_brand(request.query_params.get("account", ""))
        if brand is None:
            return Response("", 404, media_type="text/css")
        text = stylesheet(brand)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        kept = _KEPT if request.query_params.get("v") == digest else _CHECKED
        return Response(text, media_type="text/css", headers=kept)

    async def show_logo(self, request: Request) -> Response:
        """Answer with an account's logo. Whatever it is, a browser shows it as a picture or not at
        all: its type is ours, and nothing in it may be run."""
        logo = await self._engine.find_portal_logo(request.query_params.get("account", ""))
        if logo is None:
            return Response("", 404, media_type="text/plain")
        kept = _KEPT if request.query_params.get("v") == logo.digest else _CHECKED
        policy = {"Content-Security-Policy": "default-src 'none'; sandbox"}
        return Response(logo.content, media_type=logo.content_type, headers=kept | policy)
