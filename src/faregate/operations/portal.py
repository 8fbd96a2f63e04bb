"""The customers' portal over REST: letting a customer in, and how it looks."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.pictures import MAX_PICTURE_BYTES
from faregate.core.portal import PortalSettings
from faregate.core.problems import FaregateError, invalid
from faregate.engine.brands import PortalBrand
from faregate.engine.portal import CreatePortalSession, PortalSessionCreated
from faregate.operations.operation import ADMIN, READ_ALL, Call, Operation

PORTAL: Final = "/billing-portal"
_MAX_TEXT: Final = MAX_PICTURE_BYTES * 2


class PortalLogo(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A PNG, JPEG or WebP picture of at most 200 kB, in base64 (RFC 4648, section 4)."""

    content: Annotated[str, Meta(min_length=1, max_length=_MAX_TEXT)]


async def _enter(call: Call) -> PortalSessionCreated:
    return await call.engine.create_portal_session(
        call.body, base_url=call.base_url, context=call.context
    )


async def _end(call: Call) -> None:
    await call.engine.end_portal_sessions(call.path["customer_id"], context=call.context)


async def _get(call: Call) -> PortalBrand:
    return await call.engine.get_portal_brand(context=call.context)


async def _set(call: Call) -> PortalBrand:
    return await call.engine.set_portal_settings(call.body, context=call.context)


async def _set_logo(call: Call) -> PortalBrand:
    try:
        content = base64.b64decode(call.body.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FaregateError(invalid("content", f"is not base64: {error}")) from None
    return await call.engine.set_portal_logo(content, field="content", context=call.context)


async def _remove_logo(call: Call) -> PortalBrand:
    return await call.engine.set_portal_logo(None, context=call.context)


OPERATIONS = (
    Operation(
        "POST",
        f"{PORTAL}/sessions",
        _enter,
        "Portal",
        "Let a customer into their portal: returns a link that works once",
        ADMIN,
        body=CreatePortalSession,
        answer=PortalSessionCreated,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        "/customers/{customer_id}/billing-portal-sessions",
        _end,
        "Portal",
        "End a customer's visits to their portal, and links that were not opened",
        ADMIN,
        204,
        errors=(404,),
    ),
    Operation(
        "GET",
        f"{PORTAL}/settings",
        _get,
        "Portal",
        "Get how the portal looks, where it may be embedded, and what customers may change",
        READ_ALL,
        answer=PortalBrand,
    ),
    Operation(
        "PUT",
        f"{PORTAL}/settings",
        _set,
        "Portal",
        "Say how the portal is from now on, in place of what was said before; the logo stays",
        ADMIN,
        body=PortalSettings,
        answer=PortalBrand,
    ),
    Operation(
        "PUT",
        f"{PORTAL}/logo",
        _set_logo,
        "Portal",
        "Show a logo in the portal",
        ADMIN,
        body=PortalLogo,
        answer=PortalBrand,
    ),
    Operation(
        "DELETE",
        f"{PORTAL}/logo",
        _remove_logo,
        "Portal",
        "Show no logo in the portal any more",
        ADMIN,
        answer=PortalBrand,
    ),
)
