"""How far an import came, in a file beside the one that is imported: written before a batch is sent
and when it was answered, read when the same file is imported again. It saves sending again what was
booked, and notices a file that has changed. That the same line of the same file is charged once
does not depend on it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final, Literal

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.mapping import MappingRules
from faregate.ingestion.lines import Reading

VERSION: Final = 1


class Counts(msgspec.Struct):
    """What became of lines: booked now, booked before, skipped by the rules, too old to be charged,
    refused. `warned` of them are booked with a warning, e.g. that no price charges them."""

    booked: int = 0
    repeats: int = 0
    skipped: int = 0
    too_old: int = 0
    refused: int = 0
    warned: int = 0

    def add(self, other: Counts) -> None:
        """Count what another has counted, too."""
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))

    @property
    def total(self) -> int:
        """How many lines that are."""
        return self.booked + self.repeats + self.skipped + self.too_old + self.refused


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """How far an import came: `lines` of the file, which `mark` stands for, with the rules that it
    began with. `columns` stands for the names of a table's columns, `refused_bytes` is how long the
    file of refused lines was then.

    `sent` lines, which `sent_mark` stands for, may be in the ledger, whoever died when, and whether
    this import sent them or one before it: as many as were ever sent. `own_ids` tells whether every
    one of them had an id of its own, `has_booked` that an import before this one may have booked,
    `is_mixed` that they were sent by other rules than these, `is_open` that it did not end by
    itself."""

    target: str
    reading: Reading
    rules: MappingRules
    lines: int = 0
    mark: str = ""
    columns: str = ""
    counts: Counts = msgspec.field(default_factory=Counts)
    refused_bytes: int = 0
    sent: int = 0
    sent_mark: str = ""
    own_ids: bool = True
    has_booked: bool = False
    is_mixed: bool = False
    is_open: bool = False
    is_finished: bool = False
    version: Literal[1] = VERSION

    @property
    def may_have_booked(self) -> bool:
        """Tell whether lines may be in the ledger already."""
        return self.is_open or self.has_booked or self.counts.booked + self.counts.repeats > 0


def journal_path(file: Path, target: str) -> Path:
    """Return where an import of a file into an account and mode keeps how far it came: the same
    file may go to several."""
    digest = hashlib.blake2b(target.encode(), digest_size=4).hexdigest()
    return file.with_name(f"{file.name}.import-{digest}.json")


def read_progress(path: Path) -> Progress | None:
    """Return how far an import came; None if there was none. Raises `ValueError` if what is there
    cannot be read."""
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return decode(Progress, body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} does not say how far the import came ({error})") from None


def write_progress(path: Path, progress: Progress) -> None:
    """Keep how far an import came, so that the file is the former or the new one whoever dies when.
    Raises `OSError`."""
    new = path.with_name(f"{path.name}.new")
    # Whatever is there under its name, a link of somebody else's too, is not written to.
    new.unlink(missing_ok=True)
    with new.open("xb") as file:
        file.write(encode(progress) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
