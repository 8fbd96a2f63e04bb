"""Where assistants find us, and where they are told how to get a token."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

METADATA: Final = "/.well-known/oauth-authorization-server"
RESOURCE_METADATA: Final = "/.well-known/oauth-protected-resource"
_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


def base_of(scope: Scope) -> str:
    """Return where a request has found us, as `https://billing.example.com`; empty if it names no
    host that can be one."""
    found = [value for name, value in scope["headers"] if name == b"host"]
    host = found[0].decode("latin-1") if len(found) == 1 else ""
    return f"{scope['scheme']}://{host}" if _HOST.fullmatch(host) else ""


def is_safe(base: str) -> bool:
    """Tell whether secrets may travel to this address: by TLS, or within one machine.

    >>> [is_safe(b) for b in ("https://b.example", "http://127.0.0.1:8080", "http://b.example")]
    [True, True, False]
    """
    parts = urlsplit(base)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
