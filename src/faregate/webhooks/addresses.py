"""Where webhooks may go. A destination's URL is chosen by somebody else, and must not turn the
server against the network that it stands in: only public addresses, asked again each time a name
has been resolved, unless the operator's list says otherwise.

    >>> Allowed.parse("hooks.internal, 10.1.0.0/16").has_host("hooks.internal")
    True
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from faregate.core.problems import FaregateError, invalid

MAX_URL: Final = 2_000
MAX_ALLOWED: Final = 100
_PORTS: Final = frozenset((80, 443))
_LOWEST_PORT: Final = 1024
_NAT64: Final = ip_network("64:ff9b::/96")
_GLOBAL_IPV6: Final = ip_network("2000::/3")
"""All that is handed out for use between networks."""
_INSIDE: Final = tuple(
    ip_network(text)
    for text in (
        # What `is_global` of some version of Python lets through, translations of IPv4, and what a
        # cloud keeps for its machines among the addresses of others.
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)
_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+\.?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL: Final = (".localhost", ".local", ".internal", ".home.arpa")


class ForbiddenAddress(Exception):
    """An address that webhooks do not go to."""


class Allowed(msgspec.Struct, frozen=True):
    """What the operator allows beyond the public network: hosts by name, and networks. To these,
    http and any port are allowed too."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Read a list, separated by commas or spaces. Raises `ValueError` saying what is wrong."""
        hosts: set[str] = set()
        networks: list[IPv4Network | IPv6Network] = []
        parts = text.replace(",", " ").split()
        if len(parts) > MAX_ALLOWED:
            raise ValueError(f"has {len(parts)} entries: write at most {MAX_ALLOWED}")
        for part in parts:
            try:
                networks.append(ip_network(part.strip("[]")))
            except ValueError:
                if "/" in part or ":" in part or "*" in part:
                    message = "is no host and no network: write e.g. hooks.internal or 10.1.0.0/16"
                    raise ValueError(f"{part!r} {message}") from None
                hosts.add(part.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def has_host(self, host: str) -> bool:
        """Tell whether a host is allowed by its name, whatever address it has."""
        return host.lower().rstrip(".") in self.hosts

    def has_address(self, address: str) -> bool:
        """Tell whether a literal address is in an allowed network."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self.networks if network.version == ip.version)


@lru_cache(maxsize=4096)
def is_public(address: str) -> bool:
    """Tell whether an address belongs to the public network, whichever way it is written."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(".".join(map(str, ip.packed[-4:])))
        if ip not in _GLOBAL_IPV6:
            return False
    if any(ip in network for network in _INSIDE if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast


def check_address(host: str, address: str, allowed: Allowed) -> None:
    """Refuse an address that a host has been resolved to. Raises `ForbiddenAddress`."""
    if is_public(address) or allowed.has_host(host) or allowed.has_address(address):
        return
    # The address is not said: what is inside is nothing to whoever chose the name.
    raise ForbiddenAddress(
        f"{host} leads to an address that is not public: use one that is, or let the operator "
        "allow it (FAREGATE_WEBHOOK_ALLOW)"
    )


def check_url(url: str, allowed: Allowed) -> None:
    """Refuse a URL that no webhook may go to. Raises 422.

    What a name resolves to is looked at when a webhook is sent: it can change at any time.
    """
    problem = _problem(url, allowed)
    if problem:
        raise FaregateError(invalid("url", problem))


@lru_cache(maxsize=4096)
def _problem(url: str, allowed: Allowed) -> str:
    if not url.isascii() or any(c <= " " or c in '\\"<>`\x7f' for c in url):
        return "has characters that a URL does not have: write them in percent or punycode"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no URL ({error}): write e.g. https://example.com/webhooks"
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host:
        return "is no web address: write e.g. https://example.com/webhooks"
    if parts.username is not None or parts.password is not None:
        return "has a user name or password in it: leave it out, webhooks are signed"
    if parts.fragment:
        return "has a fragment (#…): leave it out"
    written = f"[{host}]" if ":" in host else host
    if parts.netloc.lower() not in (written, f"{written}:", f"{written}:{port}"):
        return "has a host that others may read in another way: write e.g. https://example.com/"
    return _host_problem(parts, host, port, allowed)


def _host_problem(parts: SplitResult, host: str, port: int | None, allowed: Allowed) -> str:
    if allowed.has_host(host) or allowed.has_address(host):
        return ""
    if parts.scheme != "https":
        return "is not https: use https (http goes only to what FAREGATE_WEBHOOK_ALLOW lists)"
    if port is not None and port not in _PORTS and port < _LOWEST_PORT:
        return f"has port {port}: use 443 or one from {_LOWEST_PORT} on"
    try:
        is_allowed = is_public(host)
    except ValueError:
        # A name. One that ends in a number is an address to some resolvers, in one of several ways.
        ends_in = host.rstrip(".").rpartition(".")[2]
        is_name = _NAME.fullmatch(host) is not None and "." in host.rstrip(".")
        is_local = host.rstrip(".").endswith(_LOCAL)
        is_allowed = is_name and not is_local and not _NUMBER.fullmatch(ends_in)
    if is_allowed:
        return ""
    return f"has the host {host}, which is not public: use one that is (FAREGATE_WEBHOOK_ALLOW)"
