"""Long work: it is asked for and left, done a little at a time beside the charges, and found again
with how far it has come. The process that serves does one job after the other; one whose process
has died is taken up again by whoever serves next.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from faregate.core.codec import checked, decode, encode, from_dict
from faregate.core.problems import INTERNAL, NOT_FOUND, UNAVAILABLE, FaregateError, Problem, invalid
from faregate.customers.migrating import MigrateProduct
from faregate.engine.base import Page
from faregate.engine.exporting import ExportEvents, ExportingOperations
from faregate.engine.job_run import Done, JobKind, JobRun
from faregate.engine.migrating import MigrationOperations
from faregate.ledger.lease import is_dead, lease_clock_us
from faregate.ledger.verdict import verdict
from faregate.ledger.verify import verify
from faregate.platform import jobs
from faregate.platform.environments import AccountContext
from faregate.platform.export_folder import NoRoom
from faregate.platform.jobs import CLAIM_SECONDS, MAX_ATTEMPTS, Job
from faregate.store.protocol import StoreUnavailable

TELL_SECONDS: Final = 1.0
"""How often it is written down how far a job has come."""
VERIFIED_AT_ONCE: Final = 1_000
"""Rows that `verify` goes through before charges have their turn."""
MAX_NAME: Final = 200

log = structlog.get_logger(__name__)


class VerifyLedger(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Prove that the books balance."""


class Verified(msgspec.Struct, frozen=True):
    """What was found, in words, and what stands for all transfers, to be kept elsewhere."""

    is_clean: bool
    lines: list[str]
    head: str


