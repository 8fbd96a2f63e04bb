"""`faregate demo`: a running product in one command. A database that is thrown away afterwards, 50
customers with prepaid credit, and one real hour of traffic charged in about 20 seconds while the
live page shows it; then the server stays up to play with. What is sold lives in `shop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from faregate.cli import shop
from faregate.cli.business import MONTHS, live_a_year, seen
from faregate.cli.logs import configure_logs
from faregate.cli.server import Serving, address_of, listen, serving
from faregate.cli.settings import open_database
from faregate.cli.trace import TraceRequest, choose_customers, load_trace
from faregate.core.amounts import Number, plain, to_decimal
from faregate.core.assets import CURRENCIES
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.engine import Engine
from faregate.payments.types import InitiateTopUp

MAX_AT_ONCE: Final = 128
OPERATOR: Final = "demo@faregate.example"
DEFAULT_SPEED: Final = 170.0
SHOWN_CUSTOMERS: Final = 8
REPORT_EVERY: Final = 0.1
"""In a pipe, a line is printed for so much of the replay."""


class Replay(msgspec.Struct):
    """What the replay has done so far; `units` are charged USD by customer number."""

    events: int = 0
    fees: int = 0
    units: Counter[int] = msgspec.field(default_factory=Counter)
    seconds: float = 0.0


def demo(
    host: Annotated[str, typer.Option(envvar="FAREGATE_HOST")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="FAREGATE_PORT", min=0, max=65535, help="0 takes a free one.")
    ] = 8080,
    speed: Annotated[
        float, typer.Option(min=0, help="Times faster than real time; 0: as fast as it goes.")
    ] = DEFAULT_SPEED,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database afterwards.")] = False,
    exit_after_replay: Annotated[
        bool, typer.Option("--exit-after-replay", help="Do not stay up afterwards.")
    ] = False,
) -> None:
    """Replay an hour of real AI traffic against a fresh database and watch it being charged."""
    configure_logs()
    folder = Path(tempfile.mkdtemp(prefix="faregate-demo-"))
    try:
        uvloop.run(_Demo(folder, host, port, speed).run(stays=not exit_after_replay))
    finally:
        if keep:
            print(f"Kept: --database sqlite:///{folder / 'demo.db'}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


class _Demo:
    """One run of the demo."""

    def __init__(self, folder: Path, host: str, port: int, speed: float) -> None:
        self._listener = listen(host, port)
        self._url = f"sqlite:///{folder / 'demo.db'}"
        self._speed = speed
        self._console = Console()
        self._address = address_of(self._listener)
        self._customers: list[str] = []

    async def run(self, *, stays: bool) -> None:
        """Set up, serve, replay, report; then stay up until told to stop."""
        async with open_database(self._url, serves=True) as engine:
            _, key = await engine.create_key("test", "admin", "demo")
            async with (
                serving(engine, self._listener, "test") as server,
                engine.working(),
            ):
                self._say(f"Dashboard  {await self._link(engine)}")
                trace = load_trace()
                ends_at = engine.now()
                began_at = ends_at - timedelta(milliseconds=trace[-1].offset_ms)
                await self._open_shop(engine, began_at)
                await self._live_a_year(engine)
                done = await self._replay(engine, trace, began_at, server)
                if server.stopping.is_set():
                    return
                await self._report(engine, done)
                await self._suggest(engine, key)
                if stays:
                    self._say("\nThe server stays up. Ctrl-C ends it.")
                    await server.wait()

    async def _link(self, engine: Engine) -> str:
        """Return a link that signs in once, as the operator of this demo."""
        people = await engine.list_operators()
        if not people:
            password = secrets.token_urlsafe(24)
            people = [await engine.create_operator(OPERATOR, "Demo", "admin", password)]
        return f"{self._address}/join/{await engine.sign_in_link(people[0].id)}"

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        sys.stdout.flush()

    async def _open_shop(self, engine: Engine, began_at: datetime) -> None:
        codes = [
            SubscribedProduct(code=(await engine.create_product(product)).code)
            for product in shop.products()
        ]
        opened_at = began_at - timedelta(minutes=1)
        subscription = CreateSubscription(codes, starts_at=opened_at)
        for number in range(shop.CUSTOMERS):
            created = await engine.create_customer(
                CreateCustomer(
                    shop.customer_name(number),
                    external_id=f"demo-{number}",
                    subscriptions=[subscription],
                )
            )
            credit = Number(shop.starting_credit(number))
            await engine.adjust(
                created.id,
                AdjustmentRequest(f"welcome-{number}", "USD", credit, "external_topup"),
            )
            self._customers.append(created.id)
        self._say(f"Made {len(codes)} products and {shop.CUSTOMERS} customers with credit.")

    async def _live_a_year(self, engine: Engine) -> None:
        """Show one customer of each business model, after a year by a test clock."""
        begun = time.perf_counter()
        with Progress(
            TextColumn("Living a year"),
            BarColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        ) as progress:
            task = progress.add_task("", total=MONTHS)
            lived = await live_a_year(
                engine, lambda done, total: progress.update(task, completed=done, total=total)
            )
        seconds = time.perf_counter() - begun
        table = Table(box=None, pad_edge=False)
        for title in ("Business model", "Customer", "The year before now", "Left"):
            table.add_column(title, no_wrap=title in ("Business model", "Customer"))
        for one in lived:
            table.add_row(one.model, one.name, one.story, one.left)
        self._say(f"One customer of each business model lived a year in {seconds:.1f} seconds:\n")
        self._console.print(table)
        self._say("")

    async def _replay(
        self, engine: Engine, trace: Sequence[TraceRequest], began_at: datetime, server: Serving
    ) -> Replay:
        """Send the whole hour, each request when its time has come, many at once."""
        owners = choose_customers(len(trace), shop.CUSTOMERS, shop.SEED)
        free = asyncio.Semaphore(MAX_AT_ONCE)
        done = Replay()
        start = time.perf_counter()

        async def send(row: int) -> None:
            try:
                events = shop.events_of(row, trace[row], began_at)
                booked = await engine.record_events(self._customers[owners[row]], events)
                for result in booked.results:
                    done.events += 1
                    done.fees += len(result.fees)
                    done.units[owners[row]] += sum(fee.units for fee in result.fees)
            finally:
                free.release()

        with _progress(self._console, len(trace)) as shown:
            async with asyncio.TaskGroup() as group:
                for row, request in enumerate(trace):
                    if server.stopping.is_set():
                        break
                    if self._speed:
                        due = start + request.offset_ms / 1000 / self._speed
                        await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    await free.acquire()
                    group.create_task(send(row))
                    done.seconds = time.perf_counter() - start
                    shown.update(row + 1, done)
        done.seconds = time.perf_counter() - start
        return done

    async def _report(self, engine: Engine, done: Replay) -> None:
        total = _usd(sum(done.units.values()))
        self._say(
            f"\nCharged {total} in {done.fees:,} fees for {done.events:,} events of "
            f"{len(done.units)} customers: {done.events / done.seconds:,.0f} events per second, "
            "each one durable before it was answered."
        )
        report = await engine.verify()
        verdict = "the books balance" if report.is_clean else "THE BOOKS DO NOT BALANCE"
        self._say(f"Verified {report.transfers:,} transfers: {verdict}.\n")
        table = Table(box=None, pad_edge=False)
        table.add_column("Heaviest customers", no_wrap=True)
        for title in ("Credit", "Charged", "Available"):
            table.add_column(title, justify="right", no_wrap=True)
        for number, units in done.units.most_common(SHOWN_CUSTOMERS):
            account = await engine.get_account(self._customers[number], "default:USD")
            table.add_row(
                shop.customer_name(number),
                f"{shop.starting_credit(number)} USD",
                _usd(units),
                f"{plain(account.available)} USD",
            )
        self._console.print(table)

    async def _begin_top_up(self, engine: Engine, customer: str) -> str:
        """Begin a top-up; returns the page where it is paid, with a test card."""
        shown = f"{self._address}/docs"
        wanted = InitiateTopUp(customer, Number(25), "USD", shown, shown, "Credit, 25 USD")
        return (await engine.initiate_top_up(wanted, base_url=self._address)).redirect_url

    async def _suggest(self, engine: Engine, key: str) -> None:
        customer = self._customers[-1]
        checkout = await self._begin_top_up(engine, customer)
        event = (
            f'{{"customer_id": "{customer}", "events": [{{"id": "mine-1", '
            '"event_type": "api_call", "occurred_at": "'
            "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'"
            '"}]}'
        )
        self._say(
            f"""
