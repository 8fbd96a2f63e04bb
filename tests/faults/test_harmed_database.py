"""Callers work and insist on an answer, while harm is done to the database: PostgreSQL is stopped
at once and started again, its sessions are ended, it freezes in the middle of commits, its disk is
full; somebody else holds SQLite's lock, or its file may not grow. The server goes on by itself, and
whoever asked again was told what is true.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.attacks import (
    bounds,
    cuts,
    fills,
    freezes,
    harm_again_and_again,
    locks,
    restarts,
)
from tests.faults.cluster import Cluster
from tests.faults.mixed import Figures
from tests.faults.serving import Server

pytestmark = pytest.mark.slow

ROUNDS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL that these tests alone use."""
    with Cluster.made() as made:
        yield made


@pytest.fixture
def cluster_url(cluster: Cluster) -> str:
    """The URL of an empty database of it."""
    return cluster.new_database()


def assert_nothing_was_lost(figures: Figures, harm: str) -> None:
    """What was lost or doubled has failed before; see that there was something to lose."""
    assert figures.counts[f"rounds: {harm}"] >= 1
    assert figures.counts["repeats compared"] > 0
    assert figures.counts["transfers verified"] > 0


def test_postgresql_may_be_stopped_at_once_and_started_again(cluster: Cluster, cluster_url: str):
    harms = [restarts(cluster)] * ROUNDS
    figures = asyncio.run(harm_again_and_again(cluster_url, harms, seed=1))
    assert_nothing_was_lost(figures, "restart")
    assert figures.counts["answers 503"] > 0


def test_sessions_may_be_ended_by_an_administrator(cluster: Cluster, cluster_url: str):
    harms = [cuts(cluster)] * 2 * ROUNDS
    figures = asyncio.run(harm_again_and_again(cluster_url, harms, seed=2))
    assert_nothing_was_lost(figures, "cut")


def test_commits_may_hang_in_postgresql(cluster: Cluster, cluster_url: str):
    harms = [freezes(cluster, (0.2, 1.5))] * ROUNDS
    figures = asyncio.run(harm_again_and_again(cluster_url, harms, seed=3))
    assert_nothing_was_lost(figures, "freeze")


def test_the_disk_of_postgresql_may_be_full():
    try:
        with Cluster.made(on_a_small_disk=True) as small:
            harms = [fills(small), fills(small, log_too=True)] * 2
            figures = asyncio.run(harm_again_and_again(small.new_database(), harms, seed=4))
    except PermissionError as error:
        pytest.skip(str(error))
    assert_nothing_was_lost(figures, "full disk")


def test_somebody_else_may_hold_the_lock_of_sqlite(tmp_path: Path):
    path = tmp_path / "faregate.db"
    harms = [locks(path)] * ROUNDS
    figures = asyncio.run(harm_again_and_again(f"sqlite:///{path}", harms, seed=5))
    assert_nothing_was_lost(figures, "lock")


@pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="the limits of a running process: Linux only"
)
def test_the_disk_of_sqlite_may_be_full(tmp_path: Path):
    path = tmp_path / "faregate.db"
    server = Server(f"sqlite:///{path}", is_forked=True)
    harms = [bounds(path, server)] * ROUNDS
    work = harm_again_and_again(f"sqlite:///{path}", harms, seed=6, server=server)
    assert_nothing_was_lost(asyncio.run(work), "full disk")
