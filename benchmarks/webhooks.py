"""Webhooks to many destinations of which some hang: how long after it happened the others are told,
and how many are told per second. Each event goes to every destination. The receiver is a process
of its own, which never answers for a tenth of them. The baselines post as many bytes to the same
receiver over connections that are kept, and do nothing else: they keep, order and sign nothing.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import aiohttp
import httpx
import msgspec

from benchmarks.embedded import Plan, Say
from benchmarks.measuring import Call, at, measure
from benchmarks.shop import open_shop, usage, verify
from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.limits import LimitRequest
from faregate.store.open import open_store
from faregate.webhooks.sending import MAX_AT_ONCE
from faregate.webhooks.types import CreateDestination

DESTINATIONS: Final = 1_000
SPACED: Final = 10
SPACE_SECONDS: Final = 3.0
AT_ONCE: Final = 10
FEW: Final = 8
BASELINES: Final = (("httpx", MAX_AT_ONCE), ("httpx", FEW), ("aiohttp", MAX_AT_ONCE))
"""Who posts, and how many at once."""
BODY: Final = b"{" + b" " * 500 + b"}"
HEADERS: Final = {"content-type": "application/json", "webhook-id": "baseline"}
WAIT_SECONDS: Final = 120
"""Until all are told; longer is a failure."""


class Told(msgspec.Struct, frozen=True):
    """Seconds from when something happened to its arrival at destinations that answer, spaced out;
    deliveries per second of what happened at once; posts per second of the baselines; and what
    `verify` found."""

    kind: str
    destinations: int
    hanging: int
    p50: float
    p99: float
    longest: float
    deliveries: int
    per_second: float
    baselines: list[float]
    charges: int


class _Receiver:
    """The process that receives."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}"

    def report(self) -> list[tuple[str, str, float]]:
        """End it; returns (path, event id, seconds since 1970) of all that came."""
        out, _ = self._process.communicate()
        return [tuple(one) for one in json.loads(out)]


@contextmanager
def _receiver() -> Iterator[_Receiver]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.receiver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield _Receiver(process, int(process.stdout.readline()))
        finally:
            process.kill()


async def measure_webhooks(
    url: str, kind: str, destinations: int, hanging: int, plan: Plan, say: Say
) -> Told:
    """Register, charge, and see when the others were told."""
    spaced = 3 if plan.rounds == 1 else SPACED
    good = destinations - hanging
    with _receiver() as receiver:
        baselines = await _measure_baselines(f"{receiver.url}/good/baseline", plan, say)
        async with Engine.open(url, webhook_allow="127.0.0.0/8") as engine:
            await engine.create_limit(LimitRequest(Number(1), "lifetime", "soft", "events"))
            wallets = await open_shop(engine, spaced + AT_ONCE)
            say(f"{destinations:,} destinations, of which {hanging} hang")
            for number in range(destinations):
                path = f"{'hang' if number < hanging else 'good'}/{number}"
                request = CreateDestination(f"{receiver.url}/{path}", ["limit.reached"])
                await engine.create_webhook_destination(request)
            async with engine.working():
                for number, wallet in enumerate(wallets[:spaced]):
                    await engine.record_events(wallet, [usage("spaced", number)])
                    await asyncio.sleep(SPACE_SECONDS)
                await _until_told(engine, spaced * good)
                say(f"{AT_ONCE} events at once")
                await asyncio.gather(
                    *[
                        engine.record_events(wallet, [usage("burst", number)])
                        for number, wallet in enumerate(wallets[spaced:])
                    ]
                )
                await _until_told(engine, (spaced + AT_ONCE) * good)
                times = await _happened(url)
        arrived = [one for one in receiver.report() if one[0].startswith("/good/")]
    early, late = list(times)[:spaced], set(list(times)[spaced:])
    delays = sorted(when - times[name] for _, name, when in arrived if name in early)
    burst = sorted(when for _, name, when in arrived if name in late)
    return Told(
        kind,
        destinations,
        hanging,
        at(delays, 0.5),
        at(delays, 0.99),
        delays[-1],
        len(delays) + len(burst),
        len(burst) / (burst[-1] - min(times[name] for name in late)),
        baselines,
        await verify(url),
    )


async def _measure_baselines(url: str, plan: Plan, say: Say) -> list[float]:
    found = []
    for name, callers in BASELINES:
        say(f"{name}, {callers} at once")
        async with _posting(name, url, callers) as post:
            found.append((await measure(post, callers, plan.seconds)).per_second)
    return found


@asynccontextmanager
async def _posting(name: str, url: str, callers: int) -> AsyncIterator[Call]:
    if name == "httpx":
        limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:

            async def post_httpx(_: int) -> None:
                answer = await client.post(url, content=BODY, headers=HEADERS)
                answer.raise_for_status()

            yield post_httpx
        return
    connector = aiohttp.TCPConnector(limit=callers)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:

        async def post_aiohttp(_: int) -> None:
            async with session.post(url, data=BODY, headers=HEADERS) as answer:
                await answer.read()

        yield post_aiohttp


async def _until_told(engine: Engine, count: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await _delivered(engine) < count:  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(0.2)


async def _delivered(engine: Engine) -> int:
    rows: Any = await engine._store.fetch(
        "SELECT count(*) FROM webhook_deliveries WHERE state = 'delivered'"
    )
    return int(rows[0][0])


async def _happened(url: str) -> dict[str, float]:
    store = await open_store(url)
    try:
        rows = await store.fetch(
            "SELECT DISTINCT event_id, happened_at FROM webhook_deliveries ORDER BY happened_at"
        )
    finally:
        await store.close()
    return {row[0]: row[1] / 1e6 for row in rows}
