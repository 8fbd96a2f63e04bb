"""What subscriptions ask of their customer's card, and what becomes of those that are not paid."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.core.builders import ASSETS, CUSTOMER
from tests.core.plans import PLAN, SUB, Life, at, coupon, credits, fee, shop, version

from faregate.core.amounts import Number, plain, to_decimal
from faregate.core.collecting import BeginCollection, CollectionFailed, InFlight
from faregate.core.decision import SetOverdraft
from faregate.core.dunning import SubscriptionNotice, required
from faregate.core.payment_rules import PaymentRules, TopUpBounds
from faregate.core.payments import CreditPayment, PaymentCredit, credit_key
from faregate.core.renewing import lacking
from faregate.core.subscribing import CardSaved, ChangeCollection, GiveDiscount, Subscribe
from faregate.core.subscriptions import (
    Binding,
    ByCard,
    CatalogView,
    RenewalRules,
    Stretch,
    Subscription,
    Terms,
)

MONTHLY = version(1, fee("10"), credits("100"))
RULES = RenewalRules((24, 72), 168)
OTHER = "sub_two"


class Card(Life):
    """A customer whose card pays for the plan what the balance lacks."""

    def __init__(
        self,
        start: str = "2026-01-01",
        usd: str | None = None,
        catalog: CatalogView | None = None,
        **terms: Any,
    ) -> None:
        terms = {"by_card": ByCard(), **terms}
        super().__init__(catalog or shop(MONTHLY, renewals=RULES), start, usd=usd, **terms)

    def amounts(self) -> list[str]:
        """Return what the card was asked for so far, in USD."""
        return [plain(to_decimal(one.units, ASSETS["USD"].scale)) for one in self.asked]

    def begin(self, when: str, number: int = -1) -> Any:
        """Ask whether the card may be charged for what was asked."""
        return self.do(BeginCollection(CUSTOMER, self.asked[number].payment_id), when)

    def comes(self, when: str, number: int = -1) -> None:
        """Let the money come that was asked."""
        asked = self.asked[number]
        credit = PaymentCredit(
            credit_key(asked.payment_id),
            asked.payment_id,
            asked.account_id,
            asked.units,
            "payments:bank",
            asked.currency,
            asked.units,
        )
        self.do(CreditPayment(CUSTOMER, credit), when)

    def fails(self, when: str, number: int = -1, needs: Any = "payment_method") -> None:
        """Let a charge be declined."""
        name = self.asked[number].payment_id
        self.do(CollectionFailed(CUSTOMER, name, "The card was declined.", needs), when)

    def topics(self) -> list[str]:
        """Return what was told of the subscription so far."""
        return [n.topic.partition(".")[2] for n in self.book.told("subscription.")]

    def status(self, when: str) -> str:
        return self.subscription.status(at(when))

    def subscribe_again(self, when: str) -> None:
        """Subscribe a second time, under another id."""
        now = at(when)
        other = Subscription(
            OTHER,
            now,
            None,
            (Binding(PLAN, 1, now),),
            (Stretch(now),),
            Terms(by_card=ByCard()),
        )
        self.do(Subscribe(CUSTOMER, (other,)), when)


def test_the_first_payment_is_asked_of_the_card_and_begins_the_subscription() -> None:
    my = Card(usd="4")
    assert (my.amounts(), my.status("2026-01-01")) == (["6"], "action_required")
    assert my.topics() == []
    asked = my.asked[0]
    assert (asked.subscription_id, asked.account_id, asked.currency) == (SUB, "default:USD", "USD")
    assert (my.subscription.stretches, required(my.subscription)) == ((), "payment")
    wanted = InFlight(asked.payment_id, asked.units, at("2026-01-01"))
    assert my.begin("2026-01-01 00:00:01") == wanted
    my.comes("2026-01-01 00:00:02")
    assert my.status("2026-01-01 00:00:02") == "active"
    assert my.topics() == ["activated"]
    assert (my.usd("2026-01-02"), my.points("2026-01-02")) == ("0", "100")
    assert len(my.asked) == 1


def test_a_balance_that_suffices_is_not_helped() -> None:
    my = Card(usd="10")
    assert (my.amounts(), my.status("2026-01-01")) == ([], "active")


def test_a_renewal_is_asked_of_the_card_and_nobody_hears_of_a_failure() -> None:
    my = Card(usd="12").on("2026-02-01")
    assert my.amounts() == ["8"]
    my.comes("2026-02-01 00:00:05")
    assert my.topics() == ["activated", "renewed"]
    assert my.subscription.terms.overdue is None
    assert my.charged() == [("2026-01-01", "10"), ("2026-02-01", "10")]
    assert my.points("2026-02-02") == "100"
    my.on("2026-03-01")
    assert my.amounts() == ["8", "10"]


def test_a_repeat_of_the_money_pays_nothing_twice() -> None:
    my = Card(usd=None)
    my.comes("2026-01-01 00:00:02")
    my.comes("2026-01-01 00:00:03")
    assert (my.usd("2026-01-02"), my.charged()) == ("0", [("2026-01-01", "10")])


def test_one_charge_is_in_flight_however_much_time_passes() -> None:
    my = Card(usd="10").on("2026-02-01").on("2026-02-04").on("2026-02-20")
    assert my.amounts() == ["10"]
    assert my.subscription.due_at is None
    assert my.status("2026-02-20") == "active"
    my.comes("2026-02-20 01:00:00")
    assert my.charged()[-1] == ("2026-02-01", "10")
    assert my.subscription.next_renewal_at == at("2026-03-01")


def test_a_declined_renewal_is_tried_again_and_ends_the_subscription() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.fails("2026-02-01 00:01:00")
    assert my.topics() == ["activated", "payment_failed", "action_required"]
    told = SubscriptionNotice(CUSTOMER, SUB, at("2026-02-01 00:01:00"), "The card was declined.")
    assert [n.data for n in my.book.told("subscription.")[1:]] == [told, told]
    by_card = ByCard(None, 1, "The card was declined.", "payment_method")
    assert my.subscription.terms.by_card == by_card
    assert required(my.subscription) == "payment_method"
    my.on("2026-02-01 23:59:59")
    assert len(my.asked) == 1
    my.on("2026-02-02")
    assert len(my.asked) == 2
    assert required(my.subscription) is None
    my.fails("2026-02-02 00:01:00")
    my.on("2026-02-04")
    my.fails("2026-02-04 00:01:00")
    assert len(my.asked) == 3
    assert my.topics()[3:] == ["payment_failed"] * 2
    my.on("2026-02-07 23:59:59")
    assert my.status("2026-02-07 23:59:59") == "active"
    my.on("2026-02-08")
    assert my.status("2026-02-08") == "inactive"
    assert my.topics()[-1] == "deactivated"
    assert len({one.payment_id for one in my.asked}) == len(my.asked) == 3


def test_a_charge_that_is_declined_after_the_grace_ends_it_then_and_not_before() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.fails("2026-02-11")
    assert my.status("2026-02-10 23:59:59") == "active"
    assert my.status("2026-02-11") == "inactive"
    assert len(my.asked) == 1


def test_a_charge_that_is_declined_as_the_grace_ends_ends_it() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.fails("2026-02-08")
    assert my.status("2026-02-08") == "inactive"


def test_what_was_had_before_is_kept_while_it_waits_to_begin_again() -> None:
    my = Card(usd="10")
    my.cancel("2026-01-15", at="now")
    my.reactivate("2026-03-01")
    assert (my.status("2026-03-01"), my.amounts()) == ("action_required", ["10"])
    assert my.subscription.stretches == (Stretch(at("2026-01-01"), at("2026-01-15")),)
    my.comes("2026-03-01 00:01:00")
    assert my.status("2026-03-02") == "active"


def test_without_grace_the_card_still_has_its_try() -> None:
    catalog = shop(MONTHLY, renewals=RenewalRules((), 0))
    my = Card(usd="10", catalog=catalog).on("2026-02-01")
    assert (my.amounts(), my.status("2026-02-01")) == (["10"], "active")
    my.fails("2026-02-01 00:01:00")
    assert my.status("2026-02-01 00:01:00") == "inactive"
    paid = Card(usd="10", catalog=catalog).on("2026-02-01")
    paid.comes("2026-02-01 00:01:00")
    assert paid.status("2026-02-01 00:01:00") == "active"


def test_another_card_is_asked_at_once() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.do(CardSaved(CUSTOMER), "2026-02-01 00:00:30")
    assert len(my.asked) == 1
    my.fails("2026-02-01 00:01:00")
    my.do(CardSaved(CUSTOMER), "2026-02-01 06:00:00")
    assert my.amounts() == ["10", "10"]
    # A repeat finds it in flight.
    my.do(CardSaved(CUSTOMER), "2026-02-01 06:00:01")
    assert len(my.asked) == 2
    my.comes("2026-02-01 06:01:00")
    assert my.subscription.terms.by_card == ByCard()
    assert my.topics()[-1] == "renewed"


def test_a_first_payment_that_is_declined_waits_for_a_person() -> None:
    my = Card(usd=None)
    my.fails("2026-01-01 00:01:00", needs="payment")
    assert (my.topics(), required(my.subscription)) == (["action_required"], "payment")
    my.on("2026-03-01")
    assert len(my.asked) == 1
    my.pay("10", "2026-03-02")
    assert my.status("2026-03-02") == "active"
    assert my.subscription.terms.by_card == ByCard()
    again = Card(usd=None)
    again.fails("2026-01-01 00:01:00")
    assert required(again.subscription) == "payment_method"
    again.do(CardSaved(CUSTOMER), "2026-01-02")
    again.comes("2026-01-02 00:00:01")
    assert again.status("2026-01-02 00:00:01") == "active"


def test_without_a_card_it_waits_for_one_and_then_asks_it() -> None:
    my = Card(usd="100", has_card=False)
    assert (my.topics(), required(my.subscription)) == (["action_required"], "payment_method")
    my.pay("1", "2026-01-02")
    assert my.status("2026-01-02") == "action_required"
    my.do(CardSaved(CUSTOMER), "2026-01-03")
    assert (my.status("2026-01-03"), my.usd("2026-01-03")) == ("active", "91")
    assert my.asked == []
    poor = Card(usd=None, has_card=False)
    poor.do(CardSaved(CUSTOMER), "2026-01-03")
    assert poor.amounts() == ["10"]


def test_a_trial_that_needs_a_card_begins_by_itself_when_there_is_one() -> None:
    my = Card(usd=None, has_card=False, by_card=None, trial_ends_at=at("2026-01-15"))
    assert required(my.subscription) == "payment_method"
    my.do(CardSaved(CUSTOMER), "2026-01-02")
    assert (my.status("2026-01-02"), my.points("2026-01-02")) == ("active", "100")


def test_what_is_paid_in_another_way_is_not_charged_any_more() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.pay("10", "2026-02-01 00:00:30")
    assert my.charged()[-1] == ("2026-02-01", "10")
    assert my.begin("2026-02-01 00:01:00") is None
    assert my.subscription.terms.charge is None
    # What had been begun is credit.
    late = Card(usd="10").on("2026-02-01")
    assert late.begin("2026-02-01 00:00:10") is not None
    late.pay("10", "2026-02-01 00:00:30")
    late.comes("2026-02-01 00:01:00")
    assert late.usd("2026-02-02") == "10"
    # Where it was declined, that is nobody's matter any more.
    declined = Card(usd="10").on("2026-02-01")
    declined.pay("10", "2026-02-01 00:00:30")
    declined.fails("2026-02-01 00:01:00")
    assert declined.subscription.terms.by_card == ByCard()
    assert declined.topics() == ["activated", "renewed"]


def test_what_is_over_is_not_charged_any_more() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.cancel("2026-02-01 00:00:30", at="now")
    assert my.begin("2026-02-01 00:01:00") is None
    first = Card(usd=None)
    first.do(ChangeCollection(CUSTOMER, SUB, False), "2026-01-01 00:00:10")
    assert first.begin("2026-01-01 00:01:00") is None
    assert first.status("2026-01-01 00:01:00") == "action_required"


def test_who_changes_to_the_card_is_charged_what_is_due_at_once() -> None:
    my = Card(usd="10", by_card=None).on("2026-02-01")
    assert (my.asked, required(my.subscription)) == ([], "payment")
    my.do(ChangeCollection(CUSTOMER, SUB, True), "2026-02-01 12:00:00")
    assert my.amounts() == ["10"]
    my.do(ChangeCollection(CUSTOMER, SUB, True), "2026-02-01 12:00:01")
    assert len(my.asked) == 1


def test_a_card_pays_no_fraction_of_a_cent() -> None:
    my = Card(usd="9.99999999")
    assert my.amounts() == ["0.01"]
    my.comes("2026-01-01 00:00:01")
    assert my.usd("2026-01-01 00:00:02") == "0.00999999"


def test_a_debt_is_paid_with_what_is_due() -> None:
    my = Card(usd="10").on("2026-01-02")
    my.spend("3", "2026-01-03")
    my.on("2026-02-01")
    assert my.amounts() == ["13"]


def test_what_no_card_pays_is_told_as_before() -> None:
    my = Card(usd="5", catalog=shop(version(1, fee("10", asset="POINTS"))))
    assert (my.asked, my.topics()) == ([], ["action_required"])
    (notice,) = my.book.told("subscription.")
    detail = "10 is needed and default:POINTS has 0: top up at least 10"
    assert notice.data == SubscriptionNotice(CUSTOMER, SUB, at("2026-01-01"), detail)
    assert required(my.subscription) == "payment"


@pytest.mark.parametrize("first", [0, 1])
def test_two_that_wait_are_charged_what_both_need_in_whatever_order_it_comes(first: int) -> None:
    my = Card(usd="5")
    my.subscribe_again("2026-01-01 00:00:01")
    # The one counts on the 5, so the other does not.
    assert my.amounts() == ["5", "10"]
    my.comes("2026-01-01 00:00:02", first)
    my.comes("2026-01-01 00:00:03", 1 - first)
    assert [s.status(at("2026-01-01 00:00:04")) for s in my.book.state.subscriptions] == [
        "active",
        "active",
    ]
    assert (my.usd("2026-01-02"), len(my.asked)) == ("0", 2)


def test_what_was_used_meanwhile_is_asked_too() -> None:
    my = Card(usd="15").on("2026-02-01")
    assert my.amounts() == ["5"]
    my.spend("2", "2026-02-01 00:00:01")
    my.comes("2026-02-01 00:00:02")
    assert my.amounts() == ["5", "2"]
    my.comes("2026-02-01 00:00:03")
    assert my.topics()[-1] == "renewed"


def test_what_is_lacking_is_said_without_changing_anything() -> None:
    my = Card(usd="4")
    short = lacking(my.book.state, my.book.catalog, my.subscription, at("2026-01-02"))
    assert short is not None
    assert (short.account_id, short.units) == ("default:USD", my.asked[0].units)
    my.comes("2026-01-03")
    assert lacking(my.book.state, my.book.catalog, my.subscription, at("2026-01-04")) is None


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hours"), st.integers(1, 400)),
        st.tuples(st.sampled_from(["comes", "fails", "begin"]), st.integers(0, 5)),
        st.tuples(st.sampled_from(["pay", "spend"]), st.integers(1, 12)),
        st.tuples(st.sampled_from(["card", "again", "cancel", "wallet", "by card"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(_STEPS)
def test_whatever_happens_no_period_is_paid_twice_and_one_charge_is_in_flight(
    steps: list[tuple[str, int]],
) -> None:
    my, hours, came = Card(usd="7"), 0, set[int]()
    failed = set[int]()
    for step, number in steps:
        hours += number if step == "hours" else 0
        when = f"{at('2026-01-01') + timedelta(hours=hours):%Y-%m-%d %H:%M:%S}"
        open_ones = [i for i in range(len(my.asked)) if i not in came | failed]
        if step == "hours":
            my.on(when)
        elif step in ("comes", "fails", "begin"):
            if not open_ones:
                continue
            which = open_ones[number % len(open_ones)]
            if step == "begin":
                if my.begin(when, which) is None:
                    failed.add(which)
            elif step == "comes":
                my.comes(when, which)
                came.add(which)
            else:
                my.fails(when, which)
                failed.add(which)
        elif step == "pay":
            my.pay(str(number), when)
        elif step == "spend":
            my.spend(str(number), when)
        elif step == "card":
            my.do(CardSaved(CUSTOMER), when)
        elif step == "again" and len(my.book.state.subscriptions) == 1:
            my.subscribe_again(when)
        elif step == "cancel":
            my.cancel(when, at="now")
        elif step in ("wallet", "by card"):
            my.do(ChangeCollection(CUSTOMER, SUB, step == "by card"), when)
        flying = [s.terms.charge for s in my.book.state.subscriptions if s.terms.charge]
        assert len({c.payment_id for c in flying}) == len(flying) <= 2
        settled = {my.asked[i].payment_id for i in came | failed}
        assert not settled & {c.payment_id for c in flying}
        unknown = [c.subscription_id for c in my.asked if c.payment_id not in settled]
        assert len(set(unknown)) == len(unknown)
    paid_for = [(f.request.subscription_id, f.request.due_at) for f in my.fees]
    assert len(set(paid_for)) == len(paid_for)
    assert len({one.payment_id for one in my.asked}) == len(my.asked)
    by_card = sum(t.units for t in my.book.transfers if t.from_account == "payments:bank")
    assert by_card == sum(my.asked[i].units for i in came)


def test_who_leaves_the_card_and_comes_back_has_one_charge_in_flight() -> None:
    my = Card(usd="10").on("2026-02-01")
    assert my.begin("2026-02-01 00:00:01") is not None
    my.do(ChangeCollection(CUSTOMER, SUB, False), "2026-02-01 00:00:02")
    my.do(ChangeCollection(CUSTOMER, SUB, True), "2026-02-01 00:00:03")
    assert len(my.asked) == 1
    my.comes("2026-02-01 00:00:04")
    assert (my.usd("2026-02-02"), my.subscription.terms.by_card) == ("0", ByCard())


def test_who_leaves_the_card_is_told_to_pay_once_it_is_known_that_it_is_not_charged() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.do(ChangeCollection(CUSTOMER, SUB, False), "2026-02-01 00:00:02")
    assert my.topics() == ["activated"]
    assert my.begin("2026-02-01 00:00:03") is None
    assert my.topics() == ["activated", "payment_failed", "action_required"]
    assert (my.subscription.terms.by_card, required(my.subscription)) == (None, "payment")
    my.on("2026-02-08")
    assert (my.status("2026-02-08"), len(my.asked)) == ("inactive", 1)
    # What was charged already is paid with.
    paid = Card(usd="10").on("2026-02-01")
    paid.do(ChangeCollection(CUSTOMER, SUB, False), "2026-02-01 00:00:02")
    paid.comes("2026-02-01 00:00:03")
    assert (paid.topics()[-1], paid.subscription.terms.by_card) == ("renewed", None)


def test_what_is_cancelled_with_a_period_that_is_not_paid_ends_and_is_not_charged() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.cancel("2026-02-01 00:00:30")
    assert my.begin("2026-02-01 00:01:00") is None
    assert (my.status("2026-02-01 00:01:00"), my.topics()[-1]) == ("inactive", "deactivated")
    assert my.subscription.terms.overdue is None


def test_what_waits_for_money_begins_where_it_has_become_free() -> None:
    free = version(2, credits("100"))
    my = Card(usd=None, catalog=shop(MONTHLY, free, renewals=RULES))
    my.move(2, "2026-01-01 00:00:01")
    assert my.status("2026-01-01 00:00:01") == "active"
    assert my.begin("2026-01-01 00:00:02") is None
    poor = Card(usd=None, by_card=None, catalog=shop(MONTHLY, coupons=(coupon("100"),)))
    poor.do(GiveDiscount(CUSTOMER, SUB, "ONE"), "2026-01-05")
    assert (poor.status("2026-01-05"), poor.charged()) == ("active", [("2026-01-05", "0")])


def test_a_card_is_not_charged_less_than_the_account_takes() -> None:
    catalog = shop(MONTHLY, renewals=RULES)
    rules = PaymentRules(top_ups={"USD": TopUpBounds(minimum=Number("0.50"))})
    my = Card(usd="9.80", catalog=structs.replace(catalog, payments=rules))
    assert my.amounts() == ["0.5"]
    my.comes("2026-01-01 00:00:01")
    assert (my.status("2026-01-02"), my.usd("2026-01-02")) == ("active", "0.3")


def test_after_a_charge_that_took_long_the_tries_that_it_missed_are_one() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.fails("2026-02-05")
    assert (len(my.asked), my.asked[-1].asked_at) == (2, at("2026-02-05"))
    my.fails("2026-02-05 00:00:01")
    my.on("2026-02-07 23:59:59")
    assert len(my.asked) == 2
    my.on("2026-02-08")
    assert my.status("2026-02-08") == "inactive"


def test_what_the_balance_pays_by_now_is_not_charged() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.do(SetOverdraft(CUSTOMER, "default:USD", "limit", 10**10), "2026-02-01 00:00:01")
    assert my.begin("2026-02-01 00:00:02") is None
    assert my.charged()[-1] == ("2026-02-01", "10")
    assert my.topics()[-1] == "renewed"


def test_a_charge_that_failed_and_came_in_all_the_same_pays_once() -> None:
    my = Card(usd="10").on("2026-02-01")
    my.fails("2026-02-01 00:01:00")
    my.on("2026-02-02")
    assert len(my.asked) == 2
    my.comes("2026-02-02 00:00:01", 0)
    assert (my.topics()[-1], my.usd("2026-02-02 00:00:02")) == ("renewed", "0")
    assert my.begin("2026-02-02 00:00:03") is None
    my.comes("2026-02-02 00:00:04", 0)
    assert (my.usd("2026-02-02 00:00:05"), len(my.asked)) == ("0", 2)
    assert my.subscription.terms.by_card == ByCard()
