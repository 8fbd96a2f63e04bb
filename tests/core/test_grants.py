"""Credit, and its order of use."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.grants import Grant, burn, order_of_use, with_remaining

from .builders import DAY, T0, grant

properties = settings(deadline=None, max_examples=100)

PRIORITY = grant(id="grt_z", priority=1, purpose="paid", created_at=T0 + DAY)
PROMOTION = grant(id="grt_y", purpose="promotion", created_at=T0 + DAY)
BUNDLED = grant(id="grt_x", purpose="bundled", created_at=T0 + DAY)
SOON = grant(id="grt_w", expires_at=T0 + DAY, created_at=T0 + DAY)
LATE = grant(id="grt_v", expires_at=T0 + 9 * DAY, created_at=T0 + DAY)
OLD = grant(id="grt_u", created_at=T0 - DAY)
NEW = grant(id="grt_b", created_at=T0)
NEW_LATER_ID = grant(id="grt_c", created_at=T0)
IN_ORDER = [PRIORITY, PROMOTION, BUNDLED, SOON, LATE, OLD, NEW, NEW_LATER_ID]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(PRIORITY, PROMOTION, id="a lower priority before any purpose"),
        pytest.param(PROMOTION, BUNDLED, id="promotion before bundled"),
        pytest.param(BUNDLED, SOON, id="bundled before paid that expires sooner"),
        pytest.param(SOON, LATE, id="soonest expiry first"),
        pytest.param(LATE, OLD, id="any expiry before none, though older"),
        pytest.param(OLD, NEW, id="oldest first"),
        pytest.param(NEW, NEW_LATER_ID, id="ids break the last tie"),
    ],
)
def test_grants_are_used_in_their_order(first: Grant, second: Grant) -> None:
    assert order_of_use(first) < order_of_use(second)


def test_the_order_of_use_does_not_depend_on_the_order_of_arrival() -> None:
    for some in permutations(IN_ORDER, 4):
        expected = [g for g in IN_ORDER if g in some]
        assert sorted(some, key=order_of_use) == expected


@pytest.mark.parametrize(
    ("units", "taken", "left", "missing"),
    [
        (0, [], [100, 50, 7], 0),
        (1, [1], [99, 50, 7], 0),
        (100, [100], [50, 7], 0),
        (101, [100, 1], [49, 7], 0),
        (150, [100, 50], [7], 0),
        (157, [100, 50, 7], [], 0),
        (160, [100, 50, 7], [], 3),
    ],
)
def test_grants_burn_from_the_first_on(
    units: int, taken: list[int], left: list[int], missing: int
) -> None:
    grants = (grant(100, "grt_a"), grant(50, "grt_b"), grant(7, "grt_c"))
    after, uses, unpaid = burn(grants, units)
    assert [n for _, n in uses] == taken
    assert [g.remaining_units for g in after] == left
    assert unpaid == missing


def test_nothing_burns_where_there_is_no_grant() -> None:
    assert burn((), 5) == ((), [], 5)


@properties
@given(st.lists(st.integers(1, 1000), max_size=8), st.integers(0, 6000))
def test_what_is_taken_and_what_is_missing_make_the_whole(amounts: list[int], units: int) -> None:
    grants = tuple(grant(n, f"grt_{i}") for i, n in enumerate(amounts))
    after, uses, missing = burn(grants, units)
    taken = sum(n for _, n in uses)
    assert taken + missing == units
    assert sum(amounts) - taken == sum(g.remaining_units for g in after)
    assert missing == max(0, units - sum(amounts))
    assert all(n > 0 for _, n in uses)
    assert all(g.remaining_units >= 0 for g, _ in uses)
    assert all(g.remaining_units > 0 for g in after)
    # Used is a prefix: no later grant is touched while an earlier one has something left.
    assert [g.id for g, _ in uses] == [g.id for g in grants[: len(uses)]]
    assert all(g.remaining_units == 0 for g, _ in uses[:-1])


def test_a_used_grant_keeps_all_but_what_remains() -> None:
    source = grant(100, "grt_a", "promotion", 5, T0, T0 + DAY, T0 - DAY)
    after = with_remaining(source, 40)
    assert after == Grant("grt_a", "promotion", 5, 100, 40, T0, T0 + DAY, T0 - DAY)
