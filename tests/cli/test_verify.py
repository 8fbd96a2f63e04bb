"""`faregate verify` as an operator uses it: its verdict, and heads to keep elsewhere."""

import asyncio
import os
import pty
import sqlite3
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cli.running import COMMAND, environment, run
from tests.databases import new_sqlite
from tests.ledger.shop import Clock, book, make_customer, sell_tokens, use

from faregate import Engine
from faregate.ledger.heads import read_head

pytestmark = pytest.mark.slow


class Books(NamedTuple):
    path: Path
    url: str
    customers: list[str]


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """Two customers, each with a credit and a fee."""
    path = tmp_path / "faregate.db"
    url = new_sqlite(path)

    async def fill() -> list[str]:
        async with Engine.open(url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(2)]
            for customer_id in customers:
                await book(engine, customer_id, use("one"))
            return customers

    return Books(path, url, sorted(asyncio.run(fill())))


def edit(books: Books, sql: str) -> None:
    with sqlite3.connect(books.path) as connection:
        connection.execute(sql)
    connection.close()


def test_a_broken_chain_is_named_with_the_transfer_and_the_customer(books: Books):
    clean = run("verify", "--database", books.url)
    assert clean.returncode == 0, clean.stderr
    assert "2 chains of transfers followed to their ends." in clean.stdout
    assert "The books balance." in clean.stdout
    # Into a pipe: no bar, nothing that moves a cursor.
    assert (clean.stderr, "\x1b" in clean.stdout) == ("", False)

    edit(books, "UPDATE transfers SET at = at + 1 WHERE seq = 8")
    wrong = run("verify", "--database", books.url)
    assert wrong.returncode == 1
    assert "Transfers were edited; places where chains break: 1. The first:" in wrong.stdout
    what = "was changed, or is not the one that followed transfer"
    assert f"transfer 8 of {books.customers[0]} {what} 2" in wrong.stdout


def test_a_number_that_nothing_has_is_named_without_a_customer(books: Books):
    edit(books, "DELETE FROM transfers WHERE seq = 8")
    wrong = run("verify", "--database", books.url)
    assert wrong.returncode == 1
    assert "  number 8 is missing: nothing has this number\n" in wrong.stdout


def test_on_a_terminal_a_bar_shows_how_far_it_is(books: Books):
    terminal, its_end = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, "verify", "--database", books.url],
            stdout=subprocess.PIPE,
            stderr=its_end,
            env=environment(TERM="xterm", COLUMNS="100"),
            timeout=60,
            check=True,
        )
        shown = os.read(terminal, 65536).decode()
    finally:
        os.close(its_end)
        os.close(terminal)
    assert "Verifying" in shown
    assert "100%" in shown
    assert b"The books balance." in done.stdout


def test_a_head_is_printed_alone_and_the_ledger_is_held_against_it_later(
    books: Books, tmp_path: Path
):
    printed = run("verify", "--head", "--database", books.url)
    assert printed.returncode == 0, printed.stderr
    assert "The books balance." in printed.stderr
    head = read_head(printed.stdout)
    assert str(head) + "\n" == printed.stdout
    assert (head.last_seqs, head.transfers) == ({0: 10}, 4)

    kept = tmp_path / "heads.txt"
    kept.write_text(f"\n{printed.stdout}\n{printed.stdout}")
    same = run("verify", "--against", str(kept), "--database", books.url)
    assert same.returncode == 0, same.stderr
    at = printed.stdout.split()[1].removeprefix("at=")
    whole = f"It begins with the head of {at}: 4 transfers, none changed.\n"
    assert same.stdout.count(whole) == 2

    edit(books, "DELETE FROM events WHERE seq = 9")
    edit(books, "DELETE FROM fees WHERE fee_id = (SELECT reference FROM transfers WHERE seq = 10)")
    edit(books, "DELETE FROM transfers WHERE seq = 10")
    edit(books, "UPDATE lanes SET last_seq = 8")
    edit(
        books,
        "UPDATE grants SET remaining_units = amount_units "
        f"WHERE customer_id = '{books.customers[1]}'",
    )
    cut = run("verify", "--against", "-", "--database", books.url, given=printed.stdout)
    assert cut.returncode == 1
    assert "The books balance." in cut.stdout
    assert (
        f"It does NOT begin with the head of {at}: there were 4 transfers then, "
        "and up to the same numbers there are 3 now."
    ) in cut.stdout


def test_heads_are_printed_also_when_the_books_do_not_balance(books: Books):
    edit(books, "UPDATE grants SET remaining_units = remaining_units + 1")
    done = run("verify", "--head", "--database", books.url)
    assert done.returncode == 1
    assert read_head(done.stdout).transfers == 4
    assert "They do not balance: 2 differences." in done.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no head in it: keep what `faregate verify --head` prints"),
        ("\nfaregate\n", "line 2: 'faregate' is not a head of a ledger: give the whole line"),
    ],
)
def test_what_is_not_a_head_is_refused_with_what_to_give_instead(books: Books, text: str, why: str):
    done = run("verify", "--against", "-", "--database", books.url, given=text)
    assert done.returncode == 2
    assert done.stderr.startswith(f"faregate: --against: {why}")
