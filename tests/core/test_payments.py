"""What payments bring, and where what goes back of them is taken from: worked examples by hand,
then wallets at random."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.core.builders import (
    CUSTOMER,
    DAY,
    MINUTE,
    ONE_USD,
    T0,
    Book,
    adjust,
    authorize,
    capture,
    catalog,
    charge,
    event,
    ledger,
    outcome,
    price,
    update,
    value,
)

from faregate.core.amounts import MAX_UNITS
from faregate.core.bonuses import Bonus
from faregate.core.decision import CatchUp, SetOverdraft
from faregate.core.gate import VoidHold
from faregate.core.grants import Grant, GrantTerms
from faregate.core.payment_rules import PaymentRules
from faregate.core.payments import (
    BookedPayment,
    CreditPayment,
    PaymentCredit,
    PaymentReturn,
    ReturnPayment,
    ReturnSettled,
    TellPayment,
    credit_key,
    restored_key,
    return_key,
    settled_key,
    share,
)
from faregate.core.prices import GrantScope
from faregate.core.problems import INVALID
from faregate.core.refunds import GRANTED_ANEW_FOR
from faregate.core.rules import BlockCustomer

USD = "default:USD"
STRIPE, BONUS = "payments:stripe", "adjustments:bonus"


def shop(*, blocks: bool = False) -> Book:
    """Calls at 1 USD each, and an empty wallet."""
    view = catalog(price(value(unit_price="1")))
    return Book(structs.replace(view, payments=PaymentRules(blocks_on_dispute=blocks)))


def pays(usd: int, name: str = "tup_1", **more: Any) -> CreditPayment:
    """A payment of whole USD."""
    units = usd * ONE_USD
    return CreditPayment(
        CUSTOMER, PaymentCredit(credit_key(name), name, USD, units, STRIPE, "USD", units, **more)
    )


def goes_back(
    paid: BookedPayment, usd: int, name: str = "rfd_1", reason: Any = "refund", **more: Any
) -> ReturnPayment:
    """Whole USD of a payment go back."""
    return ReturnPayment(
        CUSTOMER,
        PaymentReturn(
            return_key(name),
            paid.request.payment_id,
            USD,
            usd * ONE_USD,
            STRIPE,
            reason,
            paid.entry.grant_id or "",
            bonus_grant_id=paid.entry.bonus_grant_id,
            return_id=name,
            paid_asset="USD",
            paid_units=usd * ONE_USD,
            **more,
        ),
    )


def won(taken: BookedPayment, reason: Any = "dispute") -> CreditPayment:
    """What a return took is given again."""
    request, entry = taken.request, taken.entry
    assert isinstance(request, PaymentReturn)
    again = PaymentCredit(
        restored_key(request.return_id),
        request.payment_id,
        USD,
        request.units - entry.broken_units,
        STRIPE,
        "USD",
        request.paid_units,
        is_restored=True,
        return_id=request.return_id,
        restores=reason,
        broken_units=entry.broken_units,
    )
    return CreditPayment(CUSTOMER, again)


def usd(book: Book) -> float:
    """What is available, in whole USD."""
    return book.available() / ONE_USD


def balances(book: Book) -> dict[str, float]:
    """What each of the operator's accounts and each grant has gained, in whole USD."""
    return {name: units / ONE_USD for (_, name), units in ledger(book.transfers).items() if units}


def test_a_payment_becomes_one_grant_however_often_it_is_booked() -> None:
    book = shop()
    first = book.do(pays(20))
    assert (first.units, first.kind) == (20 * ONE_USD, "payment")
    again = book.decide(pays(25))
    assert again.answer == first
    assert (again.transfers, again.transaction, again.notices) == ([], None, [])
    assert usd(book) == 20
    assert [g.purpose for g in book.state.account(USD).grants] == ["paid"]


@pytest.mark.parametrize(
    ("used", "gift", "back", "left", "taken", "owed"),
    [
        (0, 0, 20, 0, 20, 0),  # nothing was spent
        (5, 0, 20, -5, 15, 5),  # what was spent is missing below zero
        (5, 0, 10, 5, 10, 0),  # a part: what is unspent is there for it
        (20, 0, 20, -20, 0, 20),  # all was spent
        (0, 10, 20, 10, 20, 0),  # the gift stays: the payment's own credit is there
        (15, 10, 20, -5, 15, 5),  # the gift burned first, 5 of the payment were used with it
        (30, 10, 20, -20, 0, 20),
    ],
)
def test_what_goes_back_is_taken_from_the_payment_first(
    used: int, gift: int, back: int, left: int, taken: int, owed: int
) -> None:
    book = shop()
    if gift:
        book.do(adjust(str(gift), "gift", reason="gift"))
    paid = book.do(pays(20))
    book.book(*[event(f"e{number}") for number in range(used)])
    entry = book.do(goes_back(paid, back)).entry
    assert (entry.taken_units, entry.owed_units) == (taken * ONE_USD, owed * ONE_USD)
    assert usd(book) == left
    assert sum(ledger(book.transfers).values()) == 0
    assert balances(book).get(STRIPE, 0) == back - 20


