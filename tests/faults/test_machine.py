"""The machine of `machine`, on both databases: whatever is done in whatever order, and wherever it
crashes, the engine says what the plain books say, and `verify` finds nothing.
"""

from __future__ import annotations

import pytest
from tests.faults.machine import run_machine

EXAMPLES = 50
STEPS = 30


@pytest.mark.slow
def test_whatever_is_sent_and_wherever_it_crashes_the_engine_agrees_with_plain_books(
    database_url: str,
) -> None:
    counts = run_machine(database_url, EXAMPLES, STEPS)
    assert counts["crashes"] > EXAMPLES
    assert counts["repeats compared"] > EXAMPLES
