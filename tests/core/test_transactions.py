"""Adjustments and charges: exact, once per transaction id, and refused by field."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from faregate.core import codec
from faregate.core.amounts import MAX_UNITS, Number
from faregate.core.decision import SetOverdraft
from faregate.core.problems import CONFLICT, INSUFFICIENT_FUNDS, INVALID, FaregateError
from faregate.core.transactions import Adjust, AdjustmentRequest, Charge, ChargeRequest

from .builders import (
    CUSTOMER,
    DAY,
    MINUTE,
    ONE_USD,
    T0,
    Book,
    adjust,
    catalog,
    charge,
    ledger,
)

EMPTY = catalog()


def test_a_positive_adjustment_grants_credit() -> None:
    book = Book(EMPTY)
    booked = book.do(adjust("12.5"))
    assert (booked.kind, booked.account_id, booked.units) == (
        "adjustment",
        "default:USD",
        12_500_000_000,
    )
    assert booked.created_at == T0
    (grant,) = book.state.account("default:USD").grants
    assert (grant.amount_units, grant.remaining_units) == (12_500_000_000, 12_500_000_000)
    assert (grant.effective_at, grant.expires_at, grant.created_at) == (T0, None, T0)
    assert ledger(book.transfers)["USD", "adjustments:other"] == -12_500_000_000


@pytest.mark.parametrize(
    ("reason", "purpose"),
    [
        ("gift", "promotion"),
        ("external_topup", "paid"),
        ("external_refund", "paid"),
        ("other", "paid"),
    ],
)
def test_a_gift_is_a_promotion_and_the_others_are_paid(reason: str, purpose: str) -> None:
    book = Book(EMPTY)
    book.do(adjust("1", reason=reason))
    assert [g.purpose for g in book.state.account("default:USD").grants] == [purpose]
    assert ledger(book.transfers)["USD", f"adjustments:{reason}"] == -ONE_USD


def test_a_negative_adjustment_takes_credit_back_to_where_it_came_from() -> None:
    book = Book(EMPTY)
    book.do(adjust("3", "t1", reason="external_topup"))
    booked = book.do(adjust("-2", "t2", reason="external_topup"))
    assert booked.units == -2 * ONE_USD
    assert book.available() == ONE_USD
    assert ledger(book.transfers)["USD", "adjustments:external_topup"] == -ONE_USD


def test_a_charge_is_revenue() -> None:
    book = Book(EMPTY)
    book.do(adjust("3", "t1"))
    booked = book.do(charge("0.000000001", "t2"))
    assert (booked.kind, booked.units) == ("charge", -1)
    assert book.available() == 3 * ONE_USD - 1
    assert ledger(book.transfers)["USD", "revenue"] == 1


def test_accounts_of_other_names_and_assets_are_apart() -> None:
    book = Book(EMPTY)
    book.do(adjust("1", "t1"))
    book.do(adjust("2", "t2", account_name="team"))
    book.do(adjust("3.25", "t3", asset="CREDITS"))
    book.do(charge("4", "t4", asset="POINTS"))
    assert {i: a.available_units for i, a in book.state.accounts.items()} == {
        "default:USD": ONE_USD,
        "team:USD": 2 * ONE_USD,
        "default:CREDITS": 325,
        "default:POINTS": -4,
    }


@pytest.mark.parametrize("make", [adjust, charge])
def test_a_repeat_gives_the_first_answer_and_moves_nothing(make: Any) -> None:
    book = Book(EMPTY)
    first = book.do(make("5", "t1"))
    before = book.state
    decision = book.decide(make("5.0", "t1"), T0 + 900 * DAY)
    assert decision.answer == first
    assert decision.state is before
    assert not decision.transfers
    assert decision.transaction is None


@pytest.mark.parametrize(
    ("make", "changes", "fields"),
    [
        (adjust, {"amount": Number("6")}, ["amount"]),
        (adjust, {"asset": "EUR"}, ["asset"]),
        (adjust, {"reason": "gift", "description": "x"}, ["reason", "description"]),
        (adjust, {"expires_at": T0 + DAY}, ["expires_at"]),
        (adjust, {"effective_at": T0}, ["effective_at"]),
        (adjust, {"metadata": {"a": "b"}}, ["metadata"]),
        (charge, {"amount": Number("6")}, ["amount"]),
        (charge, {"account_name": "team"}, ["account_name"]),
        (charge, {"subject": "agent-7"}, ["subject"]),
    ],
)
def test_a_changed_repeat_is_a_conflict_that_names_the_fields(
    make: Any, changes: dict[str, Any], fields: list[str]
) -> None:
    book = Book(EMPTY)
    first = make("5", "t1")
    book.do(first)
    again = replace(first, request=replace(first.request, **changes))
    problem = book.refused(again)
    assert problem.kind is CONFLICT
    assert list(problem.errors) == fields
    assert ", ".join(fields) in problem.detail


@pytest.mark.parametrize(("first", "second"), [(adjust, charge), (charge, adjust)])
def test_a_transaction_id_is_unique_over_adjustments_and_charges(first: Any, second: Any) -> None:
    book = Book(EMPTY)
    booked = book.do(first("5", "t1"))
    problem = book.refused(second("5", "t1"))
    assert problem.kind is CONFLICT
    assert list(problem.errors) == ["transaction_id"]
    assert booked.id in problem.detail


EARLIER = T0 - timedelta(microseconds=1)
REFUSED: list[tuple[str, Adjust | Charge, str]] = [
    ("an adjustment of 0", adjust("0"), "amount"),
    ("an adjustment of -0.0", adjust("-0.0"), "amount"),
    ("a debit that expires", adjust("-1", expires_at=T0 + DAY), "expires_at"),
    ("a debit that begins later", adjust("-1", effective_at=T0 + DAY), "effective_at"),
    ("a grant that has expired", adjust("1", expires_at=EARLIER), "expires_at"),
    ("a grant that expires now", adjust("1", expires_at=T0), "expires_at"),
    (
        "a grant that expires as it begins",
        adjust("1", effective_at=T0 + DAY, expires_at=T0 + DAY),
        "expires_at",
    ),
    (
        "a grant that expires before it begins",
        adjust("1", effective_at=T0 + 2 * DAY, expires_at=T0 + DAY),
        "expires_at",
    ),
    (
        "a backdated grant that has expired",
        adjust("1", effective_at=T0 - 2 * DAY, expires_at=T0 - DAY),
        "expires_at",
    ),
    ("a charge of 0", charge("0"), "amount"),
    ("a negative charge", charge("-1"), "amount"),
    ("an adjustment of an unknown asset", adjust("1", asset="XYZ"), "asset"),
    ("a charge of an unknown asset", charge("1", asset="XYZ"), "asset"),
    ("ten decimals of a currency", adjust("0.0000000001"), "amount"),
    ("ten decimals of a charge", charge("1.0000000001"), "amount"),
    ("three decimals of two", adjust("0.001", asset="CREDITS"), "amount"),
    ("half a point", charge("0.5", asset="POINTS"), "amount"),
    ("more than the ledger holds", adjust("9000000000.000000001"), "amount"),
    ("an absurd amount", adjust("1e999999999"), "amount"),
    ("an absurd charge", charge("1e30"), "amount"),
    ("no number", adjust("NaN"), "amount"),
]


@pytest.mark.parametrize(
    ("command", "field"), [pytest.param(c, f, id=name) for name, c, f in REFUSED]
)
def test_what_cannot_be_meant_is_refused_by_field(command: Adjust | Charge, field: str) -> None:
    book = Book(EMPTY)
    problem = book.refused(command)
    assert problem.kind is INVALID
    assert list(problem.errors) == [field]
    assert problem.detail.startswith(f"{field} ")


def test_a_refused_transaction_leaves_its_id_free() -> None:
    book = Book(EMPTY)
    book.refused(adjust("0", "t1"))
    assert book.do(adjust("1", "t1")).units == ONE_USD


@pytest.mark.parametrize("command", [charge("2", "t2"), adjust("-2", "t2")])
def test_a_debit_beyond_the_policy_is_refused(command: Adjust | Charge) -> None:
    book = Book(EMPTY)
    book.do(SetOverdraft(CUSTOMER, "default:USD", "reject"))
    book.do(adjust("1", "t1"))
    problem = book.refused(command)
    assert problem.kind is INSUFFICIENT_FUNDS
    assert "top up at least 1 USD" in problem.detail
    assert book.available() == ONE_USD


def test_credits_that_together_exceed_the_ledger_are_refused() -> None:
    book = Book(EMPTY)
    book.do(adjust("9000000000", "t1"))
    assert book.available() == MAX_UNITS
    assert list(book.refused(adjust("0.000000001", "t2")).errors) == ["amount"]


@pytest.mark.parametrize(
    ("now", "available"),
    [
        (T0, 0),
        (T0 + DAY - MINUTE, 0),
        (T0 + DAY, ONE_USD),
        (T0 + 2 * DAY - MINUTE, ONE_USD),
        (T0 + 2 * DAY, 0),
    ],
)
def test_a_grant_lives_from_its_beginning_to_its_expiry(now: datetime, available: int) -> None:
    book = Book(EMPTY)
    book.do(adjust("1", "t1", effective_at=T0 + DAY, expires_at=T0 + 2 * DAY))
    # A charge of a second account looks at nothing; the debit of a unit does.
    book.do(charge("0.000000001", "t2"), now)
    assert book.available() == available - 1


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        (
            AdjustmentRequest,
            '{"transaction_id":"t","asset":"USD","amount":"1","reason":"gift"}',
            "amount",
        ),
        (
            AdjustmentRequest,
            '{"transaction_id":"t","asset":"USD","amount":1,"reason":"bribe"}',
            "reason",
        ),
        (AdjustmentRequest, '{"transaction_id":"t","asset":"USD","amount":1}', "reason"),
        (
            AdjustmentRequest,
            '{"transaction_id":"t","asset":"USD","amount":1,"reason":"gift",'
            '"expires_at":"2026-03-01T12:00:00"}',
            "expires_at",
        ),
        (
            AdjustmentRequest,
            '{"transaction_id":"t","asset":"USD","amount":1,"reason":"gift","note":"x"}',
            "note",
        ),
        (ChargeRequest, '{"transaction_id":"","asset":"USD","amount":1}', "transaction_id"),
        (ChargeRequest, '{"transaction_id":"t","asset":"USD","amount":true}', "amount"),
        (
            ChargeRequest,
            '{"transaction_id":"t","asset":"USD","amount":1,"account_name":"a:b"}',
            "account_name",
        ),
        (
            ChargeRequest,
            '{"transaction_id":"t","asset":"USD","amount":1,"account_name":"team\\n"}',
            "account_name",
        ),
    ],
)
def test_a_badly_shaped_request_is_refused_by_field(kind: type, body: str, field: str) -> None:
    with pytest.raises(FaregateError) as caught:
        codec.decode_request(kind, body.encode())
    assert list(caught.value.problem.errors) == [field]
