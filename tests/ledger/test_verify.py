"""Somebody edits the books directly: `verify` finds it and names whose and what."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from tests.ledger.shop import Clock, book, by_hand, give, make_customer, sell_tokens, tell, use

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.costs import Cost
from faregate.ledger.verify import Difference


class Books(NamedTuple):
    """A customer who has paid 5 and used 7, and another who has 100 left."""

    debtor: str
    payer: str
    fee_id: str
    adjustment_id: str
    grant_id: str


async def fill(url: str) -> Books:
    async with Engine.open(url, clock=Clock()) as engine:
        await sell_tokens(engine)
        debtor, payer = await make_customer(engine, "5"), await make_customer(engine, None)
        adjustment = await give(engine, payer, "101", "paid")
        await book(engine, debtor, use("one", 7))
        answer = await book(engine, payer, use("one", 1))
        grants = (await engine.list_grants(payer, "default:USD")).items
        assert (await engine.verify()).is_clean
        return Books(debtor, payer, answer.fees[0].id, adjustment.id, grants[0].id)


async def edit(url: str, sql: str, *parameters: str) -> Sequence[Difference]:
    """Change the database; returns what `verify` says to it afterwards."""
    async with by_hand(url) as database:
        changed = await database.fetch(f"{sql} RETURNING lane", *parameters)
        assert len(changed) == 1
    async with Engine.open(url, clock=Clock()) as engine:
        report = await engine.verify()
        assert not report.is_clean
        return report.differences


UNIT = 10**9


def test_a_transfer_whose_amount_was_changed_is_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(
            database_url,
            "UPDATE transfers SET units = units + 1 WHERE reference = $1",
            books.fee_id,
        )
        assert found == [
            Difference("grant", books.payer, books.grant_id, 100 * UNIT, 100 * UNIT - 1),
            Difference("fee", books.payer, books.fee_id, UNIT, UNIT + 1),
        ]

    tell(story())


def test_a_transfer_that_was_deleted_is_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(
            database_url, "DELETE FROM transfers WHERE reference = $1", books.adjustment_id
        )
        assert found == [
            Difference("grant", books.payer, books.grant_id, 100 * UNIT, -UNIT),
            Difference("transaction", books.payer, books.adjustment_id, 101 * UNIT, 0),
        ]

    tell(story())


def test_a_transfer_that_was_invented_is_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(
            database_url,
            "INSERT INTO transfers "
            "SELECT lane, last_seq + 1, $1, 'USD', 'revenue', $2, 5, 'x', 0, '' "
            "FROM lanes WHERE lane = 0",
            books.payer,
            books.grant_id,
        )
        assert (books.payer, books.grant_id) in {(d.customer_id, d.name) for d in found}

    tell(story())


def test_a_grant_whose_rest_was_changed_is_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(
            database_url,
            "UPDATE grants SET remaining_units = remaining_units - 3 WHERE grant_id = $1",
            books.grant_id,
        )
        assert found == [
            Difference("grant", books.payer, books.grant_id, 100 * UNIT - 3, 100 * UNIT)
        ]

    tell(story())


def test_a_grant_that_was_deleted_is_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(database_url, "DELETE FROM grants WHERE grant_id = $1", books.grant_id)
        lost = Difference("grant without a row", books.payer, books.grant_id, 0, 100 * UNIT)
        assert lost in found
        # Nor is it known any more whose account the fee and the adjustment were about.
        assert {d.name for d in found} == {books.grant_id, books.fee_id, books.adjustment_id}

    tell(story())


def test_an_overdraft_that_was_changed_is_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(
            database_url,
            "UPDATE wallet_accounts SET overdraft_units = 0 WHERE customer_id = $1",
            books.debtor,
        )
        assert found == [Difference("overdraft", books.debtor, "default:USD", 0, 2 * UNIT)]

    tell(story())


def test_a_fee_that_was_changed_is_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(
            database_url, "UPDATE fees SET units = 0 WHERE fee_id = $1", books.fee_id
        )
        assert found == [
            Difference("fee", books.payer, books.fee_id, 0, UNIT),
            Difference("event", books.payer, "one", UNIT, 0),
        ]

    tell(story())


def test_a_fee_that_was_deleted_is_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(database_url, "DELETE FROM fees WHERE fee_id = $1", books.fee_id)
        assert [(d.customer_id, d.name) for d in found] == [
            (books.payer, "one"),
            (books.payer, books.fee_id),
        ]

    tell(story())


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("UPDATE grants SET account_id = 'default:KWD' WHERE grant_id = $1", "grant_id"),
        ("UPDATE grants SET is_used_up = 1 WHERE grant_id = $1", "grant_id"),
        ("UPDATE transfers SET asset = 'KWD' WHERE reference = $1", "fee_id"),
        ("UPDATE fees SET asset = 'KWD' WHERE fee_id = $1", "fee_id"),
        ("UPDATE fees SET account_id = 'other:USD' WHERE fee_id = $1", "fee_id"),
        ("UPDATE events SET fee_units = 0 WHERE first_fee_id = $1", "fee_id"),
        ("UPDATE events SET fee_asset = 'KWD' WHERE first_fee_id = $1", "fee_id"),
        ("UPDATE events SET fee_count = 2 WHERE first_fee_id = $1", "fee_id"),
        ("DELETE FROM events WHERE first_fee_id = $1", "fee_id"),
        ("DELETE FROM wallet_accounts WHERE customer_id = $1", "payer"),
        ("UPDATE transactions SET account_id = 'other:USD' WHERE id = $1", "adjustment_id"),
    ],
)
def test_a_row_that_no_longer_fits_the_others_is_found(database_url: str, sql: str, name: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(database_url, sql, getattr(books, name))
        assert {difference.customer_id for difference in found} == {books.payer}

    tell(story())


def test_rows_beyond_what_the_lane_has_given_out_are_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(database_url, "UPDATE lanes SET last_seq = last_seq - 1 WHERE lane = 0")
        assert [(d.kind, d.name) for d in found] == [("transfer out of bounds", books.fee_id)]

    tell(story())


def test_an_adjustment_that_was_changed_is_found(database_url: str):
    async def story() -> None:
        books = await fill(database_url)
        found = await edit(
            database_url,
            "UPDATE transactions SET units = units + 7 WHERE id = $1",
            books.adjustment_id,
        )
        assert found == [
            Difference("transaction", books.payer, books.adjustment_id, 101 * UNIT + 7, 101 * UNIT)
        ]

    tell(story())


def test_verify_is_clean_while_charges_are_being_booked(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "50")

            async def caller(number: int) -> None:
                for i in range(20):
                    await book(engine, customer_id, use(f"{number}-{i}"))

            charging = asyncio.gather(*[caller(number) for number in range(8)])
            reports = [await engine.verify() for _ in range(3)]
            await charging
            reports.append(await engine.verify())
            assert [report.differences for report in reports] == [[]] * 4
            assert [report.breaks for report in reports] == [[]] * 4
            # What was true at one instant in the middle of it stays true.
            report = await engine.verify(heads=[report.head for report in reports])
            assert [kept.is_kept for kept in report.kept] == [True] * 4
            assert reports[-1].fees == 160

    tell(story())


@pytest.mark.parametrize(
    ("sql", "stored", "computed"),
    [
        ("UPDATE costs SET units = units + 1 WHERE number = 0", 5 * UNIT + 1, 5 * UNIT),
        ("UPDATE costs SET category = 'other' WHERE number = 1", 5 * UNIT, 5 * UNIT),
        ("DELETE FROM costs WHERE number = 1", 3 * UNIT, 5 * UNIT),
        ("UPDATE events SET costs = NULL WHERE costs IS NOT NULL", 5 * UNIT, 0),
        ("UPDATE events SET costs = '[' WHERE costs IS NOT NULL", 5 * UNIT, 0),
        ("UPDATE events SET event_type = 'x' WHERE costs IS NOT NULL", 5 * UNIT, 5 * UNIT),
    ],
)
def test_costs_that_do_not_fit_their_event_are_found(
    database_url: str, sql: str, stored: int, computed: int
):
    async def story() -> None:
        books = await fill(database_url)
        costs = [Cost("a", Number("3"), vendor_id="v"), Cost("b", Number("2"), vendor_id="v")]
        async with Engine.open(database_url, clock=Clock()) as engine:
            await book(engine, books.payer, use("costly", 1, costs=costs))
            assert (await engine.verify()).is_clean
        assert await edit(database_url, sql) == [
            Difference("costs", books.payer, "costly", stored, computed)
        ]

    tell(story())
