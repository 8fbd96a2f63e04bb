"""Every way in counts against the same cap: what the application sends, what its telemetry and its
gateway tell, what is imported from a file, and what an assistant reports.

Seen at BerriAI/litellm#38176.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.api.caller import Caller, ago, calling
from tests.api.conftest import RunningServer, running_server
from tests.scenarios.scripted import Assistant, assistant

PRODUCT = {
    "name": "Calls of models",
    "code": "calls",
    "publish": True,
    "prices": [
        {
            "type": "usage_based",
            "name": "Tokens",
            "billing_model": {"type": "real_time"},
            "usage_calculation": {
                "event_type": "model_call",
                "usage_type": "volume",
                "volume_field": "output_tokens",
            },
            "pricing": [{"asset": "USD", "values": [{"volume_rate": 1}]}],
        }
    ],
}
Way = Callable[[Caller, Assistant, str, int], Any]


def _by_rest(me: Caller, _: Assistant, name: str, tokens: int) -> None:
    event = {"id": name, "event_type": "model_call", "occurred_at": ago()}
    data = {"output_tokens": tokens}
    body = {"customer_external_id": "ada", "events": [{**event, "data": data}]}
    me.post("events", body)


def _by_cloudevents(me: Caller, _: Assistant, name: str, tokens: int) -> None:
    event = {"specversion": "1.0", "id": name, "source": "/tests", "type": "model_call"}
    body = {**event, "subject": "ada", "time": ago(), "data": {"output_tokens": tokens}}
    me.post("cloudevents", body, {"content-type": "application/cloudevents+json"})


def _by_opentelemetry(me: Caller, _: Assistant, name: str, tokens: int) -> None:
    at = str(time.time_ns() - 60 * 10**9)
    span = {
        "traceId": f"{tokens:032x}",
        "spanId": name.encode().hex()[:16].ljust(16, "0"),
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": at,
        "endTimeUnixNano": at,
        "attributes": [
            {"key": "faregate.customer", "value": {"stringValue": "ada"}},
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.response.model", "value": {"stringValue": "large"}},
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": str(tokens)}},
        ],
    }
    me.post("traces", {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})


def _by_litellm(me: Caller, _: Assistant, name: str, tokens: int) -> None:
    call = {"id": name, "status": "success", "call_type": "acompletion", "model": "large"}
    ended = {"startTime": time.time() - 61, "endTime": time.time() - 60}
    tokens_of = {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}
    me.post("litellm", [{**call, **ended, **tokens_of, "end_user": "ada"}])


def _by_import(me: Caller, _: Assistant, name: str, tokens: int) -> None:
    fields = {"customer": "ada", "event_type": "model_call", "data.output_tokens": str(tokens)}
    me.post("ingestion/import", {"lines": [{"id": name, "occurred_at": ago(), "fields": fields}]})


def _by_an_assistant(_: Caller, it: Assistant, name: str, tokens: int) -> None:
    event = {"id": name, "event_type": "model_call", "occurred_at": ago()}
    events = [{**event, "data": {"output_tokens": tokens}}]
    arguments = {"customer_external_id": "ada", "events": events}
    it.wait(it.client.call_tool("send_events", arguments))


WAYS: tuple[Way, ...] = (
    _by_rest,
    _by_cloudevents,
    _by_opentelemetry,
    _by_litellm,
    _by_import,
    _by_an_assistant,
)


@pytest.fixture
def server(database_url: str) -> Iterator[RunningServer]:
    with running_server(database_url) as running:
        yield running


def test_what_comes_by_six_ways_in_fills_one_cap_and_only_the_cap_keeps_the_rest_out(
    server: RunningServer,
):
    with calling(server) as me, assistant(server.url) as it:
        me.made("products", PRODUCT)
        subscriptions = [{"products": [{"code": "calls"}]}]
        body = {"name": "Ada", "external_id": "ada", "subscriptions": subscriptions}
        ada = me.made("customers", body)["id"]
        me.give(ada, "100")
        cap = {"amount": 12, "period": "lifetime", "asset": "USD", "rejects_events": True}
        limit = me.made(f"customers/{ada}/limits", cap)["id"]
        for number, way in enumerate(WAYS, start=1):
            way(me, it, f"within {number}", 2)
            assert me.available(ada) == 100 - 2 * number, way.__name__
        for number, way in enumerate(WAYS, start=1):
            way(me, it, f"past {number}", 1)
            assert me.available(ada) == 88, way.__name__
        me.patch(f"customers/{ada}/limits/{limit}", {"amount": 18})
        for number, way in enumerate(WAYS, start=1):
            way(me, it, f"past {number}", 1)
            assert me.available(ada) == 88 - number, way.__name__
        report = server.wait(server.engine.verify())
        assert (report.differences, report.breaks) == ([], [])
