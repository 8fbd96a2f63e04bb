"""The script by which a seller shows the portal inside a page of their own. The same for everybody;
what may be shown where is said by `frame-ancestors` of the portal's own pages.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from faregate.web.rendering import HERE

_HEADERS: Final = {
    "Cache-Control": "public, max-age=300",
    # Pages that load nothing from elsewhere without its consent may load this.
    "Cross-Origin-Resource-Policy": "cross-origin",
}


async def show_script(_request: Request) -> Response:
    """Answer with the script."""
    text = (HERE / "static" / "portal" / "embed.js").read_text()
    return Response(text, media_type="text/javascript", headers=_HEADERS)
