"""Who may write a lane. The lease is one row per lane: a holder, an epoch that rises with every
change of hands and is checked inside every commit, and a time until which nobody else may take
it. A holder that is known to be dead (its process on this host is gone) is succeeded at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Final

from faregate.core.problems import UNAVAILABLE, FaregateError, Problem
from faregate.store.protocol import Lease, Store

LEASE_SECONDS: Final = 10
RETRY_SECONDS: Final = 1
"""What a caller is told to wait who has come to a process that does not hold the lane: one that
stops lets go of it at once."""
_POLL_SECONDS: Final = 0.2
_PROCESS_TOKEN: Final = secrets.token_hex(4)


class LaneHeld(FaregateError):
    """Another process, alive as far as is known, may write the lane."""


def lease_clock_us() -> int:
    """Return wall-clock microseconds. Leases are about live processes, so about real time."""
    return time.time_ns() // 1000


def _host() -> str:
    """Name what a process id means something in: two containers may have one hostname, and a
    process 1 each."""
    boot, namespace = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{boot}/{namespace}"


_HOST: Final = _host()


def new_holder() -> str:
    """Name one engine: host, process, a token of the process, and one of the engine."""
    return f"{_HOST}|{os.getpid()}|{_PROCESS_TOKEN}|{secrets.token_hex(4)}"


def is_dead(holder: str) -> bool:
    """Tell whether a holder's process is known to be gone. Of another host nothing is known."""
    if not holder:
        return True
    host, pid, token, _ = holder.split("|")
    if host != _HOST:
        return False
    if int(pid) == os.getpid():
        return token != _PROCESS_TOKEN
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


async def take_lane(store: Store, lane: int, holder: str, wait_seconds: float) -> Lease:
    """Take a lane's lease, waiting for a living holder's to run out.

    Raises `LaneHeld` if it is still held after `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        seen = next(lease for lease in await store.leases() if lease.lane == lane)
        now_us = lease_clock_us()
        is_free = seen.lease_until_us <= now_us or seen.holder == holder or is_dead(seen.holder)
        if is_free:
            until_us = now_us + LEASE_SECONDS * 1_000_000
            taken = await store.take_lease(seen, holder, until_us)
            if taken is not None:
                return taken
            continue  # Somebody was faster: look who.
        if time.monotonic() >= deadline:
            host, pid, *_ = seen.holder.split("|")
            host = host.partition("/")[0]
            detail = (
                f"another Faregate (process {pid} on {host}) is serving this database: "
                "stop it, use its REST API, or start with --standby to take over when it ends"
            )
            raise LaneHeld(Problem(UNAVAILABLE, detail, {}, RETRY_SECONDS))
        await asyncio.sleep(_POLL_SECONDS)


async def release_lane(store: Store, lease: Lease) -> None:
    """Let go of a lane, so that the next process need not wait."""
    async with store.transaction() as transaction:
        await transaction.fetch(
            "UPDATE lanes SET holder = '', lease_until_us = 0 "
            "WHERE lane = $1 AND epoch = $2 RETURNING lane",
            lease.lane,
            lease.epoch,
        )
