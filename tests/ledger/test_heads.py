"""Heads that were kept elsewhere show what the database alone cannot: that its end was cut off, or
that chains were made anew."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.ledger.shop import (
    NOON,
    Clock,
    book,
    by_hand,
    give,
    make_customer,
    other_connection,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.chain import beginning, link
from faregate.ledger.heads import HeadSum, LedgerHead, read_head
from faregate.ledger.verify import Report

COLUMNS = "seq, customer_id, asset, from_account, to_account, units, reference, at"


async def keep_heads(url: str, count: int = 3) -> tuple[list[str], list[LedgerHead]]:
    """Two customers are charged again and again; returns them, and a head after each turn."""
    heads = []
    async with Engine.open(url, clock=Clock()) as engine:
        await sell_tokens(engine)
        customers = [await make_customer(engine) for _ in range(2)]
        for turn in range(count):
            for customer_id in customers:
                await book(engine, customer_id, use(f"turn {turn}"))
            report = await engine.verify()
            assert report.is_clean
            heads.append(report.head)
    return customers, heads


async def verify(url: str, heads: list[LedgerHead]) -> Report:
    async with Engine.open(url, clock=Clock(), serves=False) as engine:
        return await engine.verify(heads=heads)


def test_a_ledger_begins_with_every_head_that_it_ever_had(database_url: str):
    async def story() -> None:
        customers, heads = await keep_heads(database_url)
        async with Engine.open(database_url, clock=Clock()) as engine:
            await book(engine, customers[0], use("another"))
            await give(engine, await make_customer(engine, None), "5", "later")
        report = await verify(database_url, heads[::-1])
        assert report.is_clean
        assert [(kept.head, kept.is_kept, kept.transfers) for kept in report.kept] == [
            (heads[2], True, 8),
            (heads[1], True, 6),
            (heads[0], True, 4),
        ]
        assert report.head.transfers == 10

    tell(story())


def test_a_head_is_the_same_as_long_as_nothing_is_booked(database_url: str):
    async def story() -> None:
        _, heads = await keep_heads(database_url, 1)
        report = await verify(database_url, heads)
        assert report.head == heads[0]

    tell(story())


def test_a_ledger_without_transfers_has_a_head_with_which_every_ledger_begins(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            empty = (await engine.verify()).head
        assert empty == LedgerHead(NOON, {0: 0}, 0, hashlib.sha256(b"").hexdigest())
        await keep_heads(database_url)
        assert (await verify(database_url, [empty])).kept[0].is_kept

    tell(story())


def test_anybody_can_add_a_head_up_from_the_transfers(database_url: str):
    async def story() -> None:
        _, heads = await keep_heads(database_url)
        async with other_connection(database_url) as store:
            newest = await store.fetch(
                "SELECT customer_id, hash, (SELECT count(*) FROM transfers c "
                "WHERE c.customer_id = t.customer_id) FROM transfers t WHERE seq IN "
                "(SELECT max(seq) FROM transfers GROUP BY customer_id)"
            )
        lines = sorted(f"{customer} {head} {count}\n" for customer, head, count in newest)
        assert heads[-1].digest == hashlib.sha256("".join(lines).encode()).hexdigest()

    tell(story())


def test_the_newest_transfers_that_were_cut_off_everywhere(database_url: str):
    """Everything is set back to how it was after the second turn: nothing in it contradicts."""

    async def story() -> None:
        customers, heads = await keep_heads(database_url)
        until = heads[1].last_seqs[0]
        async with by_hand(database_url) as database:
            for sql in (
                "DELETE FROM fees WHERE event_id = 'turn 2'",
                "DELETE FROM events WHERE event_id = 'turn 2'",
                f"DELETE FROM transfers WHERE seq > {until}",
                "DELETE FROM chains",
                f"UPDATE lanes SET last_seq = {until}, indexed_seq = 0",
                "UPDATE grants SET remaining_units = remaining_units + 1000000000",
            ):
                await database.fetch(f"{sql} RETURNING 1")
        assert (await verify(database_url, [])).is_clean
        report = await verify(database_url, heads)
        assert (report.differences, report.breaks) == ([], [])
        assert not report.is_clean
        assert [(kept.is_kept, kept.transfers) for kept in report.kept] == [
            (True, 4),
            (True, 6),
            (False, 6),
        ]
        # Also when others are booked in their place.
        async with Engine.open(database_url, clock=Clock()) as engine:
            for customer_id in customers:
                await book(engine, customer_id, use("turn 3"))
        kept = (await verify(database_url, heads)).kept
        assert [head.is_kept for head in kept] == [True, True, False]

    tell(story())


def test_a_chain_that_was_made_anew_from_an_edit_on(database_url: str):
    async def story() -> None:
        customers, heads = await keep_heads(database_url)
        async with by_hand(database_url) as database:
            head, edited = beginning(customers[1]).hash, 0
            sql = f"SELECT {COLUMNS} FROM transfers WHERE customer_id = $1 ORDER BY seq"
            for row in await database.fetch(sql, customers[1]):
                values: Any = tuple(row)
                if values[0] > heads[0].last_seqs[0] and not edited:
                    edited = values[0]
                    values = (*values[:-1], values[-1] + 1)
                head = link(head, values)
                sql = "UPDATE transfers SET hash = $2, at = $3 WHERE seq = $1 RETURNING 1"
                await database.fetch(sql, values[0], head, values[-1])
        assert edited
        assert (await verify(database_url, [])).is_clean
        report = await verify(database_url, heads)
        assert [head.is_kept for head in report.kept] == [True, False, False]
        assert not report.is_clean

    tell(story())


def test_a_transfer_that_was_changed_and_kept_its_hash_is_not_what_the_head_stood_for(
    database_url: str,
):
    async def story() -> None:
        _, heads = await keep_heads(database_url)
        seq = heads[1].last_seqs[0]
        async with by_hand(database_url) as database:
            await database.fetch("UPDATE transfers SET at = 0 WHERE seq = $1 RETURNING 1", seq)
        report = await verify(database_url, heads)
        assert [broken.seq for broken in report.breaks] == [seq]
        assert [head.is_kept for head in report.kept] == [True, False, False]

    tell(story())


def test_the_head_of_another_ledger_is_not_the_beginning_of_this_one(database_url: str):
    async def story() -> None:
        _, heads = await keep_heads(database_url)
        other = LedgerHead(NOON, {0: heads[0].last_seqs[0], 1: 2**48 + 5}, 4, heads[0].digest)
        report = await verify(database_url, [other])
        assert [head.is_kept for head in report.kept] == [False]

    tell(story())


# -- as text ------------------------------------------------------------------------------------

HEAD = LedgerHead(datetime(2026, 3, 2, 12, 30, 5, tzinfo=UTC), {0: 6, 1: 2**48}, 4, "0a" * 32)
LINE = (
    "faregate-head/1 at=2026-03-02T12:30:05Z lanes=0:6,1:281474976710656 transfers=4 "
    "sha256=" + "0a" * 32
)


def test_a_head_is_one_line_from_which_it_is_read_again():
    assert str(HEAD) == LINE
    assert read_head(f"  {LINE}\n") == HEAD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        LINE[:-1],
        LINE + "0",
        LINE.upper(),
        LINE.replace("03-02", "13-02"),
        LINE.replace("head/1", "head/2"),
        LINE.replace("0:6", ""),
        LINE.replace("=4", "=\N{ARABIC-INDIC DIGIT FOUR}"),
    ],
)
def test_what_is_not_a_head_is_named_with_what_to_give_instead(text: str):
    with pytest.raises(ValueError, match="not a head of a ledger: give the whole line") as error:
        read_head(text)
    assert repr(text[:200]) in str(error.value)


def test_a_digest_was_added_up_by_hand():
    # printf 'cust_1 7519…9f53 2\n' | sha256sum
    whole = HeadSum({0: 3})
    whole.add("cust_1", "7519c75e684bd08d7ebca9c27fc3fa654f9d2d0f07b10c9f12ebb5801e979f53", 2)
    head = whole.total(NOON)
    assert head.digest == "0bd9959d01292f0c4bf51d3ef422925b1126683cd885ed13746cebc7e1382a94"
    assert head.transfers == 2
