"""The wire to a PostgreSQL server, which a test may cut, hold or plug. It stands between the engine
and a real server, passes PostgreSQL's own protocol on, and knows when a commit of the ledger goes
by: what happens to that one is the test's choice.

The protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import asyncio
import enum
import tempfile
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

SOCKET = ".s.PGSQL.5432"
MOVES_MONEY = b"INSERT INTO transfers"
"""A statement with this text is a commit of the ledger: only transfers move money."""
OPENS_A_GROUP = frozenset(b"PBDEC")
"""Parse, Bind, Describe, Execute, Close: the server does nothing durable before a Sync follows."""


class Fate(enum.Enum):
    """What becomes of a commit; but for the first, every connection is cut with it."""

    ARRIVES = "it arrives, and so does its answer"
    IS_LOST = "it never reaches the server: it did not happen"
    LOSES_ITS_ANSWER = "the server has done it, its answer is lost"
    IS_CUT_HALF_WAY = "it is sent and the wire is cut at once: nobody knows"
    IS_LATE = "it is on its way until the test lets it arrive, maybe much later"


class _Connection:
    """One connection of the engine, with its own to the server."""

    def __init__(self, client: StreamWriter, server: StreamWriter) -> None:
        self.client = client
        self.server = server
        self.statements: dict[bytes, bytes] = {}
        self.swallows = False
        self.outlives_its_client = False
        self.ready = asyncio.Event()
        """The server has answered the last group of messages."""

    def cut(self) -> None:
        self.client.transport.abort()
        if not self.outlives_its_client:
            self.server.transport.abort()


class Wire:
    """A wire that works until it is told otherwise. Make one with `Wire.to`."""

    def __init__(self, server_socket: str, folder: str, url: str) -> None:
        self.url = url
        """Where the engine finds the server through this wire."""
        self.fate: Callable[[int], Fate] = lambda _number: Fate.ARRIVES
        """Decides about each commit by its number, from 1."""
        self.watched = MOVES_MONEY
        """The text by which a commit is known."""
        self.commits = 0
        self.fates: dict[Fate, int] = dict.fromkeys(Fate, 0)
        self.connections_at_most = 0
        self.refusals_left = 0
        """So many connections are accepted and closed at once."""
        self._server_socket = server_socket
        self._socket = str(Path(folder) / SOCKET)
        self._listener: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._late: list[tuple[_Connection, bytes]] = []
        self._flows = asyncio.Event()
        self._flows.set()
        self._stuck = asyncio.Event()
        self.ends_arrive = asyncio.Event()
        """Cleared: when the server ends a connection, its last words arrive, the end does not."""
        self.ends_arrive.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[Wire]:
        """Lay a wire to the server at this URL (with `?host=<folder of its socket>`)."""
        parts = urlsplit(url)
        folder = parse_qs(parts.query)["host"][0]
        with tempfile.TemporaryDirectory(prefix="faregate-wire-") as own:
            here = parts._replace(query=urlencode({"host": own})).geturl()
            wire = cls(str(Path(folder) / SOCKET), own, here)
            await wire.come_back()
            try:
                yield wire
            finally:
                await wire._end()

    # -- what a test does to it -----------------------------------------------------------------

    async def go_away(self) -> None:
        """Cut every connection and refuse new ones."""
        assert self._listener is not None
        self._listener.close()
        self._listener = None
        self.cut()

    async def come_back(self) -> None:
        """Accept connections."""
        self._listener = await asyncio.start_unix_server(self._accept, self._socket)

    def plug(self) -> None:
        """Accept connections and bytes, and pass nothing on, either way."""
        self._flows.clear()
        self._stuck.clear()

    def unplug(self) -> None:
        """Pass on what has gathered, and all that comes."""
        self._flows.set()

    async def is_stuck(self) -> None:
        """Wait until something waits in the plugged wire."""
        await self._stuck.wait()

    def cut(self) -> None:
        """Cut every connection."""
        for connection in tuple(self._open):
            connection.cut()
        self._open.clear()

    @property
    def late(self) -> int:
        """How many commits are on their way."""
        return len(self._late)

    async def let_arrive(self) -> None:
        """Give the server the commits that are late, and wait until it has answered them."""
        late, self._late = self._late, []
        for connection, group in late:
            connection.ready.clear()
            connection.server.write(group)
            await connection.ready.wait()

    # -- how it works ---------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self.cut()
        for connection, _ in self._late:
            connection.server.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: StreamReader, client: StreamWriter) -> None:
        if self.refusals_left:
            self.refusals_left -= 1
            client.transport.abort()
            return
        answers, server = await asyncio.open_unix_connection(self._server_socket)
        connection = _Connection(client, server)
        self._open.add(connection)
        self.connections_at_most = max(self.connections_at_most, len(self._open))
        self._start(self._carry_requests(connection, reader))
        self._start(self._carry_answers(connection, answers))

    async def _passes(self) -> None:
        if not self._flows.is_set():
            self._stuck.set()
            await self._flows.wait()

    async def _carry_requests(self, connection: _Connection, reader: StreamReader) -> None:
        try:
            length = await reader.readexactly(4)  # the start-up message has no type
            await self._passes()
            connection.server.write(length + await reader.readexactly(_size(length)))
            group, is_commit = b"", False
            while True:
                head = await reader.readexactly(5)
                body = await reader.readexactly(_size(head[1:]))
                group += head + body
                if head[:1] == b"P":
                    name, text, _ = body.split(b"\0", 2)
                    connection.statements[name] = text
                elif head[:1] == b"B":
                    _portal, name, _ = body.split(b"\0", 2)
                    is_commit |= self.watched in connection.statements[name]
                elif head[:1] == b"Q":
                    is_commit |= self.watched in body
                if head[0] in OPENS_A_GROUP:
                    continue
                await self._passes()
                if is_commit:
                    await self._carry_commit(connection, group)
                else:
                    connection.server.write(group)
                group, is_commit = b"", False
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._open.discard(connection)
            if not connection.outlives_its_client:
                connection.server.close()

    async def _carry_commit(self, connection: _Connection, group: bytes) -> None:
        self.commits += 1
        fate = self.fate(self.commits)
        self.fates[fate] += 1
        if fate is Fate.ARRIVES:
            connection.server.write(group)
            return
        if fate is Fate.LOSES_ITS_ANSWER:
            connection.swallows = True
            connection.ready.clear()
            connection.server.write(group)
            await connection.ready.wait()
        elif fate is Fate.IS_CUT_HALF_WAY:
            connection.server.write(group)
            await connection.server.drain()
            connection.server.write_eof()
            connection.outlives_its_client = True  # what was sent is not taken back
        elif fate is Fate.IS_LATE:
            connection.swallows = connection.outlives_its_client = True
            self._late.append((connection, group))
        self.cut()

    async def _carry_answers(self, connection: _Connection, answers: StreamReader) -> None:
        try:
            while not connection.swallows:
                data = await answers.read(65536)
                if not data:
                    await self.ends_arrive.wait()
                    break
                if connection.swallows:
                    # Nothing was outstanding, so this is the beginning of what is swallowed.
                    await self._swallow(connection, answers, data)
                    break
                await self._passes()
                connection.client.write(data)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            connection.ready.set()
            for side in (connection.client, connection.server):
                with suppress(OSError):
                    side.close()

    async def _swallow(
        self, connection: _Connection, answers: StreamReader, gathered: bytes
    ) -> None:
        """Read messages up to ReadyForQuery: the server has done what it was sent."""
        while True:
            while len(gathered) < 5 or len(gathered) < 5 + _size(gathered[1:5]):
                data = await answers.read(65536)
                if not data:
                    return
                gathered += data
            kind, end = gathered[:1], 5 + _size(gathered[1:5])
            gathered = gathered[end:]
            if kind == b"Z":
                return


def _size(length: bytes) -> int:
    """The length of a message counts itself."""
    return int.from_bytes(length, "big") - 4
