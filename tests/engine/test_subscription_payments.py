"""A saved card pays what the balance lacks for a subscription: its first period and those that
follow, once each; whoever cannot pay is asked to do something, and in the end it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.doubles.cards import Bank
from tests.engine.test_auto_top_ups import Killed, leave_card
from tests.ledger.plans import monthly, sell_plan
from tests.ledger.shop import Clock, assert_clean, available, give, refusal, tell

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.payment_rules import PaymentRules, TopUpBounds
from faregate.core.problems import CONFLICT
from faregate.core.subscribing import Subscribe
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.payments.provider import Money, SavedCard
from faregate.payments.types import BeginSetup
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock

PAGE = "https://shop.example/pay"
BY_CARD = CreateSubscription(
    [SubscribedProduct(code="pro")], collection_method="charge_automatically"
)


class Shop:
    """An engine, a bank, and a customer who has a card, or has none."""

    def __init__(self, engine: Engine, bank: Bank, clock: Clock, customer_id: str) -> None:
        self.engine, self.bank, self.clock, self.customer_id = engine, bank, clock, customer_id

    async def subscribe(self, request: CreateSubscription = BY_CARD) -> Any:
        return await self.engine.create_subscription(self.customer_id, request)

    async def shown(self) -> Any:
        (found,) = await self.engine.list_subscriptions(self.customer_id, base_url="https://us")
        return found

    async def balance(self) -> int:
        return int(await available(self.engine, self.customer_id))

    async def later(self, **by: float) -> None:
        self.clock.move(**by)
        await self.engine.work()
        await self.engine.take_up_collections()
        await self.engine.reconcile_payments()

    def charged(self) -> list[int]:
        return [asked.money.minor for asked in self.bank.charged.values()]

    async def told(self, topic: str) -> int:
        async with self.engine._store.transaction() as transaction:
            rows = await transaction.fetch("SELECT topic FROM outbox ORDER BY seq")
        return [row[0] for row in rows].count(topic)


@asynccontextmanager
async def shop(url: str, *, has_card: bool = True) -> AsyncIterator[Shop]:
    clock, bank = Clock(), Bank()
    async with Engine.open(url, clock=clock, payments=[bank]) as engine:
        await sell_plan(engine)
        customer_id = (await engine.create_customer(CreateCustomer(name="Ada"))).id
        if has_card:
            await leave_card(engine, customer_id)
        yield Shop(engine, bank, clock, customer_id)
        await assert_clean(engine)


def test_the_card_pays_the_first_period_and_every_one_that_follows(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            made = await my.subscribe()
            assert (made.status, made.collection.failures) == ("action_required", 0)
            assert made.collection.in_flight.startswith("tup_")
            await my.later(seconds=1)
            shown = await my.shown()
            assert (shown.status, shown.collection) == ("active", None)
            assert (my.charged(), await my.balance()) == ([1_000], 0)
            for _ in range(3):
                await my.later(days=31)
                assert (await my.shown()).status == "active"
            assert (my.charged(), await my.balance()) == ([1_000] * 4, 0)
            top_ups = (await my.engine.list_top_ups(my.customer_id)).items
            assert [(one.kind, one.status) for one in top_ups] == [
                ("subscription", "succeeded")
            ] * 4
            receipt = await my.engine.get_receipt(top_ups[0].id)
            assert receipt.description == f"Subscription to {receipt.seller}"
            assert await my.told("subscription.payment_failed") == 0
            assert await my.told("subscription.renewed") == 3
            assert await my.told("top_up.succeeded") == 4

    tell(story())


def test_credit_that_is_there_is_used_first(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            await give(my.engine, my.customer_id, "13.5", "a gift")
            assert (await my.subscribe()).status == "active"
            await my.later(days=31)
            assert (my.charged(), await my.balance()) == ([650], 0)

    tell(story())


def test_whoever_cannot_pay_is_asked_to_and_is_not_served_any_more(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            await my.subscribe()
            await my.later(seconds=1)
            my.bank.next = ["declined"] * 10
            await my.later(days=31)
            shown = await my.shown()
            assert (shown.status, shown.collection.failures) == ("active", 1)
            assert shown.collection.problem == "The card was declined."
            (action,) = shown.required_actions
            assert action.type == "payment_method"
            assert action.redirect_url == f"https://us/pay/{my.customer_id}/{shown.id}"
            for _ in range(6):
                await my.later(days=1)
            assert (await my.shown()).collection.failures == 4
            await my.later(days=1)
            shown = await my.shown()
            assert (shown.status, shown.required_actions) == ("inactive", None)
            assert my.charged() == [1_000]
            assert await my.told("subscription.payment_failed") == 4
            assert await my.told("subscription.action_required") == 1
            assert await my.told("subscription.deactivated") == 1
            # It stays over.
            my.bank.next = []
            await my.later(days=40)
            assert my.charged() == [1_000]

    tell(story())


def test_another_card_pays_at_once_what_the_first_one_did_not(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = ["declined"]
            await my.subscribe()
            await my.later(seconds=1)
            (action,) = (await my.shown()).required_actions
            assert action.type == "payment_method"
            (card,) = await my.engine.list_payment_methods(my.customer_id)
            await my.engine.make_default_method(my.customer_id, card.id)
            await my.later(seconds=1)
            assert ((await my.shown()).status, my.charged()) == ("active", [1_000])

    tell(story())


def test_without_a_card_nothing_begins_and_nothing_is_charged(database_url: str):
    async def story() -> None:
        async with shop(database_url, has_card=False) as my:
            made = await my.subscribe()
            assert [a.type for a in made.required_actions] == ["payment_method"]
            await my.later(days=40)
            assert my.bank.asked == []
            assert (await my.shown()).status == "action_required"

    tell(story())


def test_a_card_that_is_gone_at_the_renewal_is_asked_for(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            await my.subscribe()
            await my.later(seconds=1)
            (card,) = await my.engine.list_payment_methods(my.customer_id)
            await my.engine.remove_payment_method(my.customer_id, card.id)
            await my.later(days=31)
            shown = await my.shown()
            assert shown.collection.problem == "The customer has no saved card that can be charged."
            assert [a.type for a in shown.required_actions] == ["payment_method"]

    tell(story())


@pytest.mark.parametrize("trouble", ["silent", "down"])
def test_a_bank_that_does_not_answer_charges_once(database_url: str, trouble: str):
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = [trouble, trouble]
            await my.subscribe()
            await my.later(seconds=1)
            assert (await my.shown()).status == "action_required"
            for _ in range(4):
                await my.later(minutes=10)
            assert ((await my.shown()).status, my.charged()) == ("active", [1_000])
            assert await my.balance() == 0

    tell(story())


def test_a_process_that_dies_after_the_charge_pays_the_period_once(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:

            async def killed(*_given: Any) -> None:
                raise Killed

            await my.subscribe()
            my.engine._book = killed  # type: ignore[method-assign]
            with pytest.raises(Killed):
                await my.engine.take_up_collections()
            clock, bank, customer_id = my.clock, my.bank, my.customer_id
        async with Engine.open(database_url, clock=clock, payments=[bank]) as engine:
            again = Shop(engine, bank, clock, customer_id)
            await again.later(minutes=10)
            await again.later(minutes=10)
            assert ((await again.shown()).status, again.charged()) == ("active", [1_000])
            assert await again.balance() == 0
            await assert_clean(engine)

    tell(story())


def test_the_page_asks_for_what_is_missing_and_no_more(database_url: str):
    async def story() -> None:
        async with shop(database_url, has_card=False) as my:
            plain = CreateSubscription([SubscribedProduct(code="pro")])
            await give(my.engine, my.customer_id, "3.999", "a gift")
            made = await my.subscribe(plain)
            to_pay = await my.engine.get_to_pay(my.customer_id, made.id)
            assert (str(to_pay.amount), to_pay.needs) == ("6.01", "payment")
            for _ in range(2):
                url = await my.engine.begin_paying(my.customer_id, made.id, PAGE)
                assert url == "https://bank.example"
            # Who asks twice has one payment.
            assert (await my.engine.list_top_ups(my.customer_id)).total_count == 1
            await give(my.engine, my.customer_id, "6.01", "paid elsewhere")
            assert (await my.shown()).status == "active"
            for begin in (my.engine.begin_paying, my.engine.begin_leaving_card):
                refused = await refusal(begin(my.customer_id, made.id, PAGE))
                assert refused.problem.kind is CONFLICT

    tell(story())


def test_what_pays_can_be_changed(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            plain = CreateSubscription([SubscribedProduct(code="pro")])
            made = await my.subscribe(plain)
            await my.later(seconds=1)
            assert (my.charged(), made.collection_method) == ([], "wallet")
            changed = await my.engine.set_collection_method(
                my.customer_id, made.id, "charge_automatically"
            )
            assert changed.subscription.collection_method == "charge_automatically"
            await my.later(seconds=1)
            assert ((await my.shown()).status, my.charged()) == ("active", [1_000])
            await my.engine.set_collection_method(my.customer_id, made.id, "wallet")
            await my.later(days=31)
            assert (my.charged(), (await my.shown()).overdue is not None) == ([1_000], True)

    tell(story())


CARD = SavedCard("card_2", None, "visa", "1881", 12, 2041)


@pytest.mark.parametrize("has_failed", [True, False])
def test_who_pays_on_the_page_and_leaves_the_card_is_not_charged_beside(
    database_url: str, has_failed: bool
):
    async def story() -> None:
        async with shop(database_url, has_card=has_failed) as my:
            my.bank.next = ["declined"] * has_failed
            made = await my.subscribe()
            await my.later(seconds=1)
            await my.engine.begin_paying(my.customer_id, made.id, PAGE)
            paying = (await my.engine.list_top_ups(my.customer_id)).items[0]
            assert paying.kind == "top_up"
            my.bank.pay(paying.id, Money(1_000, "USD", 2), CARD)

            async def killed(*_given: Any) -> None:
                raise Killed

            # Whatever happens in between, the card is not asked for what is paid already.
            my.engine._credit = killed  # type: ignore[method-assign]
            with pytest.raises(Killed):
                await my.engine.settle_payment(paying.id)
            await my.engine.take_up_collections()
            del my.engine._credit  # type: ignore[attr-defined]
            await my.later(minutes=10)
            assert ((await my.shown()).status, my.charged()) == ("active", [])
            assert len(await my.engine.list_payment_methods(my.customer_id)) == 1 + has_failed
            await my.later(days=31)
            assert (my.charged(), await my.balance()) == ([1_000], 0)

    tell(story())


def test_a_card_of_somebody_who_collects_no_more_is_asked_to_be_replaced(database_url: str):
    async def story() -> None:
        async with shop(database_url, has_card=False) as my:
            await leave_card(my.engine, my.customer_id, "gone")
            await my.subscribe()
            await my.later(seconds=1)
            shown = await my.shown()
            assert [a.type for a in shown.required_actions] == ["payment_method"]
            assert shown.collection.in_flight is None
            assert (await my.engine.list_top_ups(my.customer_id)).total_count == 0

    tell(story())


def test_a_charge_of_which_nobody_says_anything_is_given_up_and_credited_if_it_comes(
    database_url: str,
):
    async def story() -> None:
        async with shop(database_url) as my:
            await give(my.engine, my.customer_id, "10", "a gift")
            await my.subscribe()
            my.bank.next = ["silent"]
            await my.later(days=31)
            my.bank.is_down = True
            await my.later(days=3)
            assert (await my.shown()).collection.in_flight is not None
            for _ in range(8):
                await my.later(days=1)
            assert ((await my.shown()).status, my.charged()) == ("inactive", [1_000])
            my.bank.is_down = False
            await my.later(hours=1)
            assert (my.charged(), await my.balance()) == ([1_000], 10)

    tell(story())


def test_a_charge_that_takes_long_is_looked_after_as_long_as_it_takes(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = ["slow"]
            await my.subscribe()
            for _ in range(8):
                await my.later(days=1)
            my.bank.slow.clear()
            await my.later(hours=3)
            assert ((await my.shown()).status, my.charged()) == ("active", [1_000])

    tell(story())


def test_a_payment_that_failed_on_the_page_leads_to_another_one(database_url: str):
    async def story() -> None:
        async with shop(database_url, has_card=False) as my:
            plain = CreateSubscription([SubscribedProduct(code="pro")])
            made = await my.subscribe(plain)
            for number in (1, 2, 3):
                await my.engine.begin_paying(my.customer_id, made.id, PAGE)
                page = await my.engine.list_top_ups(my.customer_id)
                assert page.total_count == number
                my.clock.move(minutes=1)
                # Whoever comes back has failed there, and it was not heard of yet.
                if number < 3:
                    my.bank.declined.add(page.items[0].id)
            my.bank.pay(page.items[0].id, Money(1_000, "USD", 2))
            refused = await refusal(my.engine.begin_paying(my.customer_id, made.id, PAGE))
            assert refused.problem.kind is CONFLICT
            assert ((await my.shown()).status, await my.balance()) == ("active", 0)

    tell(story())


def test_what_is_more_than_one_payment_may_be_is_paid_in_several(database_url: str):
    async def story() -> None:
        async with shop(database_url, has_card=False) as my:
            rules = PaymentRules(top_ups={"USD": TopUpBounds(maximum=Number(4))})
            await my.engine.change_settings(payments=rules)
            made = await my.subscribe(CreateSubscription([SubscribedProduct(code="pro")]))
            for amount in (4, 4, 2):
                to_pay = await my.engine.get_to_pay(my.customer_id, made.id)
                assert to_pay.amount == amount
                await my.engine.begin_paying(my.customer_id, made.id, PAGE)
                paying = (await my.engine.list_top_ups(my.customer_id)).items[0]
                my.bank.pay(paying.id, Money(amount * 100, "USD", 2))
                await my.engine.settle_payment(paying.id)
            assert ((await my.shown()).status, await my.balance()) == ("active", 0)

    tell(story())


def test_who_asks_again_to_leave_a_card_is_led_to_the_same_page(database_url: str):
    async def story() -> None:
        async with shop(database_url, has_card=False) as my:
            made = await my.subscribe()

            async def setups() -> int:
                sql = "SELECT count(*) FROM payments WHERE kind = 'setup'"
                return int((await my.engine._store.fetch(sql))[0][0])

            for _ in range(5):
                await my.engine.begin_leaving_card(my.customer_id, made.id, PAGE)
                my.clock.move(minutes=1)
            assert await setups() == 1
            # Under whichever name we are reached: there are so many in an hour.
            for number in range(40):
                page = f"https://shop.example/{number}"
                begin = my.engine.begin_leaving_card(my.customer_id, made.id, page)
                if await setups() < 20:
                    await begin
                else:
                    assert (await refusal(begin)).problem.kind is CONFLICT
            assert await setups() == 20
            my.clock.move(hours=1)
            await my.engine.begin_leaving_card(my.customer_id, made.id, PAGE)
            assert await setups() == 21

    tell(story())


def test_a_card_that_is_left_while_another_one_is_charged_is_asked_next(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = ["slow"]
            await my.subscribe()
            await my.later(seconds=1)
            (charged,) = my.bank.slow
            setup = await my.engine.begin_setup(my.customer_id, BeginSetup(PAGE, PAGE))
            my.bank.pay(setup.id, Money(0, "USD", 2), CARD)
            await my.engine.settle_payment(setup.id)
            assert my.bank.asked == [charged]
            my.bank.slow.clear()
            del my.bank.charged[charged]
            my.bank.declined.add(charged)
            for _ in range(3):
                await my.later(minutes=10)
            assert ((await my.shown()).status, my.charged()) == ("active", [1_000])
            assert [asked.method_ref for asked in my.bank.charged.values()] == ["card_2"]
            assert len(my.bank.asked) == 2

    tell(story())


def test_a_card_that_is_left_while_somebody_subscribes_lets_it_begin(database_url: str):
    async def story() -> None:
        async with shop(database_url, has_card=False) as my:
            lane = my.engine.lanes[0]
            submit = lane.submit

            async def slowly(command: Any, environment: int) -> Any:
                if isinstance(command, Subscribe):
                    lane.submit = submit  # type: ignore[method-assign]
                    await leave_card(my.engine, my.customer_id)
                    await my.engine._card_saved(environment, my.customer_id)
                return await submit(command, environment)

            for each in my.engine.lanes:
                each.submit = slowly  # type: ignore[method-assign]
            made = await my.subscribe()
            assert made.collection.in_flight is not None
            await my.later(seconds=1)
            assert ((await my.shown()).status, my.charged()) == ("active", [1_000])

    tell(story())


@pytest.mark.parametrize(
    ("currency", "price", "had", "minor"),
    [("JPY", "1000", "0.4", 1_000), ("KWD", "10", "0.004", 10_000), ("USD", "10", "0.004", 1_000)],
)
def test_each_currency_is_charged_as_cards_pay_it(
    database_url: str, currency: str, price: str, had: str, minor: int
):
    async def story() -> None:
        async with shop(database_url) as my:
            pricing = [{"asset": currency, "values": [{"unit_price": Decimal(price)}]}]
            await sell_plan(my.engine, "here", {**monthly(1), "pricing": pricing})
            gift = AdjustmentRequest("a gift", currency, Number(had), "gift")
            await my.engine.adjust(my.customer_id, gift)
            request = CreateSubscription(
                [SubscribedProduct(code="here")], collection_method="charge_automatically"
            )
            await my.subscribe(request)
            await my.later(seconds=1)
            assert ((await my.shown()).status, my.charged()) == ("active", [minor])

    tell(story())


def test_a_year_on_a_test_clock_is_charged_period_by_period(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            start = datetime(2030, 1, 1, tzinfo=UTC)
            test_clock = await my.engine.create_test_clock(CreateTestClock(start))
            ada = CreateCustomer(name="Ada", test_clock_id=test_clock.id)
            my.customer_id = (await my.engine.create_customer(ada)).id
            await leave_card(my.engine, my.customer_id)
            await my.subscribe()
            await my.engine.take_up_collections()
            assert my.charged() == [1_000]
            year = AdvanceTestClock(datetime(2030, 12, 15, tzinfo=UTC))
            await my.engine.advance_test_clock(test_clock.id, year)
            await my.engine.take_up_collections()
            assert (my.charged(), await my.balance()) == ([1_000] * 12, 0)
            assert (await my.shown()).overdue is None

    tell(story())


def test_a_card_that_is_removed_while_it_is_charged_stays_removed(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = ["slow"]
            await my.subscribe()
            await my.later(seconds=1)
            (card,) = await my.engine.list_payment_methods(my.customer_id)
            await my.engine.remove_payment_method(my.customer_id, card.id)
            my.bank.slow.clear()
            await my.later(minutes=10)
            assert ((await my.shown()).status, my.charged()) == ("active", [1_000])
            assert await my.engine.list_payment_methods(my.customer_id) == []

    tell(story())


def test_who_is_reached_under_another_name_can_be_paid_there_too(database_url: str):
    async def story() -> None:
        async with shop(database_url, has_card=False) as my:
            made = await my.subscribe(CreateSubscription([SubscribedProduct(code="pro")]))
            for page in (PAGE, "https://other.example/pay", PAGE):
                url = await my.engine.begin_paying(my.customer_id, made.id, page)
                assert url == "https://bank.example"
            assert (await my.engine.list_top_ups(my.customer_id)).total_count == 2
            for number in range(18):
                page = f"https://shop.example/{number}"
                await my.engine.begin_paying(my.customer_id, made.id, page)
            begin = my.engine.begin_paying(my.customer_id, made.id, "https://one.more")
            assert (await refusal(begin)).problem.kind is CONFLICT
            await my.engine.begin_paying(my.customer_id, made.id, PAGE)
            assert (await my.engine.list_top_ups(my.customer_id)).total_count == 20

    tell(story())
