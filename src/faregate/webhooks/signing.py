"""Signatures, so that a receiver knows who sent a webhook: ours and those of Standard Webhooks
1.0 (standardwebhooks.com). Of two secrets in force, while one follows the other, each signs.

    Credyt-Signature: t=<unix>,v0=<hex HMAC-SHA256 of "t.body", the key is the secret as shown>
    webhook-signature: v1,<base64 HMAC-SHA256 of "id.t.body", the key is the secret decoded>
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
_BYTES: Final = 32


def make_secret(random_bits: int) -> str:
    """Spell a secret out of 256 random bits."""
    return PREFIX + base64.b64encode(random_bits.to_bytes(_BYTES, "big")).decode()


def sign(secrets: Sequence[str], event_id: str, unix: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign a body, sent at `unix` (seconds since 1970 UTC)."""
    ours = [_digest(secret.encode(), f"{unix}.".encode() + body).hex() for secret in secrets]
    theirs = [
        base64.b64encode(
            _digest(
                base64.b64decode(secret.removeprefix(PREFIX)), f"{event_id}.{unix}.".encode() + body
            )
        ).decode()
        for secret in secrets
    ]
    return {
        "Credyt-Signature": ",".join([f"t={unix}", *(f"v0={one}" for one in ours)]),
        "webhook-id": event_id,
        "webhook-timestamp": str(unix),
        "webhook-signature": " ".join(f"v1,{one}" for one in theirs),
    }


def _digest(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")
