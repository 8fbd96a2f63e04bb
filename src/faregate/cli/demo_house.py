"""The house in which the demo is served. A month is built beside what is served, closed, and put in
its place as a whole; whoever asked for it waits on a page that leads them in again. To make the
demo one's own is the same, with a database that has nothing but its admin and what is kept.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import signal
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog
from starlette.types import ASGIApp

from faregate.cli.demo_clock import DemoClock
from faregate.cli.demo_file import DemoFile, own_place
from faregate.cli.demo_words import DemoWords
from faregate.cli.hearer import hearing
from faregate.cli.kept import begin_own, read_kept
from faregate.cli.logs import expecting
from faregate.cli.month import DAYS, Month
from faregate.cli.scenes import set_scenes
from faregate.cli.server import Serving, address_of, application, serving_app
from faregate.cli.settings import open_database
from faregate.cli.traffic import Traffic
from faregate.cli.turnstile import Turnstile
from faregate.core.problems import FaregateError, conflict
from faregate.engine import Engine, system_clock
from faregate.engine.portal import CreatePortalSession
from faregate.web.dashboard.demo import Mine, Ready, Waiting

OPERATOR: Final = "demo@faregate.example"
LOOPBACK: Final = "127.0.0.1"
NO_NEWS: Final = ("the clock has jumped", "webhook destination disabled")
"""What is logged while a month passes in seconds, and is meant to be so."""
TICKET_SECONDS: Final = 30
"""How long a ticket lets in once somebody was let in by it."""
_TICKET_BYTES: Final = 24

log = structlog.get_logger(__name__)


class DemoHouse:
    """One run of the demo: what is served, what is built, and who waits for it. `stays` says that
    the demo's file is kept afterwards."""

    def __init__(
        self, file: DemoFile, listener: socket.socket, *, rate: float, events: int, stays: bool
    ) -> None:
        self._file = file
        self._listener = listener
        self._rate = rate
        self._events = events
        self._stays = stays
        self._address = address_of(listener)
        self._words = DemoWords()
        self._hooks = ""
        self._month: Month | None = None
        self._own: Path | None = None
        # While something is served:
        self._engine: Engine | None = None
        self._makes_room = asyncio.Event()
        self._traffic: Traffic | None = None
        # What shall take its place, and who waits for it:
        self._building: asyncio.Task[None] | None = None
        self._coming: Month | Path | None = None
        self._ticket = ""
        self._taken_at = 0.0
        self._waiting: Waiting | None = None
        self.trouble = ""
        """Why there is no new month, if one was wanted and could not be built."""

    async def run(self, *, goes_on: bool) -> None:
        """Build a month, and serve it and whatever takes its place until told to stop; without
        `goes_on`, prove that its books balance, and end."""
        begun = time.perf_counter()
        async with hearing() as self._hooks:
            with self._words.progress() as shown, _ended_by_signals():
                month = await self._build(shown)
            self._file.put_in_place()
            self._month = month
            if not goes_on:
                async with self._open() as engine:
                    self._words.built(month, time.perf_counter() - begun)
                    self._words.verified(await engine.verify())
            else:
                await self._go_on(month, begun)
        if self._own is not None:
            self._words.end_of_own(self._own)
        elif self._stays:
            self._words.kept(self._file.url)

    async def _go_on(self, month: Month, begun: float) -> None:
        """Serve until told to stop; of what takes its place, no caller notices more than a wait."""
        turnstile = Turnstile()
        async with serving_app(turnstile, self._listener) as server:
            while True:
                async with self._open() as engine, self._served(engine) as app:
                    turnstile.put(app)
                    if self._month is month:
                        self._words.built(month, time.perf_counter() - begun)
                    await self._tell(engine)
                    await self._until_room_is_made(server)
                    await turnstile.take_away()
                if server.stopping.is_set() or not await self._takes_over():
                    break
            await self._give_up_building()

    async def _until_room_is_made(self, server: Serving) -> None:
        """Wait until something else is to be served, or nothing any more."""
        waits = [
            asyncio.create_task(self._makes_room.wait()),
            asyncio.create_task(server.stopping.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        self._makes_room.clear()
        for one in waits:
            one.cancel()

    # -- what is served ---------------------------------------------------------------------------

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Engine]:
        """Open what is to be served."""
        url = self._file.url if self._own is None else f"sqlite:///{self._own}"
        allowed = LOOPBACK if self._own is None else ""
        async with open_database(url, serves=True, webhook_allow=allowed) as engine:
            self._engine = engine
            try:
                yield engine
            finally:
                self._engine = None

    @asynccontextmanager
    async def _served(self, engine: Engine) -> AsyncIterator[ASGIApp]:
        """Make what is served, with the demo's traffic if it is still the demo."""
        async with (
            application(engine, "test", self) as app,
            engine.working(),
            self._living(engine),
        ):
            self._waiting = None
            yield app

    @asynccontextmanager
    async def _living(self, engine: Engine) -> AsyncIterator[None]:
        """Let the demo's traffic go on while the block runs."""
        if self._month is None:
            yield
            return
        self._month.go_on_with(engine)
        self._traffic = Traffic(self._month, self._rate)
        task = asyncio.create_task(self._traffic.run())
        try:
            yield
        finally:
            self._traffic = None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _tell(self, engine: Engine) -> None:
        """Print where to look."""
        link = await self._link(engine)
        if self._month is None:
            self._words.own(self._own or Path(), link)
            return
        buyer = self._month.buyer("auto_top_up")
        back = f"{self._address}/test/customers/{buyer.id}"
        portal = await engine.create_portal_session(
            CreatePortalSession(buyer.id, back, back), base_url=self._address
        )
        self._words.links(link, portal.redirect_url, buyer, self._address)
        _, key = await engine.create_key("test", "admin", "demo")
        top_up = await self._month.purse.top_up(buyer, 50, None)
        checkout = (await engine.get_top_up(top_up)).redirect_url or ""
        self._words.suggestions(self._address, key, buyer, checkout)

    async def _link(self, engine: Engine) -> str:
        """Return an address that signs its reader in, once: as the demo's operator, or as whoever
        has made it theirs."""
        people = await engine.list_operators()
        return f"{self._address}/join/{await engine.sign_in_link(people[0].id)}"

    # -- what takes its place ---------------------------------------------------------------------

    async def _build(self, progress: Callable[[float, str], None]) -> Month:
        """Write a month into the file that takes the demo's place."""
        self._file.clear()
        clock = DemoClock(system_clock() - timedelta(days=DAYS))
        with expecting(*NO_NEWS):
            async with open_database(
                self._file.building_url, serves=True, webhook_allow=LOOPBACK, clock=clock
            ) as engine:
                month = Month(engine, clock, self._address, events=self._events)
                await engine.create_operator(
                    OPERATOR, "Demo", "admin", secrets.token_urlsafe(_TICKET_BYTES)
                )
                await month.open_shop()
                set_scenes(month, self._hooks)
                await month.live(progress)
        return month

    async def _rebuild(self) -> None:
        """Build a month beside the one that is served, and let it take its place."""

        def shown(done: float, words: str) -> None:
            self._waiting = Waiting(done, words)

        try:
            self._coming = await self._build(shown)
        except Exception as error:
            log.error("the demo could not be built anew", trace=traceback.format_exc())
            self.trouble = f"The month could not be built anew: {error or type(error).__name__}"
            self._waiting, self._ticket = None, ""
            if self._traffic is not None:
                self._traffic.is_resting = False
        else:
            self._make_room()

    def _make_room(self) -> None:
        """Let what is served end, for what is coming."""
        self._waiting = Waiting(1, "one moment")
        self._makes_room.set()

    async def _give_up_building(self) -> None:
        """Leave what is being built, if anything is."""
        task, self._building = self._building, None
        if task is not None and not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _takes_over(self) -> bool:
        """Put what was built in the place of what was served; False if nothing was."""
        coming, self._coming = self._coming, None
        if isinstance(coming, Path):
            self._file.become(coming)
            self._own, self._month = coming, None
        elif coming is not None:
            self._file.put_in_place()
            self._month = coming
        return coming is not None

    # -- what its pages ask -----------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether what is served is the demo."""
        return self._own is None

    @property
    def place(self) -> str:
        """Where one's own database would be."""
        return str(own_place(self._file, stays=self._stays))

    def reset(self) -> str:
        """Build the month anew, beside the one that is served; returns the ticket to wait with."""
        if not self.is_on or self._coming is not None:
            raise FaregateError(conflict("demo", "something else takes the demo's place already"))
        if self._waiting is None:
            self.trouble = ""
            if self._traffic is not None:
                self._traffic.is_resting = True
            self._new_ticket()
            self._waiting = Waiting(0, "opening the shop")
            self._building = asyncio.create_task(self._rebuild())
        return self._ticket

    async def make_mine(self, wanted: Mine) -> str:
        """Begin a database that has its admin and what is kept, and nothing else."""
        if not self.is_on or self._waiting is not None or self._engine is None:
            detail = "the demo is being built anew: wait until it is there, and send this again"
            raise FaregateError(conflict("demo", detail))
        self._waiting = Waiting(0, "beginning your own")
        try:
            kept = await read_kept(
                self._engine, products=wanted.keeps_products, settings=wanted.keeps_settings
            )
            self._file.clear()
            async with open_database(self._file.building_url, serves=True) as own:
                await begin_own(own, wanted, kept)
        except BaseException:
            self._waiting = None
            raise
        self._coming = own_place(self._file, stays=self._stays)
        self._new_ticket()
        self._make_room()
        return self._ticket

    def _new_ticket(self) -> None:
        self._ticket, self._taken_at = secrets.token_urlsafe(_TICKET_BYTES), 0.0

    async def waiting(self, ticket: str, *, takes: bool) -> Waiting | Ready | None:
        """Say how far it is; whoever `takes` what is ready is let in. The ticket is good for some
        seconds more: a browser that is slow may begin its way in again."""
        if self._taken_at and time.monotonic() > self._taken_at + TICKET_SECONDS:
            self._ticket = ""
        if not self._ticket or not hmac.compare_digest(ticket.encode(), self._ticket.encode()):
            return None
        if self._waiting is not None or self._engine is None:
            return self._waiting
        if not takes:
            return Ready("")
        self._taken_at = self._taken_at or time.monotonic()
        return Ready(await self._link(self._engine))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end what is built as Ctrl-C does, so that nothing is left behind."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