@pytest.mark.parametrize("policy", ["allow", "limit", "deny"])
def test_what_is_missing_is_taken_below_zero_whatever_the_policy_says(policy: Any) -> None:
    book = shop()
    paid = book.do(pays(20))
    book.book(*[event(f"e{number}") for number in range(20)])
    book.do(SetOverdraft(CUSTOMER, USD, policy, ONE_USD if policy == "limit" else 0))
    book.do(goes_back(paid, 20))
    assert usd(book) == -20
    book.do(pays(30, "tup_2"))
    assert usd(book) == 10


def test_other_credit_is_taken_before_anything_is_owed_in_the_order_of_use() -> None:
    book = shop()
    paid = book.do(pays(20))
    book.book(*[event(f"e{number}") for number in range(20)])
    book.do(pays(7, "tup_2"))
    book.do(adjust("5", "gift", reason="gift"))
    book.do(goes_back(paid, 10))
    assert [(g.purpose, g.remaining_units) for g in book.state.account(USD).grants] == [
        ("paid", 2 * ONE_USD)
    ]


def test_what_has_expired_of_a_payment_is_given_back_by_the_seller_who_has_it() -> None:
    book = shop()
    paid = book.do(pays(20, expires_at=T0 + DAY))
    book.book(*[event(f"e{number}") for number in range(5)])
    later = T0 + 2 * DAY
    # Nobody had looked since it expired: the same command sees it expire.
    entry = book.do(goes_back(paid, 20), later).entry
    assert (entry.taken_units, entry.broken_units, entry.owed_units) == (
        0,
        15 * ONE_USD,
        5 * ONE_USD,
    )
    assert usd(book) == -5
    assert balances(book).get("breakage", 0) == 0


def test_what_expired_before_is_taken_by_what_the_ledger_says() -> None:
    book = shop()
    paid = book.do(pays(20, expires_at=T0 + DAY))
    later = T0 + 2 * DAY
    book.do(CatchUp(CUSTOMER), later)
    first = book.do(goes_back(paid, 8, expired_units=20 * ONE_USD), later).entry
    assert first.broken_units == 8 * ONE_USD
    left = 20 * ONE_USD - first.broken_units
    second = book.do(goes_back(paid, 12, "rfd_2", expired_units=left), later).entry
    assert second.broken_units == 12 * ONE_USD
    assert (usd(book), balances(book)) == (0, {})


def test_a_dispute_that_is_won_gives_the_customer_again_what_it_took_and_the_seller_the_rest() -> (
    None
):
    book = shop()
    paid = book.do(pays(20, expires_at=T0 + DAY))
    book.book(*[event(f"e{number}") for number in range(5)])
    later = T0 + 2 * DAY
    taken = book.do(goes_back(paid, 20, "dsp_1", "dispute"), later)
    assert usd(book) == -5
    book.do(won(taken), later)
    assert usd(book) == 0
    # As it would be without the dispute: 5 were used, 15 have expired.
    assert balances(book) == {STRIPE: -20, "breakage": 15, "revenue": 5}
    assert book.decide(won(taken), later).transfers == []


def test_credit_that_a_won_dispute_gave_is_the_payments_own_again() -> None:
    book = shop()
    paid = book.do(pays(20))
    book.do(adjust("10", "gift", reason="gift"))
    again = book.do(won(book.do(goes_back(paid, 20, "dsp_1", "dispute"))))
    entry = book.do(goes_back(paid, 20, "rfd_1", again=(again.entry.grant_id,))).entry
    assert (entry.taken_units, entry.owed_units) == (20 * ONE_USD, 0)
    assert usd(book) == 10


def test_a_bonus_goes_back_with_its_payment_to_where_it_came_from() -> None:
    book = shop()
    paid = book.do(pays(20, bonus=Bonus("spring", 4 * ONE_USD)))
    assert (paid.units, paid.entry.bonus_units) == (24 * ONE_USD, 4 * ONE_USD)
    book.do(goes_back(paid, 10, bonus_units=2 * ONE_USD))
    assert usd(book) == 12
    book.do(goes_back(paid, 10, "rfd_2", bonus_units=2 * ONE_USD))
    assert (usd(book), balances(book)) == (0, {})


