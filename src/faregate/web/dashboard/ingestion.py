"""What other systems tell: how to point each of them here, by which rules events are made of it,
what a sample would come to, and what was refused lately."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response

from faregate.core.codec import encode
from faregate.core.observed import SOURCES, Source
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.engine.ingestion_rules import Previewed
from faregate.ingestion.ways import READERS
from faregate.web.dashboard.ingestion_form import (
    beside_fields,
    fits_form,
    rules_of,
    shown_rules,
)
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.money import Money, show_units


class Guide(msgspec.Struct, frozen=True):
    """A source in words: what it is, what to type so that it tells us (`{url}` is where we are),
    and a sample to try the rules with. In that, `$SECONDS` is when it was: now, since what is long
    past is refused."""

    name: str
    about: str
    point: str
    sample: str = ""


GUIDES: Final[dict[Source, Guide]] = {
    "otlp": Guide(
        "OpenTelemetry",
        "Traces with GenAI attributes, over OTLP/HTTP.",
        "export OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={url}/v1/traces\n"
        "export OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-credyt-api-key=$FAREGATE_KEY",
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{\n'
        '  "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",\n'
        '  "name": "chat gpt-4o-mini", "endTimeUnixNano": "$SECONDS000000000",\n'
        '  "attributes": [\n'
        '    {"key": "faregate.customer", "value": {"stringValue": "ada"}},\n'
        '    {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},\n'
        '    {"key": "gen_ai.provider.name", "value": {"stringValue": "openai"}},\n'
        '    {"key": "gen_ai.response.model", "value": {"stringValue": "gpt-4o-mini"}},\n'
        '    {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "1200"}},\n'
        '    {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "300"}}]}]}]}]}',
    ),
    "litellm": Guide(
        "LiteLLM",
        "The generic callback of LiteLLM’s proxy or SDK.",
        "export GENERIC_LOGGER_ENDPOINT={url}/v1/litellm\n"
        'export GENERIC_LOGGER_HEADERS="Authorization=Bearer $FAREGATE_KEY"\n'
        '# and in LiteLLM\'s settings: callbacks: ["generic_api"]',
        '[{"id": "chatcmpl-1", "litellm_call_id": "4f6c", "status": "success",\n'
        '  "call_type": "acompletion", "custom_llm_provider": "openai", "model": "gpt-4o-mini",\n'
        '  "endTime": $SECONDS, "prompt_tokens": 1200, "completion_tokens": 300,\n'
        '  "end_user": "ada"}]',
    ),
    "cloudevents": Guide(
        "CloudEvents",
        "CloudEvents 1.0 over HTTP: structured, binary, or in batches.",
        'curl {url}/v1/cloudevents -H "Authorization: Bearer $FAREGATE_KEY" \\\n'
        "  -H 'Content-Type: application/cloudevents+json' \\\n"
        '  -d \'{{"specversion": "1.0", "id": "1", "source": "/shop", '
        '"type": "api_call", "subject": "ada"}}\'',
        '{"specversion": "1.0", "id": "1", "source": "/shop", "type": "api_call",\n'
        ' "subject": "ada", "data": {"pages": 3}}',
    ),
    "import": Guide(
        "Files",
        "CSV or JSON lines, with a command that can be stopped and goes on.",
        "export FAREGATE_URL={url} FAREGATE_API_KEY=$FAREGATE_KEY\n"
        "faregate import uses.csv --dry-run",
    ),
}


class Row(msgspec.Struct, frozen=True):
    """What one thing of a sample would become, in words."""

    place: str
    kind: str
    words: str
    customer: str
    event_type: str
    data: str
    fees: list[Money]
    remarks: list[str]


async def show_all(visit: Visit) -> Response:
    """List the sources."""
    rows = []
    for source in SOURCES:
        found = await visit.engine.get_ingestion_rules(source, context=visit.context)
        lately = visit.engine.lately_ingested(source, context=visit.context)
        rows.append((source, GUIDES[source], found.is_default, lately))
    return visit.render("ingestion.html", section="ingestion", title="Ingestion", rows=rows)


async def show(visit: Visit) -> Response:
    """Show a source."""
    return await _page(visit, _source(visit))


async def save(visit: Visit) -> Response:
    """Set a source's rules."""
    source, form = _source(visit), await visit.form()
    try:
        rules = rules_of(form)
        await visit.engine.set_ingestion_rules(source, rules, context=visit.context)
    except FaregateError as error:
        return await _page(visit, source, form, error.problem)
    said = f"The rules of {GUIDES[source].name} are saved: they hold from now on."
    return visit.go(f"ingestion/{source}", said)


