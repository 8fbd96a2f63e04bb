"""Lives that turn more than once: what was arranged for later is still so after a pause, what was
not paid is not given back, and two things at one instant are two things."""

from __future__ import annotations

from tests.core.builders import CUSTOMER
from tests.core.plans import PLAN, SUB, Life, at, commitment, credits, fee, shop, version

from faregate.core.subscribing import ChangeSubscription, Subscribe
from faregate.core.subscriptions import Binding, Stretch, Subscription, Terms

CHEAP = version(1, fee("31"))
DEAR = version(2, fee("310", id="prc_dear"))


def names(life: Life) -> list[str]:
    return [one.id for one in life.fees]


# Several periods in one subscription


def test_a_shorter_period_that_the_end_cuts_costs_its_part() -> None:
    plan = version(1, fee("31"), fee("7", "week", id="prc_week"))
    life = Life(shop(plan), "2026-01-01", usd="1000")
    life.cancel("2026-01-02")
    # Weeks begin on 1, 8, 15, 22 and 29 January; the last has three days only.
    assert life.usd("2026-03-01") == str(1000 - 31 - 7 * 4 - 3)


def test_a_downgrade_waits_for_the_price_and_not_for_the_credit_of_the_day() -> None:
    daily = credits("5", "day")
    more = credits("5", "day", id="ent_more")
    life = Life(
        shop(version(1, fee("31"), daily), version(2, fee("3.1", id="prc_less"), more)),
        "2026-01-01",
        usd="1000",
    )
    life.move(2, "2026-01-02 12:00")
    assert life.usd("2026-01-31") == "969"
    assert life.usd("2026-02-01") == "965.9"


def test_fewer_seats_wait_for_the_price_and_not_for_the_credit_of_the_day() -> None:
    life = Life(
        shop(version(1, fee("31", seats=1), credits("5", "day"))),
        "2026-01-01",
        usd="1000",
        quantities={"prp_plan": 3},
    )
    life.seats(1, "2026-01-02 12:00")
    assert life.usd("2026-01-31") == str(1000 - 93)
    assert life.usd("2026-02-01") == str(1000 - 93 - 31)


def test_a_default_that_moves_is_followed_from_the_next_period_of_the_price() -> None:
    catalog = shop(
        version(1, fee("31"), credits("5", "day")),
        version(2, fee("310", id="prc_dear"), credits("5", "day", id="ent_two")),
        defaults=(("2000-01-01", 1), ("2026-01-10", 2)),
    )
    life = Life(catalog, "2026-01-01", usd="1000", number=None)
    assert life.usd("2026-01-31") == "969"
    assert life.usd("2026-02-01") == "659"


# Pauses


def test_a_cancellation_outlives_a_pause() -> None:
    life = Life(shop(CHEAP), "2026-01-01", usd="1000")
    life.cancel("2026-01-05")
    life.pause("2026-01-11")
    life.resume("2026-01-21")
    assert life.usd("2026-06-01") == "969"
    assert life.subscription.status(at("2026-02-10")) == "active"
    assert life.subscription.status(at("2026-02-11")) == "inactive"


def test_seats_that_change_in_a_pause_are_charged() -> None:
    life = Life(shop(version(1, fee("31", seats=1))), "2026-01-01", usd="1000")
    life.pause("2026-01-11")
    life.seats(2, "2026-01-15")
    # 21 of 31 days are left.
    assert life.usd("2026-01-15") == str(1000 - 31 - 21)
    life.resume("2026-01-21")
    assert life.usd("2026-02-10") == str(1000 - 31 - 21)
    assert life.usd("2026-02-11") == str(1000 - 31 - 21 - 62)


def test_a_move_in_a_pause_costs_what_it_does_where_the_period_stands() -> None:
    life = Life(shop(CHEAP, DEAR), "2026-01-01", usd="1000")
    life.pause("2026-01-11")
    life.move(2, "2026-01-15", effective="now")
    life.resume("2026-01-21")
    assert life.subscription.bindings[-1].from_at <= at("2026-01-21")
    assert life.usd("2026-02-10") == str(1000 - 31 - 210 + 21)
    assert life.usd("2026-02-11") == str(1000 - 31 - 210 + 21 - 310)