class JobOperations(ExportingOperations, MigrationOperations):
    """Long work."""

    def add_job_kind(self, kind: JobKind) -> None:
        """Add a kind of long work; each process that may do it has to."""
        self._job_kinds[kind.name] = kind

    @property
    def job_kinds(self) -> Mapping[str, JobKind]:
        """Every kind of long work, by its name."""
        ours = (
            JobKind("export_events", ExportEvents, self._check_export, self._export_events),
            JobKind("verify", VerifyLedger, _any, self._verify_ledger),
            JobKind(
                "migrate_subscribers", MigrateProduct, self._check_migration, self._migrate_whole
            ),
        )
        return {**{kind.name: kind for kind in ours}, **self._job_kinds}

    async def create_job(
        self,
        kind: str,
        request: msgspec.Struct | Mapping[str, Any] | None = None,
        *,
        asked_by: str = "",
        context: AccountContext | None = None,
    ) -> Job:
        """Queue long work; whoever serves the database begins it. Raises 422 for what cannot be
        done, 409 if too much waits already."""
        known = self.job_kinds.get(kind)
        if known is None:
            names = ", ".join(self.job_kinds)
            raise FaregateError(invalid("kind", f"is {kind[:50]!r}: choose one of {names}"))
        if request is None:
            request = {}
        asked = from_dict(known.request, request) if isinstance(request, Mapping) else request
        if not isinstance(asked, known.request):
            raise FaregateError(invalid("request", f"is no {known.request.__name__}"))
        asked = checked(asked)
        context = context or self.context
        await known.check(asked, context)
        async with self._store.transaction() as transaction:
            return await jobs.add(
                transaction,
                self._ticked().next("job"),
                context.environment_id,
                kind,
                asked_by[:MAX_NAME],
                encode(asked).decode(),
                self._clock(),
            )

    async def get_job(self, job_id: str, *, context: AccountContext | None = None) -> Job:
        """Return a job. Raises 404."""
        return await jobs.find(self._store, self._environment(context), job_id)

    async def list_jobs(
        self, limit: int = 20, offset: int = 0, *, context: AccountContext | None = None
    ) -> Page:
        """List jobs, the newest first."""
        environment = self._environment(context)
        found, total = await jobs.list_jobs(self._store, environment, limit, offset)
        return Page(found, total, limit, offset)

    async def cancel_job(self, job_id: str, *, context: AccountContext | None = None) -> Job:
        """End a job before it is done. What it has changed so far stays; what it has written is
        taken away. Raises 404, and 409 if it has ended."""
        async with self._store.transaction() as transaction:
            job = await jobs.ask_to_end(
                transaction, self._environment(context), job_id, self._clock()
            )
        running = self._running.get(job_id)
        if running is None:
            return job
        running.stop()
        await running.ended.wait()
        return await self.get_job(job_id, context=context)

    async def delete_job(self, job_id: str, *, context: AccountContext | None = None) -> None:
        """Take away a job that has ended, with its file. Raises 404, and 409 if it has not."""
        async with self._store.transaction() as transaction:
            job = await jobs.forget(transaction, self._environment(context), job_id)
        if job.file_name is not None:
            self._exports.remove([job.file_name])

    async def job_file(self, job_id: str, *, context: AccountContext | None = None) -> Path:
        """Return the file that a job has made. Raises 404 with the reason if it is not there."""
        job = await self.get_job(job_id, context=context)
        if job.file_name is None:
            was = " any more" if job.file_bytes else ""
            raise FaregateError(Problem(NOT_FOUND, f"the job has no file{was}: ask for it again"))
        path = self._exports.find(job.file_name)
        if path is None:
            detail = "the file is not in this server's folder for exports: another one wrote it"
            raise FaregateError(Problem(NOT_FOUND, detail))
        return path

    async def run_jobs(self) -> int:
        """Do what is queued, and what nobody does any more; returns how many jobs have ended."""
        ended = 0
        while all(lane.has_lease for lane in self._lanes):
            job = await self._claim_job()
            if job is None:
                break
            ended += await self._do_job(job)
        return ended

    async def prune_jobs(self) -> int:
        """Take away files that have been there for a week, and the oldest jobs; returns how many
        files."""
        gone: list[str] = []
        async with self._store.transaction() as transaction:
            gone += await jobs.drop_old_files(transaction, self._clock())
            for context in self.contexts:
                gone += await jobs.drop_oldest(transaction, context.environment_id)
        self._exports.remove(gone)
        self._exports.sweep(await jobs.known_files(self._store))
        return len(gone)

    async def _claim_job(self) -> Job | None:
        now_us = lease_clock_us()
        for identifier, holder, until_us in await jobs.open_claims(self._store):
            if holder and until_us > now_us and not is_dead(holder):
                continue
            async with self._store.transaction() as transaction:
                job = await jobs.claim(
                    transaction,
                    identifier,
                    holder,
                    until_us,
                    self._holder,
                    now_us + CLAIM_SECONDS * 1_000_000,
                    self._clock(),
                )
            if job is not None:
                return job
        return None

    async def _do_job(self, job: Job) -> bool:
        """Do a claimed job to its end; tells whether it has ended, and not been left."""
        context = next(c for c in self.contexts if c.environment_id == job.environment_id)
        kind = self.job_kinds.get(job.kind)
        run = JobRun(job, None, context)
        if kind is None:
            return await self._end_job(
                run, "failed", problem="this version does not know such jobs"
            )
        if job.is_cancelled:
            return await self._end_job(run, "cancelled")
        if job.attempts > MAX_ATTEMPTS:
            problem = f"the server has ended {MAX_ATTEMPTS} times while it was being done"
            return await self._end_job(run, "failed", problem=problem)
        run.request = decode(kind.request, job.request)
        doing = asyncio.ensure_future(kind.run(run))
        run.stop = doing.cancel
        self._running[job.id] = run
        telling = asyncio.ensure_future(self._keep_telling(run, doing))
        try:
            return await self._outcome_of(doing, run)
        finally:
            self._running.pop(job.id, None)
            doing.cancel()
            telling.cancel()
            await asyncio.wait([doing, telling])
            run.ended.set()

    async def _outcome_of(self, doing: asyncio.Future[Done], run: JobRun) -> bool:
        try:
            await asyncio.wait([doing])
        except asyncio.CancelledError:
            # The server ends: the next one begins the job anew.
            doing.cancel()
            await asyncio.wait([doing])
            await self._leave_job(run)
            raise
        if doing.cancelled():
            return await self._end_job(run, "cancelled")
        error = doing.exception()
        if error is None:
            result, file = doing.result()
            run.done = run.total or run.done
            text = encode(result).decode()
            return await self._end_job(run, "done", result=text, file=file)
        if isinstance(error, FaregateError) and error.problem.kind is UNAVAILABLE:
            await self._leave_job(run)
            raise error
        return await self._end_job(run, "failed", problem=_why(error, run.job))

    async def _end_job(self, run: JobRun, status: jobs.Status, **more: Any) -> bool:
        async with self._store.transaction() as transaction:
            is_ours = await jobs.finish(
                transaction,
                run.job.id,
                self._holder,
                status,
                self._clock(),
                run.words,
                done=run.done,
                total=run.total,
                **more,
            )
        file = more.get("file")
        if not is_ours and file is not None:
            # Somebody else has taken it up meanwhile, and has a file of its own.
            self._exports.remove([file.name])
        return is_ours

    async def _leave_job(self, run: JobRun) -> None:
        with suppress(StoreUnavailable):
            async with self._store.transaction() as transaction:
                await jobs.let_go(transaction, run.job.id, self._holder)

    async def _keep_telling(self, run: JobRun, doing: asyncio.Future[Done]) -> None:
        """Write down how far a job has come, and claim it anew; end it if it is to end, or is no
        longer ours."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            until = lease_clock_us() + CLAIM_SECONDS * 1_000_000
            try:
                async with self._store.transaction() as transaction:
                    is_to_end = await jobs.renew(
                        transaction,
                        run.job.id,
                        self._holder,
                        until,
                        run.done,
                        run.total,
                        run.words,
                    )
            except StoreUnavailable:
                continue
            if is_to_end is not False:
                doing.cancel()
                return

    async def _verify_ledger(self, run: JobRun) -> Done:
        def watch(done: int, total: int) -> None:
            run.progress(done, total, f"{done:,} of {total:,} numbers looked at")

        report = await verify(
            self._store,
            self._clock(),
            watch,
            at_once=VERIFIED_AT_ONCE,
            rest=run.breathe,
        )
        return Verified(report.is_clean, list(verdict(report)), str(report.head)), None


async def _any(_request: Any, _context: AccountContext) -> None:
    """Refuse nothing."""


def _why(error: BaseException, job: Job) -> str:
    """Say in words why a job has failed."""
    if isinstance(error, NoRoom):
        return str(error)
    if isinstance(error, FaregateError) and error.problem.kind is not INTERNAL:
        return str(error)
    if isinstance(error, OSError):
        return f"the file could not be written: {error.strerror or error}"
    log.error("a job failed", job=job.id, trace="".join(traceback.format_exception(error)))
    return f"a fault of the server's, which its log has under {job.id}"
