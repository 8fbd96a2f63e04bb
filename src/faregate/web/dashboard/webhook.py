"""One destination: what it is sent, whether that arrives, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from faregate.core.codec import encode, from_dict
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.core.topics import BY_NAME
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.dashboard.webhooks import state_of, topic_groups
from faregate.web.typed import Typed, beside, given
from faregate.webhooks.types import (
    ALL,
    Asked,
    Redeliver,
    RotateSecret,
    ShownDelivery,
    UpdateDestination,
)

SHOWN: Final = 25
STATES: Final = (
    ("", "Any state"),
    ("pending", "Pending"),
    ("delivered", "Delivered"),
    ("failed", "Failed"),
)
OVERLAPS: Final = (
    ("0", "None: the old one stops at once"),
    ("3600", "An hour"),
    ("86400", "A day"),
    ("604800", "A week"),
)


async def show(visit: Visit) -> Response:
    """Show a destination with its newest deliveries."""
    return await _page(visit)


async def show_delivery(visit: Visit) -> Response:
    """Show one delivery: what was sent, and what came of it."""
    one = await visit.engine.get_webhook_destination(visit.path["id"], context=visit.context)
    asked = Asked(1, destinations=(one.id,), delivery_id=visit.path["delivery"])
    found, _, _ = await visit.engine.list_webhook_deliveries(asked, context=visit.context)
    if not found:
        detail = f"{one.id} has no delivery {visit.path['delivery'][:80]!r}; 30 days are kept"
        raise FaregateError(Problem(NOT_FOUND, detail))
    delivery = found[0]
    names = await _names(visit, found)
    return visit.render(
        "webhook_delivery.html",
        section="webhooks",
        title=delivery.topic,
        one=one,
        delivery=delivery,
        customer_name=names.get(delivery.customer_id or "", delivery.customer_id),
        body=pretty(delivery.data),
        meaning=BY_NAME[delivery.topic].description if delivery.topic in BY_NAME else "",
    )


async def change(visit: Visit) -> Response:
    """Change where it goes and what it hears."""
    form = await visit.form()
    topics = [ALL] if form.get("which") != "some" else form.all("topic")
    body: dict[str, object] = {"url": form.get("url"), "topics": topics}
    return await _update(visit, body, "The destination is changed.")


async def enable(visit: Visit) -> Response:
    """Send to it again."""
    return await _update(visit, {"enabled": True}, "The destination is enabled.")


async def disable(visit: Visit) -> Response:
    """Send it nothing more."""
    return await _update(visit, {"enabled": False}, "The destination is disabled.")


async def delete(visit: Visit) -> Response:
    """Take it away."""
    await visit.engine.delete_webhook_destination(visit.path["id"], context=visit.context)
    return visit.go("webhooks", "The destination is deleted, with what was on its way to it.")


async def rotate(visit: Visit) -> Response:
    """Give it a new secret, and show that once."""
    typed = Typed(await visit.form())
    try:
        seconds = typed.whole("overlap_seconds")
        typed.check()
        request = from_dict(RotateSecret, given(overlap_seconds=seconds))
        made = await visit.engine.rotate_webhook_secret(
            visit.path["id"], request, context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, error.problem)
    return visit.render(
        "webhook_made.html", section="webhooks", title="New secret", made=made, url=made.url
    )


async def test(visit: Visit) -> Response:
    """Send a sample of a topic."""
    topic = (await visit.form()).get("topic")
    try:
        await visit.engine.test_webhook(topic, visit.path["id"], context=visit.context)
    except FaregateError as error:
        return await _page(visit, error.problem)
    return visit.go(f"webhooks/{visit.path['id']}", f"A sample of {topic} is on its way.")


async def redeliver(visit: Visit) -> Response:
    """Send again one event, or what happened in a time."""
    form = await visit.form()
    typed = Typed(form)
    try:
        body = given(
            event_id=typed.text("event_id"),
            time_gte=typed.instant("time_gte"),
            time_lte=typed.instant("time_lte"),
            state=typed.text("state"),
        )
        typed.check()
        request = Redeliver(**body)  # type: ignore[arg-type]
        done = await visit.engine.redeliver_webhooks(
            visit.path["id"], request, context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, error.problem)
    noun = "event is" if done.count == 1 else "events are"
    return visit.go(f"webhooks/{visit.path['id']}", f"{done.count:,} {noun} on their way again.")


async def _update(visit: Visit, body: dict[str, object], said: str) -> Response:
    try:
        request = from_dict(UpdateDestination, body)
        await visit.engine.update_webhook_destination(
            visit.path["id"], request, context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, error.problem)
    return visit.go(f"webhooks/{visit.path['id']}", said)


async def _page(visit: Visit, problem: Problem | None = None) -> Response:
    one = await visit.engine.get_webhook_destination(visit.path["id"], context=visit.context)
    query = visit.query if visit.request.method == "GET" else {}
    state, topic, customer = (query.get(name, "") for name in ("state", "topic", "customer"))
    asked = Asked(
        SHOWN,
        after=query.get("after") or None,
        before=query.get("before") or None,
        destinations=(one.id,),
        state=state if state in ("pending", "delivered", "failed") else None,  # type: ignore[arg-type]
        topic=topic or None,
        customer_id=customer or None,
    )
    found, has_older, has_newer = await visit.engine.list_webhook_deliveries(
        asked, context=visit.context
    )
    kept = {"state": state, "topic": topic, "customer": customer}
    return visit.render(
        "webhook.html",
        200 if problem is None else problem.kind.status,
        section="webhooks",
        title=one.url,
        one=one,
        state=state_of(one),
        groups=topic_groups(),
        found=found,
        names=await _names(visit, found),
        older=_link(kept, after=found[-1].delivery_id) if has_older and found else "",
        newer=_link(kept, before=found[0].delivery_id) if has_newer and found else "",
        kept=kept,
        states=STATES,
        topics=[("", "Any topic"), *((name, name) for name in BY_NAME)],
        overlaps=OVERLAPS,
        samples=[(name, name) for name in BY_NAME],
        problem=problem,
        errors=beside(problem, {"topics": "topic"}) if problem else {},
    )


async def _names(visit: Visit, found: Sequence[ShownDelivery]) -> dict[str, str]:
    """Return the names of the customers that deliveries are about, by id."""
    ids = [one.customer_id for one in found if one.customer_id]
    return await visit.engine.customer_names(ids, context=visit.context)


def _link(kept: dict[str, str], **place: str) -> str:
    return "?" + urlencode({name: value for name, value in (kept | place).items() if value})


def pretty(value: object) -> str:
    """Return a value as JSON that people can read."""
    return msgspec.json.format(encode(value), indent=2).decode()


PAGES: Final = (
    Page("webhooks/{id}", show),
    Page("webhooks/{id}/deliveries/{delivery}", show_delivery),
    Page("webhooks/{id}/change", change, "POST", needs="admin"),
    Page("webhooks/{id}/enable", enable, "POST", needs="admin"),
    Page("webhooks/{id}/disable", disable, "POST", needs="admin"),
    Page("webhooks/{id}/delete", delete, "POST", needs="admin"),
    Page("webhooks/{id}/rotate", rotate, "POST", needs="admin"),
    Page("webhooks/{id}/test", test, "POST", needs="admin"),
    Page("webhooks/{id}/redeliver", redeliver, "POST", needs="admin"),
)
