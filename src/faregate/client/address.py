"""Where the server is and which key opens it: from arguments, or from the environment. The key is
kept where no `repr`, log line or exception shows it.
"""

from __future__ import annotations

import os
from typing import Final

import httpx

URL_VARIABLE: Final = "FAREGATE_URL"
KEY_VARIABLE: Final = "FAREGATE_API_KEY"
_EXAMPLE: Final = "e.g. http://127.0.0.1:8080"


class Address:
    """A server's address, and the key to it."""

    __slots__ = ("_key", "url")

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._key = key

    def __repr__(self) -> str:
        return f"Address({self.url!r})"

    def headers(self) -> dict[str, str]:
        """Return the headers of every request. (httpx shows no `Authorization` either.)"""
        return {"authorization": f"Bearer {self._key}"}


def find_address(base_url: str | None, api_key: str | None) -> Address:
    """Return the address. What is not given is read from FAREGATE_URL and FAREGATE_API_KEY.

    Raises `ValueError` saying what is missing or wrong; a key is never shown.
    """
    url = os.environ.get(URL_VARIABLE, "") if base_url is None else base_url
    key = os.environ.get(KEY_VARIABLE, "") if api_key is None else api_key
    return Address(_checked_url(url.strip()), _checked_key(key.strip()))


def _checked_url(url: str) -> str:
    if not url:
        raise ValueError(f"no address: pass base_url, or set {URL_VARIABLE}")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"base_url is no URL ({error}): write {_EXAMPLE}") from None
    if parsed.userinfo:
        raise ValueError("base_url has a user name or password in it: leave them out")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"base_url is {url!r:.200}: write {_EXAMPLE}")
    if parsed.query or parsed.fragment:
        raise ValueError("base_url has a query or a fragment: leave them out")
    return str(parsed).rstrip("/").removesuffix("/v1").rstrip("/")


def _checked_key(key: str) -> str:
    if not key:
        raise ValueError(f"no API key: pass api_key, or set {KEY_VARIABLE}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("the API key has characters that no key has: copy it again, whole")
    return key
