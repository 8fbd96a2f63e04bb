"""A saved card keeps a customer going: charged once for each time that little is left, granted
once, and never when that was not agreed on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.databases import new_sqlite
from tests.doubles.cards import Bank
from tests.engine.card_shop import Shop, leave_card, shop
from tests.faults.paying import watched
from tests.ledger.shop import (
    USD,
    Clock,
    assert_clean,
    give,
    make_customer,
    refusal,
    sell_tokens,
    tell,
)

from faregate import Engine
from faregate.catalog.types import AddAssetRate, CreateAsset
from faregate.core.codec import from_dict
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import HoldRequest
from faregate.customers.types import Overdraft
from faregate.payments.types import AutoTopUpTerms, BeginSetup

GEMS = {"code": "GEMS", "name": "Gems", "precision": 0}
RATE = {"source": "USD", "inverse_rate": 10}
SHOP = BeginSetup("https://shop.example/thanks", "https://shop.example/sorry")


def test_one_charge_and_one_grant_when_little_is_left(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            await my.agree()
            await my.spend(90)
            assert await my.charges() == []
            await my.spend(1)
            assert (await my.standing()).in_flight is not None
            await my.spend(1)
            assert await my.charges() == [5_000]
            assert await my.charges() == [5_000]
            assert await my.available() == 58
            standing = await my.standing()
            assert (standing.in_flight, standing.month_amount) == (None, 50)
            shown = (await my.engine.list_top_ups(my.customer_id)).items
            assert [(one.kind, one.status) for one in shown] == [("auto", "succeeded")]

    tell(story())


def test_what_is_switched_off_never_charges_also_in_the_same_second(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            await my.agree()
            await my.spend(95)
            await my.agree(enabled=False)
            assert await my.charges() == []
            await my.later(days=40)
            assert await my.charges() == []
            assert my.bank.asked == []
            assert (await my.standing()).in_flight is None
            await asyncio.gather(my.spend(1), my.agree(enabled=False), my.spend(1))
            assert await my.charges() == []

    tell(story())


def test_a_card_that_is_declined_three_times_is_left_alone(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = ["declined"] * 4
            await my.agree()
            await my.spend(95)
            await my.charges()
            await my.later(minutes=4)
            assert len(my.bank.asked) == 1
            await my.later(minutes=1)
            assert len(my.bank.asked) == 2
            await my.later(hours=1)
            await my.later(days=5)
            assert len(my.bank.asked) == 3
            standing = await my.standing()
            assert standing.disabled_because == "The card was declined."
            topics = [topic for topic, _ in await my.told()]
            assert topics == ["auto_top_up.failed"] * 3 + ["auto_top_up.disabled"]
            my.bank.next = []
            await my.agree()
            assert await my.charges() == [5_000]

    tell(story())


@pytest.mark.parametrize("outcome", ["silent", "down"])
def test_a_bank_that_does_not_answer_is_asked_again_and_charges_once(
    database_url: str, outcome: str
):
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = [outcome]
            await my.agree()
            await my.spend(95)
            await my.charges()
            assert await my.available() == 5
            assert (await my.standing()).in_flight is not None
            await my.spend(1)
            my.bank.is_down = True
            await my.later(hours=1)
            my.bank.is_down = False
            await my.later(hours=1)
            assert await my.charges() == [5_000]
            assert await my.available() == 54

    tell(story())


def test_whoever_has_no_card_is_not_charged(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            (card,) = await my.engine.list_payment_methods(my.customer_id)
            await my.engine.remove_payment_method(my.customer_id, card.id)
            standing = await my.agree(threshold=200)
            assert not standing.has_card
            assert await my.charges() == []
            assert (await my.standing()).failures == 1

    tell(story())


def test_who_has_no_card_is_told_three_times_and_then_that_it_has_stopped(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            (card,) = await my.engine.list_payment_methods(my.customer_id)
            await my.engine.remove_payment_method(my.customer_id, card.id)
            await my.agree()
            await my.spend(95)
            # Nobody waits for a card that is not there.
            asked = my.engine.authorize(my.customer_id, hold("job", 120, 30))
            waiting = asyncio.create_task(asked)
            await my.asked()
            await my.charges()
            assert (await waiting).status == "declined"
            await my.later(minutes=5)
            await my.later(hours=1)
            await my.later(days=2)
            no_card = "The customer has no saved card that can be charged."
            told = [
                (topic, said["account_id"], said["reason"], said["failures"])
                for topic, said in await my.told()
            ]
            assert told == [
                *[("auto_top_up.failed", USD, no_card, failures) for failures in (1, 2, 3)],
                ("auto_top_up.disabled", USD, no_card, 3),
            ]
            standing = await my.standing()
            assert (standing.has_card, standing.disabled_because) == (False, no_card)
            # There is no top-up of which anybody could ask.
            assert (await my.engine.list_top_ups(my.customer_id)).total_count == 0
            # A card alone does not begin it again: that is agreed on anew.
            await leave_card(my.engine, my.customer_id)
            await my.later(days=1)
            assert await my.charges() == []
            await my.agree()
            assert await my.charges() == [5_000]

    tell(story())


def test_a_card_that_is_left_in_time_pays_at_the_next_try(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            (card,) = await my.engine.list_payment_methods(my.customer_id)
            await my.engine.remove_payment_method(my.customer_id, card.id)
            await my.agree(threshold=101)
            await my.charges()
            await leave_card(my.engine, my.customer_id)
            await my.later(minutes=4)
            assert await my.charges() == []
            await my.later(minutes=1)
            assert await my.charges() == [5_000]
            assert (await my.standing()).failures == 0

    tell(story())


def test_credit_that_expires_while_nobody_calls_makes_the_card_pay(database_url: str):
    async def story() -> None:
        async with shop(database_url, "5") as my:
            ends = my.clock.now + timedelta(days=1)
            await give(my.engine, my.customer_id, "50", "for a day", "gift", expires_at=ends)
            await my.agree()
            my.clock.move(hours=24, microseconds=-1)
            await my.engine.work()
            assert await my.charges() == []
            assert not await my.engine.has_due_work()
            my.clock.move(microseconds=1)
            assert await my.engine.has_due_work()
            await my.engine.work()
            assert await my.charges() == [5_000]
            assert await my.available() == 55
            assert not await my.engine.has_due_work()

    tell(story())


def test_a_hold_that_expires_while_nobody_calls_asks_for_nothing_that_is_there_again(
    database_url: str,
):
    async def story() -> None:
        async with shop(database_url, "50") as my:
            my.bank.next = ["declined"]
            await my.agree()
            held = await my.engine.authorize(my.customer_id, hold("job", 45, 0))
            assert held.status == "authorized"
            await my.charges()
            # Declined; when it is tried again, the hold is over and nothing is lacking.
            await my.later(hours=1)
            assert await my.charges() == []
            assert (await my.standing()).next_try_at is None

    tell(story())


class Killed(BaseException):
    """The process dies."""


def test_a_process_that_dies_between_the_charge_and_the_grant_grants_once(database_url: str):
    async def story() -> None:
        clock, bank = Clock(), Bank()
        async with Engine.open(database_url, clock=clock, payments=[bank]) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await leave_card(engine, customer_id)
            my = Shop(engine, bank, clock, customer_id)
            await my.agree()
            await my.spend(95)

            async def killed(*_given: Any) -> None:
                raise Killed

            engine._book = killed  # type: ignore[method-assign]
            with pytest.raises(Killed):
                await engine.take_up_collections()
            assert len(bank.charged) == 1
        async with Engine.open(database_url, clock=clock, payments=[bank]) as engine:
            my = Shop(engine, bank, clock, customer_id)
            await my.later(minutes=2)
            await my.later(minutes=2)
            assert len(bank.asked) == 1
            assert await my.available() == 55
            await assert_clean(engine)

    tell(story())


def test_a_charge_that_was_begun_is_not_refused_when_the_card_is_removed_meanwhile(
    database_url: str,
):
    async def story() -> None:
        clock, bank = Clock(), Bank()
        async with Engine.open(database_url, clock=clock, payments=[bank]) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await leave_card(engine, customer_id)
            my = Shop(engine, bank, clock, customer_id)
            await my.agree(monthly_cap=50)
            await my.spend(95)

            def killed() -> None:
                raise Killed

            watched(engine, killed)
            with pytest.raises(Killed):
                # The payment is written, the queue does not know it.
                await engine.take_up_collections()
        async with Engine.open(database_url, clock=clock, payments=[bank]) as engine:
            my = Shop(engine, bank, clock, customer_id)
            bank.next = ["silent"]
            clock.move(minutes=2)
            await engine.reconcile_payments()
            (card,) = await engine.list_payment_methods(customer_id)
            await engine.remove_payment_method(customer_id, card.id)
            await engine.take_up_collections()
            await my.later(hours=1)
            assert len(bank.charged) == 1
            assert await my.available() == 55
            standing = await my.standing()
            assert (standing.in_flight, standing.failures, standing.month_amount) == (None, 0, 50)
            await assert_clean(engine)

    tell(story())


def test_it_keeps_fifty_callers_going_under_load(database_url: str):
    async def story() -> None:
        async with shop(database_url, "200") as my:
            await my.agree(threshold=150, amount=200, per_hour=60)

            async def spend(caller: int) -> list[Any]:
                found = []
                for number in range(10):
                    event = UsageEvent(f"{caller}-{number}", "llm", my.clock.now, data={"n": 2})
                    found += (await my.engine.record_events(my.customer_id, [event])).results
                    await my.engine.take_up_collections()
                return found

            answers = await asyncio.gather(*[spend(caller) for caller in range(50)])
            assert all(one.status == "booked" for some in answers for one in some)
            await my.engine.take_up_collections()
            paid = sum(await my.charges()) // 100
            assert await my.available() == 200 + paid - 50 * 10 * 2
            assert await my.available() >= 150

    tell(story())


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("amount", {"amount": 0}),
        ("amount", {"amount": "0.001"}),
        ("amount", {"amount": 10**30}),
        ("threshold", {"threshold": -1}),
        ("monthly_cap", {"monthly_cap": 49}),
        ("currency", {"currency": "GEMS"}),
        ("per_hour", {"per_hour": 0}),
        ("per_hour", {"per_hour": 61}),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Any, field: str, terms: dict[str, Any]):
    async def story() -> None:
        async with shop(new_sqlite(tmp_path / "shop.db")) as my:
            given = {"enabled": True, "threshold": 10, "amount": 50, **terms}

            async def asked() -> Any:
                return await my.agree(**given)

            error = await refusal(asked())
            assert field in str(error)
            assert "no auto top-up" in str(await refusal(my.standing()))

    tell(story())


def test_credits_are_bought_at_the_rate_of_the_moment(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            await my.engine.create_asset(from_dict(CreateAsset, GEMS))
            gems = "default:GEMS"
            terms = {"enabled": True, "threshold": 10, "amount": 5, "currency": "USD"}
            asked = my.engine.set_auto_top_up(
                my.customer_id, gems, from_dict(AutoTopUpTerms, terms)
            )
            assert "currency" in str(await refusal(asked))
            await my.engine.add_asset_rate("GEMS", from_dict(AddAssetRate, RATE))
            await my.engine.set_auto_top_up(my.customer_id, gems, from_dict(AutoTopUpTerms, terms))
            assert await my.charges() == [500]
            account = await my.engine.get_account(my.customer_id, gems)
            assert account.available == 50

    tell(story())


def test_a_card_that_is_left_on_a_page_is_the_default_from_then_on(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            for number in ("4242424242424242", "5555555555554444"):
                begun = await engine.begin_setup(customer_id, SHOP, base_url="http://here")
                await engine.pay_checkout(begun.id, number, "12/40", "123")
            cards = await engine.list_payment_methods(customer_id)
            assert [(c.card.last4, c.is_default) for c in cards] == [
                ("4444", True),
                ("4242", False),
            ]
            assert (await engine.list_top_ups(customer_id)).total_count == 0
            await assert_clean(engine)
            await engine.make_default_method(customer_id, cards[1].id)
            await engine.remove_payment_method(customer_id, cards[1].id)
            (left,) = await engine.list_payment_methods(customer_id)
            assert (left.card.last4, left.is_default) == ("4444", True)
            terms = {"enabled": True, "threshold": 120, "amount": 50}
            await engine.set_auto_top_up(customer_id, USD, from_dict(AutoTopUpTerms, terms))
            await engine.take_up_collections()
            assert (await engine.get_wallet(customer_id)).accounts[0].available == 150

    tell(story())


def hold(transaction_id: str, amount: int, seconds: int) -> HoldRequest:
    return from_dict(
        HoldRequest,
        {
            "transaction_id": transaction_id,
            "max_amount": amount,
            "asset": "USD",
            "wait_for_top_up_seconds": seconds,
        },
    )


def test_a_hold_waits_for_the_top_up_that_pays_it(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            await my.agree()
            ask = my.engine.authorize
            asked = [
                asyncio.create_task(ask(my.customer_id, hold(f"job {n}", 60, 30))) for n in range(2)
            ]
            await my.asked()
            await my.spend(1)
            assert await my.charges() == [5_000]
            views = await asyncio.gather(*asked)
            assert [view.status for view in views] == ["authorized", "authorized"]
            again = await ask(my.customer_id, hold("job 0", 60, 5))
            assert again.id == views[0].id

    tell(story())


def test_a_hold_that_waits_is_declined_at_once_when_the_card_is(database_url: str):
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = ["declined"]
            await my.agree()
            asked = asyncio.create_task(my.engine.authorize(my.customer_id, hold("job", 120, 30)))
            await my.asked()
            await my.charges()
            view = await asked
            assert (view.status, view.decline and view.decline.code) == (
                "declined",
                "insufficient_funds",
            )
            next_job = await my.engine.authorize(my.customer_id, hold("next job", 120, 30))
            assert next_job.status == "declined"

    tell(story())


def test_a_hold_that_nothing_comes_for_is_declined_when_its_time_is_up(tmp_path: Any):
    async def story() -> None:
        async with shop(new_sqlite(tmp_path / "shop.db")) as my:
            at_once = await my.engine.authorize(my.customer_id, hold("no agreement", 120, 30))
            assert at_once.status == "declined"
            await my.agree()
            view = await my.engine.authorize(my.customer_id, hold("job", 120, 1))
            assert view.status == "declined"
            assert view.decline is not None
            assert view.decline.top_up_units
            batch = my.engine.authorize_batch(my.customer_id, [hold("one", 1, 1)])
            assert "holds[0].wait_for_top_up_seconds" in str(await refusal(batch))

    tell(story())


def test_a_declined_auto_top_up_stops_the_next_job_and_an_overdraft_is_looked_at_too(
    database_url: str,
):
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = ["declined"]
            overdraft = from_dict(Overdraft, {"policy": "limit", "limit": 20})
            await my.engine.set_overdraft(my.customer_id, USD, overdraft)
            await my.agree(threshold=0)
            first = await my.engine.authorize(my.customer_id, hold("first", 110, 0))
            assert first.status == "authorized"
            assert (await my.standing()).in_flight is not None
            await my.charges()
            second = await my.engine.authorize(my.customer_id, hold("second", 20, 30))
            assert second.status == "declined"
            third = await my.engine.authorize(my.customer_id, hold("third", 10, 0))
            assert third.status == "authorized"

    tell(story())
