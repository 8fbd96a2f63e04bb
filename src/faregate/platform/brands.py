"""What is kept of how an account wants its portal: its settings, and its logo, a small picture that
we serve ourselves."""

from __future__ import annotations

import base64
import hashlib

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.pictures import PictureType
from faregate.core.portal import PORTAL, PortalSettings
from faregate.store.protocol import Queries


class Logo(msgspec.Struct, frozen=True):
    """A picture. `digest` names its content, so that whoever has kept one knows if it is another
    one."""

    content_type: PictureType
    content: bytes
    digest: str

    @classmethod
    def of(cls, content_type: PictureType, content: bytes) -> Logo:
        """Make one of a picture that was checked."""
        return cls(content_type, content, hashlib.sha256(content).hexdigest()[:16])


async def read_settings(queries: Queries, account_id: str) -> tuple[PortalSettings, str | None]:
    """Return an account's settings, and the digest of its logo (None: it has none)."""
    rows = await queries.fetch(
        "SELECT settings, logo_digest FROM portal_settings WHERE account_id = $1", account_id
    )
    return (decode(PortalSettings, rows[0][0]), rows[0][1]) if rows else (PORTAL, None)


async def write_settings(queries: Queries, account_id: str, settings: PortalSettings) -> None:
    """Keep an account's settings in place of those that it had; its logo stays."""
    await queries.fetch(
        "INSERT INTO portal_settings (account_id, settings) VALUES ($1, $2) "
        "ON CONFLICT (account_id) DO UPDATE SET settings = excluded.settings",
        account_id,
        encode(settings).decode(),
    )


async def write_logo(queries: Queries, account_id: str, logo: Logo | None) -> None:
    """Keep an account's logo in place of the one that it had; None: it has none any more."""
    given: tuple[str | None, ...] = (None, None, None)
    if logo is not None:
        given = (base64.b64encode(logo.content).decode(), logo.content_type, logo.digest)
    await queries.fetch(
        "INSERT INTO portal_settings (account_id, settings, logo, logo_type, logo_digest) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account_id) DO UPDATE SET "
        "logo = excluded.logo, logo_type = excluded.logo_type, logo_digest = excluded.logo_digest",
        account_id,
        encode(PORTAL).decode(),
        *given,
    )


async def read_logo(queries: Queries, account_id: str) -> Logo | None:
    """Return an account's logo."""
    rows = await queries.fetch(
        "SELECT logo_type, logo, logo_digest FROM portal_settings "
        "WHERE account_id = $1 AND logo IS NOT NULL",
        account_id,
    )
    if not rows:
        return None
    content_type, content, digest = rows[0]
    return Logo(content_type, base64.b64decode(content), digest)