Try next:
  export FAREGATE_KEY={key}

  # charge one request, and see what it cost
  curl {self._address}/v1/events -H "X-CREDYT-API-KEY: $FAREGATE_KEY" \\
    -H "Content-Type: application/json" -H "Prefer: return=representation" \\
    -d '{event}'

  # what that customer has left
  curl {self._address}/v1/customers/{customer}/wallet -H "X-CREDYT-API-KEY: $FAREGATE_KEY"

  Top-up         {checkout} (pay with 4242 4242 4242 4242)
  Dashboard      {await self._link(engine)}
  API reference  {self._address}/docs"""
        )


def _usd(units: int) -> str:
    return f"{plain(to_decimal(units, CURRENCIES['USD'].scale))} USD"


class _Shown:
    """The replay's progress: a bar on a terminal, a few lines in a pipe."""

    def __init__(self, console: Console, progress: Progress, task: TaskID, total: int) -> None:
        self._console = console
        self._progress = progress
        self._task = task
        self._total = total
        self._next = REPORT_EVERY

    def update(self, requests: int, done: Replay) -> None:
        """Show where the replay is."""
        rate = done.events / max(done.seconds, 1e-9)
        charged = seen(to_decimal(sum(done.units.values()), CURRENCIES["USD"].scale), "USD")
        words = f"{charged} charged, {rate:,.0f} events/s"
        if self._console.is_terminal:
            self._progress.update(self._task, completed=requests, words=words)
        elif requests >= self._next * self._total:
            self._next += REPORT_EVERY
            print(f"{requests / self._total:4.0%}  {words}", flush=True)


@contextlib.contextmanager
def _progress(console: Console, total: int) -> Iterator[_Shown]:
    """Show the replay's progress for as long as the block runs."""
    progress = Progress(
        TextColumn("Replaying an hour"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = progress.add_task("", total=total, words="")
    with progress:
        yield _Shown(console, progress, task, total)
