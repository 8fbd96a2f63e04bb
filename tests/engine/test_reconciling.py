"""What becomes of payments of which nobody tells: the clock says when to ask."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from tests.ledger.shop import Clock, assert_clean, available, make_customer, sell_tokens, tell

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.codec import decode
from faregate.core.problems import FaregateError
from faregate.payments.provider import (
    Begun,
    CheckoutAsked,
    Merchant,
    Message,
    PaymentState,
    ProviderDown,
    RefundAsked,
    Returned,
    SavedCharge,
    SetupAsked,
    Sought,
)
from faregate.payments.types import InitiateTopUp

VISA = "4242424242424242"


class FarAway:
    """Somebody who collects money, and may be down; `states` are where payments stand."""

    name = "far_away"

    def __init__(self) -> None:
        self.is_down = False
        self.asked = 0
        self.states: dict[str, PaymentState] = {}

    def serves(self, merchant: Merchant) -> bool:
        return True

    async def begin_checkout(self, asked: CheckoutAsked) -> Begun:
        return Begun(f"ref {asked.payment_id}", "https://far.example/pay", asked.expires_at)

    async def begin_setup(self, asked: SetupAsked) -> Begun:
        raise NotImplementedError

    async def charge(self, asked: SavedCharge) -> PaymentState:
        raise NotImplementedError

    async def refund(self, asked: RefundAsked) -> Returned:
        raise NotImplementedError

    async def look_up(self, sought: Sought) -> PaymentState | None:
        self.asked += 1
        if self.is_down:
            raise ProviderDown("it does not answer")
        return self.states.get(sought.payment_id)

    def read_message(
        self, headers: Mapping[str, str], body: bytes, merchant: Merchant, now: datetime
    ) -> Message:
        return Message("m", body.decode())


async def begun(engine: Engine, customer_id: str, key: str = "1") -> str:
    request = InitiateTopUp(
        customer_id, Number("20"), "USD", "https://shop.example/ok", "https://shop.example/no"
    )
    return (await engine.initiate_top_up(request, idempotency_key=key)).id


async def told(engine: Engine) -> list[tuple[str, Any]]:
    """What the outbox has of payments."""
    rows = await engine._store.fetch("SELECT topic, data FROM outbox ORDER BY seq")
    return [(t, decode(dict[str, Any], d)) for t, d in rows if t.startswith("top_up.")]


def test_a_payment_of_which_no_message_came_is_found_when_its_time_has_come(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine, None)
            payment = await begun(engine, ada)
            await engine.sandbox.pay(payment, VISA)
        # The process died before anybody was told.
        async with Engine.open(database_url, clock=clock) as engine:
            assert await engine.reconcile_payments() == 0
            assert not await engine.has_due_work()
            clock.move(seconds=61)
            assert await engine.has_due_work()
            assert await engine.reconcile_payments() == 1
            assert await engine.reconcile_payments() == 0
            assert await available(engine, ada) == 20
            topics = [
                (topic, data["top_up_id"], data["credit"]) for topic, data in await told(engine)
            ]
            assert topics == [("top_up.succeeded", payment, 20)]
            await assert_clean(engine)

    tell(story())


def test_a_provider_that_is_down_for_an_hour_is_asked_until_it_answers(database_url: str):
    async def story() -> None:
        clock, provider = Clock(), FarAway()
        async with Engine.open(database_url, clock=clock, payments=[provider]) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine, None)
            payment = await begun(engine, ada)
            provider.is_down = True
            provider.states[payment] = PaymentState("succeeded", "pay_1", 2000, "USD")
            for _ in range(60):
                clock.move(minutes=1)
                await engine.reconcile_payments()
            assert 12 <= provider.asked <= 60
            assert await available(engine, ada) == 0
            with pytest.raises(FaregateError, match="does not say"):
                await engine.receive_message("far_away", {}, payment.encode())

            provider.is_down = False
            clock.move(minutes=5)
            assert await engine.reconcile_payments() == 1
            assert await available(engine, ada) == 20
            assert (await engine.get_top_up(payment)).status == "succeeded"
            clock.move(days=30)
            assert await engine.reconcile_payments() == 0
            await assert_clean(engine)

    tell(story())


def test_a_page_that_nobody_used_ends_and_is_asked_about_no_more(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            payment = await begun(engine, await make_customer(engine, None))
            for _ in range(40):
                clock.move(hours=3)
                await engine.reconcile_payments()
            assert (await engine.get_top_up(payment)).status == "expired"
            assert not await engine.has_due_work()
            page = await engine.pay_checkout(payment, VISA, "12/40", "123")
            assert page is not None
            assert page.stage == "expired"
            assert await told(engine) == []

    tell(story())


def test_a_failure_is_told_once_however_often_it_is_seen(database_url: str):
    async def story() -> None:
        clock, provider = Clock(), FarAway()
        async with Engine.open(database_url, clock=clock, payments=[provider]) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine, None)
            payment = await begun(engine, ada)
            provider.states[payment] = PaymentState("failed", "pay_1", text="The bank says no.")
            for _ in range(3):
                await engine.receive_message("far_away", {}, payment.encode())
            shown = await engine.get_top_up(payment)
            assert (shown.status, shown.problem) == ("failed", "The bank says no.")
            topics = [(topic, data["problem"]) for topic, data in await told(engine)]
            assert topics == [("top_up.failed", "The bank says no.")]
            assert await available(engine, ada) == 0

            # What a provider says last counts: the customer has tried again, and has paid.
            provider.states[payment] = PaymentState("succeeded", "pay_1", 2000, "USD")
            await engine.receive_message("far_away", {}, payment.encode())
            assert await available(engine, ada) == 20
            assert [topic for topic, _ in await told(engine)] == [
                "top_up.failed",
                "top_up.succeeded",
            ]
            await assert_clean(engine)

    tell(story())


def test_of_two_processes_one_asks(database_url: str):
    async def story() -> None:
        clock, provider = Clock(), FarAway()
        async with Engine.open(database_url, clock=clock, payments=[provider]) as engine:
            await sell_tokens(engine)
            await begun(engine, await make_customer(engine, None))
            clock.move(minutes=2)
            beside = Engine.open(database_url, clock=clock, payments=[provider], serves=False)
            async with beside as other:
                # It could not book what it hears.
                assert await other.reconcile_payments() == 0
            assert await engine.reconcile_payments() == 1
            assert provider.asked == 1

    tell(story())


def test_what_messages_and_receipts_are_sealed_with_outlives_a_restart(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine, None)
            payment = await begun(engine, ada)
            headers, body = engine.sandbox.message(payment, engine.context.environment_id)
        async with Engine.open(database_url, clock=clock) as engine:
            assert await engine.receive_message("sandbox", headers, body) == payment
            await engine.sandbox.pay(payment, VISA)
            assert await engine.receive_message("sandbox", headers, body) == payment
            assert await available(engine, ada) == 20
            receipt = await engine.get_receipt(payment)
        async with Engine.open(database_url, clock=clock) as engine:
            assert await engine.get_receipt(payment) == receipt

    tell(story())
