"""Seals: short codes by which we know again what we have made ourselves, e.g. the form of a page or
the link to a receipt. They are made with a secret that is kept in the database, so they outlive a
restart and all processes on one database agree."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from faregate.store.protocol import Store


async def read_secret(store: Store) -> bytes:
    """Return the database's secret; make it, in a database that has none. Raises
    `StoreUnavailable`."""
    rows = await store.fetch("SELECT secret FROM payment_key WHERE id = 1")
    if not rows:
        async with store.transaction() as transaction:
            await transaction.fetch(
                "INSERT INTO payment_key (id, secret) VALUES (1, $1) ON CONFLICT (id) DO NOTHING",
                secrets.token_hex(32),
            )
        rows = await store.fetch("SELECT secret FROM payment_key WHERE id = 1")
    return bytes.fromhex(rows[0][0])


def seal(secret: bytes, purpose: str, text: str) -> str:
    """Return the seal of a text for one purpose; that of another purpose is another one."""
    return hmac.new(secret, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()[:32]


def is_sealed(secret: bytes, purpose: str, text: str, shown: str) -> bool:
    """Tell whether this is the seal, in the same time for any."""
    return hmac.compare_digest(seal(secret, purpose, text).encode(), shown.encode())
