"""Which versions of the schema there are, by the names of the migrations' files. That is all that a
start asks when nothing is to be migrated: Alembic and SQLAlchemy, which `migrate` runs, take a
third of a second to load.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "migrations" / "versions"


@cache
def versions() -> tuple[str, ...]:
    """Return every schema revision, the oldest first."""
    return tuple(sorted(file.name.partition("_")[0] for file in _FOLDER.glob("[0-9]*_*.py")))


def newest_version() -> str:
    """Return the schema revision that this version of Faregate needs."""
    return versions()[-1]


def is_known(version: str) -> bool:
    """Tell whether this version of Faregate knows a schema revision, i.e. it is not a newer one."""
    return version in versions()
