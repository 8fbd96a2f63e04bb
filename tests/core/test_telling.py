"""What others are told of a wallet: each thing once, in the command that brings it about."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from tests.core.builders import (
    CUSTOMER,
    DAY,
    ONE_USD,
    T0,
    Book,
    adjust,
    authorize,
    capture,
    catalog,
    charge,
    event,
    price,
    value,
)
from tests.core.hearing import assert_heard

from faregate.core.amounts import Number
from faregate.core.costs import Cost
from faregate.core.decision import CatchUp, SetLowBalance, SetOverdraft
from faregate.core.events import UsageEvent
from faregate.core.gate import VoidHold

USD = "default:USD"
CALL = price(value(unit_price="0.5"))


def book_with(*, low: int = 0, before: timedelta | None = 7 * DAY) -> Book:
    """A ledger whose USD accounts are low below so many USD."""
    offers = msgspec.structs.replace(
        catalog(CALL), low_units={"USD": low * ONE_USD}, expiring_before=before
    )
    return Book(offers)


def topics(book: Book, *without: str) -> list[str]:
    return [n.topic for n in book.notices if not n.topic.startswith(without or ("grant.created",))]


def test_each_fall_below_the_threshold_is_told_once_until_it_has_recovered() -> None:
    book = book_with(low=5)
    book.do(adjust("10", "a"))
    for _ in range(3):
        book.do(charge("2", f"c{_}"))
    assert topics(book) == ["wallet.balance_low"]
    told = book.notices[-1].data
    assert (told.available, told.threshold, told.is_low, told.at) == (4, 5, True, T0)
    book.do(adjust("1", "b"))
    book.do(charge("0.5", "d"))
    assert topics(book) == ["wallet.balance_low", "wallet.recovered", "wallet.balance_low"]


def test_what_is_used_up_at_once_is_low_and_depleted_and_recovers_step_by_step() -> None:
    book = book_with(low=5)
    book.do(adjust("10", "a"))
    book.do(charge("11", "b"))
    assert topics(book) == ["wallet.balance_low", "wallet.depleted"]
    book.do(adjust("0.5", "c"))
    assert len(topics(book)) == 2
    book.do(adjust("2", "d"))
    assert topics(book)[2:] == ["wallet.recovered"]
    assert book.notices[-1].data.is_low
    book.do(adjust("20", "e"))
    assert topics(book)[3:] == ["wallet.recovered"]
    assert not book.notices[-1].data.is_low


def test_who_never_had_anything_is_not_depleted() -> None:
    book = book_with(low=5)
    book.do(charge("1", "a"))
    book.do(adjust("1", "b"))
    assert topics(book) == []
    book.do(adjust("10", "c"))
    assert topics(book) == []


def test_holds_that_come_and_go_tell_nothing_until_what_they_held_is_used() -> None:
    book = book_with()
    book.do(adjust("3", "a"))
    for number in range(3):
        hold = book.hold(authorize("3", f"h{number}"))
        book.do(VoidHold(CUSTOMER, hold.id))
    assert topics(book) == []
    hold = book.hold(authorize("3", "last"))
    book.do(capture(hold.id, "3"))
    assert topics(book) == ["wallet.depleted"]


def test_a_threshold_of_the_account_wins_over_that_of_its_asset_and_0_turns_it_off() -> None:
    book = book_with(low=5)
    book.do(adjust("4", "a"))
    assert topics(book) == ["wallet.balance_low"]
    book.do(SetLowBalance(CUSTOMER, USD, 0))
    assert topics(book) == ["wallet.balance_low", "wallet.recovered"]
    book.do(SetLowBalance(CUSTOMER, USD, 20 * ONE_USD))
    assert topics(book)[2:] == ["wallet.balance_low"]
    assert book.notices[-1].data.threshold == 20
    book.do(SetLowBalance(CUSTOMER, USD, None))
    assert len(topics(book)) == 3


def test_a_grant_is_told_when_it_comes_announced_before_it_expires_and_told_when_it_has() -> None:
    book = book_with()
    book.do(adjust("10", "a", expires_at=T0 + 30 * DAY))
    created = book.notices[0].data
    assert (created.amount, created.expires_at, created.at) == (10, T0 + 30 * DAY, T0)
    assert book.state.credit_due_at == T0 + 23 * DAY
    book.do(charge("4", "b"), T0 + DAY)
    assert book.state.credit_due_at == T0 + 23 * DAY
    book.do(CatchUp(CUSTOMER), T0 + 23 * DAY)
    (announced,) = book.told("grant.expiring")
    assert (announced.data.remaining, announced.data.expires_at) == (6, T0 + 30 * DAY)
    assert book.state.credit_due_at == T0 + 30 * DAY
    book.do(CatchUp(CUSTOMER), T0 + 24 * DAY)
    assert len(book.told("grant.expiring")) == 1
    book.do(CatchUp(CUSTOMER), T0 + 40 * DAY)
    (expired,) = book.told("grant.expired")
    assert (expired.data.amount, expired.data.because) == (6, "expired")
    assert expired.data.at == T0 + 30 * DAY
    assert book.notices[-1].topic == "wallet.depleted"
    assert book.state.credit_due_at is None


def test_what_is_used_up_or_lives_shorter_than_the_notice_is_not_announced() -> None:
    book = book_with()
    book.do(adjust("10", "short", expires_at=T0 + 3 * DAY))
    book.do(adjust("1", "used", expires_at=T0 + 20 * DAY))
    book.do(charge("11", "a"), T0 + DAY)
    book.do(CatchUp(CUSTOMER), T0 + 14 * DAY)
    book.do(CatchUp(CUSTOMER), T0 + 21 * DAY)
    assert not book.told("grant.exp")


def test_nothing_is_announced_where_the_seller_wants_none() -> None:
    book = book_with(before=None)
    book.do(adjust("10", "a", expires_at=T0 + 30 * DAY))
    assert book.state.credit_due_at == T0 + 30 * DAY
    book.do(CatchUp(CUSTOMER), T0 + 30 * DAY)
    assert [n.topic for n in book.notices[1:]] == ["grant.expired", "wallet.depleted"]


def test_what_a_hold_gives_back_after_its_grant_has_expired_is_told_by_itself() -> None:
    book = book_with()
    book.do(adjust("5", "a", expires_at=T0 + 30 * DAY))
    hold = book.hold(
        authorize("3", expires_in_seconds=86_400), now=T0 + 30 * DAY - timedelta(hours=1)
    )
    book.do(CatchUp(CUSTOMER), T0 + 31 * DAY)
    first, second = [notice.data for notice in book.told("grant.expired")]
    assert (first.amount, first.because, first.hold_id) == (2, "expired", None)
    assert (second.amount, second.because, second.hold_id) == (3, "returned_late", hold.id)
    (told,) = book.told("hold.expired")
    assert (told.data.hold_id, told.data.amount) == (hold.id, 3)
    assert_heard(book, {USD})


def test_credit_that_begins_later_recovers_an_account_when_it_begins() -> None:
    book = book_with()
    book.do(adjust("1", "a"))
    book.do(charge("1", "b"))
    book.do(adjust("5", "c", effective_at=T0 + DAY))
    assert book.state.credit_due_at == T0 + DAY
    assert topics(book) == ["wallet.depleted"]
    book.do(CatchUp(CUSTOMER), T0 + DAY)
    assert topics(book) == ["wallet.depleted", "wallet.recovered"]


def test_a_hold_that_expires_is_told_in_whatever_command_finds_it() -> None:
    for command in (CatchUp(CUSTOMER), charge("1", "x"), SetOverdraft(CUSTOMER, USD, "reject")):
        book = book_with()
        book.do(adjust("5", "a"))
        hold = book.hold(authorize("3", expires_in_seconds=60))
        later = T0 + timedelta(minutes=2)
        book.do(command, later)
        (told,) = book.told("hold.expired")
        assert (told.data.hold_id, told.data.at) == (hold.id, T0 + timedelta(minutes=1))
        book.do(CatchUp(CUSTOMER), later)
        assert len(book.told("hold.expired")) == 1


def test_a_repeat_and_a_refusal_tell_nothing() -> None:
    book = book_with(low=5)
    book.do(adjust("10", "a"))
    book.do(charge("6", "b"))
    told = len(book.notices)
    book.do(adjust("10", "a"))
    book.do(charge("6", "b"))
    book.do(SetOverdraft(CUSTOMER, USD, "reject"))
    book.refused(charge("60", "c"))
    assert len(book.notices) == told


def cost(amount: str, currency: str | None = None) -> Cost:
    more: dict[str, Any] = {} if currency is None else {"currency": currency}
    return Cost("c", Number(amount), vendor_external_id="v", **more)


def costing(event_id: str, *costs: Cost, at: datetime = T0) -> UsageEvent:
    return msgspec.structs.replace(event(event_id, at), costs=list(costs))


def test_an_event_that_costs_more_than_it_earns_is_told_once_a_day() -> None:
    book = book_with()
    book.do(adjust("100", "a"))
    book.book(costing("even", cost("0.5")))
    assert not book.told("margin.negative")
    for number in range(2):
        book.book(costing(f"dear {number}", cost("0.3"), cost("0.21")))
    (notice,) = book.told("margin.negative")
    told = notice.data
    assert (told.event_id, told.fees, told.costs, told.currency) == (
        "dear 0",
        Decimal("0.5"),
        Decimal("0.51"),
        "USD",
    )
    book.book(costing("tomorrow", cost("0.51"), at=T0 + DAY), now=T0 + DAY)
    assert len(book.told("margin.negative")) == 2


def test_what_no_rate_converts_is_not_known_to_be_a_loss() -> None:
    book = book_with()
    book.do(adjust("100", "a"))
    book.book(costing("a", cost("50", "EUR")))
    assert not book.told("margin.negative")
