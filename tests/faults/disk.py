"""A disk that is full for one process: a limit on the size of its files (`RLIMIT_FSIZE`, which
Python lets fail like any other write: it ignores SIGXFSZ). It can be set and lifted while a server
runs.
"""

from __future__ import annotations

import resource
from pathlib import Path

ROOM = 256 * 1024


class Disk:
    """Room for a server's files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.limit = 0

    def fill(self, process_id: int) -> None:
        """From now on no file grows beyond a little more than the largest one has."""
        files = [self._path, self._path.with_name(self._path.name + "-wal")]
        self.limit = max(file.stat().st_size for file in files) + ROOM
        self._set(process_id, self.limit)

    def free(self, process_id: int) -> None:
        """There is room again."""
        self._set(process_id, resource.RLIM_INFINITY)

    @staticmethod
    def _set(process_id: int, limit: int) -> None:
        resource.prlimit(process_id, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
