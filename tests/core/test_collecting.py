"""What accounts ask of saved cards by themselves."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from faregate.core.collecting import (
    BACK_OFF,
    MOST_FAILURES,
    AutoTopUp,
    BeginCollection,
    Collecting,
    CollectionFailed,
    SetAutoTopUp,
    change_collecting,
    collect,
    collected,
    next_try,
)
from faregate.core.ids import IdSource

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ACCOUNT = "default:USD"
TERMS = AutoTopUp("USD", threshold_units=500, amount_units=2_000)
HOUR = timedelta(hours=1)


class Card:
    """An account that is topped up, its clock and what it has; it notes what is asked and told."""

    def __init__(self, terms: AutoTopUp = TERMS, units: int = 0, timezone: str = "UTC") -> None:
        self.now = NOON
        self.units = units
        self.timezone = timezone
        self.ids = IdSource(Random(1).getrandbits)
        self.asked = []
        self.told = []
        self.accounts = {}
        self.change(SetAutoTopUp("cust_1", ACCOUNT, terms))

    def change(self, command):
        self.accounts, answer, told = change_collecting(self.accounts, command, self.now)
        self.told += told
        self.look()
        return answer

    def look(self):
        self.accounts, asked, told = collect(
            self.accounts, lambda _account: self.units, self.now, self.timezone, self.ids
        )
        self.asked += asked
        self.told += told
        return asked

    def pay(self):
        one = self.standing.in_flight
        self.units += one.units
        self.accounts = collected(self.accounts, one.payment_id)
        return self.look()

    def fail(self, reason="The card was declined."):
        payment_id = self.standing.in_flight.payment_id
        self.change(CollectionFailed("cust_1", payment_id, reason))

    @property
    def standing(self) -> Collecting:
        return self.accounts[ACCOUNT]

    def topics(self):
        return [one.topic for one in self.told]


@pytest.mark.parametrize(("units", "asks"), [(499, 1), (500, 0), (501, 0), (-10, 1)])
def test_an_account_below_its_threshold_asks_once(units, asks):
    card = Card(units=units)
    assert len(card.asked) == asks
    card.look()
    card.look()
    assert len(card.asked) == asks


def test_what_is_asked_is_what_was_agreed_on():
    card = Card()
    (one,) = card.asked
    assert (one.account_id, one.currency, one.units) == (ACCOUNT, "USD", 2_000)
    assert card.standing.in_flight.payment_id == one.payment_id


def test_what_is_off_never_asks_also_when_it_is_switched_off_in_the_same_second():
    card = Card(units=1_000)
    card.change(SetAutoTopUp("cust_1", ACCOUNT, structs.replace(TERMS, is_enabled=False)))
    card.units = 0
    assert card.look() == []


def test_what_was_asked_for_is_not_charged_once_it_is_off():
    card = Card()
    (one,) = card.asked
    assert card.change(BeginCollection("cust_1", one.payment_id)).payment_id == one.payment_id
    card.change(SetAutoTopUp("cust_1", ACCOUNT, structs.replace(TERMS, is_enabled=False)))
    assert card.change(BeginCollection("cust_1", one.payment_id)) is None
    assert card.standing.in_flight is None
    assert card.standing.month_units == 0


def test_nothing_else_is_asked_while_what_was_asked_before_it_was_off_may_still_come():
    card = Card()
    card.change(SetAutoTopUp("cust_1", ACCOUNT, structs.replace(TERMS, is_enabled=False)))
    card.change(SetAutoTopUp("cust_1", ACCOUNT, TERMS))
    assert len(card.asked) == 1


def test_the_charge_of_something_unknown_is_not_begun():
    assert Card().change(BeginCollection("cust_1", "tup_other")) is None


def test_it_waits_longer_after_each_failure_and_stops_after_three():
    card = Card()
    for number, wait in enumerate(BACK_OFF, 1):
        card.fail()
        assert card.standing.next_try_at == next_try(card.accounts) == card.now + wait
        card.now += wait - timedelta(microseconds=1)
        assert card.look() == []
        card.now += timedelta(microseconds=1)
        assert len(card.look()) == 1
        assert card.standing.failures == number
    card.fail("The card has expired.")
    assert card.standing.stopped_because == "The card has expired."
    assert card.topics() == ["failed"] * MOST_FAILURES + ["disabled"]
    card.now += 1000 * HOUR
    assert card.look() == []
    assert next_try(card.accounts) is None


def test_a_failure_told_twice_counts_once():
    card = Card()
    payment_id = card.asked[0].payment_id
    card.change(CollectionFailed("cust_1", payment_id, "no"))
    card.change(CollectionFailed("cust_1", payment_id, "no"))
    assert card.standing.failures == 1


def test_a_success_forgets_failures():
    card = Card()
    card.fail()
    card.now += HOUR
    card.look()
    card.pay()
    assert (card.standing.failures, card.standing.in_flight) == (0, None)


def test_agreeing_again_begins_anew_after_it_has_stopped():
    card = Card()
    for _ in range(MOST_FAILURES):
        card.fail()
        card.now += HOUR
        card.look()
    assert card.standing.stopped_because is not None
    card.change(SetAutoTopUp("cust_1", ACCOUNT, TERMS))
    assert card.standing.in_flight is not None


def test_repeating_what_was_agreed_on_does_not_undo_a_wait():
    card = Card()
    card.fail()
    card.change(SetAutoTopUp("cust_1", ACCOUNT, TERMS))
    assert card.standing.failures == 1
    assert len(card.asked) == 1


@pytest.mark.parametrize(
    ("timezone", "ends"),
    [
        ("UTC", datetime(2026, 2, 1, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 2, 1, 5, tzinfo=UTC)),
    ],
)
def test_the_monthly_cap_holds_until_the_month_of_the_timezone_ends(timezone, ends):
    terms = structs.replace(TERMS, monthly_cap_units=5_000, threshold_units=10**9)
    card = Card(terms, timezone=timezone)
    card.pay()
    card.pay()
    assert len(card.asked) == 2
    assert card.topics() == ["limited"]
    assert card.standing.next_try_at == ends
    card.now = ends
    assert len(card.look()) == 1


def test_what_failed_does_not_count_for_the_month():
    card = Card(structs.replace(TERMS, monthly_cap_units=2_000))
    card.fail()
    card.now += HOUR
    assert len(card.look()) == 1


def test_a_customer_who_drains_as_fast_as_the_card_fills_is_stopped_for_the_hour():
    card = Card(structs.replace(TERMS, threshold_units=10**9, per_hour=3))
    for _ in range(3):
        card.now += timedelta(minutes=1)
        card.pay()
    assert len(card.asked) == 3
    assert card.topics() == ["limited"]
    assert card.standing.next_try_at == NOON + HOUR
    card.now = NOON + HOUR
    assert len(card.look()) == 1


def test_a_wait_that_is_over_is_forgotten_when_nothing_is_lacking():
    card = Card()
    card.fail()
    card.units = 10_000
    card.now += HOUR
    assert card.look() == []
    assert next_try(card.accounts) is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["spend", "pay", "fail", "on", "off", "begin"]),
        st.integers(0, 4_000),
        st.integers(0, 90),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 4), st.integers(2_000, 9_000))
def test_never_two_in_flight_never_above_the_bounds_and_never_when_off(steps, per_hour, cap):
    terms = structs.replace(TERMS, per_hour=per_hour, monthly_cap_units=cap)
    card = Card(terms)
    card.now = NOON.replace(day=1)
    settled, refused = set(), set()
    paid_at = [(one.asked_at, one.payment_id) for one in card.asked]
    for name, units, minutes in steps:
        card.now += timedelta(minutes=minutes)
        standing = card.standing
        before = len(card.asked)
        is_on = standing.is_on
        if name == "spend":
            card.units -= units
            card.look()
        elif name == "pay" and standing.in_flight is not None:
            settled.add(standing.in_flight.payment_id)
            card.pay()
        elif name == "fail" and standing.in_flight is not None:
            refused.add(standing.in_flight.payment_id)
            card.fail()
        elif name == "begin" and standing.in_flight is not None:
            if card.change(BeginCollection("cust_1", standing.in_flight.payment_id)) is None:
                refused.add(standing.in_flight.payment_id)
        elif name in ("on", "off"):
            is_on = name == "on"
            wanted = structs.replace(terms, is_enabled=is_on)
            card.change(SetAutoTopUp("cust_1", ACCOUNT, wanted))
        new = card.asked[before:]
        paid_at += [(one.asked_at, one.payment_id) for one in new]
        assert is_on or not new
        open_now = {one.payment_id for one in card.asked} - settled - refused
        assert len(open_now) <= 1
        within = [at for at, _ in paid_at if at > card.now - HOUR and at >= NOON.replace(day=1)]
        assert len(within) <= per_hour + 1
        month = [p for at, p in paid_at if at.month == card.now.month and p not in refused]
        assert len(month) * TERMS.amount_units <= cap
