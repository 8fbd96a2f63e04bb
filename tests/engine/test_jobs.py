"""Long work can be left and found again: it ends once, whoever dies when, and says how."""

import asyncio
import csv
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.ledger.shop import (
    NOON,
    Clock,
    book,
    make_customer,
    make_version,
    other_connection,
    refusal,
    sell_tokens,
    use,
)

from faregate import CreateCustomer, Engine, UsageEvent
from faregate.core.amounts import Number
from faregate.core.codec import decode
from faregate.core.problems import CONFLICT, INVALID, NOT_FOUND
from faregate.engine import jobs
from faregate.engine.exploring import WantedEvents
from faregate.engine.exporting import Exported, ExportEvents
from faregate.engine.job_run import Done, JobKind, JobRun
from faregate.engine.jobs import Verified
from faregate.insights.exported import COLUMNS
from faregate.insights.spreadsheets import open_sheet
from faregate.ledger import lease
from faregate.platform import export_folder
from faregate.platform.export_folder import ExportFolder
from faregate.platform.jobs import MAX_ATTEMPTS, MAX_OPEN, Job


@asynccontextmanager
async def shop(url: str, folder: Path, clock: Clock | None = None) -> AsyncIterator[Engine]:
    async with Engine.open(url, clock=clock or Clock(), exports=folder) as engine:
        yield engine


async def run(engine: Engine, kind: str, request: Any = None) -> Job:
    """Ask for a job and do it."""
    job = await engine.create_job(kind, request, asked_by="Ada")
    assert (job.status, job.percent) == ("queued", None)
    assert await engine.run_jobs() == 1
    return await engine.get_job(job.id)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def sell_and_use(engine: Engine) -> tuple[str, str]:
    """Two customers' events: with one fee, without any, with odd texts."""
    await sell_tokens(engine, "0.000000001")
    ada = await make_customer(engine)
    request = CreateCustomer(name="=cmd()", external_id="@ben")
    ben = (await engine.create_customer(request)).id
    await book(engine, ada, use("first", 3, subject="-1", description='a,b\n"c"'))
    await book(engine, ben, use("=2+2", 1))
    data = {"n": Number("0.000000000001"), "note": "=x", "run": "\u00e9"}
    await book(engine, ada, UsageEvent("last", "+type", NOON, data=data))
    return ada, ben


def test_an_export_has_a_row_for_each_fee_exactly_and_nothing_that_runs(
    database_url: str, tmp_path: Path
) -> None:
    async def story() -> None:
        clock = Clock()
        async with shop(database_url, tmp_path / "files", clock) as engine:
            ada, ben = await sell_and_use(engine)
            job = await run(engine, "export_events")
            assert (job.status, job.asked_by, job.percent) == ("done", "Ada", 100)
            assert decode(Exported, job.result or "") == Exported(3, 3)
            path = await engine.job_file(job.id)
            assert path.stat().st_size == job.file_bytes
            assert path.stat().st_mode & 0o077 == 0
            last, two, first = read_csv(path)
            assert list(first) == [name for name, _ in COLUMNS]
            assert (first["event_id"], first["subject"]) == ("first", "'-1")
            assert first["description"] == 'a,b\n"c"'
            assert (first["amount"], first["asset"], first["fee_number"]) == (
                "0.000000003",
                "USD",
                "1",
            )
            assert (first["product"], first["price"], first["volume"]) == ("tokens", "tokens", "3")
            assert first["occurred_at"] == "2026-03-02T12:00:00Z"
            assert (two["event_id"], two["customer_name"]) == ("'=2+2", "'=cmd()")
            assert (two["customer_external_id"], two["customer_id"]) == ("'@ben", ben)
            assert (last["event_type"], last["fee_number"], last["amount"]) == ("'+type", "0", "")
            assert last["data"] == '{"n":1E-12,"note":"=x","run":"\u00e9"}'
            assert last["warnings"].startswith("no price for event_type=+type")

            only = ExportEvents("csv", WantedEvents(customer=ada, shows="fees"))
            other = await run(engine, "export_events", only)
            assert [r["event_id"] for r in read_csv(await engine.job_file(other.id))] == ["first"]
            assert path.name != (await engine.job_file(other.id)).name

            # A week later the files go, and the jobs stay.
            clock.move(days=7)
            assert await engine.prune_jobs() == 2
            assert list((tmp_path / "files").iterdir()) == []
            gone = await refusal(engine.job_file(job.id))
            assert gone.problem.kind is NOT_FOUND
            assert (await engine.get_job(job.id)).status == "done"
            await engine.delete_job(job.id)
            assert (await engine.list_jobs()).total_count == 1

    asyncio.run(story())


