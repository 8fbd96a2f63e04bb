"""Webhooks as they arrive: whether one is from whom it says, and what it tells. Nothing of it
counts before its signature is checked, over the bytes as they came.

    event = verify_webhook(request.body, request.headers, secret)
    if event.type == "limit.reached":
        ...
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from faregate.core.codec import decode

TOLERANCE_SECONDS: Final = 300
MAX_SIGNATURES: Final = 20
_PREFIX: Final = "whsec_"


class InvalidWebhook(Exception):
    """What came is not to be trusted; the message says why. Answer 400 and do nothing."""


class WebhookEvent(msgspec.Struct, frozen=True):
    """What a webhook tells. It may come more than once, always with the same `id`. `account`: the
    connected account in which it happened. Numbers in `data` are exact."""

    id: str
    type: str
    created: datetime
    live_mode: bool
    data: Any
    account: str | None = None


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    *,
    tolerance_seconds: int = TOLERANCE_SECONDS,
    now: float | None = None,
) -> WebhookEvent:
    """Check a webhook and return what it tells.

    `secrets` is the destination's secret, or several while one follows another; `headers` may have
    any case, and either `Credyt-Signature` or the `webhook-…` headers of Standard Webhooks. `now`
    is seconds since 1970 (default: the clock's). Raises `InvalidWebhook`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    known = [secrets] if isinstance(secrets, str) else list(secrets)
    if not known or not all(known):
        raise InvalidWebhook("there is no secret to check it with: give the destination's")
    if "credyt-signature" in given:
        sent_at, signatures = _ours(given["credyt-signature"])
        wanted = [_hex_digest(secret, sent_at, body) for secret in known]
    elif "webhook-signature" in given:
        sent_at, signatures = _standard(given)
        name = given.get("webhook-id", "")
        wanted = [_base64_digest(secret, name, sent_at, body) for secret in known]
    else:
        raise InvalidWebhook("it is not signed: there is no Credyt-Signature, no webhook-signature")
    _check_time(sent_at, tolerance_seconds, time.time() if now is None else now)
    if not _is_any_equal(signatures[:MAX_SIGNATURES], wanted):
        message = "no signature fits: the secret is another one, or the body was changed"
        raise InvalidWebhook(message)
    try:
        return decode(WebhookEvent, body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidWebhook(f"it is signed, but is no event: {error}") from None


def _ours(header: str) -> tuple[str, list[str]]:
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v0"]
    if len(times) != 1 or not signatures:
        raise InvalidWebhook("Credyt-Signature has not one t= and at least one v0=")
    return times[0], signatures


def _standard(given: Mapping[str, str]) -> tuple[str, list[str]]:
    if not given.get("webhook-id") or not given.get("webhook-timestamp"):
        raise InvalidWebhook("webhook-signature is there, webhook-id or webhook-timestamp is not")
    parts = [part.partition(",") for part in given["webhook-signature"].split(" ")]
    return given["webhook-timestamp"], [value for version, _, value in parts if version == "v1"]


def _hex_digest(secret: str, sent_at: str, body: bytes) -> str:
    return hmac.new(secret.encode(), sent_at.encode() + b"." + body, hashlib.sha256).hexdigest()


def _base64_digest(secret: str, name: str, sent_at: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidWebhook("the secret is not one of a destination: they begin whsec_") from None
    text = f"{name}.{sent_at}.".encode() + body
    return base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


def _check_time(sent_at: str, tolerance_seconds: int, now: float) -> None:
    if not (sent_at.isascii() and sent_at.isdigit() and len(sent_at) <= 12):
        raise InvalidWebhook("its time is no number of seconds")
    age = now - int(sent_at)
    if abs(age) > tolerance_seconds:
        when = "ago" if age > 0 else "from now"
        message = f"it was sent {abs(age):.0f} seconds {when}, more than {tolerance_seconds}"
        raise InvalidWebhook(f"{message}: it may be a repeat by somebody else, or a clock is wrong")


def _is_any_equal(given: Sequence[str], wanted: Sequence[str]) -> bool:
    """Compare all, in the same time whatever fits."""
    return any(list(_each_equal(given, wanted)))


def _each_equal(given: Sequence[str], wanted: Sequence[str]) -> Iterator[bool]:
    for one in given:
        for other in wanted:
            yield hmac.compare_digest(one.encode(), other.encode())