def test_a_move_that_is_planned_stands_still_in_a_pause() -> None:
    life = Life(shop(CHEAP, DEAR), "2026-01-01", usd="1000", number=2)
    life.move(1, "2026-01-05")
    life.pause("2026-01-11")
    life.resume("2026-01-21")
    newest = life.subscription.bindings[-1]
    assert (newest.version, newest.from_at) == (1, at("2026-02-11"))
    assert life.usd("2026-02-11") == str(1000 - 310 - 31)


def test_a_pause_is_not_charged_in_arrears_where_it_is_followed_by_the_end() -> None:
    life = Life(shop(version(1, fee("31", arrears=True))), "2026-01-01", usd="1000")
    life.pause("2026-01-11")
    life.cancel("2026-01-25", at="now")
    assert life.usd("2026-03-01") == "990"


def test_who_ends_in_a_pause_gets_back_what_was_left_when_it_began() -> None:
    life = Life(shop(CHEAP), "2026-01-01", usd="1000")
    life.pause("2026-01-11")
    life.cancel("2026-01-25", at="now", proration="prorate")
    assert life.usd("2026-03-01") == "990"


def test_who_ends_in_a_pause_owes_the_minimum_up_to_it() -> None:
    life = Life(shop(version(1, commitment("31"))), "2026-01-01", usd="1000")
    life.pause("2026-01-11")
    life.cancel("2026-01-25", at="now")
    assert life.usd("2026-03-01") == "990"


def test_a_trial_stands_still_in_a_pause() -> None:
    monthly, yearly = version(1, fee("10")), version(2, fee("120", "year", id="prc_year"))
    trial = {"trial_ends_at": at("2026-01-15")}
    life = Life(shop(monthly, yearly), "2026-01-01", usd="1000", **trial)
    life.pause("2026-01-05")
    life.resume("2026-01-25")
    assert life.subscription.terms.trial_ends_at == at("2026-02-04")
    life.move(2, "2026-01-26", effective="now")
    assert life.usd("2026-02-03") == "1000"
    assert life.usd("2026-02-04") == "880"


def test_included_credit_lasts_as_long_as_its_period_after_a_pause() -> None:
    plan = version(1, fee("10"), credits("100"))
    life = Life(shop(plan), "2026-01-01")
    life.pause("2026-01-11")
    life.resume("2026-03-01")
    assert life.points("2026-03-21 23:59") == "100"


# What was not paid is not given back


def test_a_move_that_charged_nothing_gives_nothing_back() -> None:
    life = Life(shop(CHEAP, DEAR), "2026-01-01", usd="1000")
    life.move(2, "2026-01-11", effective="now", proration="none")
    assert life.usd("2026-01-11") == "969"
    life.cancel("2026-01-11", at="now", proration="prorate")
    # What was paid for the 21 days is 21.
    assert life.usd("2026-01-11") == "990"


def test_seats_that_came_for_nothing_are_not_given_back() -> None:
    life = Life(shop(version(1, fee("31", seats=1))), "2026-01-01", usd="1000")
    life.seats(10, "2026-01-11", proration="none")
    life.seats(1, "2026-01-21", proration="prorate")
    # 11 days of one seat were paid, and are charged again.
    assert life.usd("2026-01-21") == "969"


def test_a_move_without_proration_into_arrears_asks_nothing_twice() -> None:
    life = Life(
        shop(CHEAP, version(2, fee("31", arrears=True, id="prc_later"))), "2026-01-01", usd="1000"
    )
    life.move(2, "2026-01-11", effective="now", proration="none")
    assert life.usd("2026-02-01") == "969"
    assert life.usd("2026-03-01") == "938"


# Arranged for later


def test_seats_that_were_to_be_fewer_stay_if_that_is_taken_back() -> None:
    life = Life(
        shop(version(1, fee("31", seats=1))), "2026-01-01", quantities={"prp_plan": 5}, usd="1000"
    )
    life.seats(3, "2026-01-05")
    life.seats(5, "2026-01-06")
    assert life.usd("2026-02-01") == str(1000 - 31 * 10)


def test_more_seats_leave_a_planned_downgrade_as_it_is() -> None:
    dear, cheap = version(1, fee("310", seats=1)), version(2, fee("31", seats=1, id="prc_less"))
    life = Life(shop(dear, cheap), "2026-01-01", usd="10000")
    life.move(2, "2026-01-05")
    life.seats(2, "2026-01-05", effective="now")
    before = life.usd("2026-01-31")
    assert float(life.usd("2026-02-01")) == float(before) - 62


