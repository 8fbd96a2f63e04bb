"""How long the dashboard's pages take on a ledger of a month: events are booked through the engine,
day by day on a clock that is moved, then pages are asked for over HTTP, one after the other, each
made anew (what the server keeps for a moment is left out). The baseline is the same server
answering nothing.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Final, NamedTuple

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from benchmarks.embedded import Plan, Say
from benchmarks.measuring import at
from benchmarks.shop import EVENT_TYPE, open_shop, verify
from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.problems import FaregateError
from faregate.web import create_web
from faregate.web.dashboard import home

EVENTS: Final = 1_000_000
DAYS: Final = 30
ASKED: Final = 60
"""Times each page is asked for."""
AT_ONCE: Final = 32
EMAIL: Final = "operator@example.com"
MODELS: Final = (("small", "0.0004"), ("large", "0.0019"), ("images", "0.003"))
"""With what a use of each costs."""


class PageTimes(NamedTuple):
    """What a page took, in milliseconds, and how many bytes it has."""

    name: str
    p50_ms: float
    p99_ms: float
    size: int


class PagesFound(NamedTuple):
    """What was measured: seconds to sum up everything, the pages, and the bytes that a browser
    loads when it opens Home for the first time."""

    events: int
    customers: int
    sum_seconds: float
    pages: list[PageTimes]
    first_load: int
    charges: int


class _Clock:
    """Time that stands where it is put, until it goes on by itself."""

    def __init__(self) -> None:
        self.now: datetime | None = datetime.now(UTC) - timedelta(days=DAYS - 1)

    def __call__(self) -> datetime:
        return self.now or datetime.now(UTC)


async def measure_pages(url: str, plan: Plan, say: Say, events: int = EVENTS) -> PagesFound:
    """Fill a ledger, and ask for pages."""
    clock = _Clock()
    async with Engine.open(url, clock=clock) as engine:
        wallets = await open_shop(engine, plan.customers)
        began = perf_counter()
        await _fill(engine, clock, wallets, events, say)
        say(f"{events:,} events in {perf_counter() - began:.0f} s")
        clock.now = None
        began = perf_counter()
        await engine.sum_up()
        sum_seconds = perf_counter() - began
        say(f"summed up in {sum_seconds:.0f} s")
        operator = await engine.create_operator(EMAIL, "Olga", "admin", secrets.token_urlsafe())
        session = await engine.use_sign_in_link(await engine.sign_in_link(operator.id))
        async with engine.working(), _serving(engine) as address:
            times, first_load = await _ask(address, session, wallets[0], say)
    return PagesFound(events, plan.customers, sum_seconds, times, first_load, await verify(url))


async def _fill(engine: Engine, clock: _Clock, wallets: list[str], events: int, say: Say) -> None:
    each = max(1, events // DAYS // len(wallets))
    room = asyncio.Semaphore(AT_ONCE)

    async def book(day: int, number: int, wallet: str, now: datetime) -> None:
        batch = [
            UsageEvent(
                f"{day:03}-{number:06}-{n:04}",
                EVENT_TYPE,
                now,
                data={"model": model, "output_tokens": 1000 + (number + n) % 7},
                costs=[Cost("c", Number(cost), vendor_external_id=f"vendor of {model}")],
            )
            for n in range(each)
            for model, cost in (MODELS[(number + n) % len(MODELS)],)
        ]
        async with room:
            while True:
                try:
                    await engine.record_events(wallet, batch)
                    return
                except FaregateError as error:
                    if error.problem.retry_after_seconds is None:
                        raise
                    await asyncio.sleep(0.1)

    for day in range(DAYS):
        now = clock()
        await asyncio.gather(*[book(day, n, wallet, now) for n, wallet in enumerate(wallets)])
        if day < DAYS - 1:
            clock.now = now + timedelta(days=1)
        if day % 10 == 9:
            say(f"day {day + 1}")


@asynccontextmanager
async def _serving(engine: Engine) -> AsyncIterator[str]:
    """Serve the pages, and an empty answer beside them."""
    home.PULSE_SECONDS = home.OVERVIEW_SECONDS = 0.0  # type: ignore[misc]
    home.LOSSES_SECONDS = 0.0  # type: ignore[misc]

    async def nothing(_request: Request) -> Response:
        return Response(status_code=204)

    web = create_web(engine, engine.context_of("test"))
    app = Starlette(routes=[Route("/nothing", nothing), Mount("/", web)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def _ask(
    address: str, session: str, customer_id: str, say: Say
) -> tuple[list[PageTimes], int]:
    pages = {
        "an empty answer": "/nothing",
        "Home": "/test",
        "Home, what moves": "/test/now",
        "Home, 90 days": "/test?span=90d",
        "Margins by customer": "/test/margins?by=customer",
        "Margins by product": "/test/margins?by=product",
        "Margins by model": "/test/margins?by=model",
        "Margins by vendor": "/test/margins?by=vendor",
        "Margins by day": "/test/margins?by=day",
        "Customers": "/test/customers",
        "One customer": f"/test/customers/{customer_id}",
        "Events": "/test/events",
    }
    found = []
    cookies = {"faregate_session": session}
    async with httpx.AsyncClient(base_url=address, timeout=60, cookies=cookies) as client:
        for name, path in pages.items():
            answer = await client.get(path)
            if answer.status_code not in (200, 204):
                say(f"{name}: {answer.status_code}, left out")
                continue
            took = sorted([await _timed(lambda path=path: client.get(path)) for _ in range(ASKED)])
            found.append(
                PageTimes(name, at(took, 0.5) * 1000, at(took, 0.99) * 1000, len(answer.content))
            )
            say(f"{name}: {found[-1].p50_ms:.0f} ms")
        return found, await _first_load(client)


async def _timed(call: Callable[[], Awaitable[httpx.Response]]) -> float:
    before = time.perf_counter()
    (await call()).raise_for_status()
    return time.perf_counter() - before


async def _first_load(client: httpx.AsyncClient) -> int:
    """Return the bytes of Home with everything that its head names."""
    page = await client.get("/test")
    assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    answers = [page, *[await client.get(path) for path in dict.fromkeys(assets)]]
    return sum(answer.num_bytes_downloaded for answer in answers)