def test_parquet_has_the_same_rows_with_exact_types(database_url: str, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    async def story() -> None:
        async with shop(database_url, tmp_path) as engine:
            await sell_and_use(engine)
            job = await run(engine, "export_events", {"format": "parquet"})
            table = parquet.read_table(await engine.job_file(job.id))
            assert table.schema.names == [name for name, _ in COLUMNS]
            assert table.schema.field("amount").type == pa.decimal128(38, 9)
            assert table.schema.field("volume").type == pa.decimal128(38, 12)
            assert table.schema.field("booked_at").type == pa.timestamp("us", tz="UTC")
            last, two, first = table.to_pylist()
            assert (first["amount"], first["occurred_at"]) == (Decimal("0.000000003"), NOON)
            # Nothing runs in there: texts are as they were sent.
            assert (two["event_id"], two["customer_name"]) == ("=2+2", "=cmd()")
            assert (last["fee_number"], last["amount"], last["fee_id"]) == (0, None, None)
            assert last["data"] == '{"n":1E-12,"note":"=x","run":"\u00e9"}'

    asyncio.run(story())


def test_an_export_without_room_fails_in_words_and_leaves_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_folder, "MAX_BYTES", 700)

    async def story() -> None:
        async with shop(database_url, tmp_path / "files") as engine:
            await sell_and_use(engine)
            job = await run(engine, "export_events")
            assert job.status == "failed"
            assert "delete older ones" in (job.problem or "")
            assert list((tmp_path / "files").iterdir()) == []

    asyncio.run(story())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_a_full_disk_has_cut_short_is_taken_away(tmp_path: Path, suffix: str) -> None:
    folder = ExportFolder(tmp_path)
    part = folder.begin(folder.new_name("events", suffix))
    sheet = open_sheet(suffix, part.file)
    row = tuple([NOON if kind == "instant" else None for _, kind in COLUMNS])

    def write() -> None:
        for _ in range(20_000):
            sheet.add([row] * 25)

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write()
        sheet.give_up()
        part.drop()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def gone() -> str:
    """A holder whose process has ended."""
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    return f"{lease._HOST}|{ended.stdout.strip()}|a|b"


async def claim_as(url: str, job: Job, holder: str, until: int) -> None:
    async with other_connection(url) as store, store.transaction() as transaction:
        await transaction.fetch(
            "UPDATE jobs SET status = 'running', claimed_by = $2, claimed_until = $3, "
            "attempts = attempts + 1 WHERE id = $1 RETURNING id",
            job.id,
            holder,
            until,
        )


def test_a_job_whose_process_has_died_is_taken_up_and_ends_once(
    database_url: str, tmp_path: Path
) -> None:
    later = lease.lease_clock_us() + 3600 * 10**6

    async def story() -> None:
        async with shop(database_url, tmp_path / "files") as engine:
            await sell_and_use(engine)
            job = await engine.create_job("export_events")
            # Of another host nobody knows whether it lives: it has its time.
            await claim_as(database_url, job, "elsewhere/x/y|1|a|b", later)
            assert await engine.run_jobs() == 0
            await claim_as(database_url, job, gone(), later)
            assert await engine.run_jobs() == 1
            assert (await engine.get_job(job.id)).status == "done"
            assert len(os.listdir(tmp_path / "files")) == 1

            job = await engine.create_job("verify")
            for _ in range(MAX_ATTEMPTS):
                await claim_as(database_url, job, gone(), later)
            assert await engine.run_jobs() == 1
            ended = await engine.get_job(job.id)
            assert ended.status == "failed"
            assert ended.problem == "the server has ended 3 times while it was being done"

    asyncio.run(story())


