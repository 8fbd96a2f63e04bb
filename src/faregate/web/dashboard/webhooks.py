"""Where webhooks go: all destinations, and a new one."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response

from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem
from faregate.core.topics import TOPICS, Topic
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.typed import beside
from faregate.webhooks.types import ALL, CreateDestination, ListedDestination

NOBODY: Final = Form([])


class TopicGroup(msgspec.Struct, frozen=True):
    """Topics that begin with the same word: those of wallets, of holds."""

    label: str
    topics: list[Topic]


def topic_groups() -> list[TopicGroup]:
    """Return all topics by what they are about, in the order in which they are listed."""
    groups: dict[str, list[Topic]] = {}
    for topic in TOPICS:
        groups.setdefault(topic.name.partition(".")[0], []).append(topic)
    return [TopicGroup(name.replace("_", " ").capitalize(), all_) for name, all_ in groups.items()]


def state_of(one: ListedDestination) -> tuple[str, str]:
    """Return a destination's state in words, and which kind of tag shows it."""
    if not one.enabled:
        return "Disabled", "bad"
    if one.failing_since is not None:
        return "Failing", "warn"
    return "Enabled", "good"


async def show(visit: Visit) -> Response:
    """List the destinations."""
    found = await visit.engine.list_webhook_destinations(context=visit.context)
    rows = [(one, *state_of(one)) for one in found]
    return visit.render("webhooks.html", section="webhooks", title="Webhooks", rows=rows)


async def show_new(visit: Visit) -> Response:
    """Show the form for a new destination."""
    return _form(visit, NOBODY)


async def create(visit: Visit) -> Response:
    """Register a destination, and show its secret once."""
    form = await visit.form()
    topics = [ALL] if form.get("which") != "some" else form.all("topic")
    try:
        request = from_dict(CreateDestination, {"url": form.get("url"), "topics": topics})
        made = await visit.engine.create_webhook_destination(request, context=visit.context)
    except FaregateError as error:
        return _form(visit, form, error.problem)
    return visit.render(
        "webhook_made.html",
        section="webhooks",
        title="Destination registered",
        made=made,
        url=form.get("url"),
    )


def _form(visit: Visit, form: Form, problem: Problem | None = None) -> Response:
    return visit.render(
        "webhook_new.html",
        200 if problem is None else problem.kind.status,
        section="webhooks",
        title="New destination",
        form=form,
        groups=topic_groups(),
        problem=problem,
        errors=beside(problem, {"topics": "topic"}) if problem else {},
    )


PAGES: Final = (
    Page("webhooks", show),
    Page("webhooks/new", show_new, needs="admin"),
    Page("webhooks/new", create, "POST", needs="admin"),
)
