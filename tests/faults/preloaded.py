"""What a forked server has in memory before it begins, and how it begins."""

from __future__ import annotations

import os

import asyncpg.pool
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite

import faregate.cli.app
import faregate.cli.serving
import faregate.store.migrate
import faregate.store.postgres
import faregate.store.sqlite

__all__ = ["asyncpg", "faregate", "run_command", "sqlalchemy"]


def run_command(arguments: list[str], settings: dict[str, str]) -> None:
    """Run `faregate` with these arguments, in this process. What it says is added to the file that
    FAULTS_LOG names, for whoever looks for a fault."""
    log = os.environ.get("FAULTS_LOG", os.devnull)
    file = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    for stream in (0, 1, 2):
        os.dup2(file, stream)
    os.environ.update(settings)
    faregate.cli.app.app(arguments)
