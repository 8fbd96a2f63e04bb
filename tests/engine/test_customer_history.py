"""What is told of one customer: the order of use, the newest events, what moved their money."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from tests.ledger.shop import (
    NOON,
    Clock,
    book,
    by_hand,
    give,
    make_customer,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import CaptureRequest, Engine, HoldRequest
from faregate.core.amounts import Number
from faregate.core.transactions import ChargeRequest


def test_grants_are_listed_as_they_will_be_used_with_what_holds_have_of_them(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock(NOON)) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine, "10")
            soon = NOON + timedelta(days=3)
            await give(engine, ada, "5", "gift", "gift", expires_at=soon)
            await give(engine, ada, "2", "later", "gift", effective_at=soon)
            hold = HoldRequest("h", max_amount=Number("7"), asset="USD")
            made = await engine.authorize(ada, hold)
            gone = await engine.authorize(ada, msgspec.structs.replace(hold, transaction_id="i"))
            await engine.void_hold(ada, gone.id)
            assert [(h.id, h.held_units) for h in await engine.open_holds(ada)] == [
                (made.id, 7 * 10**9)
            ]

            (account,) = await engine.order_of_use(ada)
            assert account.account.available == 8
            assert (account.held, account.total, account.overdrawn) == (7, 15, 0)
            assert [(p.grant.purpose, p.grant.available, p.held) for p in account.grants] == [
                ("paid", 8, 2)
            ]
            assert [g.amount for g in account.scheduled] == [2]
            await give(engine, ada, "1", "gift 2", "gift")
            (account,) = await engine.order_of_use(ada)
            assert [p.why for p in account.grants] == [
                "Used first: promotion goes before paid.",
                "After the one above: promotion goes before paid.",
            ]
            # What is said is what happens.
            await book(engine, ada, use("e"))
            (account,) = await engine.order_of_use(ada)
            assert [p.grant.available for p in account.grants] == [8]
            await book(engine, ada, use("f", 9))
            (account,) = await engine.order_of_use(ada)
            assert (account.overdrawn, account.account.available) == (Decimal(1), Decimal(-1))

    tell(story())


def test_the_newest_events_come_with_their_fees_also_before_they_are_indexed(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock(NOON)) as engine:
            await sell_tokens(engine)
            ada, ben = await make_customer(engine), await make_customer(engine)
            for n in range(4):
                await book(engine, ada, use(f"ada {n}", n + 1))
                await book(engine, ben, use(f"ben {n}"))
            await book(engine, ada, use("nothing", 0, subject="key-1"))
            found = await engine.latest_of_customer(ada, 3)
            assert [booked.event.id for booked in found] == ["nothing", "ada 3", "ada 2"]
            assert found[1].result.fees[0].volume == 4
            other = engine.context_of("live")
            refused = await refusal(engine.latest_of_customer(ada, context=other))
            assert refused.problem.kind.status == 404

    tell(story())


def test_what_moved_money_beside_use_is_listed_by_pages(database_url: str):
    async def story() -> None:
        clock = Clock(NOON)
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            ada, ben = await make_customer(engine), await make_customer(engine)
            clock.move(seconds=1)
            await engine.charge(ada, ChargeRequest("c", "USD", Number("3")))
            clock.move(seconds=1)
            await give(engine, ada, "-2", "debit", "other")
            await give(engine, ben, "1", "gift", "gift")
            hold = await engine.authorize(
                ada, HoldRequest("h", max_amount=Number("7"), asset="USD")
            )
            await engine.capture(ada, hold.id, CaptureRequest("k", Number("4")))
            found = await engine.list_transactions(ada, 2)
            assert [(t.kind, t.units // 10**9) for t in found.items] == [
                ("adjustment", -2),
                ("charge", -3),
            ]
            assert found.total_count == 3
            (first,) = (await engine.list_transactions(ada, 2, 2)).items
            assert first.units == 100 * 10**9

    tell(story())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_page_of_history_is_read_by_its_index(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock(NOON)):
            pass
        async with by_hand(database_url) as queries:
            plan = await queries.fetch(
                "EXPLAIN QUERY PLAN SELECT id FROM transactions WHERE lane = 0 "
                "AND customer_id = 'c' AND kind NOT IN ('capture', 'update', 'outcome') "
                "ORDER BY created_at DESC, id DESC LIMIT 20"
            )
        assert "transactions_by_customer" in str([tuple(row) for row in plan])
        assert "TEMP B-TREE" not in str([tuple(row) for row in plan])

    tell(story())