def test_a_bonus_that_counts_once_counts_once_per_customer() -> None:
    book = shop()
    once = Bonus("welcome", ONE_USD, is_once=True)
    book.do(pays(20, bonus=once))
    assert book.state.rules.bonuses == ("welcome",)
    book.do(pays(20, "tup_2", bonus=once))
    assert usd(book) == 41
    always = Bonus("spring", ONE_USD)
    book.do(pays(20, "tup_3", bonus=always))
    book.do(pays(20, "tup_4", bonus=always))
    assert usd(book) == 83


def test_a_payment_that_comes_after_its_credit_would_have_ended_lives_for_a_while() -> None:
    book = shop()
    late = T0 + 3 * DAY
    book.do(pays(20, expires_at=T0 + DAY), late)
    assert book.state.account(USD).grants[0].expires_at == late + GRANTED_ANEW_FOR
    assert usd(book) == 20


def test_a_hold_keeps_what_it_has_set_aside_and_the_account_goes_below_zero() -> None:
    book = shop()
    paid = book.do(pays(20))
    hold = book.hold(authorize("15"))
    entry = book.do(goes_back(paid, 20)).entry
    assert (entry.taken_units, entry.owed_units) == (5 * ONE_USD, 15 * ONE_USD)
    assert (usd(book), book.pending_out()) == (-15, 15 * ONE_USD)
    book.do(VoidHold(CUSTOMER, hold.id))
    assert (usd(book), book.pending_out()) == (0, 0)
    assert sum(ledger(book.transfers).values()) == 0


def test_credit_that_is_limited_to_some_uses_does_not_pay_for_what_goes_back() -> None:
    book = shop()
    paid = book.do(pays(20))
    book.book(*[event(f"e{number}") for number in range(20)])
    book.do(adjust("9", "gift", reason="gift"))
    account = book.state.account(USD)
    only: Grant = structs.replace(
        account.grants[0], terms=GrantTerms(limited_to=GrantScope(event_types=("other",)))
    )
    limited = structs.replace(account, grants=(only,))
    book.state = structs.replace(book.state, accounts={**book.state.accounts, USD: limited})
    book.do(goes_back(paid, 20))
    account = book.state.account(USD)
    assert account.grants == (only,)
    assert account.overdraft_units == 20 * ONE_USD


def test_what_the_ledger_cannot_hold_is_refused_and_changes_nothing() -> None:
    book = shop()
    most = MAX_UNITS // ONE_USD
    paid = book.do(pays(most))
    problem = book.refused(pays(most, "tup_2"))
    assert problem.kind is INVALID
    book.do(charge(str(most)))
    book.do(SetOverdraft(CUSTOMER, USD, "allow"))
    book.do(charge(str(most - 1), "t2"))
    assert "what the ledger can hold" in book.refused(goes_back(paid, most)).detail


def test_ids_of_payments_are_refused_for_whatever_callers_do() -> None:
    book = shop()
    book.do(adjust("100", "first"))
    book.book(event("e1"))
    hold, session = book.hold(authorize("1")), book.hold(authorize("1", "h2"))
    name = "payment:tup_1"
    for command in (
        adjust("1", name),
        charge("1", name),
        capture(hold.id, "1", transaction_id=name),
        update(session.id, want="1", used="1", transaction_id=name),
        outcome("e1", "withdrawn", name),
    ):
        problem = book.refused(command)
        assert problem.kind is INVALID
        assert "transaction_id" in problem.errors


def test_a_dispute_blocks_by_policy_until_every_one_is_won() -> None:
    book = shop(blocks=True)
    one, two = book.do(pays(20)), book.do(pays(20, "tup_2"))
    first = book.do(goes_back(one, 20, "dsp_1", "dispute"))
    assert book.state.rules.blocked_because == "the payment tup_1 is disputed"
    second = book.do(goes_back(two, 20, "dsp_2", "dispute"))
    book.do(won(first))
    assert book.state.rules.blocked_because == "the payment tup_2 is disputed"
    book.do(won(second))
    assert book.state.rules.blocked_because is None
    assert book.hold(authorize("1")).status == "authorized"


def test_who_is_blocked_for_another_reason_stays_so_when_a_dispute_is_won() -> None:
    book = shop(blocks=True)
    paid = book.do(pays(20))
    book.do(BlockCustomer(CUSTOMER, "fraud"))
    taken = book.do(goes_back(paid, 20, "dsp_1", "dispute"))
    assert book.state.rules.blocked_because == "fraud"
    book.do(won(taken))
    assert book.state.rules.blocked_because == "fraud"


