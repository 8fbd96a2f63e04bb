"""Two servers on one database, with callers who turn to the other one when they get no answer. One
serves at a time; when it is stopped, killed, or paused for longer than its lease, the other takes
over, and no caller is told anything that is not true.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.attacks import hand_over_again_and_again

from faregate.ledger.lease import LEASE_SECONDS

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.mark.slow
def test_callers_who_ask_again_see_no_error_when_one_server_hands_over_to_the_other(
    database_url: str,
):
    figures = asyncio.run(hand_over_again_and_again(database_url, ["stop", "kill"] * 4, seed=3))
    assert figures.counts["rounds: stop"] == 4
    assert figures.counts["answers 503"] > 0
    # A lease that is let go of, or whose holder is gone, need not run out.
    assert figures.longest_recovery_seconds < LEASE_SECONDS


@pytest.mark.slow
def test_a_server_that_was_paused_past_its_lease_writes_nothing_when_it_goes_on(
    database_url: str,
):
    # Twice: a pause may find nothing on its way to the database.
    figures = asyncio.run(hand_over_again_and_again(database_url, ["pause"] * 2, seed=5))
    assert figures.counts["late commits refused"] >= 1
