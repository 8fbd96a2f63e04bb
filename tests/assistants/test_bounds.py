"""What is no call of a tool: too large, too deep, of no protocol, without a key. Each is refused in
the protocol's words, and says nothing of the inside."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import httpx
import pytest
from tests.api.conftest import INGEST_KEY, READ_KEY, TEST_KEY, RunningServer, running_server
from tests.assistants.assistant import HEADERS, Assistant, assisting
from tests.databases import new_sqlite

from faregate.mcp import server as assistants_server

CALL = '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": '


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path_factory.mktemp("bounds") / "b.db")) as running:
        yield running


@pytest.fixture
def me(server: RunningServer) -> Iterator[Assistant]:
    with assisting(server) as assistant:
        yield assistant


@pytest.mark.parametrize("key", ["wrong", "fg_test_" + "x" * 32, "fg_test_ü"])
def test_without_a_key_that_is_in_force_nothing_is_answered(
    server: RunningServer, key: str
) -> None:
    headers = {**HEADERS, "authorization": f"Bearer {key}".encode()}
    answer = httpx.post(f"{server.url}/mcp", headers=headers, content=b"{}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["type"] == "urn:faregate:problem:unauthenticated"


def test_a_key_that_is_revoked_calls_nothing_more(server: RunningServer) -> None:
    key, secret = server.wait(server.engine.create_key("test", "admin", "to be revoked"))
    server.wait(server.engine.revoke_key(key.id))
    with assisting(server, secret) as late:
        assert late.post(f'{CALL}{{"name": "list_assets"}}}}').status_code == 401


def test_a_key_sees_and_calls_only_what_its_role_may(server: RunningServer) -> None:
    shown = {}
    for key in (TEST_KEY, INGEST_KEY, READ_KEY):
        with assisting(server, key) as assistant:
            shown[key] = {tool["name"]: tool for tool in assistant.ask("tools/list")["tools"]}
    assert "send_events" in shown[INGEST_KEY]
    assert not {"send_events", "adjust_wallet", "create_product"} & shown[READ_KEY].keys()
    assert not {"adjust_wallet", "list_customers"} & shown[INGEST_KEY].keys()
    actions = shown[READ_KEY]["look_up"]["inputSchema"]["properties"]["action"]["enum"]
    assert "webhooks" in actions
    with assisting(server, READ_KEY) as reader:
        refused = reader.refused("create_vendor", name="V")
        assert refused["type"] == "urn:faregate:problem:forbidden"
        assert "'read'" in refused["detail"]
        assert "faregate keys create" in refused["advice"]
        told = reader.refused("look_up", action="webhooks", webhook_id="whd_1")
        assert told["type"] == "urn:faregate:problem:forbidden"
    with assisting(server, INGEST_KEY) as sender:
        refused = sender.refused("adjust_wallet", customer_id="c")
        assert refused["type"] == "urn:faregate:problem:forbidden"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("null", 400),
        ("[]", 400),
        (f'[{CALL}{{"name": "list_assets"}}}}]', 400),
        ('{"id": 1, "method": "tools/list"}', 400),
        ("[" * 100_000, 400),
        (f'{CALL}{{"name": "create_vendor", "arguments": ' + '{"a":' * 5000 + "1", 400),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": 7}', 400),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "\xff"}', 400),
        (f'{CALL}{{"name": "{"x" * 5_000_000}"}}}}', 413),
    ],
)
def test_what_is_no_message_is_refused(me: Assistant, body: str | bytes, status: int) -> None:
    answer = me.post(body)
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text
    assert "faregate/" not in answer.text
    assert me.made("list_assets", limit=1)["items"]


def test_arguments_that_are_nested_too_deep_are_refused_and_nothing_is_done(me: Assistant) -> None:
    deep = '{"a":' * 600 + "1" + "}" * 600
    answer = me.post(
        f'{CALL}{{"name": "create_customer", "arguments": {{"name": "A", "metadata": {deep}}}}}}}'
    )
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        assert answer.json()["result"]["isError"] is True
    assert me.made("list_customers")["total_count"] == 0


@pytest.mark.parametrize("arguments", ["7", '"a"', "[]", '[{"name": "A"}]'])
def test_arguments_that_are_no_object_are_refused(me: Assistant, arguments: str) -> None:
    answer = me.post(f'{CALL}{{"name": "create_vendor", "arguments": {arguments}}}}}')
    said = answer.json()
    assert "error" in said or said["result"]["isError"] is True, said
    assert me.made("list_vendors")["total_count"] == 0


def test_no_arguments_are_none(me: Assistant) -> None:
    for params in ('{"name": "list_vendors"}', '{"name": "list_vendors", "arguments": null}'):
        answer = me.post(f"{CALL}{params}}}").json()
        assert not answer["result"].get("isError"), answer


def test_a_tool_or_a_method_that_there_is_not_is_said_so(me: Assistant) -> None:
    said = me.post(f'{CALL}{{"name": "drop_tables\\u001b[31m"}}}}').json()["error"]
    assert "there is no tool" in said["message"]
    assert "\x1b" not in said["message"]
    answer = me.post('{"jsonrpc": "2.0", "id": 1, "method": "tools/burn", "params": {}}')
    assert answer.json()["error"]["code"] == -32601


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
def test_other_methods_of_http_open_no_stream_and_end_nothing(me: Assistant, method: str) -> None:
    answer = me.http.request(method, "/mcp", headers={"accept": "text/event-stream"}, timeout=10)
    assert answer.status_code == 405


def test_what_is_no_json_by_its_header_is_refused(me: Assistant) -> None:
    answer = me.post('{"jsonrpc": "2.0"}', {"content-type": "text/plain"})
    assert answer.status_code in (400, 415)


def test_a_fault_of_ours_is_logged_and_says_nothing_of_the_inside(
    me: Assistant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> bytes:
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr(assistants_server, "call_tool", broken)
    with caplog.at_level(logging.ERROR):
        told = me.call("list_assets")
    assert told.is_error
    assert told.body["type"] == "urn:faregate:problem:internal"
    assert "secret of the house" not in told.text
    assert "ZeroDivision" not in told.text
    assert told.body["request_id"]


def test_an_assistants_change_is_in_the_audit_log_with_its_key_and_way(
    server: RunningServer, me: Assistant
) -> None:
    made = me.made("create_vendor", name="Audited")
    entry = server.wait(server.engine.list_audit_entries())[0]
    assert entry.object_id == made["id"], entry
    assert entry.request["path"] == "/mcp create_vendor"
    assert "tests" in entry.actor.name


def test_the_same_id_of_a_message_twice_answers_both(me: Assistant) -> None:
    answers = [me.ask("tools/list")["tools"] for _ in range(2)]
    assert answers[0] == answers[1]
    assert json.dumps(answers[0])
