"""Where a command meets a customer's state: pure, repeatable, and complete in what it returns."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.accounts import restore_account
from faregate.core.amounts import MAX_UNITS
from faregate.core.decide import decide
from faregate.core.decision import NOTHING_KNOWN, Decision, SetOverdraft
from faregate.core.gate import VoidHold
from faregate.core.problems import INSUFFICIENT_FUNDS, INVALID, NOT_FOUND, Problem
from faregate.core.subscribing import ChangeSubscription, Subscribe, SubscriptionsChanged
from faregate.core.subscriptions import Stretch

from .builders import (
    CUSTOMER,
    DAY,
    MINUTE,
    ONE_USD,
    PRODUCT,
    T0,
    Book,
    adjust,
    authorize,
    catalog,
    catalog_of,
    charge,
    customer,
    event,
    id_source,
    ledger,
    price,
    product,
    record,
    subscription,
    value,
    volume_price,
)

properties = settings(deadline=None, max_examples=100)
TINY = catalog(volume_price("0.0000000004"))
VERSIONS = catalog_of(
    product({n: (price(value(unit_price=str(n)), id=f"prc_v{n}"),) for n in (1, 2, 3)})
)


def test_what_rounding_leaves_over_is_carried_over_events_and_batches() -> None:
    book = Book(TINY)
    for start in range(0, 5_000, 1_000):
        book.book(*(event(f"e{i}", volume=1) for i in range(start, start + 1_000)))
    assert book.available() == -2_000
    assert book.state.carries == {}
    assert len(book.transfers) == 2_000


def test_a_remainder_is_kept_by_price_and_given_to_be_written() -> None:
    book = Book(TINY)
    decision = book.decide(record(event("e1", volume=1)))
    assert list(decision.carries) == [("prc_one", "USD")]
    assert decision.state.carries == decision.carries
    done = book.decide(record(*(event(f"e{i}", volume=1) for i in range(2, 6))))
    assert done.carries == {("prc_one", "USD"): 0}
    assert done.state.carries == {}


def test_remainders_of_two_prices_do_not_mix() -> None:
    book = Book(catalog(*(volume_price("0.0000000004", id=f"prc_{n}") for n in "ab")))
    book.book(event("e1", volume=1))
    assert book.available() == 0
    book.book(event("e2", volume=1))
    assert book.available() == -2


COMMANDS = [
    record(event("e1", volume=3), event("e2", volume=4)),
    record(event("e1", volume=-1)),
    adjust("5", "t9"),
    adjust("0", "t9"),
    charge("2", "t9"),
    SetOverdraft(CUSTOMER, "default:USD", "reject"),
    Subscribe(CUSTOMER, (subscription(id="sub_two"),)),
    ChangeSubscription(CUSTOMER, "sub_one", is_active=False),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_input_gives_the_same_output_and_is_left_as_it_was(command: Any) -> None:
    book = Book(TINY)
    book.do(adjust("1", "t1", expires_at=T0 + DAY))
    book.book(event("e0", volume=1))
    state = book.state
    before = copy.deepcopy(state)
    now = T0 + 2 * DAY

    def once() -> Decision:
        return decide(state, NOTHING_KNOWN, command, TINY, now, id_source(7))

    assert once() == once()
    assert state == before


def test_a_decision_says_everything_that_must_be_written() -> None:
    book = Book(catalog(price(value(unit_price="0.25"))))
    added = book.decide(adjust("1", "t1"))
    assert added.transaction == added.answer
    assert [(account, g.remaining_units) for account, g in added.grants.values()] == [
        ("default:USD", ONE_USD)
    ]
    assert list(added.accounts) == ["default:USD"]
    used = book.decide(record(event("e1"), event("e2")))
    assert [b.event.id for b in used.events] == ["e1", "e2"]
    assert [b.created_at for b in used.events] == [T0, T0]
    assert [g.remaining_units for _, g in used.grants.values()] == [ONE_USD // 2]
    assert used.accounts == {}
    assert len(used.transfers) == 2
    over = book.decide(charge("1", "t2"))
    assert over.accounts["default:USD"].overdraft_units == ONE_USD // 2


amounts = st.integers(1, 5_000)
commands = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["event", "gift", "credit", "debit", "charge"]),
        amounts,
        st.none() | st.integers(1, 6),
    ),
    min_size=1,
    max_size=15,
)


@properties
@given(commands)
def test_what_is_written_is_enough_to_rebuild_the_customer(
    script: list[tuple[int, str, int, int | None]],
) -> None:
    book = Book(catalog(volume_price("0.0000000004")))
    now = T0
    grants: dict[str, Any] = {}
    overdrafts: dict[str, int] = {}
    carries: dict[Any, int] = {}
    for index, (minutes, kind, units, life) in enumerate(script):
        now += minutes * MINUTE
        amount = f"{units}e-9"
        command: Any
        if kind == "event":
            command = record(event(f"e{index}", now, volume=units))
        elif kind == "charge":
            command = charge(amount, f"t{index}")
        elif kind == "debit":
            command = adjust(f"-{amount}", f"t{index}")
        else:
            expires = None if life is None else now + life * MINUTE
            reason = "gift" if kind == "gift" else "other"
            command = adjust(amount, f"t{index}", reason=reason, expires_at=expires)
        decision = book.decide(command, now)
        grants |= {i: g for i, (_, g) in decision.grants.items()}
        overdrafts |= {i: a.overdraft_units for i, a in decision.accounts.items()}
        carries |= decision.carries
        assert ledger(book.transfers).total() == 0
    stored = [g for g in grants.values() if g.remaining_units]
    rebuilt = restore_account("default:USD", stored, overdrafts["default:USD"], "allow", 0)
    state = customer()
    state = type(state)(
        state.customer_id,
        state.subscriptions,
        {"default:USD": rebuilt},
        {k: v for k, v in carries.items() if v},
    )
    last = record(event("last", now + MINUTE, volume=7777))
    live = decide(book.state, NOTHING_KNOWN, last, book.catalog, now + MINUTE, id_source(9))
    again = decide(state, NOTHING_KNOWN, last, book.catalog, now + MINUTE, id_source(9))
    assert again.answer == live.answer
    assert again.transfers == live.transfers
    assert again.carries == live.carries


def test_subscribing_adds_and_a_repeat_changes_nothing() -> None:
    book = Book(VERSIONS)
    two, three = subscription(id="sub_two"), subscription(id="sub_three")
    decision = book.decide(Subscribe(CUSTOMER, (two,)))
    assert decision.answer.subscriptions == (two,)
    assert decision.subscriptions == {"sub_two": two}
    assert book.state.subscriptions == (subscription(), two)
    before = book.state
    assert book.decide(Subscribe(CUSTOMER, (two,))) == Decision(
        before, SubscriptionsChanged((two,))
    )
    assert book.decide(Subscribe(CUSTOMER, (two, three))).subscriptions == {"sub_three": three}


def test_an_unknown_subscription_or_product_is_not_found() -> None:
    book = Book(VERSIONS)
    unknown = book.refused(ChangeSubscription(CUSTOMER, "sub_no", is_active=False))
    assert unknown.kind is NOT_FOUND
    assert "sub_no" in unknown.detail
    other = book.refused(ChangeSubscription(CUSTOMER, "sub_one", product_id="prp_no", version=1))
    assert other.kind is NOT_FOUND
    assert book.state.subscriptions[0].is_active(T0)


def test_a_subscription_switched_off_and_on_prices_what_lies_between_not() -> None:
    book = Book(VERSIONS)
    off, on = T0 + DAY, T0 + 3 * DAY
    stopped = book.do(ChangeSubscription(CUSTOMER, "sub_one", is_active=False), off)
    assert stopped.subscription.status(off) == "inactive"
    started = book.do(ChangeSubscription(CUSTOMER, "sub_one", is_active=True), on)
    assert started.subscription.status(on) == "active"
    now = T0 + 4 * DAY
    fees = {
        at: len(book.book(event(str(at), at), now=now)[0].fees)
        for at in (off - MINUTE, off, on - DAY, on, now)
    }
    assert list(fees.values()) == [1, 0, 0, 1, 1]


def test_switching_to_what_it_is_already_changes_nothing() -> None:
    book = Book(VERSIONS)
    for command in (
        ChangeSubscription(CUSTOMER, "sub_one", is_active=True),
        ChangeSubscription(CUSTOMER, "sub_one", product_id=PRODUCT, version=None),
        ChangeSubscription(CUSTOMER, "sub_one"),
    ):
        before = book.state
        decision = book.decide(command)
        assert (decision.state, decision.subscriptions) == (before, {})
        assert decision.answer.subscription == before.subscriptions[0]


def test_switching_off_drops_what_has_not_begun() -> None:
    book = Book(VERSIONS, customer(subscription(from_at=T0 + DAY)))
    changed = book.do(ChangeSubscription(CUSTOMER, "sub_one", is_active=False))
    assert changed.subscription.stretches == ()
    again = book.do(ChangeSubscription(CUSTOMER, "sub_one", is_active=True), T0 + MINUTE)
    assert again.subscription.stretches == (Stretch(T0 + MINUTE),)


def test_a_scheduled_subscription_that_is_switched_on_stays_scheduled() -> None:
    book = Book(VERSIONS, customer(subscription(from_at=T0 + DAY)))
    changed = book.do(ChangeSubscription(CUSTOMER, "sub_one", is_active=True))
    assert changed.subscription.status(T0) == "scheduled"


def test_another_version_counts_from_now_on_and_not_for_late_events() -> None:
    book = Book(VERSIONS)
    decision = book.decide(
        ChangeSubscription(CUSTOMER, "sub_one", product_id=PRODUCT, version=3), T0
    )
    assert decision.subscriptions == {"sub_one": decision.answer.subscription}
    late, fresh = book.book(event("e1", T0 - MINUTE), event("e2", T0))
    assert [f.price_id for f in late.fees] == ["prc_v1"]
    assert [f.price_id for f in fresh.fees] == ["prc_v3"]


def test_an_overdraft_policy_counts_from_the_next_debit_on() -> None:
    book = Book(VERSIONS)
    book.book(event("e1"))
    account = book.do(SetOverdraft(CUSTOMER, "default:USD", "limit", 2 * ONE_USD))
    assert (account.overdraft_policy, account.overdraft_limit_units) == ("limit", 2 * ONE_USD)
    book.book(event("e2"))
    assert book.refused(record(event("e3"))).kind is INSUFFICIENT_FUNDS
    book.do(SetOverdraft(CUSTOMER, "default:USD", "allow", 5))
    book.book(event("e3"))
    assert book.available() == -3 * ONE_USD
    assert book.state.account("default:USD").overdraft_limit_units == 0


def test_a_policy_may_be_set_before_the_account_is_used_and_is_written() -> None:
    decision = Book(VERSIONS).decide(SetOverdraft(CUSTOMER, "default:USD", "reject"))
    assert decision.accounts["default:USD"].overdraft_policy == "reject"


@pytest.mark.parametrize("limit", [-1, MAX_UNITS + 1])
def test_an_impossible_overdraft_limit_is_refused(limit: int) -> None:
    problem = Book(VERSIONS).refused(SetOverdraft(CUSTOMER, "default:USD", "limit", limit))
    assert problem.kind is INVALID
    assert list(problem.errors) == ["overdraft.limit"]


def test_every_account_is_brought_forward_before_its_balance_is_told() -> None:
    book = Book(VERSIONS)
    book.do(adjust("5", "t1", asset="EUR", expires_at=T0 + DAY))
    (result,) = book.book(event("e1", T0 + DAY), now=T0 + DAY)
    assert result.balances == {"default:EUR": 0, "default:USD": -ONE_USD}
    assert ledger(book.transfers)["EUR", "breakage"] == 5 * ONE_USD


def test_a_hold_that_ends_in_the_same_command_as_credit_is_known_as_expired() -> None:
    book = Book(catalog())
    book.do(adjust("5", expires_at=T0 + MINUTE))
    held = book.hold(authorize("1", expires_in_seconds=60))
    voided = book.decide(VoidHold(CUSTOMER, held.id), T0 + MINUTE).answer
    assert not isinstance(voided, Problem) or voided.kind is not NOT_FOUND, voided
