"""The demo's own file. It is overwritten by each reset, so that it is the demo's is written beside
it, with the number that the file system gave it and one that is in the file: no other file is ever
taken for it, whatever its name. A file system gives the numbers of files that are gone to new ones.

Whatever takes a place does so in one step, so whoever dies in the middle leaves what was there or
what came, whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from faregate.cli.settings import default_database, refuse

_PREFIX: Final = "sqlite:///"
_BESIDE: Final = ("-wal", "-shm")
_APPLICATION_ID: Final = slice(68, 72)
"""Where SQLite keeps the number that an application gives its files (sqlite.org, "Database File
Format", 1.3)."""
_MAX_NAMES: Final = 1_000


class DemoFile:
    """A file that a demo is built into, and replaces as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark = path.with_name(f"{path.name}.demo")
        self.building = path.with_name(f"{path.name}.building")

    @property
    def url(self) -> str:
        """Return the database's URL."""
        return f"{_PREFIX}{self.path}"

    @property
    def building_url(self) -> str:
        """Return the URL of what is being built to take its place."""
        return f"{_PREFIX}{self.building}"

    @property
    def is_free(self) -> bool:
        """Whether there is nothing at its place, or nothing but a demo."""
        return not self.path.exists() or self._is_ours()

    def _is_ours(self) -> bool:
        try:
            return _identity(self.path) in self._mark.read_text().splitlines()
        except OSError:
            return False

    def clear(self) -> None:
        """Take away what a build that did not end has left."""
        _remove(self.building)

    def put_in_place(self) -> None:
        """Let what was built (and is closed) take the place of the demo that was there. Raises
        `FileExistsError` if there is something else."""
        if not self.is_free:
            raise FileExistsError(f"{self.path} is not the demo's own file")
        _close(self.building, secrets.randbelow(2**31 - 1) + 1)
        mine = _identity(self.building)
        old = [_identity(self.path)] if self.path.exists() else []
        # It says both for a moment: whichever is there is the demo's.
        self._mark.write_text("\n".join([*old, mine, ""]))
        _replace(self.building, self.path)
        self._mark.write_text(f"{mine}\n")

    def give_up(self) -> None:
        """Take the demo away, if there is one."""
        if self._is_ours():
            _remove(self.path)
            self._mark.unlink()

    def become(self, target: Path) -> None:
        """Let what was built (and is closed) be somebody's own from now on, at another place or in
        the demo's. Raises `FileExistsError` if something is there that is no demo."""
        is_in_place = target == self.path and self.is_free
        if target.exists() and not is_in_place:
            raise FileExistsError(f"{target} is there already")
        target.parent.mkdir(parents=True, exist_ok=True)
        _close(self.building)
        _replace(self.building, target)
        if is_in_place:
            self._mark.unlink(missing_ok=True)


def demo_file(url: str) -> DemoFile:
    """Return the file that a setting names. Refuses one that the demo cannot have."""
    setting = "--database (FAREGATE_DATABASE_URL)"
    if not url.startswith(_PREFIX) or not url.removeprefix(_PREFIX):
        refuse(setting, f"{url!r} is no file: the demo runs on one, e.g. sqlite:///demo.db")
    file = DemoFile(Path(url.removeprefix(_PREFIX)))
    if not file.path.parent.is_dir():
        refuse(setting, f"there is no folder {str(file.path.parent)!r}: make it first")
    if not file.is_free:
        refuse(
            setting,
            f"{str(file.path)!r} is there, and no demo: the demo begins anew at each start and "
            "would overwrite it. Name a file that is not there yet",
        )
    return file


def own_place(file: DemoFile, *, stays: bool) -> Path:
    """Return where the database goes of whoever makes the demo theirs: in its place, if that file
    stays; else where `faregate serve` looks, or beside it if there is one already."""
    if stays:
        return file.path
    first = Path(default_database().removeprefix(_PREFIX))
    names = [first, *(first.with_stem(f"{first.stem}-{n}") for n in range(2, _MAX_NAMES))]
    return next(path for path in names if not path.exists())


def _identity(path: Path) -> str:
    """Return what tells a file from every other one: two numbers. Raises `OSError`."""
    with path.open("rb") as file:
        head = file.read(_APPLICATION_ID.stop)
        given = int.from_bytes(head[_APPLICATION_ID])
        return f"{os.fstat(file.fileno()).st_ino} {given}"


def _close(path: Path, application_id: int = 0) -> None:
    """Put all of a database into its one file, and give it a number."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {int(application_id)}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _remove(path: Path) -> None:
    for suffix in ("", *_BESIDE):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _replace(path: Path, to: Path) -> None:
    """Move a database that is one file, in one step."""
    for suffix in _BESIDE:
        # What another one has left there would be read as if it belonged to this one.
        to.with_name(to.name + suffix).unlink(missing_ok=True)
    try:
        path.replace(to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = to.with_name(f"{to.name}.part")
        shutil.copyfile(path, part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(to)
        path.unlink()
