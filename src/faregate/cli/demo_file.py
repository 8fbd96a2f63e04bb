"""The demo's own file. It is overwritten by each reset, so that it is the demo's is written beside
it, with the number that the file system gave it: no other file is ever taken for it, whatever its
name.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from faregate.cli.settings import default_database, refuse

_PREFIX: Final = "sqlite:///"
_SUFFIXES: Final = ("", "-wal", "-shm")
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
            return self._mark.read_text().strip() == str(self.path.stat().st_ino)
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
        _remove(self.path)
        _move(self.building, self.path)
        self._mark.write_text(f"{self.path.stat().st_ino}\n")

    def give_up(self) -> None:
        """Take the demo away, if there is one."""
        if self._is_ours():
            _remove(self.path)
            self._mark.unlink()

    def become(self, target: Path) -> None:
        """Let what was built (and is closed) be somebody's own from now on, at another place or in
        the demo's. Raises `FileExistsError` if something is there that is no demo."""
        if target == self.path:
            self.give_up()
        if target.exists():
            raise FileExistsError(f"{target} is there already")
        target.parent.mkdir(parents=True, exist_ok=True)
        _move(self.building, target)


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


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _move(path: Path, to: Path) -> None:
    for suffix in _SUFFIXES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            shutil.move(part, to.with_name(to.name + suffix))
