"""Runs the command as a user does: a process of its own, with nothing of ours in its
environment but what the test gives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

COMMAND = [sys.executable, "-m", "faregate.cli"]


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with only these settings of Faregate's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FAREGATE_")}
    return kept | settings


def run(
    *arguments: str, given: str | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, `given` something to read."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        input=given,
        text=True,
        timeout=60,
        env=environment(**settings),
        check=False,
    )


@contextmanager
def running(*arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command while the block runs; then end it as Ctrl-C does."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**settings),
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
