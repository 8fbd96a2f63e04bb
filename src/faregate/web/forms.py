"""What a browser sends in a form: read with a bound on its size and on how many fields it has, and
looked up by name without surprises.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from faregate.core.problems import INVALID, TOO_LARGE, FaregateError, Problem

MAX_FORM_BYTES: Final = 262_144
MAX_FIELDS: Final = 2_000
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,70}")
"""What parts of a body may be told apart by (RFC 2046, 5.1.1)."""


class Upload(msgspec.Struct, frozen=True):
    """A file that a browser has sent. Neither name nor content is to be believed."""

    name: str
    content: bytes


class Form:
    """A form's fields, and its files by field. A name may come several times; spaces around values
    are taken away."""

    def __init__(
        self, fields: list[tuple[str, str]], files: dict[str, Upload] | None = None
    ) -> None:
        self.files = files or {}
        self._fields: dict[str, list[str]] = {}
        self._exact = dict(reversed(fields))
        for name, value in fields:
            self._fields.setdefault(name, []).append(value.strip())

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def get(self, name: str) -> str:
        """Return a field's first value; empty if there is none."""
        return self._fields.get(name, [""])[0]

    def exact(self, name: str) -> str:
        """Return a field's first value with the spaces around it, which belong to passwords."""
        return self._exact.get(name, "")

    def all(self, name: str) -> list[str]:
        """Return all values of a field, in order."""
        return list(self._fields.get(name, ()))

    def shown(self) -> dict[str, object]:
        """Return what the form says, without what proves that it is ours, and of files their names
        and sizes."""
        shown: dict[str, object] = {
            name: values[0] if len(values) == 1 else values
            for name, values in self._fields.items()
            if name != "csrf"
        }
        for name, file in self.files.items():
            shown[name] = f"{file.name} ({len(file.content)} bytes)"
        return shown

    def first(self) -> dict[str, str]:
        """Return each field's first value."""
        return {name: values[0] for name, values in self._fields.items()}


async def read_form(request: Request, max_bytes: int = MAX_FORM_BYTES) -> Form:
    """Read a form, urlencoded or with files. Raises 413 if it is larger than `max_bytes` or has
    too many fields, 422 for a NUL in one of them, which no database keeps in a text."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            detail = f"the form has more than {max_bytes:,} bytes: shorten it"
            raise FaregateError(Problem(TOO_LARGE, detail))
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await _read_parts(request, bytes(body))
    try:
        fields = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS
        )
    except ValueError:
        detail = f"the form has more than {MAX_FIELDS:,} fields: send it in parts"
        raise FaregateError(Problem(TOO_LARGE, detail)) from None
    return _without_nul(Form(fields))


async def _read_parts(request: Request, body: bytes) -> Form:
    """Read a form that has files, of a body that is whole and bounded."""

    async def again() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        headers = Headers(raw=[(b"content-type", _content_type(request))])
        parser = MultiPartParser(headers, again(), max_files=5, max_fields=MAX_FIELDS)
        found = await parser.parse()
    except MultiPartException as error:
        raise FaregateError(Problem(INVALID, f"the form cannot be read: {error.message}")) from None
    fields: list[tuple[str, str]] = []
    files: dict[str, Upload] = {}
    for name, value in found.multi_items():
        if isinstance(value, UploadFile):
            content = await value.read()
            if content:
                files[name] = Upload(value.filename or "", content)
        else:
            fields.append((name, value))
    await found.close()
    return _without_nul(Form(fields, files))


def _without_nul(form: Form) -> Form:
    """Return a form; raises 422 if there is a NUL in it."""
    for name in form:
        if "\0" in name or any("\0" in value for value in form.all(name)):
            detail = f"the field {name[:50]!r} has a NUL character: remove it"
            raise FaregateError(Problem(INVALID, detail))
    return form


def _content_type(request: Request) -> bytes:
    """Return what a body with files says of itself, without its `charset`: our forms are UTF-8, and
    among Python's codecs there are slow ones, and some that make text which cannot be stored."""
    given = parse_options_header(request.headers.get("content-type", ""))[1].get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(given):
        raise MultiPartException("its content type names no boundary of at most 70 characters")
    return b'multipart/form-data; boundary="' + given + b'"'
