"""What this API reads of a request's headers, gathered in one pass over them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from itertools import count
from typing import Final

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,100}")
_PROCESS: Final = secrets.token_hex(6)
_numbers: Final = count(1)


def preferences(text: str) -> frozenset[str]:
    """Return the preferences of a `Prefer` header (RFC 7240) as `name=value`, in small letters.

    >>> sorted(preferences('handling=lenient; x=1, Return = "representation"'))
    ['handling=lenient', 'return=representation']
    """
    found = []
    for preference in text.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        found.append(f"{name.strip()}={value.strip().strip(chr(34))}".lower())
    return frozenset(found)


class RequestHeaders:
    """The headers that matter here, as they were sent; empty or None where they were not.

    `account` is the one to act for. Sent twice, it is both, which is none that there is: to choose
    one of them would be to guess who pays.
    `body_bytes` is the size of the body, once it was read.
    """

    __slots__ = (
        "account",
        "body_bytes",
        "content_type",
        "idempotency_key",
        "length",
        "prefers",
        "request_id",
        "secret",
    )

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.secret = b""
        self.account: str | None = None
        self.prefers: frozenset[str] = frozenset()
        self.length: bytes | None = None
        self.content_type = b"application/json"
        self.idempotency_key: str | None = None
        self.request_id = b""
        self.body_bytes = 0
        for name, value in headers:
            if name == b"x-credyt-api-key":
                self.secret = value
            elif name == b"authorization":
                if not self.secret and value[:7].lower() == b"bearer ":
                    self.secret = value[7:].strip()
            elif name == b"content-type":
                self.content_type = value
            elif name == b"content-length":
                self.length = value
            elif name == b"prefer":
                self.prefers |= preferences(value.decode("latin-1"))
            elif name == b"idempotency-key":
                self.idempotency_key = value.decode("latin-1")
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                self.request_id = value
            elif name == b"x-credyt-account":
                shown = value.decode("latin-1")
                self.account = shown if self.account is None else f"{self.account}, {shown}"
        if not self.request_id:
            self.request_id = f"{_PROCESS}-{next(_numbers)}".encode()

    @property
    def is_json(self) -> bool:
        """Tell whether the body says that it is JSON, or does not say what it is."""
        if self.content_type == b"application/json":
            return True
        return self.content_type.split(b";")[0].strip().lower().endswith(b"json")
