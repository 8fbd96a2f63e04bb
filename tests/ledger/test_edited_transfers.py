"""Somebody edits the transfers and everything that is derived from them, so that the books balance:
the chains show it, and name whose transfer it was, its number and what is wrong. (What even they
cannot show, a head that was kept elsewhere does: `test_heads`.)
"""

from typing import Any, NamedTuple

import pytest
from tests.ledger.chaining import COLUMNS, assert_chained, settle
from tests.ledger.shop import (
    Clock,
    assert_clean,
    book,
    by_hand,
    make_customer,
    other_connection,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.chain import link
from faregate.core.limits import LimitRequest
from faregate.ledger.chains import Break
from faregate.ledger.verify import Report
from faregate.store.protocol import StoreError


class Books(NamedTuple):
    """A customer with 96 left of 100, used by events of 1, 2 and 1; one neighbour.

    `seqs` are the numbers of the customer's transfers: the credit, then the three fees.
    """

    customer: str
    grant_id: str
    fee_ids: list[str]
    seqs: list[int]


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


def test_a_notice_of_the_outbox_has_a_number_of_its_own_that_nothing_else_lacks(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            limit = LimitRequest(Number("2"), "day", mode="soft", asset="USD")
            await engine.create_customer_limit(customer_id, limit)
            for number in range(3):
                await book(engine, customer_id, use(str(number), 2))
            await assert_chained(database_url, engine)
        async with other_connection(database_url) as store:
            notices = await store.fetch("SELECT seq FROM outbox")
        assert notices
        sql = "DELETE FROM outbox WHERE seq = $1"
        report = await edit(database_url, (sql, notices[0][0]))
        assert report.breaks == [Break("", notices[0][0], "is missing: nothing has this number")]

    tell(story())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_amount_that_is_no_number_any_more_is_named_like_any_other_edit(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        sql = "UPDATE transfers SET units = 'many' WHERE seq = $1"
        report = await edit(database_url, (sql, books.seqs[1]))
        assert [(b.customer_id, b.seq) for b in report.breaks] == [(books.customer, books.seqs[1])]

    tell(story())
