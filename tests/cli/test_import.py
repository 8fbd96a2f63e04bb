"""`faregate import` as its users have it: files in, each line charged once, and what it says."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import os
import pty
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import Result
from tests.cli.running import COMMAND, environment, run
from tests.databases import new_sqlite
from tests.faults.importing import CREDIT, RATE, prepare
from tests.ledger.shop import assert_clean, available
from typer.testing import CliRunner

from faregate import Engine
from faregate.cli.app import app
from faregate.cli.import_journal import Counts
from faregate.cli.import_screen import Screen, Summary
from faregate.core.events import GRACE_PERIOD
from faregate.customers.types import CreateCustomer

pytestmark = pytest.mark.slow
HEADER = "occurred_at,customer,event_type,data.n"


class Shop(NamedTuple):
    folder: Path
    url: str
    customers: list[str]

    def write(self, name: str, *lines: str) -> str:
        """Write a file of these lines; returns its path."""
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    def run(self, *arguments: str, given: str | None = None) -> Result:
        """Run the command in this process: to begin a new one takes longer than what it does."""
        asked = ["import", *arguments, "--database", self.url]
        return CliRunner().invoke(app, asked, input=given)

    def left(self) -> list[Decimal]:
        """What each customer has left; the books balance."""

        async def look() -> list[Decimal]:
            async with Engine.open(self.url) as engine:
                await assert_clean(engine)
                return [await available(engine, customer) for customer in self.customers]

        return asyncio.run(look())

    def state(self, name: str, kind: str) -> list[Path]:
        return list(self.folder.glob(f"{name}.{kind}-*"))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two customers, `c0` and `c1`."""
    url = new_sqlite(tmp_path / "faregate.db")
    return Shop(tmp_path, url, prepare(url, 2))


