"""Somebody edits the transfers and everything that is derived from them, so that the books balance:
the chains show it, and name whose transfer it was, its number and what is wrong. (What even they
cannot show, a head that was kept elsewhere does: `test_heads`.)
"""

import asyncio
import hashlib
import itertools
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from tests.ledger.shop import (
    Clock,
    assert_clean,
    book,
    by_hand,
    make_customer,
    make_version,
    other_connection,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.chain import link
from faregate.core.problems import FaregateError
from faregate.ledger import event_index, memory
from faregate.ledger import lane as lanes
from faregate.ledger.chains import Break
from faregate.ledger.event_index import index_events
from faregate.ledger.lease import new_holder, release_lane
from faregate.ledger.verify import Report
from faregate.store.protocol import LaneCommit, Queries, StoreError, StoreUnavailable

COLUMNS = "seq, customer_id, asset, from_account, to_account, units, reference, at"


async def chains_of(queries: Queries) -> dict[str, int]:
    """Recompute every chain of the database, with nothing of ours, and hold it to what is kept.

    Returns how many transfers each customer has.
    """
    heads: dict[str, tuple[str, int]] = {}
    lengths: dict[str, int] = {}
    passed = set()
    for *values, found in await queries.fetch(
        f"SELECT {COLUMNS}, hash FROM transfers ORDER BY seq"
    ):
        customer_id = values[1]
        start = hashlib.sha256(f'["faregate chain 1","{customer_id}"]'.encode()).hexdigest()
        before, _ = heads.get(customer_id, (start, 0))
        text = json.dumps([before, *values], separators=(",", ":"))
        assert found == hashlib.sha256(text.encode()).hexdigest()
        heads[customer_id] = (found, values[0])
        lengths[customer_id] = lengths.get(customer_id, 0) + 1
        passed.add((customer_id, *heads[customer_id]))
    kept = await queries.fetch("SELECT customer_id, head, last_seq FROM chains")
    assert {tuple(row) for row in kept} <= passed
    return lengths


async def assert_chained(url: str, engine: Engine) -> dict[str, int]:
    """Every transfer is in its customer's chain, by our own reckoning and by another one."""
    await assert_clean(engine)
    async with other_connection(url) as store:
        return await chains_of(store)


# -- edits ----------------------------------------------------------------------------------------


class Books(NamedTuple):
    """A customer with 96 left of 100, used by events of 1, 2 and 1; one neighbour.

    `seqs` are the numbers of the customer's transfers: the credit, then the three fees.
    """

    customer: str
    grant_id: str
    fee_ids: list[str]
    seqs: list[int]


async def settle(url: str) -> None:
    """Let `chains` have every chain's end, as a lane does behind its commits."""
    async with other_connection(url) as store:
        lease = (await store.leases())[0]
        await index_events(store, lease, lease.indexed_seq, lease.last_seq)


async def fill(url: str, *, is_settled: bool = True) -> Books:
    async with Engine.open(url, clock=Clock()) as engine:
        await sell_tokens(engine)
        customer, neighbour = await make_customer(engine), await make_customer(engine)
        fee_ids = []
        for name, tokens in (("one", 1), ("two", 2), ("three", 1)):
            await book(engine, neighbour, use(name, 5))
            booked = await book(engine, customer, use(name, tokens))
            fee_ids.append(booked.fees[0].id)
        grants = (await engine.list_grants(customer, "default:USD")).items
        await assert_clean(engine)
    if is_settled:
        await settle(url)
    async with other_connection(url) as store:
        sql = "SELECT seq FROM transfers WHERE customer_id = $1 ORDER BY seq"
        seqs = [row[0] for row in await store.fetch(sql, customer)]
    return Books(customer, grants[0].id, fee_ids, seqs)


async def edit(url: str, *statements: tuple[Any, ...]) -> Report:
    """Change the database; returns what `verify` says to it afterwards."""
    async with by_hand(url) as database:
        for sql, *values in statements:
            assert await database.fetch(f"{sql} RETURNING lane", *values), sql
    async with Engine.open(url, clock=Clock(), serves=False) as engine:
        return await engine.verify()


def use_more(books: Books, fee: int, units: int) -> list[tuple[Any, ...]]:
    """Let a fee have cost more, in everything that is derived from its transfer."""
    fee_id = books.fee_ids[fee]
    return [
        ("UPDATE fees SET units = units + $2 WHERE fee_id = $1", fee_id, units),
        ("UPDATE events SET fee_units = fee_units + $2 WHERE first_fee_id = $1", fee_id, units),
        give_back(books, -units),
    ]


def give_back(books: Books, units: int) -> tuple[Any, ...]:
    """Let the customer have more left."""
    sql = "UPDATE grants SET remaining_units = remaining_units + $2 WHERE grant_id = $1"
    return (sql, books.grant_id, units)


def forget(books: Books, fee: int) -> list[tuple[Any, ...]]:
    """Remove a fee, its transfer and its event, and give back what it took."""
    fee_id = books.fee_ids[fee]
    return [
        ("DELETE FROM transfers WHERE reference = $1", fee_id),
        ("DELETE FROM fees WHERE fee_id = $1", fee_id),
        ("DELETE FROM events WHERE first_fee_id = $1", fee_id),
        give_back(books, [1, 2, 1][fee] * 10**9),
    ]


def only(books: Books, seq: int, what: str) -> list[Break]:
    return [Break(books.customer, seq, what)]


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_transfer_whose_amount_was_changed_with_all_that_follows_from_it(
    database_url: str, is_settled: bool
):
    async def story() -> None:
        books = await fill(database_url, is_settled=is_settled)
        report = await edit(
            database_url,
            ("UPDATE transfers SET units = units + 5 WHERE reference = $1", books.fee_ids[1]),
            *use_more(books, 1, 5),
        )
        assert report.differences == []
        _, before, changed, _ = books.seqs
        what = f"was changed, or is not the one that followed transfer {before}"
        assert report.breaks == only(books, changed, what)
        assert not report.is_clean

    tell(story())


@pytest.mark.parametrize(
    "change",
    [
        "asset = 'EUR'",
        "from_account = 'x'",
        "to_account = 'x'",
        "reference = 'x'",
        "at = at + 1",
        "hash = lower(hash) || ' '",
    ],
)
def test_a_transfer_of_which_anything_was_changed(database_url: str, change: str):
    async def story() -> None:
        books = await fill(database_url)
        seq = books.seqs[-2]
        sql = f"UPDATE transfers SET {change} WHERE seq = $1"
        found = (await edit(database_url, (sql, seq))).breaks
        assert found[0].seq == seq
        assert {broken.customer_id for broken in found} == {books.customer}

    tell(story())


def test_a_transfer_that_was_changed_and_given_a_hash_that_fits(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        _, before, changed, after = books.seqs
        async with other_connection(database_url) as store:
            sql = f"SELECT {COLUMNS}, hash FROM transfers WHERE seq = $1"
            start = (await store.fetch(sql, before))[0][-1]
            row: Any = tuple((await store.fetch(sql, changed))[0])[:-1]
        row = (*row[:5], row[5] + 5, *row[6:])
        report = await edit(
            database_url,
            (
                "UPDATE transfers SET units = units + 5, hash = $2 WHERE seq = $1",
                changed,
                link(start, row),
            ),
            *use_more(books, 1, 5),
        )
        assert report.differences == []
        what = f"was changed, or is not the one that followed transfer {changed}"
        assert report.breaks == only(books, after, what)

    tell(story())


def test_a_transfer_that_was_given_to_another_customer(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        sql = "UPDATE transfers SET customer_id = 'cust_x' WHERE seq = $1"
        report = await edit(database_url, (sql, books.seqs[2]))
        assert (books.seqs[2], "cust_x") in {(b.seq, b.customer_id) for b in report.breaks}
        assert (books.seqs[3], books.customer) in {(b.seq, b.customer_id) for b in report.breaks}

    tell(story())


@pytest.mark.parametrize("is_settled", [True, False])
@pytest.mark.parametrize("fee", [0, 1], ids=["the first fee", "the second"])
def test_a_transfer_that_was_deleted_with_all_that_follows_from_it(
    database_url: str, fee: int, is_settled: bool
):
    async def story() -> None:
        books = await fill(database_url, is_settled=is_settled)
        report = await edit(database_url, *forget(books, fee))
        assert report.differences == []
        gone, after = books.seqs[fee + 1], books.seqs[fee + 2]
        # The event had the number before its transfer.
        what = f"nothing has the number {gone - 1}, {gone}"
        assert report.breaks == only(books, after, f"follows a transfer that is missing: {what}")

    tell(story())


def test_the_newest_transfer_that_was_deleted_with_all_that_follows_from_it(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        report = await edit(database_url, *forget(books, 2))
        assert report.differences == []
        gone = books.seqs[-1]
        assert report.breaks == [
            Break("", gone - 1, "is missing: nothing has this number"),
            Break(books.customer, gone, "is missing: its chain has been there"),
        ]

    tell(story())


def test_the_newest_transfer_that_was_deleted_before_its_chain_was_kept(database_url: str):
    async def story() -> None:
        books = await fill(database_url, is_settled=False)
        report = await edit(database_url, *forget(books, 2))
        assert report.differences == []
        gone, what = books.seqs[-1], "is missing: nothing has this number"
        assert report.breaks == [Break("", gone - 1, what), Break("", gone, what)]

    tell(story())


@pytest.mark.parametrize("is_settled", [True, False])
def test_all_transfers_of_a_customer_that_were_deleted(database_url: str, is_settled: bool):
    async def story() -> None:
        books = await fill(database_url, is_settled=is_settled)
        sql = "DELETE FROM transfers WHERE customer_id = $1"
        report = await edit(database_url, (sql, books.customer))
        assert {broken.seq for broken in report.breaks} == set(books.seqs)
        named = {broken.seq: broken.customer_id for broken in report.breaks}
        assert named[books.seqs[-1]] == (books.customer if is_settled else "")

    tell(story())


def exchange(one: int, two: int) -> list[tuple[Any, ...]]:
    """Let two transfers have each other's number."""
    sql = "UPDATE transfers SET seq = $2 WHERE seq = $1"
    return [(sql, one, -1), (sql, two, one), (sql, -1, two)]


def test_two_transfers_of_two_customers_that_were_swapped(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        mine = books.seqs[-1]
        theirs = mine - 2  # the neighbour's last fee, and then an event of mine
        report = await edit(database_url, *exchange(mine, theirs))
        assert report.differences == []
        first, second = report.breaks
        what = f"was swapped with transfer {mine}"
        assert first == Break(books.customer, theirs, what)
        assert second.customer_id != books.customer
        assert (second.seq, second.what) == (mine, f"was swapped with transfer {theirs}")

    tell(story())


def test_two_transfers_whose_contents_were_swapped_and_whose_hashes_stayed(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        _, one, _, two = books.seqs
        columns = COLUMNS.split(", ")[2:]
        async with other_connection(database_url) as store:
            sql = f"SELECT {', '.join(columns)} FROM transfers WHERE seq = $1"
            first, second = (await store.fetch(sql, one))[0], (await store.fetch(sql, two))[0]
        sets = ", ".join(f"{column} = ${n}" for n, column in enumerate(columns, 2))
        put = f"UPDATE transfers SET {sets} WHERE seq = $1"
        report = await edit(database_url, (put, one, *second), (put, two, *first))
        assert report.differences == []
        assert report.breaks == [
            Break(books.customer, one, f"was swapped with transfer {two}"),
            Break(books.customer, two, f"was swapped with transfer {one}"),
        ]

    tell(story())


@pytest.mark.parametrize(("one", "two"), [(1, 2), (1, 3), (2, 3)])
def test_two_transfers_that_were_swapped(database_url: str, one: int, two: int):
    async def story() -> None:
        books = await fill(database_url)
        seqs = books.seqs
        report = await edit(database_url, *exchange(seqs[one], seqs[two]))
        assert report.differences == []
        named = {broken.seq: broken.what for broken in report.breaks}
        assert named[seqs[one]] == f"was swapped with transfer {seqs[two]}"
        assert named[seqs[two]] == f"was swapped with transfer {seqs[one]}"
        assert {broken.customer_id for broken in report.breaks} == {books.customer}

    tell(story())


INSERT = (
    "INSERT INTO transfers (lane, seq, customer_id, asset, from_account, to_account, units, "
    "reference, at, hash) SELECT {lane}, $2, customer_id, asset, from_account, to_account, 3, "
    "from_account, at, hash FROM transfers WHERE reference = $1"
)


def test_a_transfer_that_was_inserted_under_the_number_of_an_event(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        number = books.seqs[2] - 1
        insert = (INSERT.format(lane="lane"), books.fee_ids[0], number)
        report = await edit(database_url, insert, give_back(books, -3))
        assert report.differences == []
        assert report.breaks[0] == Break(
            books.customer, number, "was inserted: its number belongs to something else"
        )

    tell(story())


def test_a_transfer_that_was_added_with_a_hash_that_fits_takes_the_number_of_something_else(
    database_url: str,
):
    """At the end of the chain of a customer who was not the last to be charged, in the place of
    an event that follows, one of whose neighbour's transfers was taken away, so that there are as
    many rows as numbers."""

    async def story() -> None:
        books = await fill(database_url, is_settled=False)
        async with Engine.open(database_url, clock=Clock()) as engine:
            await book(engine, await make_customer(engine), use("last"))
        async with other_connection(database_url) as store:
            sql = f"SELECT {COLUMNS}, hash FROM transfers WHERE seq = $1"
            row = (await store.fetch(sql, books.seqs[-1]))[0]
            last = (await store.fetch("SELECT last_seq FROM lanes"))[0][0]
        number = last - 1  # the last event's
        values: Any = (number, *row[1:5], 3, books.grant_id, row[7])
        hashed = link(row[-1], values)
        report = await edit(
            database_url,
            (
                INSERT.format(lane="lane").replace(", hash FROM", ", $3 FROM"),
                books.fee_ids[2],
                number,
                hashed,
            ),
            give_back(books, -3),
            ("DELETE FROM transfers WHERE seq = $1", last),
        )
        assert report.breaks == [
            Break(books.customer, number, "was inserted: its number belongs to something else"),
            Break("", last, "is missing: nothing has this number"),
        ]

    tell(story())


def test_a_transfer_that_was_inserted_before_the_first_number(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        insert = (INSERT.format(lane="lane"), books.fee_ids[0], -5)
        report = await edit(database_url, insert, give_back(books, -3))
        assert (books.customer, -5) in {(b.customer_id, b.seq) for b in report.breaks}
        assert [found.kind for found in report.differences] == ["transfer out of bounds"]

    tell(story())


def test_a_transfer_that_was_inserted_into_a_lane_that_there_is_not(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        insert = (INSERT.format(lane="7"), books.fee_ids[0], 10**6)
        report = await edit(database_url, insert)
        assert report.differences == []
        assert report.breaks == only(books, 10**6, "is in lane 7, which there is not")

    tell(story())


def test_an_event_that_was_deleted_leaves_its_number_missing(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        sql = "DELETE FROM events WHERE first_fee_id = $1"
        report = await edit(database_url, (sql, books.fee_ids[2]))
        what = "is missing: nothing has this number"
        assert report.breaks == [Break("", books.seqs[-1] - 1, what)]

    tell(story())


@pytest.mark.parametrize("cleared", [0, 2, 3], ids=["the first", "one between", "the last"])
def test_a_hash_cannot_be_cleared_and_one_that_was_emptied_is_found(
    database_url: str, cleared: int
):
    async def story() -> None:
        books = await fill(database_url)
        seq = books.seqs[cleared]
        with pytest.raises(StoreError):
            await edit(database_url, ("UPDATE transfers SET hash = NULL WHERE seq = $1", seq))
        report = await edit(database_url, ("UPDATE transfers SET hash = '' WHERE seq = $1", seq))
        assert report.differences == []
        assert (books.customer, seq) in {(b.customer_id, b.seq) for b in report.breaks}
        assert {b.customer_id for b in report.breaks} == {books.customer}

    tell(story())


def test_a_kept_end_that_was_changed(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        sql = "UPDATE chains SET head = customer_id WHERE customer_id = $1"
        report = await edit(database_url, (sql, books.customer))
        assert report.differences == []
        what = "has another hash than was kept of it"
        assert report.breaks == only(books, books.seqs[-1], what)

    tell(story())


def test_a_kept_end_that_was_set_back_to_where_the_chain_was(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        sql = (
            "UPDATE chains SET last_seq = $2, "
            "head = (SELECT hash FROM transfers WHERE seq = $2) WHERE customer_id = $1"
        )
        report = await edit(database_url, (sql, books.customer, books.seqs[2]))
        what = "is not covered by the head that is kept"
        assert report.breaks == only(books, books.seqs[-1], what)

    tell(story())


def test_a_kept_end_that_was_deleted(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        sql = "DELETE FROM chains WHERE customer_id = $1"
        report = await edit(database_url, (sql, books.customer))
        what = "is not covered by the head that is kept"
        assert report.breaks == only(books, books.seqs[-1], what)

    tell(story())


# -- chains stay whole ---------------------------------------------------------------------------


async def charge_all(engine: Engine, customers: Sequence[str], run: str, count: int) -> None:
    """64 callers charge these customers at once, some of them with events that are refused."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            customer_id = customers[number % len(customers)]
            if number % 9 == 8:
                await refusal(book(engine, customer_id, use(f"{run} {number}", -1)))
            else:
                await book(engine, customer_id, use(f"{run} {number}"))

    await asyncio.gather(*[caller() for _ in range(64)])


@pytest.fixture(params=[True, False], ids=["kept often", "kept never"])
def _keeping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`chains` is written all the time, or not at all."""
    rows = 40 if request.param else 10**9
    monkeypatch.setattr(event_index, "AT_LATEST", rows)
    monkeypatch.setattr(event_index, "SLICE", 7)
    monkeypatch.setattr(lanes, "AT_LATEST", rows)
    monkeypatch.setattr(lanes, "WHEN_IDLE", rows)


@pytest.mark.usefixtures("_keeping")
@pytest.mark.parametrize("wallets", [1, 20], ids=["one wallet", "many wallets"])
def test_64_callers_at_once_make_chains_that_are_whole(database_url: str, wallets: int):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine, "2000") for _ in range(wallets)]
            await charge_all(engine, customers, "run", 900)
            heads = await assert_chained(database_url, engine)
            assert sum(heads.values()) == 800 + wallets

    tell(story())


def test_a_batch_of_many_events_of_one_customer_is_one_stretch_of_the_chain(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "30")
            # The grant runs out in between: one fee of two transfers.
            events = [use(f"event {number}", 7) for number in range(6)]
            await engine.record_events(customer_id, events)
            heads = await assert_chained(database_url, engine)
            assert heads[customer_id] == 8

    tell(story())


@pytest.mark.usefixtures("_keeping")
def test_chains_go_on_after_restarts(database_url: str):
    async def story() -> None:
        customers: list[str] = []
        for turn in range(3):
            async with Engine.open(database_url, clock=Clock()) as engine:
                if not turn:
                    await sell_tokens(engine)
                    customers = [await make_customer(engine) for _ in range(3)]
                await charge_all(engine, customers, f"turn {turn}", 45)
                heads = await assert_chained(database_url, engine)
        assert sorted(heads) == sorted(customers)
        assert sum(heads.values()) == 3 + 3 * 40

    tell(story())


@pytest.mark.usefixtures("_keeping")
def test_chains_go_on_after_a_lane_has_changed_hands_and_come_back(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("mine"))
            async with by_hand(database_url) as database:
                await database.fetch("UPDATE lanes SET lease_until_us = 0")
            async with Engine.open(database_url, clock=clock, wait_seconds=0) as other:
                await book(other, customer_id, use("theirs"))
                await refusal(book(engine, customer_id, use("too late")))
            await book(engine, customer_id, use("mine again"))
            heads = await assert_chained(database_url, engine)
            assert heads[customer_id] == 4

    tell(story())


@pytest.mark.usefixtures("_keeping")
def test_a_lane_that_was_lost_in_the_middle_of_the_load_leaves_no_gap(database_url: str):
    async def story() -> None:
        async with (
            Engine.open(database_url, clock=Clock()) as engine,
            other_connection(database_url) as store,
        ):
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(4)]

            async def caller(number: int) -> None:
                for i in range(30):
                    for _ in range(50):
                        try:
                            await book(engine, customers[i % 4], use(f"{number} {i}"))
                            break
                        except Exception:
                            await asyncio.sleep(0.01)
                    else:
                        raise AssertionError("never booked")

            async def thief() -> None:
                for _ in range(5):
                    await asyncio.sleep(0.01)
                    seen = (await store.leases())[0]
                    taken = await store.take_lease(seen, new_holder(), seen.lease_until_us)
                    if taken is not None:
                        await release_lane(store, taken)

            await asyncio.gather(thief(), *[caller(number) for number in range(32)])
            heads = await assert_chained(database_url, engine)
            assert sum(heads.values()) == 4 + 32 * 30

    tell(story())


@pytest.mark.usefixtures("_keeping")
@pytest.mark.parametrize("is_written", [True, False], ids=["written", "not written"])
def test_after_commits_of_which_nobody_knows_chains_go_on_from_what_is_there(
    database_url: str, monkeypatch: pytest.MonkeyPatch, is_written: bool
):
    """Every third commit goes unanswered, with the charges of several customers in it; callers ask
    again until they are answered."""

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(3)]
            store = engine.lanes[0]._store
            commit, commits, sizes = store.commit, itertools.count(1), []

            async def unanswered(what: LaneCommit) -> None:
                is_lost = next(commits) % 3 == 0
                if is_written or not is_lost:
                    await commit(what)
                if is_lost:
                    sizes.append(len({row[1] for row in what.rows["transfers"]}))
                    raise StoreUnavailable("the wire was cut", is_unknown=True)

            async def caller(number: int) -> None:
                for turn in range(12):
                    customer_id = customers[(number + turn) % 3]
                    for _ in range(100):
                        with suppress(FaregateError):
                            await book(engine, customer_id, use(f"{number} {turn}"))
                            break
                    else:
                        raise AssertionError("never answered")

            monkeypatch.setattr(store, "commit", unanswered)
            await asyncio.gather(*[caller(number) for number in range(12)])
            monkeypatch.setattr(store, "commit", commit)
            assert max(sizes) > 1
            lengths = await assert_chained(database_url, engine)
            assert sum(lengths.values()) == 3 + 12 * 12

    tell(story())


@pytest.mark.usefixtures("_keeping")
def test_batches_that_are_decided_again_leave_no_gap(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Repeats that the lane has forgotten, and catalogs that move on, fail commits under load, and
    what was decided on top of them."""
    dropped = []
    put_back = lanes.Lane._put_back

    def count(lane: lanes.Lane, batch: Any) -> Any:
        dropped.append(len(batch.pendings))
        return put_back(lane, batch)

    monkeypatch.setattr(lanes.Lane, "_put_back", count)

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine, "2000") for _ in range(4)]
            await charge_all(engine, customers, "run", 90)
            lane = engine.lanes[0]
            for turn in range(6):
                # What it has booked lately it takes for new.
                lane._memory._young.clear()
                lane._memory._old.clear()
                lane._read_ids = 0
                later = asyncio.create_task(make_version(engine, str(turn + 1)))
                await charge_all(engine, customers, "run", 90)
                await charge_all(engine, customers, f"turn {turn}", 90)
                await later
            heads = await assert_chained(database_url, engine)
            assert sum(heads.values()) == 4 + 7 * 80
            assert any(dropped)

    tell(story())


@pytest.mark.usefixtures("_keeping")
def test_a_customer_who_is_forgotten_and_read_again_goes_on_with_the_same_chain(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(memory, "MAX_CUSTOMERS", 10)

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(25)]
            for turn in range(3):
                await charge_all(engine, customers, f"turn {turn}", 450)
            kept = engine.lanes[0]._memory
            assert kept.states.keys() <= kept.heads.keys()
            assert len(kept.states) < 25
            heads = await assert_chained(database_url, engine)
            assert sum(heads.values()) == 25 + 3 * 400

    tell(story())


def test_a_head_that_is_written_down_while_its_customer_is_read_is_not_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            lane = engine.lanes[0]
            kept = lane._memory
            del kept.states[customer_id]
            load = lane._store.load

            async def load_and_settle(*arguments: Any, **more: Any) -> Any:
                loaded = await load(*arguments, **more)
                lease = (await lane._store.leases())[0]
                upto = await index_events(lane._store, lease, lease.indexed_seq, lease.last_seq)
                kept.settle(upto)
                return loaded

            monkeypatch.setattr(lane._store, "load", load_and_settle)
            await book(engine, customer_id, use("one"))
            ends = await assert_chained(database_url, engine)
            assert ends[customer_id] == 2

    tell(story())


def test_ends_that_are_written_again_after_a_failure_stay_as_they_are(database_url: str):
    async def story() -> None:
        books = await fill(database_url, is_settled=False)
        async with other_connection(database_url) as store:
            lease = (await store.leases())[0]
            for upto in (books.seqs[1], books.seqs[2], lease.last_seq, lease.last_seq):
                await index_events(store, lease, 0, upto)
                await chains_of(store)
            kept = await store.fetch("SELECT last_seq FROM chains ORDER BY last_seq")
            assert [row[0] for row in kept] == [lease.last_seq - 2, lease.last_seq]

    tell(story())
