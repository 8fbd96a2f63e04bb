"""Money of top-ups goes back, by us, by the provider's own pages, by a bank; and the provider fails
in the middle of it. What it has and what the wallet has must be the same in the end."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.databases import new_sqlite
from tests.doubles.payments import DONE_AND_DOWN, DOWN, REFUSED, OutsideProvider
from tests.ledger.shop import (
    USD,
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    make_customer,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.payment_rules import PaymentRules
from faregate.payments.types import CreateRefund, InitiateTopUp, Refund


class Till:
    """An open engine, a provider outside, a customer and a payment of theirs."""

    def __init__(self, engine: Engine, provider: OutsideProvider, clock: Clock) -> None:
        self.engine, self.provider, self.clock = engine, provider, clock
        self.customer_id = self.top_up_id = ""

    async def pay(self, amount: str = "20") -> str:
        """The customer pays, and we are told."""
        request = InitiateTopUp(
            self.customer_id, Number(amount), "USD", "https://a.example/", "https://a.example/no"
        )
        self.top_up_id = (await self.engine.initiate_top_up(request)).id
        self.provider.pay(self.top_up_id)
        await self.told()
        return self.top_up_id

    async def told(self) -> None:
        """The provider's message comes."""
        context = self.engine.context
        headers, body = self.provider.message(self.top_up_id, context.environment_id)
        await self.engine.receive_message("outside", headers, body)

    async def refund(self, amount: str | None = None, key: str | None = None) -> Refund:
        """Give so much back."""
        request = CreateRefund(None if amount is None else Number(amount))
        return await self.engine.refund_top_up(self.top_up_id, request, idempotency_key=key)

    async def wallet(self) -> Decimal:
        """What is available."""
        return await available(self.engine, self.customer_id)

    async def use(self, tokens: int) -> None:
        """The customer uses so many USD."""
        await book(self.engine, self.customer_id, use(f"e{self.clock.now}", tokens, self.clock.now))

    async def agree(self) -> None:
        """Money in = credit out, and the books balance."""
        left = Decimal(self.provider.left(self.top_up_id)) / 100
        assert await self.wallet() == left
        await assert_clean(self.engine)

    async def work(self, hours: int = 12) -> None:
        """Time goes by, and whatever is due is asked."""
        for _ in range(hours):
            self.clock.move(hours=1)
            await self.engine.reconcile_payments()


@asynccontextmanager
async def till(url: str) -> AsyncIterator[Till]:
    clock = Clock()
    provider = OutsideProvider(clock)
    async with Engine.open(url, clock=clock, payments=(provider,)) as engine:
        await sell_tokens(engine)
        one = Till(engine, provider, clock)
        one.customer_id = await make_customer(engine, None)
        yield one


def test_a_part_then_the_rest_goes_back_and_never_more(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            first = await it.refund("7.50", "one")
            assert (first.status, first.amount, first.credit) == ("succeeded", Decimal("7.5"), 7.5)
            assert await it.refund("7.50", "one") == first
            error = await refusal(it.refund("12.51"))
            assert "12.5 USD" in error.problem.detail
            assert error.problem.errors.keys() == {"amount"}
            assert (await it.refund()).amount == Decimal("12.5")
            assert "nothing can be given back" in (await refusal(it.refund())).problem.detail
            assert (await it.engine.list_refunds(it.top_up_id)).total_count == 2
            assert (await it.engine.get_top_up(it.top_up_id)).refunded == 20
            await it.agree()

    tell(story())


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "21"])
def test_an_amount_that_cannot_go_back_is_refused_with_nothing_done(
    database_url: str, amount: str
) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            error = await refusal(it.refund(amount))
            assert error.problem.errors.keys() == {"amount"}
            assert (await it.engine.list_refunds(it.top_up_id)).total_count == 0
            assert "refund" not in it.provider.calls
            await it.agree()

    tell(story())


