"""The CloudEvents SDK's own messages, structured and binary, over a real port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from tests.api.caller import USD, Caller, calling, product
from tests.api.conftest import RunningServer, running_server
from tests.databases import new_sqlite

ATTRIBUTES = {
    "type": "llm",
    "source": "/shop/zürich",
    "subject": "ada",
    "datacontenttype": "application/json",
}


@pytest.fixture
def server(tmp_path: Any) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path / "f.db")) as running:
        yield running


def shop(me: Caller) -> str:
    me.made("products", product())
    ada = me.customer(external_id="ada")
    me.give(ada, "100")
    return ada


def made(event_id: str, tokens: int, **more: Any) -> CloudEvent:
    attributes = {**ATTRIBUTES, "id": event_id, "specversion": "1.0", **more}
    return CloudEvent(attributes=attributes, data={"tokens": tokens})


def test_what_the_sdk_writes_is_charged_once_in_whichever_mode_it_comes(
    server: RunningServer,
) -> None:
    with calling(server) as me:
        ada = shop(me)
        at = {"time": datetime.now(UTC)}
        for event_id, tokens in (("1", 2), ("2", 3)):
            event = made(event_id, tokens, **at)
            for write in (to_structured_event, to_binary_event, to_structured_event):
                message = write(event)
                answer = me.post("cloudevents", message.body, message.headers)
                assert (answer.status, answer.body) == (204, "")
        assert me.available(ada, USD) == 95
        (one, other) = me.get("events").body["items"]
        assert {one["id"], other["id"]} == {"/shop/zürich 1", "/shop/zürich 2"}


def test_a_batch_of_what_the_sdk_writes_is_charged_once(server: RunningServer) -> None:
    with calling(server) as me:
        ada = shop(me)
        events = [json.loads(to_structured_event(made(str(n), 1)).body) for n in range(50)]
        headers = {"content-type": "application/cloudevents-batch+json"}
        for _ in range(2):
            assert me.post("cloudevents", events, headers).status == 204
        assert me.available(ada, USD) == 50


def test_an_extension_names_the_customer_before_the_subject_does(server: RunningServer) -> None:
    with calling(server) as me:
        ada = shop(me)
        message = to_binary_event(made("1", 4, subject="task-7", customer="ada"))
        assert me.post("cloudevents", message.body, message.headers).status == 204
        assert me.available(ada, USD) == 96
