"""How far a wallet goes below zero: the three policies, and that a refusal leaves nothing."""

import asyncio
from decimal import Decimal

from tests.ledger.shop import (
    USD,
    Clock,
    assert_clean,
    available,
    book,
    give,
    make_customer,
    other_connection,
    refusal,
    row_counts,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.problems import FaregateError
from faregate.customers.types import Overdraft


def test_an_account_goes_below_zero_unless_told_otherwise(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "3")
            await book(engine, customer_id, use("big", 10))
            assert await available(engine, customer_id) == -7
            await assert_clean(engine)
            await give(engine, customer_id, "10", "paid up")
            assert await available(engine, customer_id) == 3
            await assert_clean(engine)

    tell(story())


def test_the_policy_reject_refuses_what_the_credit_cannot_pay_and_books_nothing(
    database_url: str,
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "3")
            await engine.set_overdraft(customer_id, USD, Overdraft("reject"))
            async with other_connection(database_url) as store:
                before = await row_counts(store)
                error = await refusal(book(engine, customer_id, use("big", 4)))
                assert error.problem.kind.status == 402
                assert "top up at least 1 USD" in error.problem.detail
                assert await row_counts(store) == before
            # The refused event's id is free, and what is there can be spent to the last unit.
            assert (await book(engine, customer_id, use("big", 3))).status == "booked"
            assert await available(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())


def test_the_policy_limit_allows_exactly_its_limit_also_after_a_restart(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine, "0.000000001")
            customer_id = await make_customer(engine, "3")
            limit = Overdraft("limit", Number("2"))
            shown = await engine.set_overdraft(customer_id, USD, limit)
            assert shown.overdraft == limit
        async with Engine.open(database_url, clock=Clock()) as engine:
            assert (await engine.get_account(customer_id, USD)).overdraft == limit
            error = await refusal(book(engine, customer_id, use("one unit more", 5 * 10**9 + 1)))
            assert error.problem.kind.status == 402
            await book(engine, customer_id, use("all of it", 5 * 10**9))
            assert await available(engine, customer_id) == -2
            error = await refusal(book(engine, customer_id, use("one more unit", 1)))
            assert error.problem.kind.status == 402
            await assert_clean(engine)

    tell(story())


def test_a_wallet_that_can_pay_for_3_of_20_at_once_pays_for_exactly_3(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "15")
            await engine.set_overdraft(customer_id, USD, Overdraft("reject"))
            answers = await asyncio.gather(
                *[book(engine, customer_id, use(f"job {i}", 5)) for i in range(20)],
                return_exceptions=True,
            )
            declined = [a.problem.kind.status for a in answers if isinstance(a, FaregateError)]
            assert declined == [402] * 17
            assert await available(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())


def test_the_policy_of_an_account_that_was_never_used_is_kept(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            await engine.set_overdraft(customer_id, USD, Overdraft("reject"))
        async with Engine.open(database_url, clock=Clock()) as engine:
            error = await refusal(book(engine, customer_id, use("big", 1)))
            assert error.problem.kind.status == 402
            shown = (await engine.get_wallet(customer_id)).accounts
            assert [(a.id, a.available, a.overdraft.policy) for a in shown] == [
                (USD, Decimal(0), "reject")
            ]

    tell(story())


def test_a_change_of_policy_keeps_the_overdraft_that_is_in_use(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "3")
            await book(engine, customer_id, use("big", 10))
            await engine.set_overdraft(customer_id, USD, Overdraft("reject"))
            assert await available(engine, customer_id) == -7
            error = await refusal(book(engine, customer_id, use("more")))
            assert error.problem.kind.status == 402
            assert (await book(engine, customer_id, use("for nothing", 0))).status == "booked"
            await assert_clean(engine)

    tell(story())
