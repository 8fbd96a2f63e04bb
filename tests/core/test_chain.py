"""What a hash covers, written so that somebody else can recompute it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.chain import Head, TransferRow, beginning, link

properties = settings(deadline=None, max_examples=300)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["", '"', '","', "\\", "1,", "é", "\x00", "\x7f", "\u2028", "😀"]
)
integers = st.integers(-(2**63), 2**63 - 1)
transfers = st.tuples(integers, texts, texts, texts, texts, integers, texts, integers)
hashes = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")

GIFT: TransferRow = (
    1,
    "cust_1",
    "USD",
    "adjustments:gift",
    "grt_1",
    5_000_000_000,
    "adj_1",
    1_772_452_800_000_000,
)
FEE: TransferRow = (3, "cust_1", "USD", "grt_1", "revenue", 7, "fee_1", 1_772_452_801_000_000)


def test_a_chain_that_was_computed_by_hand():
    # printf '["faregate chain 1","cust_1"]' | sha256sum
    start = "b08fcd5aff367a4d9e35ef5609c8ac7e7a9402e3aa70e719f9311472d1e38f7b"
    assert beginning("cust_1") == Head(start, 0)
    # printf '["b08f…8f7b",1,"cust_1","USD","adjustments:gift","grt_1",5000000000,"adj_1",'\
    # '1772452800000000]' | openssl dgst -sha256
    first = "978e6de03f501f0c08cce8f47de4d8a8fa35716f82d66bdc7f8f8a01fcd73bc0"
    assert link(start, GIFT) == first
    # printf '["978e…3bc0",3,"cust_1","USD","grt_1","revenue",7,"fee_1",1772452801000000]' \
    # | openssl dgst -sha256
    second = "7519c75e684bd08d7ebca9c27fc3fa654f9d2d0f07b10c9f12ebb5801e979f53"
    assert link(first, FEE) == second


@properties
@given(hashes, transfers)
def test_another_json_library_makes_the_same_hash(before: str, transfer: Any):
    text = json.dumps([before, *transfer], separators=(",", ":"), ensure_ascii=False)
    assert link(before, transfer) == hashlib.sha256(text.encode()).hexdigest()


@properties
@given(hashes, hashes, transfers, transfers)
def test_what_differs_in_anything_has_another_hash(before: str, other: str, one: Any, two: Any):
    assert (link(before, one) == link(other, two)) == ((before, one) == (other, two))


@properties
@given(hashes, transfers, st.integers(0, 7), texts, st.integers(1, 9))
def test_a_change_of_any_column_makes_another_hash(
    before: str, transfer: Any, column: int, text: str, by: int
):
    value = transfer[column]
    edited = value + by if isinstance(value, int) else value + (text or "x")
    changed = (*transfer[:column], edited, *transfer[column + 1 :])
    assert link(before, changed) != link(before, transfer)


@properties
@given(hashes, transfers, st.integers(1, 5))
def test_letters_that_move_from_one_column_to_the_next_make_another_hash(
    before: str, transfer: Any, column: int
):
    asset, source = transfer[2] + "ab", transfer[3]
    one = (*transfer[:2], asset, source, *transfer[4:])
    two = (*transfer[:2], asset[:-column] or "", asset[-column:] + source, *transfer[4:])
    assert link(before, one) != link(before, two)


def test_every_customer_has_a_beginning_of_their_own():
    assert beginning("cust_1").hash != beginning("cust_2").hash
