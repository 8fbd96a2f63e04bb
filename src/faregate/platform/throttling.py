"""How often a password may be guessed. Each try counts against the e-mail address that it names and
against the network address that it comes from; after a few in vain each further one has to wait,
twice as long every time. A try counts when it begins, so trying many at once gains nothing.

It is kept in memory, in a bounded table: whoever is not signed in shall not be able to make the
database grow. A restart forgets it.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

import msgspec

FREE_TRIES: Final = 5
FREE_TRIES_OF_ADDRESS: Final = 20
"""From one address more people may sign in than one."""
LONGEST_SECONDS: Final = 15 * 60
FORGOTTEN_SECONDS: Final = 24 * 60 * 60
MAX_KNOWN: Final = 20_000


class _Tries(msgspec.Struct):
    count: int
    last: float


class Throttle:
    """Counts tries in vain. Instants are seconds, of any clock that does not run backwards."""

    def __init__(self) -> None:
        self._tries: OrderedDict[tuple[str, str], _Tries] = OrderedDict()

    def begin(self, email: str, address: str, now: float) -> float:
        """Count a try and return 0, or return how many seconds are to be waited before the next
        one, which is then not counted."""
        of_email = (("email", email), FREE_TRIES)
        return self._begin((of_email, _of_network(address)), now)

    def begin_from(self, address: str, now: float) -> float:
        """The same for what names no e-mail address: a try counts against the network alone."""
        return self._begin((_of_network(address),), now)

    def _begin(self, keys: tuple[tuple[tuple[str, str], int], ...], now: float) -> float:
        wait = max(self._wait(key, free, now) for key, free in keys)
        if wait > 0:
            return wait
        for key, _ in keys:
            known = self._tries.get(key)
            forgotten = known is None or now - known.last > FORGOTTEN_SECONDS
            count = 1 if known is None or forgotten else known.count + 1
            self._tries[key] = _Tries(count, now)
            self._tries.move_to_end(key)
        while len(self._tries) > MAX_KNOWN:
            self._tries.popitem(last=False)
        return 0.0

    def forget(self, email: str) -> None:
        """Forget what was tried in vain for an e-mail address, whose password is a new one."""
        self._tries.pop(("email", email), None)

    def succeed(self, email: str, address: str) -> None:
        """Take a try back that was not in vain. For its e-mail address all is forgotten; for the
        network address only this one, or who knows one password could guess others for ever."""
        self._tries.pop(("email", email), None)
        known = self._tries.get(("from", network_of(address)))
        if known is not None:
            known.count -= 1

    def _wait(self, key: tuple[str, str], free: int, now: float) -> float:
        known = self._tries.get(key)
        if known is None or now - known.last > FORGOTTEN_SECONDS or known.count < free:
            return 0.0
        delay = min(2.0 ** min(known.count - free, 20), LONGEST_SECONDS)
        # At most the delay itself: a clock that was set back shuts nobody out for longer.
        return min(delay, max(0.0, known.last + delay - now))


def _of_network(address: str) -> tuple[tuple[str, str], int]:
    return ("from", network_of(address)), FREE_TRIES_OF_ADDRESS


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the first half, which one customer has whole.

    >>> network_of("2001:db8:1:2:3::4")
    '2001:db8:1:2::/64'
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