async def reset(visit: Visit) -> Response:
    """Take a source's rules away."""
    source = _source(visit)
    await visit.engine.reset_ingestion_rules(source, context=visit.context)
    return visit.go(f"ingestion/{source}", "The usual rules hold again.")


async def attempt(visit: Visit) -> Response:
    """Say what would become of a sample, by the rules as they are typed."""
    source, form = _source(visit), await visit.form()
    try:
        found = await visit.engine.preview_ingestion(
            source, form.get("sample").encode(), None, rules_of(form), context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, source, form, error.problem)
    return await _page(visit, source, form, None, [_row(one, visit) for one in found])


def _source(visit: Visit) -> Source:
    for source in SOURCES:
        if source == visit.path["source"]:
            return source
    raise FaregateError(Problem(NOT_FOUND, f"there is no source {visit.path['source'][:50]!r}"))


async def _page(
    visit: Visit,
    source: Source,
    form: Form | None = None,
    problem: Problem | None = None,
    rows: list[Row] | None = None,
) -> Response:
    found = await visit.engine.get_ingestion_rules(source, context=visit.context)
    guide = GUIDES[source]
    values = shown_rules(found.rules) if form is None else form.first()
    errors = {} if problem is None else beside_fields(problem.errors)
    return visit.render(
        "ingestion_source.html",
        200 if problem is None else problem.kind.status,
        section="ingestion",
        title=guide.name,
        source=source,
        guide=guide,
        point=guide.point.format(url=visit.base_url),
        is_default=found.is_default,
        fits=form is not None or fits_form(found.rules),
        rules=encode(found.rules).decode(),
        typed=values,
        sample=_of_now(guide.sample, visit) if form is None else form.get("sample"),
        can_try=source in READERS,
        rows=rows,
        lately=visit.engine.lately_ingested(source, context=visit.context),
        problem=problem,
        errors=errors,
        general=None if problem is None or set(errors) & set(values) else problem.detail,
    )


def _of_now(sample: str, visit: Visit) -> str:
    return sample.replace("$SECONDS", str(int(visit.engine.now().timestamp())))


def _row(found: Previewed, visit: Visit) -> Row:
    view, event = visit.engine.catalog_view(visit.context), found.event
    words, kind = {
        "event": ("would be charged", "good"),
        "repeat": ("was charged before", ""),
        "skipped": ("skipped", ""),
        "refused": ("refused", "bad"),
    }[found.status]
    if found.status == "event" and not found.fees:
        words, kind = "would be booked, with no fee", ""
    remarks = list(found.warnings)
    if found.why is not None:
        remarks.append(found.why)
    if found.problem is not None:
        remarks.append(found.problem.detail)
    if found.status == "event" and found.customer_id is None:
        remarks.append("the customer would be created")
    return Row(
        found.place,
        kind,
        words,
        found.customer or "",
        "" if event is None else event.event_type,
        "" if event is None or event.data is None else encode(event.data).decode(),
        [show_units(fee.units, view.assets[fee.asset]) for fee in found.fees],
        remarks,
    )


PAGES: Final = (
    Page("ingestion", show_all),
    Page("ingestion/{source}", show),
    Page("ingestion/{source}", save, "POST", "admin", action="set rules of ingestion"),
    Page("ingestion/{source}/try", attempt, "POST", "read", is_change=False),
    Page("ingestion/{source}/reset", reset, "POST", "admin", action="reset rules of ingestion"),
)
