"""What the clock does to holds and to the grants that they have taken from: the same, whoever looks
and however often.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from faregate.core.accounts import BREAKAGE, Account, Transfer, restore_account
from faregate.core.decision import SetOverdraft
from faregate.core.holds import MAX_DEPTH
from faregate.core.timeline import advance

from .builders import CUSTOMER, ONE_USD, T0, Book, adjust, authorize, catalog, charge, ledger

USD = "default:USD"
SECOND = timedelta(seconds=1)


def stored(account: Account, order: tuple[int, ...] = ()) -> Account:
    """The account as it is read back, its open holds in any order."""
    holds = list(account.holds.values())
    grants = [*account.grants, *account.scheduled]
    return restore_account(
        account.id,
        grants,
        account.overdraft_units,
        account.overdraft_policy,
        account.overdraft_limit_units,
        [holds[n] for n in order] if order else holds,
        account.watch,
    )


def test_holds_that_expire_together_come_back_the_same_in_whatever_order_they_are_read() -> None:
    book = Book(catalog())
    for number in range(3):
        book.do(adjust("2", f"credit {number}"))
    for number in range(3):
        book.hold(authorize("2", f"hold {number}", expires_in_seconds=60))
    book.do(charge("3"))
    account = book.state.account(USD)
    assert account.overdraft_units == 3 * ONE_USD
    live = advance(account, T0 + 60 * SECOND)
    assert [grant.remaining_units for grant in live.account.grants] == [ONE_USD, 2 * ONE_USD]
    for order in permutations(range(3)):
        again = advance(stored(account, order), T0 + 60 * SECOND)
        assert again.account == live.account
        assert again.transfers == live.transfers


def test_a_grant_and_a_hold_on_it_that_end_at_one_instant_break_together() -> None:
    book = Book(catalog())
    end = T0 + 60 * SECOND
    book.do(adjust("5", "short", expires_at=end))
    book.do(adjust("1", "next", effective_at=end))
    hold = book.hold(authorize("3", expires_in_seconds=60))
    after = advance(book.state.account(USD), end)
    assert after.account.available_units == ONE_USD
    assert not after.account.holds
    broken = [(t.from_account, t.units) for t in after.transfers if t.to_account == BREAKAGE]
    short = next(t.to_account for t in book.transfers)
    assert broken == [(short, 2 * ONE_USD), (hold.id, 3 * ONE_USD)]


GRANTS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(-5, 40), st.none() | st.integers(1, 60)),
    min_size=1,
    max_size=5,
)
HOLDS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 60), st.booleans()), min_size=1, max_size=6
)


@given(
    GRANTS,
    HOLDS,
    st.integers(1, 8),
    st.sampled_from(["allow", "limit"]),
    st.lists(st.integers(0, 120), max_size=12),
)
def test_looking_often_finds_what_looking_once_finds(
    grants: list[tuple[int, int, int | None]],
    holds: list[tuple[int, int, bool]],
    used: int,
    policy: str,
    looks: list[int],
) -> None:
    book = Book(catalog())
    book.do(SetOverdraft(CUSTOMER, USD, policy, 3 * ONE_USD))  # type: ignore[arg-type]
    for number, (units, begins, life) in enumerate(grants):
        begin = T0 + begins * SECOND
        end = None if life is None else max(T0, begin) + life * SECOND
        book.do(adjust(f"{units}", f"credit {number}", effective_at=begin, expires_at=end))
    parent: str | None = None
    depth = 0
    for number, (units, life, is_child) in enumerate(holds):
        more = {"parent_id": parent} if is_child and parent else {}
        asked = authorize(f"{units}", f"h{number}", expires_in_seconds=life, **more)
        hold = book.hold(asked)
        if hold.status == "authorized":
            depth = depth + 1 if more else 0
            parent = hold.id if depth + 1 < MAX_DEPTH else None
    book.decide(charge(f"{used}"))
    account = book.state.account(USD)
    end = T0 + 120 * SECOND
    once = advance(account, end)
    often = account
    transfers: list[Transfer] = []
    for seconds in [*sorted(looks), 120]:
        # Every other look is that of somebody who has just read the account.
        moved = advance(stored(often) if seconds % 2 else often, T0 + seconds * SECOND)
        often = moved.account
        transfers += moved.transfers
    assert often == once.account
    assert transfers == list(once.transfers)
    assert not once.account.holds
    balances = ledger([*book.transfers, *transfers])
    assert sum(balances.values()) == 0
    assert -balances["USD", f"overdraft:{USD}"] == once.account.overdraft_units
