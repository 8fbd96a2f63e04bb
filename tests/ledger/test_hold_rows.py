"""Rows of `holds`: nothing of a hold is lost in them, and they stay small."""

from datetime import timedelta
from typing import Any

import msgspec
from tests.core.builders import CUSTOMER, T0, Book, adjust, authorize, catalog, grant, volume_price

from faregate.core.chain import beginning
from faregate.core.decision import Decision
from faregate.core.holds import (
    Decline,
    FirstAnswer,
    Hold,
    HoldCount,
    HoldPart,
    LimitInTheWay,
    Meter,
)
from faregate.ledger.rows import BatchRows, read_hold

EXPIRES = T0 + timedelta(seconds=61, microseconds=1)
KEPT_IN_PLACE = 1_002
"""Bytes of a row that SQLite keeps in a page of 4,096, where the table has no row ids
(sqlite.org/fileformat2.html, section 1.6)."""
ODD = Hold(
    id="hld_one",
    transaction_id="run 1",
    account_id="main:CREDITS",
    status="voided",
    amount_units=90,
    captured_units=7,
    parts=(HoldPart(grant(expires_at=EXPIRES), 3), HoldPart(None, 2)),
    created_at=T0,
    expires_at=EXPIRES,
    expires_in_seconds=61,
    first=FirstAnswer(50, EXPIRES, -4, 54),
    event_type="llm",
    subject="ada",
    parent_id="hld_zero",
    depth=1,
    allow_partial=True,
    min_units=2,
    late_capture="reject",
    final_action="redirect",
    is_upper_bound=True,
    is_session=True,
    meters=(Meter("prc_one", "CREDITS", 0, 12, 34, 5),),
    counts=(HoldCount("lim_one", 3, "ada", True),),
    decline=Decline("limit_exceeded", "enough", 5, LimitInTheWay("lim_one", 9, 8, 0, T0, "day")),
    settled_at=T0,
    request='{"transaction_id":"run 1"}',
)


def written(decision: Decision) -> tuple[Any, ...]:
    """Return the only row of `holds` that a decision writes."""
    rows = BatchRows(0)
    rows.add(decision, beginning(CUSTOMER), 1, T0, 0)
    (row,) = rows.lists()["holds"]
    return row


def test_a_hold_is_read_back_as_it_was_written_whatever_its_fields():
    state = Book(catalog()).state
    decision = Decision(state, None, holds={ODD.id: ODD}, new_holds=frozenset([ODD.id]))
    assert read_hold(written(decision)) == ODD


def test_no_field_of_a_hold_is_left_out_of_that():
    for field in msgspec.structs.fields(Hold):
        assert getattr(ODD, field.name) != field.default, f"give {field.name} another value"


def test_the_row_of_a_usual_hold_stays_in_its_place_in_sqlite():
    book = Book(catalog(volume_price("0.01", event_type="completion")))
    book.do(adjust("1000000"))
    data = {"model": "a model with a long name", "input_tokens": 123_456, "volume": 1_000}
    command = authorize(
        None, "018f2f4e-7b1c-7c3a-9d2e-5f6a7b8c9d0e", event_type="completion", data=data
    )
    decision = book.decide(command)
    (hold,) = decision.holds.values()
    assert len(hold.parts) == 1
    row = written(decision)
    # As UTF-8, with numbers at their longest.
    size = sum(len(value.encode()) if isinstance(value, str) else 8 for value in row)
    assert size < KEPT_IN_PLACE * 3 // 4