def now(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def counts(done: Result) -> dict[str, int]:
    """Read the table that it prints in a pipe."""
    rows = dict(line.split(": ") for line in done.stdout.splitlines())
    names = ("booked", "repeats", "skipped", "too old", "refused")
    return {name: int(rows[name]) for name in names if rows[name] != "0"}


def test_each_line_is_charged_once_and_the_table_says_what_became_of_all(shop: Shop):
    at = now()
    path = shop.write("u.csv", HEADER, f"{at},c0,llm,7", f"{at},c1,llm,11", f"{at},c1,llm,11")
    done = shop.run(path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert counts(done) == {"booked": 3}
    assert shop.left() == [CREDIT - 7 * RATE, CREDIT - 22 * RATE]
    # The same lines again, under another name and packed.
    packed = shop.folder / "renamed.csv.gz"
    packed.write_bytes(gzip.compress(Path(path).read_bytes()))
    assert counts(shop.run(str(packed))) == {"repeats": 3}
    assert shop.left() == [CREDIT - 7 * RATE, CREDIT - 22 * RATE]


def test_columns_mean_what_the_options_say(shop: Shop):
    path = shop.write(
        "u.csv",
        "request;when;account;user;tokens;prompt;note",
        f"r1;{datetime.now(UTC).timestamp():.6f};c0;ann;5;secret;for May",
    )
    options = ["--delimiter", ";", "--id", "request", "--occurred-at", "when", "--epoch", "s"]
    options += ["--customer", "account", "--subject", "user", "--event-type", "=llm"]
    options += ["--data", "n=tokens", "--description", "note"]
    assert counts(shop.run(path, *options)) == {"booked": 1}

    async def look() -> None:
        async with Engine.open(shop.url) as engine:
            _, booked = await engine.get_event("r1")
            event = booked.event
            assert (event.event_type, event.subject, event.data) == ("llm", "ann", {"n": 5})
            assert event.description == "for May"

    asyncio.run(look())
    assert shop.left() == [CREDIT - 5 * RATE, CREDIT]


def test_json_lines_come_from_the_input_and_numbers_in_them_are_exact(shop: Shop):
    lines = [
        {"id": "a", "timestamp": now(), "customer": "c0", "event_type": "llm", "data": {"n": 0.1}},
        {"id": "b", "timestamp": now(), "customer": "c0", "event_type": "llm", "data": {"n": 0.2}},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    done = shop.run("-", "--format", "jsonl", given=text)
    assert counts(done) == {"booked": 2}
    assert shop.left()[0] == CREDIT - Decimal("0.3") * RATE
    assert counts(shop.run("-", "--format", "jsonl", given=text)) == {"repeats": 2}


def test_refused_lines_are_kept_with_reasons_and_tried_again_when_asked(shop: Shop):
    at = now()
    path = shop.write(
        "u.csv", HEADER, f"{at},c0,llm,1", f"{at},nobody,llm,1", "x,c0,llm,1", f"{at},c0,llm"
    )
    done = shop.run(path)
    assert done.exit_code == 1
    assert counts(done) == {"booked": 1, "refused": 3}
    (kept,) = shop.state("u.csv", "refused")
    assert str(kept) in done.stderr
    refused = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [line["place"] for line in refused] == ["u.csv:3", "u.csv:4", "u.csv:5"]
    assert "'nobody' is unknown" in refused[0]["reason"]
    assert "write an instant as" in refused[1]["reason"]
    assert "has 3 columns, the header 4" in refused[2]["reason"]
    assert refused[0]["line"] == f"{at},nobody,llm,1"

    async def make() -> None:
        async with Engine.open(shop.url) as engine:
            await engine.create_customer(CreateCustomer("Nobody", external_id="nobody"))

    asyncio.run(make())
    # Without being asked it goes on where it was, at the end; that lines are refused is still said.
    same = shop.run(path)
    assert (same.exit_code, counts(same)) == (1, {})
    again = shop.run(path, "--again")
    assert counts(again) == {"booked": 1, "repeats": 1, "refused": 2}
    assert len(kept.read_text().splitlines()) == 2


def test_a_price_that_is_missing_is_said_and_not_a_zero_in_silence(shop: Shop):
    path = shop.write("u.csv", HEADER, f"{now()},c0,imagge,1", f"{now()},c0,imagge,1")
    done = shop.run(path)
    assert counts(done) == {"booked": 2}
    assert "2 booked lines with a warning:" in done.stderr
    assert "2 times: no price for event_type=imagge: no fee" in done.stderr


def test_lines_that_are_appended_are_all_that_is_imported_next(shop: Shop):
    path = shop.write("u.csv", HEADER, f"{now()},c0,llm,1")
    assert counts(shop.run(path)) == {"booked": 1}
    with Path(path).open("a") as file:
        file.write(f"{now()},c0,llm,2\n")
    done = shop.run(path)
    assert counts(done) == {"booked": 1}
    assert "imported before: 1 line\n" in done.stderr
    assert shop.left()[0] == CREDIT - 3 * RATE


@pytest.mark.parametrize(
    "change", [lambda lines: [lines[0], *lines], lambda lines: lines[1:], lambda lines: []]
)
def test_a_file_that_has_changed_is_refused_with_the_remedy(
    shop: Shop, change: Callable[[list[str]], list[str]]
):
    lines = [f"{now()},c0,llm,{n}" for n in (1, 2)]
    path = shop.write("u.csv", HEADER, *lines)
    assert counts(shop.run(path)) == {"booked": 2}
    shop.write("u.csv", HEADER, *change(lines))
    for options in ([], ["--again"]):
        done = shop.run(path, *options)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "has changed: its first 2 lines are not those that were imported" in done.stderr
        assert "put lines that are new at its end or into another file" in done.stderr
    assert shop.left()[0] == CREDIT - 3 * RATE


def test_a_changed_file_whose_lines_have_ids_is_imported_anew_when_asked(shop: Shop):
    head = f"id,{HEADER}"
    path = shop.write("u.csv", head, f"a,{now()},c0,llm,1", f"b,{(at := now())},c0,llm,2")
    assert counts(shop.run(path)) == {"booked": 2}
    shop.write("u.csv", head, f"c,{now()},c0,llm,4", f"b,{at},c0,llm,2")
    done = shop.run(path)
    assert done.exit_code == 2
    assert "every line has an id of its own, so --again books what is new, once" in done.stderr
    assert counts(shop.run(path, "--again")) == {"booked": 1, "repeats": 1}
    assert shop.left()[0] == CREDIT - 7 * RATE


def test_an_import_does_not_go_on_by_other_options_than_it_began_with(shop: Shop):
    head = "occurred_at,customer,payer,event_type,data.n"
    path = shop.write("u.csv", head, f"{now()},c0,c1,llm,1")
    assert counts(shop.run(path)) == {"booked": 1}
    with Path(path).open("a") as file:
        file.write("broken\n")
    assert shop.run(path).exit_code == 1
    (journal,) = shop.state("u.csv", "import")
    stopped = json.loads(journal.read_text())
    journal.write_text(json.dumps({**stopped, "is_finished": False}))
    other = shop.run(path, "--customer", "payer")
    assert other.exit_code == 2
    assert "was begun with other options: give the same ones to go on" in other.stderr
    other = shop.run(path, "--customer", "payer", "--again")
    assert other.exit_code == 2
    assert "could be booked a second time, for others" in other.stderr
    assert shop.left() == [CREDIT - RATE, CREDIT]


def test_options_that_were_tried_when_all_was_in_do_not_book_a_line_for_others(shop: Shop):
    head = "occurred_at,customer,payer,event_type,data.n"
    path = shop.write("u.csv", head, f"{now()},c0,c1,llm,1")
    assert counts(shop.run(path)) == {"booked": 1}
    # By other rules there is nothing to send, which makes them not those of what was sent.
    assert counts(shop.run(path, "--customer", "payer")) == {}
    for _ in range(2):
        other = shop.run(path, "--customer", "payer", "--again")
        assert other.exit_code == 2
        assert "could be booked a second time, for others" in other.stderr
        with Path(path).open("a") as file:
            file.write(f"{now()},c0,c1,llm,1\n")
        assert shop.run(path, "--customer", "payer").exit_code == 0
    assert shop.run(path, "--again").exit_code == 2
    assert shop.left() == [CREDIT - RATE, CREDIT - 2 * RATE]


def test_an_import_again_that_was_ended_does_not_forget_what_was_sent_before(shop: Shop):
    lines = [f"{now()},c0,llm,{n % 10}" for n in range(1_001)]
    path = shop.write("u.csv", HEADER, *lines)
    assert counts(shop.run(path)) == {"booked": 1_001}
    (journal,) = shop.state("u.csv", "import")
    whole = json.loads(journal.read_text())
    assert counts(shop.run(path, "--again")) == {"repeats": 1_001}
    again = json.loads(journal.read_text())
    assert [again[name] for name in ("sent", "sent_mark", "own_ids")] == [
        1_001,
        whole["mark"],
        False,
    ]
    # As it is written down when the first 1,000 lines are answered, and it is ended then.
    part = {**again, "lines": 0, "mark": "", "counts": {}, "is_finished": False}
    journal.write_text(json.dumps(part))
    shop.write("u.csv", HEADER, *lines[1:])
    for options in ([], ["--again"]):
        done = shop.run(path, *options)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "has changed: its first 1001 lines are not those" in done.stderr
    shop.write("u.csv", HEADER, *lines)
    assert counts(shop.run(path)) == {"repeats": 1_001}


def test_what_is_too_old_is_said_before_anything_is_sent(shop: Shop):
    days = GRACE_PERIOD.days + 1
    path = shop.write("u.csv", HEADER, f"{now()},c0,llm,1", f"{now(days=days)},c0,llm,1")
    done = shop.run(path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "u.csv:3 is of 20" in done.stderr
    assert "more than 34 days ago" in done.stderr
    assert shop.left()[0] == CREDIT
    assert counts(shop.run(path, "--skip-too-old")) == {"booked": 1, "too old": 1}


def test_a_dry_run_shows_events_and_what_they_would_cost_and_changes_nothing(shop: Shop):
    path = shop.write(
        "u.csv", HEADER, f"{now()},c0,llm,100", f"{now()},nobody,llm,1", f"{now()},c1,other,1", "x"
    )
    done = shop.run(path, "--dry-run")
    assert done.exit_code == 1
    first, second, third, fourth, last = done.stdout.splitlines()
    assert first.startswith("u.csv:2: event; of c0; costs 0.037 USD; {")
    assert '"data":{"n":100}' in first
    assert second.startswith("u.csv:3: refused: customer 'nobody' is unknown")
    assert third.startswith("u.csv:4: event; of c1; costs nothing; ")
    assert third.endswith("no price for event_type=other: no fee")
    assert fourth.startswith("u.csv:5: refused: has 1 columns")
    assert last.startswith("The first 4 lines, for acc_")
    assert shop.left() == [CREDIT, CREDIT]
    assert not shop.state("u.csv", "import")
    _, last = shop.run(path, "--dry-run", "--show", "1").stdout.splitlines()
    assert last.startswith("The first line, for acc_")


def test_a_file_that_is_being_imported_is_not_imported_a_second_time_at_once(shop: Shop):
    path = shop.write("u.csv", HEADER, f"{now()},c0,llm,1", "broken")
    assert shop.run(path).exit_code == 1
    (kept,) = shop.state("u.csv", "refused")
    with kept.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = shop.run(path)
    assert done.exit_code == 2
    assert f"{path} is being imported already" in done.stderr


def test_a_packed_file_that_breaks_off_is_imported_as_far_as_it_goes(shop: Shop):
    body = gzip.compress("\n".join([HEADER, *[f"{now()},c0,llm,1"] * 5000]).encode())
    path = shop.folder / "u.csv.gz"
    path.write_bytes(body[:-20])
    done = shop.run(str(path))
    assert done.exit_code == 3
    assert "stopped: cannot be read from record" in done.stderr
    imported = counts(done)["booked"]
    path.write_bytes(body)
    assert counts(shop.run(str(path))) == {"booked": 5000 - imported}
    assert shop.left()[0] == CREDIT - 5000 * RATE


@pytest.mark.parametrize("own_id", ["id", "number"])
def test_columns_that_were_given_other_names_do_not_book_lines_for_others(shop: Shop, own_id: str):
    head = f"{own_id},occurred_at,customer,payer,event_type,data.n"
    lines = f"1,{now()},c0,c1,llm,1\n2,{now()},c0,c1,llm,1\n"
    path = shop.folder / "u.csv"
    path.write_text(f"{head}\n{lines}")
    assert counts(shop.run(str(path))) == {"booked": 2}
    path.write_text(f"{head.replace('customer,payer', 'payer,customer')}\n{lines}")
    for options in ([], ["--again"]):
        done = shop.run(str(path), *options)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "has changed: its " in done.stderr
    assert shop.left() == [CREDIT - 2 * RATE, CREDIT]
    path.write_text(f"{head}\n{lines}")
    assert counts(shop.run(str(path), "--again")) == {"repeats": 2}


@pytest.mark.parametrize("options", [[], ["--again"], ["--dry-run"]])
def test_a_packed_file_that_breaks_off_where_it_was_imported_before_says_so(
    shop: Shop, options: list[str]
):
    body = gzip.compress("\n".join([HEADER, *[f"{now()},c0,llm,{n}" for n in range(99)]]).encode())
    path = shop.folder / "u.csv.gz"
    path.write_bytes(body)
    assert counts(shop.run(str(path))) == {"booked": 99}
    # Cut off, and with bytes that are others.
    for harmed in (body[:40], body[:100] + b"\xff" * 9 + body[109:]):
        path.write_bytes(harmed)
        done = shop.run(str(path), *options)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "u.csv.gz: cannot be read from record 1 on" in done.stderr


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("missing.csv", [], "missing.csv cannot be read: No such file or directory\n"),
        ("u.txt", [], "--format: the name of"),
        ("u.csv", ["--delimiter", ";;"], "--delimiter: is ';;': give one character"),
        ("u.csv", ["--customer", ""], "what the columns mean: customer"),
        ("u.csv", ["--event-type", "=" + "x" * 101], "what the columns mean: default_event_type"),
        ("u.csv", ["--data", "n,n=x"], "--data: has 'n' twice"),
        ("u.csv", ["--account", "acc_nobody"], "there is no account 'acc_nobody'"),
        ("empty.csv", [], "is empty: the first line names columns"),
    ],
)
def test_what_cannot_begin_says_why_in_a_sentence(
    shop: Shop, name: str, options: list[str], said: str
):
    shop.write("u.csv", HEADER, f"{now()},c0,llm,1")
    shop.write("u.txt", HEADER)
    shop.write("empty.csv")
    done = shop.run(str(shop.folder / name), *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_an_address_it_says_how_to_give_one(tmp_path: Path):
    done = run("import", str(tmp_path / "u.csv"))
    assert done.returncode == 2
    assert "no address: say --url, or set FAREGATE_URL (or --database" in done.stderr


def test_on_a_terminal_a_bar_shows_how_far_it_is(shop: Shop):
    path = shop.write("u.csv", HEADER, *[f"{now()},c0,llm,1"] * 1500)
    terminal, its_end = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, "import", path, "--database", shop.url],
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
    assert "u.csv" in shown
    assert "1,500 lines" in shown
    assert b"booked: 1500" in done.stdout


def test_a_file_is_called_by_its_whole_name_on_a_terminal(shop: Shop):
    path = shop.write("u[final].csv", HEADER, f"{now()},c0,llm,1")
    terminal, its_end = pty.openpty()
    try:
        subprocess.run(
            [*COMMAND, "import", path, "--database", shop.url],
            stdout=its_end,
            stderr=its_end,
            env=environment(TERM="xterm", COLUMNS="100"),
            timeout=60,
            check=True,
        )
        shown = os.read(terminal, 65536).decode()
    finally:
        os.close(its_end)
        os.close(terminal)
    _, _, table = shown.rpartition("lines/s")
    assert "u[final].csv" in table
    assert "%" in shown.partition("u[final].csv")[2]


def test_links_that_somebody_has_put_there_lead_to_nothing_that_is_written_over(shop: Shop):
    path = shop.write("u.csv", HEADER, f"{now()},c0,llm,1", f"{now()},nobody,llm,1")
    assert counts(shop.run(path)) == {"booked": 1, "refused": 1}
    (journal,), (refused,) = shop.state("u.csv", "import"), shop.state("u.csv", "refused")
    assert refused.stat().st_mode & 0o077 == 0
    precious = shop.folder / "precious"
    precious.write_text("mine")
    journal.with_name(f"{journal.name}.new").symlink_to(precious)
    assert counts(shop.run(path, "--again")) == {"repeats": 1, "refused": 1}
    assert not journal.is_symlink()
    refused.unlink()
    refused.symlink_to(precious)
    done = shop.run(path, "--again")
    assert done.exit_code == 2
    assert "say with --state where it may write" in done.stderr
    assert precious.read_text() == "mine"


def test_what_stands_in_a_file_does_nothing_to_the_terminal(shop: Shop):
    hostile = "c9\x1b]0;mine\x07\x1b[2J"
    where = shop.folder / hostile
    where.mkdir()
    path = shop.write(f"{hostile}/u\x1b[2J.csv", HEADER, f"{now()},{hostile},llm,1")
    trial, done = shop.run(path, "--dry-run"), shop.run(path)
    assert counts(done) == {"refused": 1}
    assert trial.stdout.startswith("u\\x1b[2J.csv:2: refused: ")
    for said in (trial.stdout, trial.stderr, done.stdout, done.stderr):
        assert "\x1b" not in said
        assert "\x07" not in said


def test_a_warning_does_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]):
    warnings = {"no cost: model gpt\x1b[2J": 1}
    Screen().sum_up(Summary("u.csv", Counts(booked=1, warned=1), 0, 0, "", warnings))
    assert "1 times: no cost: model gpt\\x1b[2J\n" in capsys.readouterr().err


def test_its_help_fits_a_terminal_and_groups_what_belongs_together(tmp_path: Path):
    done = run("import", "--help", COLUMNS="80")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    for said in (
        "each line is charged once",
        "Where it goes",
        "What the columns mean",
        "How the files are written",
        "--dry-run",
        "Ctrl-C ends it; the same command goes on from there.",
        "Exit codes: 0 all is in",
    ):
        assert said in done.stdout
