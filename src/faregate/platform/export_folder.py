"""The folder into which long work writes files, for people to fetch. Names cannot be guessed, only
whoever runs the server may read them on its disk, and all of them together have a bound.

A file is written beside its place and put there when it is whole, so a name leads to all of it or
to nothing.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from typing import Final

from faregate.core.problems import FaregateError, invalid

MAX_BYTES: Final = 2 * 1024**3
"""All files together."""
STALE_SECONDS: Final = 86_400
"""After that a file that nobody knows is taken away."""
_NAME: Final = re.compile(r"[a-z0-9-]{1,60}-[A-Za-z0-9_-]{32}\.(?:csv|parquet)")
_PART: Final = ".part"


class NoRoom(Exception):
    """The folder is full, or the disk is; the text says which."""


class ExportFolder:
    """The folder; None: there is none, and nothing can be written."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def check(self) -> Path:
        """Return the folder, making it. Raises 422 with the remedy if there is none."""
        if self.path is None:
            remedy = "start Faregate with --exports FOLDER (FAREGATE_EXPORTS), or embed it with one"
            raise FaregateError(invalid("kind", f"there is no folder for exports: {remedy}"))
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            detail = f"the folder for exports cannot be made: {error.strerror or error}"
            raise FaregateError(invalid("kind", detail)) from error
        return self.path

    def new_name(self, what: str, suffix: str) -> str:
        """Make up a name that nobody can guess: `events-2026-11-27-….csv`."""
        return f"{what}-{secrets.token_urlsafe(24)}.{suffix}"

    def begin(self, name: str) -> Part:
        """Begin a file. Raises `NoRoom`."""
        return Part(self.check(), name, MAX_BYTES - self.bytes_used())

    def bytes_used(self) -> int:
        """Return how large all files are together."""
        return sum([path.stat().st_size for path in self._files()])

    def find(self, name: str) -> Path | None:
        """Return a file by its name; None if it is not there (any more)."""
        if self.path is None or _NAME.fullmatch(name) is None:
            return None
        path = self.path / name
        return path if path.is_file() else None

    def remove(self, names: Collection[str]) -> None:
        """Take files away."""
        for name in names:
            path = self.find(name)
            if path is not None:
                path.unlink(missing_ok=True)

    def sweep(self, known: Collection[str]) -> None:
        """Take away what nobody knows: what a process has left that has died, a day ago or more."""
        before = time.time() - STALE_SECONDS
        for path in self._files():
            if path.name not in known and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        if self.path is None or not self.path.is_dir():
            return []
        return [
            path
            for path in self.path.iterdir()
            if _NAME.fullmatch(path.name.removeprefix(".").partition(_PART)[0]) and path.is_file()
        ]


class Part:
    """A file on its way. `file` is open for writing; `room` is how large it may become."""

    def __init__(self, folder: Path, name: str, room: int) -> None:
        self.room = room
        self._place = folder / name
        # Who was taken for dead may still write its own.
        self._part = folder / f".{name}{_PART}{secrets.token_hex(4)}"
        self.check(0)
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.file: BufferedWriter = os.fdopen(descriptor, "wb")

    def check(self, written: int) -> None:
        """Raise `NoRoom` if so much does not fit."""
        if written >= self.room:
            most = MAX_BYTES // 1024**2
            raise NoRoom(
                f"exports may have {most:,} MB together: delete older ones, or ask for less"
            )

    def keep(self) -> int:
        """Put the file in its place, durably; returns how large it is."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        size = self._part.stat().st_size
        self._part.replace(self._place)
        return size

    def drop(self) -> None:
        """Take away what was written, if it was not kept."""
        # A full disk refuses what is still in memory; what was written must go all the same.
        with suppress(OSError):
            self.file.close()
        self._part.unlink(missing_ok=True)
