"""`faregate worker`: do what is due (renewals, webhooks, what else time brings) where no server
runs. A server does it itself: then this one watches, and works while there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
import uvloop

from faregate.cli.providers import external_secrets, payment_providers
from faregate.cli.settings import Database, WebhookAllow, check_allowed, open_database
from faregate.core.problems import FaregateError

if TYPE_CHECKING:
    from faregate.payments.provider import PaymentProvider

WATCH_SECONDS: Final = 5.0


def worker(
    database: Database,
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, then end.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Show what is due or set aside; do nothing.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Let what was set aside be tried again, then end.")
    ] = False,
    webhook_allow: WebhookAllow = "",
) -> None:
    """Do what is due, and send webhooks, where no server runs, until Ctrl-C."""
    if show:
        uvloop.run(_show(database))
    elif retry:
        uvloop.run(_retry(database))
    else:
        check_allowed(webhook_allow)
        uvloop.run(_work(database, webhook_allow, once=once))


async def _show(database: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("customer", "due", "tries", "problem", "set aside")
    async with open_database(database, serves=False) as engine:
        for context in engine.contexts:
            for is_set_aside in (False, True):
                page = await engine.list_due_work(100, is_set_aside=is_set_aside, context=context)
                for one in page.items:
                    table.add_row(
                        one.customer_id,
                        f"{one.due_at:%Y-%m-%d %H:%M:%S} UTC",
                        str(one.attempts),
                        one.problem or "",
                        "yes" if one.is_set_aside else "",
                    )
    console = Console()
    if table.row_count:
        console.print(table)
    else:
        print("Nothing is due, and nothing is set aside.")


async def _retry(database: str) -> None:
    async with open_database(database, serves=False) as engine:
        print(f"{await engine.retry_due_work()} will be tried again.")


async def _work(database: str, webhook_allow: str, *, once: bool) -> None:
    providers = payment_providers()
    async with open_database(database, serves=False) as watcher:
        while True:
            done = sent = 0
            if await watcher.has_due_work() or await watcher.has_webhooks_due():
                done, sent = await _do(database, webhook_allow, providers)
            if once:
                print(f"Done for {done} customers." if done else "Nothing was done.")
                if sent:
                    print(f"{sent} webhooks were sent.")
                return
            await asyncio.sleep(WATCH_SECONDS)


async def _do(
    database: str, webhook_allow: str, providers: Sequence[PaymentProvider]
) -> tuple[int, int]:
    """Work while nobody else serves the database; a server that does has a worker of its own."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from faregate.engine import Engine

    console = Console(stderr=True)
    try:
        opened = Engine.open(
            database,
            wait_seconds=0,
            webhook_allow=webhook_allow,
            payments=providers,
            external=external_secrets(),
        )
        async with opened as engine:
            with Progress(
                SpinnerColumn(),
                TextColumn("Working: {task.completed} customers"),
                TimeElapsedColumn(),
                console=console,
                disable=not console.is_terminal,
                transient=True,
            ) as progress:
                task = progress.add_task("", total=None)
                done = await engine.work(lambda done: progress.update(task, completed=done))
                await engine.take_up_collections()
                await engine.reconcile_payments()
                sent = await engine.deliver_webhooks()
                await engine.prune_webhooks()
                return done, sent
    except FaregateError as error:
        console.print(f"faregate: {error}; whoever serves it does what is due")
        return 0, 0