def test_who_has_lost_a_job_meanwhile_ends_nothing_and_leaves_no_file(
    database_url: str, tmp_path: Path
) -> None:
    later = lease.lease_clock_us() + 3600 * 10**6

    async def story() -> None:
        async with shop(database_url, tmp_path / "files") as engine:
            await sell_and_use(engine)
            kind = engine.job_kinds["export_events"]
            job = await engine.create_job("export_events")

            async def lose_it(run: JobRun) -> Done:
                await claim_as(database_url, job, gone(), later)
                return await kind.run(run)

            engine.add_job_kind(msgspec.structs.replace(kind, run=lose_it))
            assert await engine._do_job(await engine._claim_job() or job) is False
            assert (await engine.get_job(job.id)).status == "running"
            assert os.listdir(tmp_path / "files") == []
            engine.add_job_kind(kind)
            assert await engine.run_jobs() == 1
            assert len(os.listdir(tmp_path / "files")) == 1

    asyncio.run(story())


class Nothing(msgspec.Struct, frozen=True):
    """What such a job wants, and answers."""


class Waiting:
    """A kind of job that waits until it is told to go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.was_ended = False

    async def run(self, run: JobRun) -> Done:
        run.progress(1, 4, "waits")
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.was_ended = True
            raise
        return Nothing(), None

    async def check(self, _request: Any, _context: Any) -> None:
        pass

    def kind(self) -> JobKind:
        return JobKind("wait", Nothing, self.check, self.run)


def test_a_job_is_ended_while_it_waits_and_while_it_is_done(
    database_url: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with shop(database_url, tmp_path) as engine:
            waiting = Waiting()
            engine.add_job_kind(waiting.kind())
            first, second = [await engine.create_job("wait") for _ in range(2)]
            assert (await engine.cancel_job(second.id)).status == "cancelled"
            running = asyncio.ensure_future(engine.run_jobs())
            await waiting.begun.wait()
            ended = await engine.cancel_job(first.id)
            assert (ended.status, ended.done, ended.total, ended.words) == (
                "cancelled",
                1,
                4,
                "waits",
            )
            assert waiting.was_ended
            assert await running == 1
            for refused in (engine.cancel_job(first.id), engine.delete_job("job_none")):
                assert (await refusal(refused)).problem.kind in (CONFLICT, NOT_FOUND)

    asyncio.run(story())


def test_a_job_is_ended_by_a_process_that_does_not_do_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "TELL_SECONDS", 0.01)

    async def story() -> None:
        async with shop(database_url, tmp_path) as engine:
            waiting = Waiting()
            engine.add_job_kind(waiting.kind())
            job = await engine.create_job("wait")
            running = asyncio.ensure_future(engine.run_jobs())
            await waiting.begun.wait()
            async with Engine.open(database_url, clock=Clock(), serves=False) as other:
                asked = await other.cancel_job(job.id)
                assert (asked.status, asked.is_cancelled) == ("running", True)
                assert await running == 1
                ended = await other.get_job(job.id)
                assert (ended.status, ended.done, ended.words) == ("cancelled", 1, "waits")

    asyncio.run(story())


def test_a_job_is_left_to_the_next_server_when_one_stops(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        waiting = Waiting()
        async with shop(database_url, tmp_path) as engine:
            engine.add_job_kind(waiting.kind())
            job = await engine.create_job("wait")
            async with engine.working():
                await waiting.begun.wait()
        assert waiting.was_ended
        waiting = Waiting()
        async with shop(database_url, tmp_path) as engine:
            left = await engine.get_job(job.id)
            assert (left.status, left.attempts) == ("queued", 0)
            engine.add_job_kind(waiting.kind())
            waiting.go_on.set()
            assert await engine.run_jobs() == 1
            assert (await engine.get_job(job.id)).status == "done"

    asyncio.run(story())


def test_verify_as_a_job_says_what_it_has_found(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with shop(database_url, tmp_path) as engine:
            await sell_and_use(engine)
            found = decode(Verified, (await run(engine, "verify")).result or "")
            assert found.is_clean
            assert "The books balance." in found.lines
            async with other_connection(database_url) as store, store.transaction() as harm:
                await harm.fetch("UPDATE fees SET units = units + 1 RETURNING fee_id")
            job = await run(engine, "verify")
            found = decode(Verified, job.result or "")
            assert (job.status, found.is_clean) == ("done", False)
            assert any("fee" in line for line in found.lines)

    asyncio.run(story())


def test_subscribers_are_moved_after_all_of_them_were_looked_at(
    database_url: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with shop(database_url, tmp_path) as engine:
            await sell_tokens(engine, "1")
            ids = [await make_customer(engine) for _ in range(23)]
            for customer_id in ids[:3]:
                await book(engine, customer_id, use("e", 5))
            await make_version(engine, "3", is_default=False)
            subscribers: dict[str, Any] = {"to_version": 2, "effective": "now"}
            job = await run(
                engine, "migrate_subscribers", {"product": "tokens", "subscribers": subscribers}
            )
            said = msgspec.json.decode(job.result or "")
            assert (said["result"], said["subscribers"], said["dearer"]) == ("forecast", 23, 3)
            assert [(t["usage_before"], t["usage_after"]) for t in said["totals"]] == [(15, 45)]
            assert {item["customer_id"] for item in said["most"]} == set(ids[:3])
            assert (await engine.list_subscribers("tokens")).items[0].version == 1

            subscribers["dry_run"] = False
            asked = {"product": "tokens", "subscribers": subscribers}
            for moved, there in ((23, 0), (0, 23)):
                job = await run(engine, "migrate_subscribers", asked)
                said = msgspec.json.decode(job.result or "")
                assert (said["moved"], said["already_there"], said["failures"]) == (moved, there, 0)
            assert {s.version for s in (await engine.list_subscribers("tokens", 100)).items} == {2}

    asyncio.run(story())


def test_what_cannot_be_done_is_refused_before_it_is_queued(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with shop(database_url, tmp_path) as engine:
            await sell_tokens(engine)
            none = {"product": "none", "subscribers": {"to_version": 1}}
            for kind, request, wanted in (
                ("make_tea", None, INVALID),
                ("export_events", {"format": "xlsx"}, INVALID),
                ("export_events", {"events": {"customer": "nobody"}}, INVALID),
                ("export_events", {"file": "/etc/passwd"}, INVALID),
                ("migrate_subscribers", none, NOT_FOUND),
                ("migrate_subscribers", None, INVALID),
            ):
                assert (await refusal(engine.create_job(kind, request))).problem.kind is wanted
            with monkeypatch.context() as without:
                without.setattr("faregate.insights.spreadsheets.find_spec", lambda _name: None)
                refused = await refusal(engine.create_job("export_events", {"format": "parquet"}))
                assert "pip install 'faregate[parquet]'" in str(refused)
            assert (await engine.list_jobs()).total_count == 0
            for _ in range(MAX_OPEN):
                job = await engine.create_job("verify")
            assert (await refusal(engine.create_job("verify"))).problem.kind is CONFLICT
            live = engine.context_of("live")
            for asked in (engine.get_job, engine.cancel_job, engine.delete_job, engine.job_file):
                refused = await refusal(asked(job.id, context=live))
                assert refused.problem.kind is NOT_FOUND
            assert (await engine.list_jobs(context=live)).total_count == 0

    asyncio.run(story())


def test_without_a_folder_no_export_is_begun_and_the_remedy_is_named(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            if database_url.startswith("sqlite"):
                assert (await run(engine, "export_events")).status == "done"
                return
            refused = await refusal(engine.create_job("export_events"))
            assert "--exports FOLDER" in str(refused)

    asyncio.run(story())


def test_only_files_of_exports_are_ever_found_or_taken_away(tmp_path: Path) -> None:
    folder = export_folder.ExportFolder(tmp_path / "exports")
    folder.check()
    other = tmp_path / "exports" / "faregate.db"
    other.write_text("money")
    for name in ("../x", "faregate.db", "", "events-2026-01-01-short.csv"):
        assert folder.find(name) is None
        folder.remove([name])
    name = folder.new_name("events-2026-01-01", "csv")
    part = folder.begin(name)
    part.file.write(b"abc")
    assert folder.find(name) is None
    assert part.keep() == 3
    part.drop()
    assert folder.find(name) is not None
    assert folder.bytes_used() == 3
    folder.sweep(set())
    assert folder.find(name) is not None  # Somebody may be about to say that it is his.
    assert other.read_text() == "money"
    assert timedelta(seconds=export_folder.STALE_SECONDS) == timedelta(days=1)