def test_without_the_policy_and_for_a_refund_nobody_is_blocked() -> None:
    for book, reason in ((shop(), "dispute"), (shop(blocks=True), "refund")):
        book.do(goes_back(book.do(pays(20)), 20, "dsp_1", reason))
        assert book.state.rules.blocked_because is None


def test_what_becomes_of_a_payment_is_told_once_each() -> None:
    book = shop()
    paid = book.do(pays(20))
    refund = book.do(goes_back(paid, 5))
    dispute = book.do(goes_back(paid, 15, "dsp_1", "dispute"))

    def settled(name: str, reason: Any, usd: int) -> TellPayment:
        told = ReturnSettled(settled_key(name), "tup_1", USD, name, reason, "USD", usd * ONE_USD)
        return TellPayment(CUSTOMER, told)

    for _ in range(2):
        book.decide(settled("rfd_1", "refund", 5))
        book.decide(settled("dsp_1", "dispute", 15))
        book.decide(won(dispute))
        book.decide(won(refund, "refund"))
    told_of = [n for n in book.notices if n.topic.startswith(("top_up.", "payment."))]
    assert [notice.topic for notice in told_of] == [
        "top_up.succeeded",
        "payment.disputed",
        "payment.refunded",
        "payment.dispute_lost",
        "payment.dispute_won",
        "payment.refund_failed",
    ]
    told = told_of[1].data
    assert (told.top_up_id, told.return_id, told.amount, told.credit) == ("tup_1", "dsp_1", 15, 15)


@given(st.integers(0, MAX_UNITS), st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
def test_shares_of_parts_add_up_to_the_whole(units: int, parts: list[int]) -> None:
    whole, before, total = sum(parts), 0, 0
    for part in parts:
        one = share(units, before + part, whole) - share(units, before, whole)
        assert one >= 0
        before, total = before + part, total + one
    assert total == units


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pay", "use", "refund", "dispute", "win", "repeat", "wait", "hold"]),
        st.integers(1, 30),
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(STEPS)
def test_wallets_at_random_add_up(steps: list[tuple[str, int]]) -> None:
    book, now = shop(), T0
    payments: list[tuple[BookedPayment, int]] = []
    taken: list[BookedPayment] = []
    last: Any = None
    paid_in = gone = used = 0
    for number, (what, size) in enumerate(steps):
        if what == "pay":
            ends = now + size * DAY if size % 2 else None
            last = pays(size, f"tup_{number}", expires_at=ends)
            payments.append((book.do(last, now), size))
            paid_in += size
        elif what == "use":
            used += sum(len(r.fees) for r in book.book(event(f"e{number}", now), now=now))
        elif what in ("refund", "dispute") and payments:
            paid, left = payments.pop()
            part = min(left, size)
            book.do(CatchUp(CUSTOMER), now)
            expired = sum(
                t.units
                for t in book.transfers
                if t.from_account == paid.entry.grant_id and t.to_account == "breakage"
            ) - sum(
                one.entry.broken_units
                for one in taken
                if one.request.payment_id == paid.request.payment_id
            )
            last = goes_back(paid, part, f"rfd_{number}", what, expired_units=expired)
            one = book.do(last, now)
            entry = one.entry
            assert entry.taken_units + entry.broken_units + entry.owed_units == part * ONE_USD
            taken.append(one)
            gone += part
            if left > part:
                payments.append((paid, left - part))
        elif what == "win" and taken and taken[-1].request.reason == "dispute":
            one = taken.pop()
            last = won(one)
            book.do(last, now)
            gone -= one.request.paid_units // ONE_USD
        elif what == "repeat" and last is not None:
            book.do(CatchUp(CUSTOMER), now)
            before = book.state
            assert book.decide(last, now).transfers == []
            assert book.state.account(USD).grants == before.account(USD).grants
        elif what == "wait":
            now += size * DAY / 4
        elif what == "hold":
            book.do(authorize(str(size), f"h{number}", expires_in_seconds=60 + size), now)
            now += MINUTE
    book.do(CatchUp(CUSTOMER), now)
    assert sum(ledger(book.transfers).values()) == 0
    kept = balances(book)
    assert kept.get(STRIPE, 0) == gone - paid_in
    broken = kept.get("breakage", 0)
    held = book.pending_out() / ONE_USD
    assert usd(book) + held + broken + used == paid_in - gone
    assert broken >= 0
