"""An import, and the server that it goes to, are killed half-way. Who runs the same command again
has every line charged once."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import httpx
import pytest
from tests.databases import new_sqlite
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


@pytest.mark.slow
def test_whoever_ends_an_import_is_told_how_to_go_on_and_nothing_is_lost(
    database_url: str, tmp_path: Path
) -> None:
    customers = prepare(database_url)
    path, said = tmp_path / "uses.csv", tmp_path / "said"
    write_lines(path, LINES)

    async def end_it() -> None:
        server = Server(database_url, is_forked=True)
        async with httpx.AsyncClient(timeout=30) as http:
            await server.start(http)
            where = ("--url", server.url)
            settings = {"FAREGATE_API_KEY": KEY}
            first = Command("import", str(path), *where, said=said, settings=settings)
            first.launch()
            done = await asyncio.to_thread(wait_for_lines, path, 1_000)
            first.send(signal.SIGINT)
            assert await asyncio.to_thread(first.process.wait) == 130
            assert done < LINES
            assert "the same command goes on from there" in said.read_text()
            assert KEY not in said.read_text()
            assert await asyncio.to_thread(ends, importing(path, *where)) == 0
            await server.stop()

    asyncio.run(end_it())
    # Not one line was sent a second time: the answer that was on its way was waited for.
    (journal,) = tmp_path.glob("*.json")
    counts = json.loads(journal.read_bytes())["counts"]
    assert (counts["booked"], counts["repeats"]) == (LINES, 0)
    assert_charged_once(database_url, customers, LINES)


class Swallowing:
    """A way to a server on which the answer to the first lines that are sent is lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sent = False
        self.has_answered = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", self._port)
        asking = asyncio.ensure_future(self._ask(reader, before))
        while answer := await behind.read(65_536):
            if self._sent:
                self.has_answered.set()
            else:
                writer.write(answer)
        await asking
        writer.close()

    async def _ask(self, reader: asyncio.StreamReader, before: asyncio.StreamWriter) -> None:
        try:
            while asked := await reader.read(65_536):
                self._sent = self._sent or b'"line_' in asked
                before.write(asked)
        except ConnectionResetError:
            pass  # it was killed
        before.close()


@pytest.mark.slow
def test_a_file_that_changes_after_lines_were_booked_unheard_is_refused(
    database_url: str, tmp_path: Path
) -> None:
    customers = prepare(database_url)
    path, said = tmp_path / "uses.csv", tmp_path / "said"
    write_lines(path, 100)
    lines = path.read_bytes().splitlines(keepends=True)

    async def kill_it() -> None:
        server = Server(database_url, is_forked=True)
        async with httpx.AsyncClient(timeout=30) as http:
            await server.start(http)
            way = Swallowing(int(server.url.rpartition(":")[2]))
            between = await asyncio.start_server(way.serve, "127.0.0.1", 0)
            port = between.sockets[0].getsockname()[1]
            first = importing(path, "--url", f"http://127.0.0.1:{port}")
            await asyncio.to_thread(first.launch)
            await asyncio.wait_for(way.has_answered.wait(), 60)
            first.kill()
            between.close()
            # The first line is taken out: those below it would be others, and booked again.
            path.write_bytes(b"".join([lines[0], *lines[2:]]))
            settings = {"FAREGATE_API_KEY": KEY}
            for options in ([], ["--again"]):
                again = Command(
                    "import", str(path), "--url", server.url, *options, said=said, settings=settings
                )
                assert await asyncio.to_thread(ends, again) == 2
            assert said.read_text().count("has changed: its first 100 lines are not those") == 2
            path.write_bytes(b"".join(lines))
            assert await asyncio.to_thread(ends, importing(path, "--url", server.url)) == 0
            await server.stop()

    asyncio.run(kill_it())
    assert_charged_once(database_url, customers, 100)


@pytest.mark.slow
def test_a_server_that_stays_away_stops_an_import_that_says_so(tmp_path: Path) -> None:
    url = new_sqlite(tmp_path / "faregate.db")
    customers = prepare(url)
    path, said = tmp_path / "uses.csv", tmp_path / "said"
    write_lines(path, LINES)

    async def leave() -> None:
        server = Server(url, is_forked=True)
        async with httpx.AsyncClient(timeout=30) as http:
            await server.start(http)
            where = ("--url", server.url, "--patience", "0")
            settings = {"FAREGATE_API_KEY": KEY}
            first = Command("import", str(path), *where, said=said, settings=settings)
            first.launch()
            await asyncio.to_thread(wait_for_lines, path, 1_000)
            server.kill()
            assert await asyncio.to_thread(first.process.wait) == 3
            assert "stopped: No server answered" in said.read_text()

    asyncio.run(leave())
    assert ends(importing(path, "--database", url)) == 0
    assert_charged_once(url, customers, LINES)
