"""`faregate demo`: a running business in one command. A month of it is written into a database of
its own in seconds (`month`, `scenes`), then it is served, signed in, and its traffic goes on
(`traffic`). On its pages it can be begun anew, or left for a database of one's own (`demo_house`).
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop

from faregate.cli.demo_file import DemoFile, demo_file
from faregate.cli.demo_size import EVENTS, RATE

_ENDED_BY_SIGTERM: Final = 128 + 15


def demo(
    host: Annotated[str, typer.Option(envvar="FAREGATE_HOST")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="FAREGATE_PORT", min=0, max=65535, help="0 takes a free one.")
    ] = 8080,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            help="A file for the demo, e.g. sqlite:///demo.db, that is kept afterwards and begun "
            "anew by the next demo. Without one, it is thrown away.",
        ),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(min=0, max=50, help="Things that happen in a second once the month is over."),
    ] = RATE,
    events: Annotated[
        int, typer.Option(min=200, max=200_000, help="About how many events the month has.")
    ] = EVENTS,
    stay: Annotated[
        bool, typer.Option("--stay/--no-stay", help="Go on until Ctrl-C, or end when it is built.")
    ] = True,
) -> None:
    """Build a month of a business in seconds, and watch it go on."""
    # Only now: whoever asks for help waits for no web server.
    from faregate.cli.demo_house import DemoHouse
    from faregate.cli.logs import configure_logs
    from faregate.cli.server import listen

    configure_logs()
    folder: Path | None = None
    if database is None:
        folder = Path(tempfile.mkdtemp(prefix="faregate-demo-"))
        file = DemoFile(folder / "demo.db")
    else:
        file = demo_file(database)
    house = DemoHouse(file, listen(host, port), rate=rate, events=events, stays=folder is None)
    try:
        uvloop.run(house.run(goes_on=stay))
    except asyncio.CancelledError:
        raise SystemExit(_ENDED_BY_SIGTERM) from None
    finally:
        file.clear()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
