"""An import, and the server that it goes to, are killed half-way. Who runs the same command again
has every line charged once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from tests.faults.importing import assert_charged_once, prepare, wait_for_lines, write_lines
from tests.faults.serving import KEY, Command, Server

LINES = 6_000


def importing(path: Path, *where: str) -> Command:
    """Return an import of a file, not begun yet."""
    settings = {"FAREGATE_API_KEY": KEY}
    return Command("import", str(path), *where, is_forked=True, settings=settings)


def ends(command: Command) -> int:
    """Run a command to its end; returns its exit code."""
    command.launch()
    return command.process.wait()


@pytest.mark.slow
def test_an_import_that_is_killed_goes_on_where_it_was_and_charges_once(
    database_url: str, tmp_path: Path
) -> None:
    customers = prepare(database_url)
    path = tmp_path / "uses.csv"
    write_lines(path, LINES)
    first = importing(path, "--database", database_url)
    first.launch()
    done = wait_for_lines(path, 2_000)
    first.kill()
    assert done < LINES
    assert ends(importing(path, "--database", database_url)) == 0
    assert_charged_once(database_url, customers, LINES)
    # Neither who imports it again nor who has forgotten how far it was charges a line twice.
    for journal in tmp_path.glob("*.json"):
        journal.unlink()
    assert ends(importing(path, "--database", database_url)) == 0
    assert_charged_once(database_url, customers, LINES)


@pytest.mark.slow
def test_a_server_that_is_killed_under_an_import_is_waited_for_and_charges_once(
    database_url: str, tmp_path: Path
) -> None:
    customers = prepare(database_url)
    path = tmp_path / "uses.csv"
    write_lines(path, LINES)

    async def kill_both() -> int:
        server = Server(database_url, is_forked=True)
        async with httpx.AsyncClient(timeout=30) as http:
            await server.start(http)
            first = importing(path, "--url", server.url)
            first.launch()
            done = await asyncio.to_thread(wait_for_lines, path, 1_000)
            server.kill()
            await server.start(http)
            # It has waited for the server and goes on; then it is killed itself.
            done = await asyncio.to_thread(wait_for_lines, path, done + 1_000)
            first.kill()
            server.kill()
            await server.start(http)
            try:
                return await asyncio.to_thread(ends, importing(path, "--url", server.url))
            finally:
                await server.stop()

    assert asyncio.run(kill_both()) == 0
    assert_charged_once(database_url, customers, LINES)
