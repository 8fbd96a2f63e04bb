"""The index of a customer's events and holds rides on the commits, over whatever they wrote."""

import asyncio
import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.chaining import write_index
from tests.ledger.shop import (
    Clock,
    book,
    give,
    make_customer,
    other_connection,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.chain import Head
from faregate.core.hold_requests import HoldRequest
from faregate.core.problems import FaregateError
from faregate.ledger import event_index
from faregate.ledger import lane as lanes
from faregate.ledger.event_index import SLICE, EventIndex
from faregate.store.protocol import LaneCommit, Queries, StoreUnavailable

CUSTOMERS = ("anna", "bert", "carl")


async def assert_indexed(queries: Queries, upto: int) -> None:
    """Up to a number the indexes have all rows of the first lane, and nowhere one that is not."""
    for table, names in (("events", "customer_id, seq"), ("holds", "customer_id, seq, hold_id")):
        rows = {tuple(row) for row in await queries.fetch(f"SELECT {names} FROM {table}")}
        found = {tuple(row) for row in await queries.fetch(f"SELECT {names} FROM customer_{table}")}
        assert found <= rows
        assert {row for row in rows if row[1] <= upto} <= found


def test_numbers_without_an_event_among_them_are_passed_over(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            for number in range(3):
                await give(engine, customer_id, "1", f"credit {number}")
            async with other_connection(database_url) as store:
                last_seq = (await store.leases())[0].last_seq
                assert await write_index(store) == last_seq > 0
                await book(engine, customer_id, use("after"))
                await write_index(store)
                indexed = await store.fetch("SELECT customer_id FROM customer_events")
                assert [tuple(row) for row in indexed] == [(customer_id,)]

    tell(story())


@pytest.mark.parametrize("fails", ["never", "written", "not written"])
def test_commits_carry_the_index_along_whatever_becomes_of_them(
    database_url: str, monkeypatch: pytest.MonkeyPatch, fails: str
):
    monkeypatch.setattr(event_index, "SLICE", 3)
    monkeypatch.setattr(lanes, "AT_LATEST", 40)
    monkeypatch.setattr(lanes, "WHEN_IDLE", 10**9)

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(5)]
            store = engine.lanes[0]._store
            commit, commits, passed = store.commit, itertools.count(1), []

            async def sometimes_lost(what: LaneCommit) -> None:
                passed.append(what.indexed_seq)
                is_lost = fails != "never" and next(commits) % 4 == 0
                if fails == "written" or not is_lost:
                    await commit(what)
                if is_lost:
                    raise StoreUnavailable("the wire was cut", is_unknown=True)

            async def caller(number: int) -> None:
                for turn in range(12):
                    customer_id = customers[(number + turn) % 5]
                    for _ in range(100):
                        with suppress(FaregateError):
                            await book(engine, customer_id, use(f"{number} {turn}"))
                            hold = HoldRequest(
                                f"{number} {turn}", max_amount=Number("1"), asset="USD"
                            )
                            await engine.authorize(customer_id, hold)
                            break
                    else:
                        raise AssertionError("never answered")

            monkeypatch.setattr(store, "commit", sometimes_lost)
            await asyncio.gather(*[caller(number) for number in range(12)])
            monkeypatch.setattr(store, "commit", commit)
            async with other_connection(database_url) as other:
                indexed_seq = (await other.leases())[0].indexed_seq
                assert indexed_seq > 0
                await assert_indexed(other, indexed_seq)
                assert len(set(passed)) > 2
                await assert_indexed(other, await write_index(other))

    tell(story())


def test_what_was_not_written_is_taken_again():
    index = EventIndex(0)
    index.add([("anna", seq) for seq in range(1, SLICE + 4)], [("anna", 300, "hold")], {})
    assert index.begin(300, 300)
    assert not index.begin(299, 0) or index.take(0)
    first = index.take(0)
    assert (
        first
        == index.take(9_999)
        == {"customer_events": [("anna", seq) for seq in range(1, SLICE + 1)]}
    )
    index.landed()
    assert index.take(0)["customer_events"] == [("anna", SLICE + n) for n in (1, 2, 3)]


def test_a_pass_waits_until_enough_is_missing_and_another_until_it_is_over():
    index = EventIndex(10)
    index.add([("anna", 11)], [], {"anna": Head("ab", 12)})
    assert not index.begin(12, 3)
    assert (index.take(0), index.seq_after, index.landed()) == ({}, 10, False)
    assert index.begin(12, 2)
    index.add([("bert", 13)], [], {"bert": Head("cd", 14)})
    assert index.begin(14, 1)
    carried = index.take(0)
    assert carried == {"customer_events": [("anna", 11)], "chains": [("anna", "ab", 12)]}
    assert (index.seq_after, index.landed()) == (12, True)
    assert (index.indexed_seq, dict(index.heads)) == (12, {"bert": Head("cd", 14)})


@given(
    batches=st.lists(
        st.lists(st.sampled_from([(c, kind) for c in CUSTOMERS for kind in "eht"]), max_size=400),
        max_size=12,
    ),
    losses=st.lists(st.booleans(), max_size=40),
    behind=st.integers(1, 900),
)
def test_everything_is_carried_once_and_counts_as_indexed_only_then(
    batches: list[list[tuple[str, str]]], losses: list[bool], behind: int
):
    index, seq = EventIndex(0), 0
    kept: dict[str, dict[tuple, tuple]] = {"customer_events": {}, "customer_holds": {}}
    ends: dict[str, Head] = {}
    written: dict[str, Head] = {}
    numbers: dict[str, list[int]] = {"customer_events": [], "customer_holds": []}
    lost = iter(losses)

    def commit(count: int) -> None:
        while True:
            carried = index.take(count)
            assert all(len(rows) <= max(count, SLICE) for rows in carried.values())
            if not next(lost, False):
                break
        for table, rows in carried.items():
            if table == "chains":
                written.update({customer: Head(head, end) for customer, head, end in rows})
                continue
            for row in rows:
                assert row[:2] not in kept[table]
                kept[table][row[:2]] = row
        index.landed()
        for table, all_numbers in numbers.items():
            found = {row[1] for row in kept[table].values()}
            assert {n for n in all_numbers if n <= index.indexed_seq} <= found <= set(all_numbers)
        for customer, end in ends.items():
            assert (
                customer in index.heads
                or written.get(customer) == end
                or index.indexed_seq < end.seq
            )

    for batch in batches:
        commit(len(batch))
        events, holds, heads = [], [], {}
        for customer, kind in batch:
            seq += 1
            if kind == "e":
                events.append((customer, seq))
            elif kind == "h":
                holds.append((customer, seq, f"hold {seq}"))
            else:
                heads[customer] = Head(f"{seq:x}", seq)
        numbers["customer_events"] += [n for _, n in events]
        numbers["customer_holds"] += [n for _, n, _ in holds]
        ends.update(heads)
        index.add(events, holds, heads)
        index.begin(seq, behind)
    while index.begin(seq, 1):
        commit(0)
    assert index.indexed_seq == seq
    assert written == ends
    assert {name: sorted(found) for name, found in numbers.items()} == {
        name: sorted(row[1] for row in rows.values()) for name, rows in kept.items()
    }
