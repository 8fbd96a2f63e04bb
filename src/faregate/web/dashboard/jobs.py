"""Long work: what is being done, how far it has come, and what came of it. It goes on while nobody
looks."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import FileResponse, Response

from faregate.core.codec import decode
from faregate.core.problems import FORBIDDEN, FaregateError, Problem
from faregate.core.wording import digits
from faregate.customers.migrating import MigrateProduct
from faregate.engine.exploring import WantedEvents
from faregate.engine.exporting import Exported, ExportEvents
from faregate.engine.jobs import Verified
from faregate.platform.jobs import Job
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.rendering import NO_STORE

SHOWN: Final = 25
KINDS: Final = {
    "export_events": "Export of events",
    "verify": "Proof of the books",
    "migrate_subscribers": "Move of subscribers",
}
STATES: Final = {
    "queued": ("Waiting", "info"),
    "running": ("Working", "info"),
    "done": ("Done", "good"),
    "failed": ("Failed", "bad"),
    "cancelled": ("Cancelled", "warn"),
}
FORMATS: Final = {"csv": "CSV", "parquet": "Parquet"}


def asker(visit: Visit) -> str:
    """Return who asks for a job: names may be the same, addresses are not."""
    return f"{visit.operator_name} ({visit.operator.email})"


class ShownJob(msgspec.Struct, frozen=True):
    """A job as pages show it."""

    job: Job
    label: str
    about: str
    state: tuple[str, str]
    took: str


async def show(visit: Visit) -> Response:
    """List jobs."""
    page = await visit.engine.list_jobs(SHOWN, visit.offset, context=visit.context)
    jobs = [_shown(visit, job) for job in page.items]
    return visit.render(
        "jobs.html",
        section="jobs",
        title="Jobs",
        jobs=jobs,
        page=page,
        are_open=any(one.job.is_open for one in jobs),
    )


async def begin_verify(visit: Visit) -> Response:
    """Have the books proved."""
    job = await visit.engine.create_job("verify", asked_by=asker(visit), context=visit.context)
    return visit.go(f"jobs/{job.id}")


async def show_one(visit: Visit) -> Response:
    """Show a job; to htmx, the part of the page that changes."""
    job = await visit.engine.get_job(visit.path["job_id"], context=visit.context)
    shown = _shown(visit, job)
    return visit.render(
        "job_state.html" if visit.is_htmx else "job.html",
        section="jobs",
        title=shown.label,
        one=shown,
        job=job,
        may_end=_may_end(visit, job),
        facts=_facts(visit, job),
        verified=_result(job, "verify", Verified),
        moved=_moved(job),
    )


async def download(visit: Visit) -> Response:
    """Hand out the file that a job has made."""
    job = await visit.engine.get_job(visit.path["job_id"], context=visit.context)
    path = await visit.engine.job_file(job.id, context=visit.context)
    kind = "text/csv" if path.suffix == ".csv" else "application/vnd.apache.parquet"
    name = f"{job.kind.replace('_', '-')}-{job.created_at:%Y-%m-%d-%H%M}{path.suffix}"
    return FileResponse(path, media_type=kind, filename=name, headers=NO_STORE)


async def cancel(visit: Visit) -> Response:
    """End a job before it is done."""
    job = await _of_theirs(visit)
    ended = await visit.engine.cancel_job(job.id, context=visit.context)
    said = "Cancelled." if not ended.is_open else "It will end within a few seconds."
    return visit.go(f"jobs/{job.id}", said)


async def delete(visit: Visit) -> Response:
    """Take a job that has ended away, with its file."""
    job = await _of_theirs(visit)
    await visit.engine.delete_job(job.id, context=visit.context)
    return visit.go("jobs", "Deleted.")


async def move(visit: Visit) -> Response:
    """Do what a dry run of a migration has looked at."""
    job = await visit.engine.get_job(visit.path["job_id"], context=visit.context)
    asked = decode(MigrateProduct, job.request)
    subscribers = msgspec.structs.replace(asked.subscribers, dry_run=False)
    begun = await visit.engine.create_job(
        "migrate_subscribers",
        MigrateProduct(asked.product, subscribers),
        asked_by=asker(visit),
        context=visit.context,
    )
    return visit.go(f"jobs/{begun.id}")


async def _of_theirs(visit: Visit) -> Job:
    """Return a job that whoever looks may end. Raises 403."""
    job = await visit.engine.get_job(visit.path["job_id"], context=visit.context)
    if not _may_end(visit, job):
        detail = f"{job.asked_by or 'somebody else'} has asked for it: ask them, or an admin"
        raise FaregateError(Problem(FORBIDDEN, detail))
    return job


def _may_end(visit: Visit, job: Job) -> bool:
    return visit.may("admin") or job.asked_by == asker(visit)


def _shown(visit: Visit, job: Job) -> ShownJob:
    now = visit.engine.now()
    took = ""
    if job.started_at is not None:
        took = _duration((job.finished_at or now) - job.started_at)
    label = KINDS.get(job.kind, job.kind.replace("_", " ").capitalize())
    return ShownJob(job, label, _about(visit, job), STATES[job.status], took)


def _duration(span: Any) -> str:
    seconds = max(0, int(span.total_seconds()))
    if not seconds:
        return "under 1 s"
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _about(visit: Visit, job: Job) -> str:
    """Say in a few words what a job is about."""
    if job.kind == "export_events":
        asked = decode(ExportEvents, job.request)
        words = [f"{name} {said}" for name, said in _filters(asked.events)]
        return ", ".join([FORMATS[asked.format], *(words or ["all events"])])
    if job.kind == "migrate_subscribers":
        move_ = decode(MigrateProduct, job.request)
        product = visit.engine.catalog_view(visit.context).products.get(move_.product)
        name = move_.product if product is None else product.code
        trial = ", dry run" if move_.subscribers.dry_run else ""
        return f"{name} to version {move_.subscribers.to_version}{trial}"
    return ""


_FILTERS: Final = {
    "customer": "of",
    "event_id": "id",
    "event_types": "type",
    "subject": "subject",
    "period_from": "from",
    "period_to": "to",
    "shows": "with",
    "min_fee": "of at least",
    "asset": "in",
}


def _filters(wanted: WantedEvents) -> list[tuple[str, str]]:
    found = []
    for name, said in _FILTERS.items():
        value = getattr(wanted, name)
        if value not in (None, ()):
            shown = ", ".join(value) if isinstance(value, tuple) else str(value)
            found.append((said, shown))
    if wanted.data_key is not None:
        found.append((f"{wanted.data_key} =", wanted.data_text))
    return found


def _result(job: Job, kind: str, form: type[Any]) -> Any:
    if job.kind != kind or job.result is None:
        return None
    return decode(form, job.result)


def _facts(visit: Visit, job: Job) -> list[tuple[str, str]]:
    """Return what there is to know of a job, in words."""
    found = [
        ("What", _about(visit, job) or "everything"),
        ("Asked by", job.asked_by or "a program"),
    ]
    exported = _result(job, "export_events", Exported)
    if exported is not None:
        found += [
            ("Events", digits(exported.events)),
            ("Rows", f"{digits(exported.rows)} (one for each fee)"),
        ]
    if job.file_bytes is not None:
        found.append(("Size", _size(job.file_bytes)))
    return found


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 10_000:
            return f"{count:,} {unit}"
        count //= 1_000
    return f"{count:,} GB"


def _moved(job: Job) -> Any:
    """Return what a migration has come to, as it is kept."""
    return _result(job, "migrate_subscribers", dict[str, Any])


PAGES: Final = (
    Page("jobs", show),
    Page("jobs/verify", begin_verify, "POST", "own"),
    Page("jobs/{job_id}", show_one),
    Page("jobs/{job_id}/file", download),
    Page("jobs/{job_id}/cancel", cancel, "POST", "own"),
    Page("jobs/{job_id}/delete", delete, "POST", "own"),
    Page("jobs/{job_id}/move", move, "POST", needs="admin"),
)
