"""Unpacks bodies that come packed (`Content-Encoding`), and no further than they may be large: a
few bytes can be packed so that they become millions."""

from __future__ import annotations

import zlib
from typing import Final

from faregate.core.problems import (
    INVALID,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    FaregateError,
    Problem,
)

_WINDOW: Final = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": 15}
_MAX_MEMBERS: Final = 1_000


def unpack(body: bytes, encoding: str, most: int) -> bytes:
    """Return a body as it was before it was packed. Raises `FaregateError`: 413 beyond `most`
    bytes, 415 for a packing that is not known, 422 if it is broken."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    window = _WINDOW.get(encoding)
    if window is None:
        detail = f"Content-Encoding is {encoding[:50]!r}: send gzip, deflate, or no packing"
        raise FaregateError(Problem(UNSUPPORTED_MEDIA_TYPE, detail))
    parts: list[bytes] = []
    size = members = 0
    while body:
        members += 1
        unpacking = zlib.decompressobj(window)
        try:
            part = unpacking.decompress(body, most - size + 1)
        except zlib.error as error:
            raise FaregateError(_broken(encoding, str(error))) from None
        size += len(part)
        if size > most or members > _MAX_MEMBERS:
            detail = f"the body is larger than {most} bytes when it is unpacked: send less"
            raise FaregateError(Problem(TOO_LARGE, detail))
        if not unpacking.eof:
            raise FaregateError(_broken(encoding, "it ends too early"))
        parts.append(part)
        body = unpacking.unused_data
    return b"".join(parts)


def _broken(encoding: str, why: str) -> Problem:
    return Problem(INVALID, f"the body is not valid {encoding}: {why}")
