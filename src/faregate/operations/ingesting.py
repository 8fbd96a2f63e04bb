"""The rules of ingestion over REST: looking at them, setting them, trying them on a sample. What is
told itself comes in its senders' own formats, past the table of operations."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from faregate.core.codec import encode
from faregate.core.events import UsageEvent
from faregate.core.mapping import MappingRules
from faregate.core.observed import SOURCES, Source
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.customers.wire import EventFee, ProblemDetails
from faregate.engine import Engine
from faregate.engine.ingestion_rules import Previewed, SourceRules
from faregate.operations.operation import ADMIN, READ_ALL, Call, Operation
from faregate.operations.problems import problem_details
from faregate.operations.usage import show_fee
from faregate.platform.environments import AccountContext

RULES: Final = "/ingestion/{source}/rules"
PREVIEW: Final = "/ingestion/{source}/preview"


class PreviewRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A sample in the source's own format, as JSON or as a text with the body in it, with the
    `headers` that would come with it. Without `rules`, by those that hold."""

    sample: Any
    headers: Annotated[dict[str, str], Meta(max_length=50)] | None = None
    rules: MappingRules | None = None


class ShownPreview(msgspec.Struct, omit_defaults=True, frozen=True):
    """What one thing of a sample would become. `customer` is what it calls the customer,
    `customer_id` who that is (none: they would be created)."""

    place: str
    id: str
    status: Literal["event", "repeat", "skipped", "refused"]
    customer: str | None = None
    customer_id: str | None = None
    event: UsageEvent | None = None
    fees: list[EventFee] | None = None
    warnings: list[str] | None = None
    why: str | None = None
    problem: ProblemDetails | None = None


class PreviewAnswer(msgspec.Struct, frozen=True):
    """What would become of a sample, in its order."""

    items: list[ShownPreview]


def source_of(name: str) -> Source:
    """Return the source with this name. Raises 404."""
    if name not in SOURCES:
        detail = f"there is no source {name[:50]!r}: it is one of {', '.join(SOURCES)}"
        raise FaregateError(Problem(NOT_FOUND, detail))
    return name


def sample_bytes(sample: Any) -> bytes:
    """Return a sample as the body that it stands for."""
    return sample.encode() if isinstance(sample, str) else encode(sample)


def show_preview(
    found: Previewed, engine: Engine, context: AccountContext, path: str, request_id: str
) -> ShownPreview:
    """Return what one thing would become as the API shows it."""
    view = engine.catalog_view(context)
    problem = found.problem
    return ShownPreview(
        found.place,
        found.id,
        found.status,
        found.customer,
        found.customer_id,
        found.event,
        [show_fee(fee, view) for fee in found.fees] or None,
        list(found.warnings) or None,
        found.why,
        None if problem is None else problem_details(problem, path, request_id),
    )


async def _get(call: Call) -> SourceRules:
    source = source_of(call.path["source"])
    return await call.engine.get_ingestion_rules(source, context=call.context)


async def _set(call: Call) -> SourceRules:
    source = source_of(call.path["source"])
    return await call.engine.set_ingestion_rules(source, call.body, context=call.context)


async def _reset(call: Call) -> None:
    source = source_of(call.path["source"])
    await call.engine.reset_ingestion_rules(source, context=call.context)


async def _preview(call: Call) -> PreviewAnswer:
    source, request = source_of(call.path["source"]), call.body
    headers = {name.lower(): value for name, value in (request.headers or {}).items()}
    found = await call.engine.preview_ingestion(
        source, sample_bytes(request.sample), headers, request.rules, context=call.context
    )
    path = f"/v1/ingestion/{source}/preview"
    return PreviewAnswer(
        [show_preview(one, call.engine, call.context, path, call.request_id) for one in found]
    )


OPERATIONS = (
    Operation(
        "GET",
        RULES,
        _get,
        "Ingestion",
        "Get the rules by which events are made of what a source tells",
        READ_ALL,
        answer=SourceRules,
        errors=(404,),
    ),
    Operation(
        "PUT",
        RULES,
        _set,
        "Ingestion",
        "Set the rules of a source, in place of those that hold",
        ADMIN,
        body=MappingRules,
        answer=SourceRules,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        RULES,
        _reset,
        "Ingestion",
        "Take the rules of a source away: its usual ones hold again",
        ADMIN,
        204,
        errors=(404,),
    ),
    Operation(
        "POST",
        PREVIEW,
        _preview,
        "Ingestion",
        "Try rules on a sample: which events it would make, and what each would cost",
        READ_ALL,
        body=PreviewRequest,
        answer=PreviewAnswer,
        errors=(404,),
    ),
)
