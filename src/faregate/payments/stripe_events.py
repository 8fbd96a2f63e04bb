"""Stripe's events, as they come in at our door: whether one is genuine, and which payment it is
about. Nothing else that it says is taken from it.

Their signatures: docs.stripe.com/webhooks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
import stripe

from faregate.payments.provider import BadMessage, Merchant, Message
from faregate.payments.stripe_objects import ENVIRONMENT, PAYMENT, Event

SIGNATURE: Final = "stripe-signature"
TOLERANCE_SECONDS: Final = 300


def check_signature(header: str, body: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Raise `BadMessage` for what was not signed with one of the secrets, or too long ago."""
    if not header.isascii() or not secrets:
        raise BadMessage("the signature is not Stripe's")
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body, header, secret)
            break
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            continue
    else:
        raise BadMessage("the signature is not Stripe's")
    # The same instant as was signed: the first of the name.
    parts = [part.split("=") for part in header.split(",")]
    sent = next(int(part[1]) for part in parts if part[0] == "t")
    if abs(int(now.timestamp()) - sent) > TOLERANCE_SECONDS:
        raise BadMessage(f"it is older than {TOLERANCE_SECONDS} seconds")


def read_event(body: bytes, merchant: Merchant, accounts: Mapping[str, str]) -> Message:
    """Read a genuine event. `accounts` names the connected Stripe accounts. Raises `BadMessage` if
    it is of another mode, account or environment."""
    try:
        event = msgspec.json.decode(body, type=Event)
    except msgspec.MsgspecError:
        # It is Stripe's, of a kind that no endpoint of ours should be sent.
        return Message("")
    if event.livemode != merchant.is_live:
        raise BadMessage(f"it is of the {'live' if event.livemode else 'test'} mode")
    is_connected = event.account is not None and event.account in accounts.values()
    expected = None if merchant.is_platform else accounts.get(merchant.account_id)
    if event.account != expected and not (merchant.is_platform and is_connected):
        raise BadMessage("it is of another Stripe account")
    told = event.data.object
    metadata = told.metadata or {}
    environment = metadata.get(ENVIRONMENT, str(merchant.environment_id))
    # One endpoint of the platform's is told of all accounts that are connected to it.
    is_told_here = merchant.is_platform and is_connected
    if environment != str(merchant.environment_id) and not is_told_here:
        raise BadMessage("it is of another environment")
    if PAYMENT in metadata:
        return Message(event.id, metadata[PAYMENT])
    if told.object in ("payment_intent", "checkout.session"):
        return Message(event.id, ref=told.id)
    ref = told.payment_intent
    return Message(event.id, ref=ref if isinstance(ref, str) else None)
