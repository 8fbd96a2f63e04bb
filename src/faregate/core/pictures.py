"""Which kind of picture some bytes are, by what is in them and not by what somebody calls them.
Pictures that may contain a program (SVG) are none of these kinds.
"""

from __future__ import annotations

from typing import Final, Literal

from faregate.core.problems import Problem, invalid

PictureType = Literal["image/png", "image/jpeg", "image/webp"]
MAX_PICTURE_BYTES: Final = 200 * 1024
_PNG: Final = b"\x89PNG\r\n\x1a\n"


def picture_type(content: bytes) -> PictureType | None:
    """Return the kind of a picture; None if it is none that we show."""
    if content.startswith(_PNG) and content[12:16] == b"IHDR" and b"IEND" in content[-16:]:
        return "image/png"
    if content.startswith(b"\xff\xd8\xff") and b"\xff\xd9" in content[-64:]:
        return "image/jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and content[12:15] == b"VP8":
        return "image/webp"
    return None


def check_picture(path: str, content: bytes) -> PictureType | Problem:
    """Return the kind of a picture, or say why it is refused."""
    if len(content) > MAX_PICTURE_BYTES:
        remedy = f"send at most {MAX_PICTURE_BYTES // 1024} kB; 400 pixels of width are plenty"
        return invalid(path, f"has {len(content) / 1024:.0f} kB: {remedy}")
    kind = picture_type(content)
    if kind is not None:
        return kind
    beginning = content[:400].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if beginning.startswith((b"<svg", b"<?xml", b"<!doctype svg")):
        return invalid(path, "is SVG, which may contain a program: send it as PNG or WebP")
    return invalid(path, "is no PNG, JPEG or WebP picture, or only a part of one: send a whole one")