def test_a_renewal_is_told_also_where_a_move_begins_with_it() -> None:
    life = Life(shop(CHEAP, DEAR), "2026-01-01", number=2)
    life.move(1, "2026-01-05")
    life.on("2026-02-01")
    assert [n.topic for n in life.book.told("subscription")] == [
        "subscription.activated",
        "subscription.renewed",
    ]


def test_what_was_asked_once_by_another_version_makes_no_renewal_a_move() -> None:
    first = version(1, fee("5", "once", id="prc_once"), fee("31"), fee("365", "year", id="prc_y"))
    second = version(2, fee("31", id="prc_two"), fee("365", "year", id="prc_y2"))
    life = Life(shop(first, second), "2026-01-01")
    life.move(2, "2026-01-10", effective="now")
    life.on("2026-04-01")
    assert [len(one.request.lines) for one in life.fees[-2:]] == [1, 1]


# Once


def test_what_was_asked_once_is_not_asked_again_by_another_version() -> None:
    first = version(1, fee("5", "once", id="prc_once"), fee("31"))
    second = version(2, fee("5", "once", id="prc_once2"), fee("31", id="prc_two"))
    life = Life(shop(first, second), "2026-01-01")
    life.move(2, "2026-01-01", effective="now")
    life.cancel("2026-01-01", at="now", proration="prorate")
    life.reactivate("2026-02-01")
    assert life.usd("2026-02-01") == str(1000 - 5 - 31)


def test_credit_that_is_given_once_is_not_given_again_by_another_version() -> None:
    first = version(1, fee("31"), credits("100", refresh=None))
    second = version(2, fee("31", id="prc_two"), credits("100", refresh=None, id="ent_two"))
    life = Life(shop(first, second), "2026-01-01")
    life.move(2, "2026-01-05", effective="now")
    assert life.points("2026-01-05") == "100"
    life.cancel("2026-01-06", at="now")
    life.reactivate("2026-01-07")
    assert life.points("2026-01-07") == "100"


def test_rolled_over_credit_of_another_version_ends_with_its_periods() -> None:
    first = version(1, fee("31"), credits("100", refresh="rollover", periods=1))
    second = version(
        2, fee("310", id="prc_two"), credits("1000", refresh="rollover", periods=1, id="ent_two")
    )
    life = Life(shop(first, second), "2026-01-01", usd="10000")
    life.move(2, "2026-01-01", effective="now")
    assert life.points("2026-02-28") == "2000"
    assert life.points("2026-03-01") == "2000"


# Two things at one instant


def test_a_move_at_the_instant_of_a_renewal_has_an_entry_of_its_own() -> None:
    yearly = version(2, fee("365", "year", id="prc_year"), credits("9", "year", id="ent_year"))
    life = Life(shop(version(1, fee("31"), credits("7")), yearly), "2026-01-01", usd="1000")
    life.on("2026-02-01")
    life.move(2, "2026-02-01", effective="now")
    assert len(set(names(life))) == len(names(life))


def test_begun_and_ended_and_begun_at_one_instant_are_three_things() -> None:
    life = Life(shop(version(1, fee("31"), credits("100"))), "2026-01-01", usd="1000")
    life.cancel("2026-01-01", at="now")
    life.reactivate("2026-01-01")
    assert len(set(names(life))) == len(names(life)) == 2
    grants = [g.id for g in life.book.state.account("default:POINTS").grants]
    assert len(set(grants)) == len(grants) == 2


def test_ended_without_money_and_begun_again_at_one_instant_has_its_own_entries() -> None:
    life = Life(shop(version(1, fee("31", arrears=True), fee("5", "once"))), "2026-01-01", usd="36")
    life.cancel("2026-01-05")
    life.on("2026-02-01")
    life.reactivate("2026-02-01")
    life.pay("100", "2026-02-01")
    life.cancel("2026-02-01", at="now")
    assert len(set(names(life))) == len(names(life))


