"""An event that was answered is charged, visible in the wallet and in lists at once: there is no
second pipeline that could be off. A server whose configuration cannot work refuses to start and
says why.

Seen at getlago/lago#637.
"""

from pathlib import Path

import pytest
from tests.ledger.shop import (
    USD,
    Clock,
    available,
    book,
    by_hand,
    give,
    make_customer,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.problems import FaregateError


def test_an_answered_event_is_in_the_wallet_and_in_every_list_at_once(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            await give(engine, customer_id, "100", "order 1")
            assert await available(engine, customer_id) == 100
            for number in range(1, 21):
                event_id = f"event {number}"
                answer = await book(engine, customer_id, use(event_id, 2))
                left = 100 - 2 * number
                assert answer.balances == {USD: left * 10**9}
                assert await available(engine, customer_id) == left
                accounts = (await engine.get_wallet(customer_id)).accounts
                assert [account.available for account in accounts] == [left]
                grants = (await engine.list_grants(customer_id, USD)).items
                assert [grant.available for grant in grants] == [left]
                for filters in ({}, {"customer_id": customer_id}, {"has_fees": True}):
                    listed = await engine.list_events(1, 0, filters)
                    assert listed.total_count == number
                    assert (listed.items[0].id, listed.items[0].fee_units) == (event_id, 2 * 10**9)
                owner, booked = await engine.get_event(event_id)
                assert (owner, booked.result.fees) == (customer_id, answer.fees)
                fee = await engine.get_transaction(customer_id, answer.fees[0].id)
                assert fee.fee == answer.fees[0]

    tell(story())


def test_events_are_listed_whole_while_and_after_the_index_of_events_is_written(
    database_url: str,
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada, bob = await make_customer(engine), await make_customer(engine)
            # More than the lane leaves out of the index when it has nothing else to do.
            for first in range(0, 1_000, 100):
                events = [use(f"event {i}", 0) for i in range(first, first + 100)]
                for customer_id in (ada, bob):
                    await engine.record_events(customer_id, events)
                    listed = await engine.list_events(1, 0, {"customer_id": customer_id})
                    assert listed.total_count == first + 100
        async with Engine.open(database_url, clock=Clock()) as engine:
            for customer_id in (ada, bob):
                listed = await engine.list_events(1_000, 0, {"customer_id": customer_id})
                assert listed.total_count == 1_000
                assert [e.id for e in listed.items] == [f"event {i}" for i in range(999, -1, -1)]

    tell(story())


def refused_to_open(url: str) -> FaregateError:
    return tell(refusal(Engine.open(url, wait_seconds=0).__aenter__()))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://localhost/billing", "'mysql' is no database that Faregate knows"),
        ("faregate.db", "use sqlite:///path/to/file.db"),
        ("sqlite:///:memory:", "name a file"),
        ("postgresql://nobody@127.0.0.1:1/billing", "Connect"),
        ("postgresql://localhost:port/billing", "port"),
    ],
)
def test_a_database_url_that_cannot_work_refuses_to_start_and_says_why(url: str, reason: str):
    error = refused_to_open(url)
    assert error.problem.kind.status == 503
    assert reason in error.problem.detail


def test_a_path_that_cannot_be_a_database_refuses_to_start_and_names_it(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("this is not a database, " * 500)
    for wrong in (path, path / "faregate.db", tmp_path):
        error = refused_to_open(f"sqlite:///{wrong}")
        assert error.problem.kind.status == 503
        assert str(wrong) in error.problem.detail


def test_a_database_of_a_newer_faregate_refuses_to_start_and_says_so(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url):
            pass
        async with by_hand(database_url) as database:
            await database.fetch("UPDATE alembic_version SET version_num = '9999'")
        error = await refusal(Engine.open(database_url).__aenter__())
        assert error.problem.kind.status == 503
        assert "9999" in error.problem.detail

    tell(story())
