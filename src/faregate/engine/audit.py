"""The audit log's operations: writing an entry around a change, reading, and checking the chain."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

from faregate.core.codec import encode
from faregate.core.problems import UNAVAILABLE, FaregateError
from faregate.engine.base import EngineBase
from faregate.insights.spreadsheets import harmless
from faregate.platform import audit
from faregate.platform.audit import Actor, AuditEntry, AuditFilter, Change, Outcome
from faregate.store.protocol import StoreUnavailable

CSV_COLUMNS: Final = (
    "at", "who", "who_id", "who_kind", "action", "object", "account", "mode", "outcome", "detail",
    "request", "address", "ended_at", "id",
)  # fmt: skip

log = structlog.get_logger(__name__)


class AuditedChange:
    """A change under way, for whoever makes it to say how it ended where no exception says so."""

    def __init__(self, entry_id: str) -> None:
        self.entry_id = entry_id
        self.outcome: Outcome = "done"
        self.detail = ""
        self.object_id = ""

    def refuse(self, detail: str) -> None:
        """Say that nothing was changed, and why."""
        self.outcome, self.detail = "refused", detail

    def made(self, object_id: str) -> None:
        """Say what was made."""
        self.object_id = object_id


class AuditOperations(EngineBase):
    """The audit log."""

    @asynccontextmanager
    async def audited(self, actor: Actor, change: Change) -> AsyncIterator[AuditedChange]:
        """Write that somebody is about to change something, let it happen, and write how it ended.

        A `FaregateError` counts as refused (503: as failed), any other exception as failed; both go
        on to the caller. Raises 503 before anything happens if the entry cannot be written.
        """
        async with self._store.transaction() as transaction:
            entry_id = await audit.begin_entry(
                transaction, actor, change, self._ticked(), self._clock()
            )
        doing = AuditedChange(entry_id)
        try:
            yield doing
        except FaregateError as error:
            is_ours = error.problem.kind is UNAVAILABLE
            unknown = isinstance(error, StoreUnavailable) and error.is_unknown
            doing.outcome = "unknown" if unknown else "failed" if is_ours else "refused"
            doing.detail = error.problem.detail
            raise
        except Exception as error:
            doing.outcome, doing.detail = "failed", f"a fault of ours: {type(error).__name__}"
            raise
        except BaseException:
            doing.outcome, doing.detail = "unknown", "it was cut short"
            raise
        finally:
            # Whoever asked may be gone: the outcome is written all the same.
            await asyncio.shield(asyncio.ensure_future(self._end(doing)))

    async def _end(self, doing: AuditedChange) -> None:
        try:
            async with self._store.transaction() as transaction:
                await audit.end_entry(
                    transaction,
                    doing.entry_id,
                    doing.outcome,
                    doing.detail,
                    doing.object_id,
                    self._clock(),
                )
        except StoreUnavailable as error:
            # What was changed stays changed; the entry shows that its end is not known.
            log.warning("an outcome is missing in the audit log", entry=doing.entry_id, why=error)

    async def list_audit_entries(
        self, wanted: AuditFilter | None = None, limit: int = 50, before: int | None = None
    ) -> list[AuditEntry]:
        """List entries of the audit log, the newest first, at most 200; `before` is the `seq` of
        the last one that was seen."""
        return await audit.list_entries(self._store, wanted or AuditFilter(), limit, before)

    async def audit_csv(self, wanted: AuditFilter | None = None) -> AsyncIterator[str]:
        """Write the entries as CSV, the newest first, in pieces. A cell that a spreadsheet would
        take for a formula begins with an apostrophe."""
        yield _line(CSV_COLUMNS)
        before: int | None = None
        while True:
            entries = await self.list_audit_entries(wanted, audit.MAX_PAGE, before)
            if not entries:
                return
            before = entries[-1].seq
            yield "".join(_line(_cells(entry)) for entry in entries)

    async def last_changes_by(self, actor_ids: list[str]) -> dict[str, Any]:
        """Return when each of these operators or API keys last began to change something."""
        return await audit.last_uses(self._store, actor_ids)

    async def check_audit_log(self) -> tuple[int, list[str]]:
        """Recompute the chain of the audit log; returns how many rows it has and, in words, what
        is not as it was written (nothing: all is)."""
        async with self._store.snapshot() as queries:
            return await audit.check_chain(queries)


def _cells(entry: AuditEntry) -> list[str]:
    return [
        entry.at.isoformat(),
        entry.actor.name,
        entry.actor.id,
        entry.actor.kind,
        entry.action,
        entry.object_id,
        entry.account_id,
        entry.mode,
        entry.outcome,
        entry.detail,
        encode(entry.request).decode(),
        entry.address,
        "" if entry.ended_at is None else entry.ended_at.isoformat(),
        entry.id,
    ]


def _line(cells: tuple[str, ...] | list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([harmless(cell) for cell in cells])
    return text.getvalue()
