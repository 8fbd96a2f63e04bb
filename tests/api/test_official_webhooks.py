"""Webhooks by the published client, unmodified, over a real port: what it registers is told, signed
as the API that ours is modelled on signs."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
from corehttp.credentials import ServiceKeyCredential
from corehttp.exceptions import HttpResponseError
from credytapi import CredytApiClient
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.doubles.receiver import Arrived, Receiver, receiving

TOPIC = "subscription.activated"


def signed(one: Arrived, secret: str) -> bool:
    """Tell whether `Credyt-Signature: t=<unix>,v0=<hex>` is the HMAC-SHA256 of `t.body`."""
    parts = dict(part.split("=", 1) for part in one.headers["credyt-signature"].split(","))
    message = parts["t"].encode() + b"." + one.body
    wanted = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, parts["v0"])


def use_everything(server: RunningServer, receiver: Receiver) -> None:
    """Call each operation; what is sent meanwhile comes to the receiver."""
    client = CredytApiClient(
        credential=ServiceKeyCredential(TEST_KEY), endpoint=f"{server.url}/v1", retry_total=0
    )
    hooks = client.webhooks.webhooks
    asked = {"url": f"{receiver.url}/own", "topics": [TOPIC], "connect": False}
    made = hooks.create_webhook_destination(asked)
    assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=1)
    other = hooks.create_webhook_destination({"url": f"{receiver.url}/all", "topics": ["*"]})
    platform = {"url": f"{receiver.url}/connect", "topics": ["*"], "connect": True}
    connect = hooks.create_webhook_destination(platform)

    shown = hooks.get_webhook_destination(made.id)
    assert (shown.url, shown.topics, shown.secret) == (asked["url"], [TOPIC], made.secret)
    assert (shown.enabled, shown.connect) == (True, False)
    listed = hooks.list_webhook_destinations()
    assert [one.id for one in listed.items_property] == [made.id, other.id, connect.id]
    assert all("secret" not in one for one in listed.items_property)
    found = hooks.list_webhook_destinations(connect=True, enabled=True).items_property
    assert [one.id for one in found] == [connect.id]

    sent = hooks.test_webhook_destination(made.id, TOPIC, {})
    server.wait(server.engine.deliver_webhooks())
    (one,) = receiver.arrived
    assert (one.path, one.event["id"], one.event["type"]) == ("/own", sent.id, TOPIC)
    assert set(one.event) == {"id", "type", "created", "live_mode", "data"}
    assert signed(one, made.secret)
    assert not signed(one._replace(body=one.body + b" "), made.secret)
    assert not signed(one, other.secret)
    assert standardwebhooks.Webhook(made.secret).verify(one.body, one.headers)["id"] == sent.id

    # To the others by topic, and to the platform as of a connected account.
    moved = hooks.update_webhook_destination(
        made.id, {"url": f"{receiver.url}/moved", "topics": ["limit.reached"], "enabled": False}
    )
    assert (moved.url, moved.topics, moved.enabled) == (
        f"{receiver.url}/moved",
        ["limit.reached"],
        False,
    )
    assert moved.updated_at >= moved.created_at
    off = hooks.list_webhook_destinations(enabled=False).items_property
    assert [one.id for one in off] == [made.id]
    seller = client.accounts.create({"name": "Seller"}).id
    hooks.test_webhook_destinations(TOPIC, {})
    hooks.test_connected_webhook_destinations(TOPIC, seller, {})
    hooks.test_connected_webhook_destination(connect.id, TOPIC, seller, {})
    receiver.answer = lambda one: 500 if one.path == "/connect" else 200
    server.wait(server.engine.deliver_webhooks())
    arrived = [(o.path, o.event.get("account")) for o in receiver.arrived[1:]]
    assert sorted(arrived, key=str) == [("/all", None), ("/connect", seller), ("/connect", seller)]

    # What was sent, page by page, the newest first.
    first = hooks.list_events(limit=3)
    rest = hooks.list_events(limit=3, next=first.pagination.next)
    events = [*first.models, *rest.models]
    assert [e.destination_id for e in events] == [connect.id, connect.id, other.id, made.id]
    assert [e.metadata for e in events[:2]] == [{"account_id": seller}] * 2
    assert (events[3].id, events[3].topic, events[3].data) == (sent.id, TOPIC, one.event["data"])
    assert events[3].successful_at is not None
    assert events[3].failed_at is None
    failed = hooks.list_events(status="Failed").models
    assert [(e.destination_id, e.successful_at) for e in failed] == [(connect.id, None)] * 2
    assert all(e.failed_at is not None for e in failed)
    assert len(hooks.list_events(status="Success").models) == 2
    assert len(hooks.list_events(destination_id=other.id).models) == 1
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert hooks.list_events(time_gte=soon).models == []
    assert len(hooks.list_events(time_lte=soon).models) == 4

    hooks.delete_webhook_destination(made.id)
    for refused, status in (
        (lambda: hooks.get_webhook_destination(made.id), 404),
        (lambda: hooks.delete_webhook_destination(made.id), 404),
        (
            lambda: hooks.create_webhook_destination({"url": "http://10.0.0.1/", "topics": ["*"]}),
            422,
        ),
        (lambda: hooks.create_webhook_destination({**asked, "topics": ["no.such"]}), 422),
        (lambda: hooks.test_webhook_destination(other.id, "no.such", {}), 422),
    ):
        with pytest.raises(HttpResponseError) as error:
            refused()
        assert error.value.status_code == status


def test_every_webhook_operation_does_what_it_says(database_url: str) -> None:
    async def story(server: RunningServer) -> None:
        async with receiving() as receiver:
            await asyncio.to_thread(use_everything, server, receiver)

    with running_server(database_url, webhook_allow="127.0.0.0/8") as server:
        asyncio.run(story(server))