def test_what_was_not_paid_cannot_go_back(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            request = InitiateTopUp(
                it.customer_id, Number("5"), "USD", "https://a.example/", "https://a.example/no"
            )
            it.top_up_id = (await it.engine.initiate_top_up(request)).id
            error = await refusal(it.refund())
            assert "only what was paid" in error.problem.detail

    tell(story())


def test_eight_refunds_at_once_give_back_no_more_than_was_paid(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            asked = [it.refund("6") for _ in range(8)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert sum(isinstance(one, Refund) for one in answers) == 3
            assert it.provider.left(it.top_up_id) == 200
            await it.agree()

    tell(story())


def test_what_the_provider_refuses_gives_the_credit_again(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            it.provider.fails("refund", REFUSED)
            for _ in range(2):
                error = await refusal(it.refund("5", "key"))
                assert "the provider says no" in error.problem.detail
            assert (await it.engine.list_refunds(it.top_up_id)).items[0].status == "failed"
            await it.agree()
            assert (await it.refund("20")).status == "succeeded"
            await it.agree()

    tell(story())


@pytest.mark.parametrize("fault", [DOWN, DONE_AND_DOWN])
def test_a_refund_without_an_answer_is_asked_again_until_there_is_one(
    database_url: str, fault: str
) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            it.provider.fails("refund", fault, fault)
            asked = await it.refund("5", "key")
            assert (asked.status, await it.wallet()) == ("pending", 15)
            assert (await it.refund("5", "key")).status == "pending"
            await it.work(1)
            assert (await it.refund("5", "key")).status == "succeeded"
            assert it.provider.left(it.top_up_id) == 1500
            await it.agree()

    tell(story())


def test_a_provider_that_is_down_for_an_hour_is_caught_up_with(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            other = InitiateTopUp(
                it.customer_id, Number("9"), "USD", "https://a.example/", "https://a.example/no"
            )
            first = it.top_up_id
            it.top_up_id = (await it.engine.initiate_top_up(other)).id
            it.provider.pay(it.top_up_id)
            it.provider.is_down = True
            assert (await refusal(it.told())).problem.kind.status == 503
            for _ in range(60):
                it.clock.move(minutes=1)
                await it.engine.reconcile_payments()
            assert await it.wallet() == 20
            it.provider.is_down = False
            await it.work(4)
            assert await it.wallet() == 29
            it.top_up_id = first
            await assert_clean(it.engine)

    tell(story())


def test_a_checkout_whose_answers_are_lost_begins_once(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            it.provider.fails("begin_checkout", DONE_AND_DOWN, DOWN)
            request = InitiateTopUp(
                it.customer_id, Number("5"), "USD", "https://a.example/", "https://a.example/no"
            )
            for _ in range(2):
                asked = it.engine.initiate_top_up(request, idempotency_key="k")
                assert (await refusal(asked)).problem.kind.status == 503
            begun = await it.engine.initiate_top_up(request, idempotency_key="k")
            assert list(it.provider.payments) == [begun.id]
            it.top_up_id = begun.id
            it.provider.pay(begun.id)
            it.provider.fails("look_up", DOWN, DOWN)
            for _ in range(2):
                assert (await refusal(it.told())).problem.kind.status == 503
            await it.told()
            await it.agree()

    tell(story())


def test_money_given_back_on_the_providers_own_pages_is_found(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            it.provider.refund_by_hand(it.top_up_id, 1500)
            # Nothing was heard of it yet, and still no more than 5 can go back.
            assert "5 USD" in (await refusal(it.refund("6"))).problem.detail
            await it.agree()
            shown = (await it.engine.list_refunds(it.top_up_id)).items
            assert [(r.reason, r.amount, r.status) for r in shown] == [("refund", 15, "succeeded")]

    tell(story())


def test_a_dispute_takes_blocks_and_gives_again(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.engine.change_settings(payments=PaymentRules(blocks_on_dispute=True))
            await it.pay("20")
            await it.use(5)
            it.provider.dispute(it.top_up_id, 2000)
            await it.told()
            assert await it.wallet() == -5
            customer = await it.engine.get_customer(it.customer_id)
            assert customer.blocked_because == f"the payment {it.top_up_id} is disputed"
            it.provider.decide(it.top_up_id, "dp_1", "won")
            await it.told()
            assert await it.wallet() == 15
            assert (await it.engine.get_customer(it.customer_id)).blocked_because is None
            await assert_clean(it.engine)
            async with by_hand(database_url) as queries:
                rows = await queries.fetch("SELECT topic FROM outbox ORDER BY seq")
            topics = ["top_up.succeeded", "payment.disputed", "payment.dispute_won"]
            told = [row[0] for row in rows if row[0].startswith(("top_up.", "payment."))]
            assert told == topics

    tell(story())


def test_a_dispute_of_expired_credit_that_is_won_gives_nothing_away(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            request = InitiateTopUp(
                it.customer_id,
                Number("20"),
                "USD",
                "https://a.example/",
                "https://a.example/no",
                credit_expires_at=it.clock.now.replace(month=4),
            )
            it.top_up_id = (await it.engine.initiate_top_up(request)).id
            it.provider.pay(it.top_up_id)
            await it.told()
            await it.use(5)
            it.clock.move(days=40)
            it.provider.dispute(it.top_up_id, 2000)
            await it.told()
            assert await it.wallet() == -5
            await assert_clean(it.engine)
            it.provider.decide(it.top_up_id, "dp_1", "won")
            await it.told()
            assert await it.wallet() == 0
            await assert_clean(it.engine)

    tell(story())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE payments SET status = 'failed'", "status of a payment"),
        ("UPDATE payment_returns SET status = 'failed'", "status of what went back"),
        ("""UPDATE payment_returns SET terms = '{"units": 7}'""", "units that went back"),
        ("DELETE FROM payment_returns", "payment without a row"),
        (
            """UPDATE transactions SET answer = '{"owed_units": 5000000000}' """
            "WHERE kind = 'payment_return'",
            "taken of a payment",
        ),
    ],
)
def test_verify_names_what_is_believed_and_is_not_so(
    database_url: str, change: str, named: str
) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            await it.refund("5")
            await it.engine.settle_payment(it.top_up_id)
            await assert_clean(it.engine)
            async with by_hand(database_url) as queries:
                await queries.fetch(change)
            found = (await it.engine.verify()).differences
            assert named in {one.kind for one in found}

    tell(story())


STEPS = st.lists(
    st.sampled_from(
        ["told", "told", "hand", "dispute", "won", "lost", "refund", "arrived", "dead"]
    ),
    max_size=14,
)


@settings(max_examples=25)
@given(STEPS)
def test_messages_in_any_order_and_number_lead_to_the_same_wallet(steps: list[str]) -> None:
    """The provider's state goes on between the messages, some of which never come."""

    async def story(url: str) -> None:
        async with till(url) as it:
            await it.pay("30")
            it.provider.refunds_take_time = True
            for number, step in enumerate(steps):
                await _one_step(it, step, number)
            await it.told()
            await it.agree()

    async def _one_step(it: Till, step: str, number: int) -> None:
        provider, top_up_id = it.provider, it.top_up_id
        left = provider.left(top_up_id)
        returns: tuple[Any, ...] = provider.payments[top_up_id].returns
        opened = [r.ref for r in returns if r.status == "open"]
        pending = [r.ref for r in returns if r.status == "pending"]
        if step == "told":
            await it.told()
        elif step == "hand" and left:
            provider.refund_by_hand(top_up_id, max(1, left // 7), f"re_{number}")
        elif step == "dispute" and left:
            provider.dispute(top_up_id, max(1, left // 3), f"dp_{number}")
        elif step in ("won", "lost") and opened:
            provider.decide(top_up_id, opened[0], step)
        elif step == "refund" and left > 10:
            await it.refund("0.10")
        elif step in ("arrived", "dead") and pending:
            status = "succeeded" if step == "arrived" else "failed"
            provider.decide(top_up_id, pending[0], status)

    with tempfile.TemporaryDirectory() as folder:
        tell(story(new_sqlite(Path(folder) / "faregate.db")))


def test_what_is_forged_old_or_of_another_environment_does_nothing(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            it.provider.refund_by_hand(it.top_up_id, 500)
            engine, before = it.engine, len(it.provider.calls)
            environment = engine.context.environment_id
            headers, body = it.provider.message(it.top_up_id, environment)
            forged = OutsideProvider(it.clock, "a guess").message(it.top_up_id, environment)
            elsewhere = it.provider.message(it.top_up_id, environment + 1)
            for sent in (forged, elsewhere, ({}, body), (headers, body + b" ")):
                assert (
                    await refusal(engine.receive_message("outside", *sent))
                ).problem.kind.status == 403
            it.clock.move(minutes=6)
            error = await refusal(engine.receive_message("outside", headers, body))
            assert error.problem.kind.status == 403
            live = engine.context_of("live")
            fresh = it.provider.message(it.top_up_id, environment)
            error = await refusal(engine.receive_message("outside", *fresh, context=live))
            assert error.problem.kind.status == 403
            assert len(it.provider.calls) == before
            assert await it.wallet() == 20
            await engine.receive_message("outside", *fresh)
            await engine.receive_message("outside", *fresh)
            await it.agree()

    tell(story())


def test_a_refund_takes_nothing_that_was_earned_or_broken_elsewhere(database_url: str) -> None:
    async def story() -> None:
        async with till(database_url) as it:
            await it.pay("20")
            await it.use(5)
            before = await it.engine.credit_revenue()
            await it.refund("10")
            assert await it.engine.credit_revenue() == before
            assert (await it.engine.get_account(it.customer_id, USD)).available == 5

    tell(story())