def test_a_move_in_two_accounts_has_an_entry_for_each() -> None:
    first = version(1, fee("31"), fee("31", asset="EUR", id="prc_eur"))
    second = version(2, fee("62", id="prc_two"), fee("62", asset="EUR", id="prc_two_eur"))
    life = Life(shop(first, second), "2026-01-01", usd="1000")
    life.pay("1000", "2026-01-01", asset="EUR")
    life.move(2, "2026-01-11", effective="now")
    assert len(set(names(life))) == len(names(life)) == 4
    life.cancel("2026-01-11", at="now", proration="prorate")
    assert len(set(names(life))) == len(names(life)) == 6
    assert len(life.book.state.account("default:USD").grants) == 2
    used = {g.id for a in ("USD", "EUR") for g in life.book.state.account(f"default:{a}").grants}
    assert len(used) == 4


# Unpaid


def test_an_unpaid_period_is_not_left_out_by_a_move() -> None:
    cheap = version(2, fee("28", id="prc_less"))
    life = Life(shop(version(1, fee("310")), cheap), "2026-01-01", usd="340")
    life.on("2026-02-04")
    assert life.subscription.terms.overdue is not None
    life.move(2, "2026-02-05", effective="now")
    assert life.subscription.terms.overdue is None
    assert life.usd("2026-02-05") == "2"
    assert life.subscription.next_renewal_at == at("2026-03-01")


def test_a_paused_subscription_can_be_switched_off_for_good() -> None:
    life = Life(shop(version(1, fee("31"), credits("100"))), "2026-01-01")
    life.pause("2026-01-11", until="2026-02-01")
    life.do(ChangeSubscription(CUSTOMER, SUB, False), "2026-01-21")
    # Of its credit what was left of the period is left.
    assert life.points("2026-02-10 23:00") == "100"
    assert life.points("2026-02-11") == "0"
    assert life.usd("2026-06-01") == "969"


def test_what_is_ended_while_it_waits_to_begin_again_is_over() -> None:
    life = Life(shop(version(1, fee("31"))), "2026-01-01", usd="31")
    life.cancel("2026-01-05", at="now")
    life.reactivate("2026-01-06")
    assert life.subscription.terms.needs == "payment"
    life.cancel("2026-01-07")
    life.pay("1000", "2026-01-08")
    assert life.usd("2026-06-01") == "1000"
    assert life.subscription.status(at("2026-06-01")) == "inactive"


def test_to_end_and_begin_anew_is_no_way_around_what_is_unpaid() -> None:
    life = Life(shop(version(1, fee("31", arrears=True))), "2026-01-01", usd="30")
    life.on("2026-02-01")
    life.cancel("2026-02-02")
    life.reactivate("2026-02-02")
    life.pay("100", "2026-02-03")
    assert life.charged() == [("2026-02-01", "31")]
    assert life.usd("2026-03-01") == "68"


def test_what_one_subscription_gives_back_lets_another_begin() -> None:
    life = Life(shop(version(1, fee("31"))), "2026-01-01", usd="31")
    other = Subscription(
        "sub_two",
        at("2026-01-01"),
        None,
        (Binding(PLAN, 1, at("2026-01-01")),),
        (Stretch(at("2026-01-01")),),
        Terms(),
    )
    life.do(Subscribe(CUSTOMER, (other,)), "2026-01-01")
    assert life.book.state.subscriptions[1].terms.needs == "payment"
    life.cancel("2026-01-01", at="now", proration="prorate")
    assert life.book.state.subscriptions[1].terms.needs is None
    assert life.usd("2026-01-01") == "0"


def test_credit_without_an_end_has_none_after_a_move_in_a_pause() -> None:
    rolling = [credits(n, refresh="rollover", id=f"ent_{n}") for n in ("100", "200")]
    life = Life(
        shop(version(1, fee("31"), rolling[0]), version(2, fee("31", id="prc_two"), rolling[1])),
        "2026-01-01",
    )
    life.pause("2026-01-11")
    life.move(2, "2026-01-15", effective="now", credits="replace")
    life.resume("2026-01-21")
    assert life.points("2026-02-10") == "200"
    assert life.points("2026-02-11") == "400"


def test_credit_that_begins_later_stays_where_other_credit_is_taken_back() -> None:
    life = Life(shop(version(1, fee("31"), credits("100"))), "2026-01-01")
    life.pay("7", "2026-01-01", asset="POINTS", effective_at=at("2026-02-01"))
    life.pay("5", "2026-01-01", asset="POINTS")
    life.cancel("2026-01-05", at="now", credits="lapse")
    assert life.points("2026-01-05") == "5"
    assert life.points("2026-02-01") == "12"
