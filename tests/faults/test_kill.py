"""The server is killed with SIGKILL while callers do all that can be done to wallets, again and
again. What was answered is there once, with the same answer; what was not is there or not, and
sending it again is safe.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.attacks import kill_again_and_again

ROUNDS = 25
"""`make torture` does hundreds."""


@pytest.mark.slow
def test_what_was_answered_is_there_once_however_often_the_server_is_killed(
    database_url: str,
) -> None:
    figures = asyncio.run(kill_again_and_again(database_url, ROUNDS, seed=7))
    counts = figures.counts
    assert counts["rounds"] == ROUNDS
    assert counts["lost connections"] > ROUNDS
    assert counts["repeats compared"] >= counts["customers checked"]
    assert counts["holds"] > ROUNDS
