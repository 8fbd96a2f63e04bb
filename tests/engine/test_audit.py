"""The audit log: no change without an entry, no entry changed, no secret in it."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import timedelta

import pytest
from tests.ledger.shop import NOON, Clock

from faregate import Engine
from faregate.core.problems import FaregateError, conflict
from faregate.platform.audit import Actor, AuditFilter, Change
from faregate.store.open import open_store

ADA = Actor("operator", "opr_ada", "Ada <ada@example.com>")
KEY = Actor("key", "key_1", "=cmd (fg_test_abcd…)")
SECRET = "Zq7xMarkedSecret"


async def change(engine: Engine, actor: Actor, what: Change, made: str = "") -> None:
    async with engine.audited(actor, what) as doing:
        doing.made(made)


def test_an_entry_is_there_before_the_change_and_its_outcome_after(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            what = Change(
                "publish", "prp_1", "acc_1", "test", {"csrf": SECRET, "n": 1}, "192.0.2.1"
            )
            async with engine.audited(ADA, what):
                (before,) = await engine.list_audit_entries()
                assert (before.outcome, before.ended_at) == ("unknown", None)
            (after,) = await engine.list_audit_entries()
            assert (after.outcome, after.ended_at) == ("done", NOON)
            assert (after.actor, after.action, after.object_id) == (ADA, "publish", "prp_1")
            assert after.request == {"csrf": "•••", "n": 1}
            assert (after.mode, after.address) == ("test", "192.0.2.1")

            for error, outcome, words in (
                (FaregateError(conflict("code", "is taken")), "refused", "is taken"),
                (KeyError(SECRET), "failed", "a fault of ours: KeyError"),
                (asyncio.CancelledError(), "unknown", "it was cut short"),
            ):
                with pytest.raises(type(error)):
                    async with engine.audited(ADA, what):
                        raise error
                newest = (await engine.list_audit_entries())[0]
                assert (newest.outcome, newest.detail) == (outcome, words)
            async with engine.audited(ADA, what) as doing:
                doing.refuse(f"see fg_test_{SECRET}")
            assert SECRET not in repr(await engine.list_audit_entries())
            assert await engine.check_audit_log() == (10, [])

    asyncio.run(story())


def test_without_an_entry_nothing_happens(database_url: str) -> None:
    async def story() -> None:
        happened = []
        async with Engine.open(database_url, clock=Clock()) as engine:
            async with engine._store.transaction() as transaction:
                await transaction.fetch("DROP TABLE audit_entries")

            async def attempt() -> None:
                async with engine.audited(ADA, Change("publish")):
                    happened.append("changed")

            with pytest.raises(Exception, match="audit_entries"):
                await attempt()
            assert happened == []

    asyncio.run(story())


def test_entries_are_found_by_who_what_object_mode_and_period_page_by_page(
    database_url: str,
) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            for number in range(6):
                actor = ADA if number % 2 else KEY
                await change(
                    engine, actor, Change(f"publish {number}", f"prp_{number}", mode="test")
                )
                clock.move(hours=1)
            await change(engine, ADA, Change("make a 100% coupon", mode="live"), made="cpn_9")

            async def found(**wanted: object) -> list[str]:
                filters = AuditFilter(**wanted)  # type: ignore[arg-type]
                return [e.action[-1] for e in await engine.list_audit_entries(filters)]

            assert await found(who="opr_ada") == ["n", "5", "3", "1"]
            assert await found(who="ADA@") == ["n", "5", "3", "1"]
            assert await found(who="fg_test") == ["4", "2", "0"]
            assert await found(who="_d_") == []
            assert await found(action="100%") == ["n"]
            assert await found(action="1%0") == []
            assert await found(object_id="prp_3") == ["3"]
            assert await found(object_id="cpn_9") == ["n"]
            assert await found(mode="live") == ["n"]
            hour = timedelta(hours=1)
            assert await found(since=NOON + hour, until=NOON + 3 * hour) == ["2", "1"]
            assert await found(who="'; DROP TABLE operators --\x00") == []
            pages = []
            before = None
            while page := await engine.list_audit_entries(limit=3, before=before):
                before = page[-1].seq
                pages.append([entry.action[-1] for entry in page])
            assert pages == [["n", "5", "4"], ["3", "2", "1"], ["0"]]
            uses = await engine.last_changes_by(["opr_ada", "key_1", "key_2"])
            assert uses == {"opr_ada": NOON + 6 * hour, "key_1": NOON + 4 * hour}

            text = "".join([part async for part in engine.audit_csv()])
            rows = list(csv.DictReader(io.StringIO(text)))
            assert [row["action"][-1] for row in rows] == ["n", "5", "4", "3", "2", "1", "0"]
            assert rows[-1]["who"] == "'=cmd (fg_test_abcd…)"
            assert rows[0]["object"] == "cpn_9"

    asyncio.run(story())


TAMPERED = {
    "UPDATE audit_entries SET actor_name = 'Eve' WHERE action = 'b'": "row 3",
    "UPDATE audit_outcomes SET outcome = 'refused' WHERE seq = 4": "row 4",
    "DELETE FROM audit_entries WHERE action = 'b'": "row 3",
    "DELETE FROM audit_outcomes WHERE seq = 6": "after row 5",
    "UPDATE audit_head SET seq = 5": "after row 6",
}


def test_a_row_that_is_changed_or_taken_away_is_named(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            for name in "abc":
                await change(engine, ADA, Change(name))
            assert await engine.check_audit_log() == (6, [])
            store = await open_store(database_url)
            for statement, words in TAMPERED.items():
                async with store.transaction() as transaction:
                    kept = {
                        table: await transaction.fetch(f"SELECT * FROM {table}")
                        for table in ("audit_entries", "audit_outcomes", "audit_head")
                    }
                    await transaction.fetch(statement)
                _, faults = await engine.check_audit_log()
                assert [words in fault for fault in faults] == [True], statement
                async with store.transaction() as transaction:
                    for table, rows in kept.items():
                        await transaction.fetch(f"DELETE FROM {table}")
                        for row in rows:
                            marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
                            await transaction.fetch(f"INSERT INTO {table} VALUES ({marks})", *row)
                assert (await engine.check_audit_log())[1] == []
            await store.close()

    asyncio.run(story())


def test_changes_at_the_same_time_stand_in_one_line(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await asyncio.gather(*[change(engine, ADA, Change(f"{n}")) for n in range(20)])
            assert await engine.check_audit_log() == (40, [])

    asyncio.run(story())
