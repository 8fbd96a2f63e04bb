"""The ways in over a real port: who may use them, what they bear, and what they answer."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import USD, Caller, ago, calling, is_problem, product
from tests.api.conftest import INGEST_KEY, LIVE_KEY, READ_KEY, TEST_KEY, RunningServer

from faregate.ingestion.way import MAX_BYTES

BATCH = {"content-type": "application/cloudevents-batch+json"}
STRUCTURED = {"content-type": "application/cloudevents+json"}
WAYS = ("cloudevents", "litellm")
numbers = iter(range(10**6))


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


def named() -> str:
    return f"customer-{next(numbers)}"


def customer(me: Caller) -> tuple[str, str]:
    """Make a customer with 100 USD; returns (id, external id)."""
    external_id = named()
    customer_id = me.customer(external_id=external_id)
    me.give(customer_id, "100")
    return customer_id, external_id


def event(subject: str, tokens: Any = 1, **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(next(numbers)),
        "source": "/tests",
        "type": "llm",
        "subject": subject,
        "time": ago(),
        "data": {"tokens": tokens},
        **more,
    }


def test_a_batch_is_charged_once_however_often_it_comes(me: Caller) -> None:
    ada, name = customer(me)
    body = [event(name, 2), event(name, 3)]
    for _ in range(3):
        answer = me.post("cloudevents", body, BATCH)
        assert (answer.status, answer.body) == (204, "")
    assert me.available(ada, USD) == 95


def test_numbers_are_charged_to_the_last_digit_that_was_sent(me: Caller) -> None:
    ada, name = customer(me)
    body = json.dumps(event(name, 7)).replace('"tokens": 7', '"tokens": 0.000000001')
    assert me.post("cloudevents", body, STRUCTURED).status == 204
    assert me.available(ada, USD) == Decimal("99.999999999")


def test_a_batch_of_which_some_is_refused_says_which_and_books_the_rest(me: Caller) -> None:
    ada, name = customer(me)
    body = [event(name, 2), event(name, "many"), {"id": 1}, event("nobody at all")]
    answer = me.post("cloudevents", body, BATCH)
    assert answer.status == 207
    assert [answer.body[n] for n in ("booked", "repeat", "skipped", "refused")] == [1, 0, 0, 3]
    assert [(r["place"], list(r["errors"])) for r in answer.body["refusals"]] == [
        ("[1]", ["data.tokens"]),
        ("[2]", ["specversion"]),
        ("[3]", ["customer"]),
    ]
    assert me.available(ada, USD) == 98


def test_what_is_refused_whole_is_a_problem_that_names_each_place(me: Caller) -> None:
    answer = me.post("cloudevents", [event("nobody"), event("no one")], BATCH)
    assert is_problem(answer, 422)
    assert list(answer.body["errors"]) == ["[0]", "[1]"]
    alone = me.post("cloudevents", event("nobody"), STRUCTURED)
    assert is_problem(alone, 422)
    assert alone.fields == ["customer"]


def test_a_single_event_answers_as_the_events_route_would(me: Caller) -> None:
    ada, name = customer(me)
    first = event(name, 1)
    assert me.post("cloudevents", first, STRUCTURED).status == 204
    changed = me.post("cloudevents", {**first, "data": {"tokens": 2}}, STRUCTURED)
    assert is_problem(changed, 409)
    assert me.available(ada, USD) == 99


def test_an_account_without_credit_is_refused_with_402(me: Caller) -> None:
    ada, name = customer(me)
    no_overdraft = {"overdraft": {"policy": "reject"}}
    assert me.patch(f"customers/{ada}/wallet/{USD}", no_overdraft).status < 300
    use = event(name, 1000)
    assert is_problem(me.post("cloudevents", use, STRUCTURED), 402)
    me.give(ada, "1000")
    assert me.post("cloudevents", use, STRUCTURED).status == 204
    assert me.available(ada, USD) == 100


@pytest.mark.parametrize("way", WAYS)
def test_only_keys_that_may_send_events_are_let_in(shared_server: RunningServer, way: str) -> None:
    for key, status in ((None, 401), ("fg_test_" + "x" * 32, 401), (READ_KEY, 403)):
        with calling(shared_server, key) as caller:
            assert is_problem(caller.post(way, [], BATCH), status)
    for key in (TEST_KEY, INGEST_KEY, LIVE_KEY):
        with calling(shared_server, key) as caller:
            assert caller.post(way, [], BATCH).status == 204


@pytest.mark.parametrize("way", WAYS)
def test_other_methods_are_told_which_there_is(me: Caller, way: str) -> None:
    answer = me.get(way)
    assert is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_a_platform_acts_for_its_account_whose_customers_are_its_own(
    me: Caller, shared_server: RunningServer
) -> None:
    account = me.made("accounts", {"name": named()})["id"]
    _, name = customer(me)
    with calling(shared_server, account=account) as connected:
        assert is_problem(connected.post("cloudevents", event(name), STRUCTURED), 422)
        connected.made("customers", {"name": "A", "external_id": "theirs"})
        assert connected.post("cloudevents", event("theirs"), STRUCTURED).status == 204
        assert connected.get("events").body["total_count"] == 1
    assert is_problem(me.post("cloudevents", event("theirs"), STRUCTURED), 422)


@pytest.mark.parametrize("packing", ["gzip", "deflate", "GZIP"])
def test_packed_bodies_are_read(me: Caller, packing: str) -> None:
    ada, name = customer(me)
    body = json.dumps([event(name, 5)]).encode()
    packed = zlib.compress(body) if packing == "deflate" else gzip.compress(body)
    headers = {**BATCH, "content-encoding": packing}
    assert me.post("cloudevents", packed, headers).status == 204
    assert me.available(ada, USD) == 95


def test_what_unpacks_to_more_than_may_come_is_refused_without_unpacking_it(me: Caller) -> None:
    bomb = gzip.compress(b"[" + b" " * (200 * MAX_BYTES) + b"]")
    assert len(bomb) < 2 * 1024 * 1024
    answer = me.post("cloudevents", bomb, {**BATCH, "content-encoding": "gzip"})
    assert is_problem(answer, 413)


@pytest.mark.parametrize(
    ("body", "packing", "status"),
    [
        (b"no gzip", "gzip", 422),
        (gzip.compress(b"[]")[:-4], "gzip", 422),
        (b"[]", "br", 415),
        (gzip.compress(b"[") + gzip.compress(b"]"), "gzip", 204),
        (gzip.compress(b"") * 5_000, "gzip", 413),
        (b"", "gzip", 400),
    ],
)
def test_broken_packing_is_named(me: Caller, body: bytes, packing: str, status: int) -> None:
    assert me.post("cloudevents", body, {**BATCH, "content-encoding": packing}).status == status


def test_bodies_beyond_the_bound_are_refused_by_their_length_or_while_they_come(
    me: Caller,
) -> None:
    assert is_problem(me.post("cloudevents", b" " * (MAX_BYTES + 1), BATCH), 413)

    def endless() -> Iterator[bytes]:
        for _ in range(MAX_BYTES // 65_536 + 2):
            yield b" " * 65_536

    answer = me.http.post("/v1/cloudevents", content=endless(), headers=BATCH)
    assert answer.status_code == 413


def test_a_media_type_that_is_none_of_its_own_is_refused(me: Caller) -> None:
    assert is_problem(me.post("cloudevents", "<a/>", {"content-type": "text/xml"}), 415)


def test_nul_characters_are_refused_where_they_would_be_kept(me: Caller) -> None:
    _, name = customer(me)
    answer = me.post("cloudevents", event(name, data={"tokens": 1, "x": "a\x00"}), STRUCTURED)
    assert answer.fields == ["data.x"]
    assert me.post("cloudevents", event("a\x00"), STRUCTURED).fields == ["customer"]


def test_rules_are_set_tried_and_taken_away_over_rest(me: Caller) -> None:
    ada, name = customer(me)
    path = "ingestion/cloudevents/rules"
    first = me.get(path).body
    assert first["is_default"]
    sample = event("x", 3, user=name)
    rules = {**first["rules"], "customer": ["user"]}
    shown = me.post("ingestion/cloudevents/preview", {"sample": sample, "rules": rules}).body
    (one,) = shown["items"]
    assert (one["status"], one["customer_id"], one["fees"][0]["amount"]) == ("event", ada, 3)
    assert me.post("cloudevents", sample, STRUCTURED).fields == ["customer"]
    assert me.send("PUT", path, rules).body == {
        "source": "cloudevents",
        "rules": rules,
        "is_default": False,
    }
    try:
        assert me.post("cloudevents", sample, STRUCTURED).status == 204
        assert me.available(ada, USD) == 97
    finally:
        assert me.send("DELETE", path).status == 204
    assert me.get(path).body == first


def test_a_sample_may_be_a_text_with_the_headers_that_come_with_it(me: Caller) -> None:
    ada, name = customer(me)
    headers = {"CE-SpecVersion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "llm"}
    body = {"sample": '{"tokens": 2.50}', "headers": {**headers, "ce-subject": name}}
    (one,) = me.post("ingestion/cloudevents/preview", body).body["items"]
    assert (one["customer_id"], one["fees"][0]["amount"]) == (ada, Decimal("2.5"))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "ingestion/kafka/rules", None, 404),
        ("PUT", "ingestion/cloudevents/rules", {}, 422),
        ("PUT", "ingestion/cloudevents/rules", {"customer": []}, 422),
        ("PUT", "ingestion/cloudevents/rules", {"customer": ["a"], "colour": 1}, 422),
        ("POST", "ingestion/cloudevents/preview", {"sample": "["}, 400),
        ("POST", "ingestion/cloudevents/preview", {"sample": [{}] * 101}, 413),
        ("POST", "ingestion/cloudevents/preview", {"sample": "x" * 300_000}, 413),
    ],
)
def test_what_cannot_be_set_or_tried_is_refused(
    me: Caller, method: str, path: str, body: Any, status: int
) -> None:
    assert is_problem(me.send(method, path, body), status)


def test_a_change_of_rules_is_in_the_audit_log(me: Caller, shared_server: RunningServer) -> None:
    rules = me.get("ingestion/litellm/rules").body["rules"]
    me.send("PUT", "ingestion/litellm/rules", rules)
    me.send("DELETE", "ingestion/litellm/rules")
    entries = shared_server.wait(shared_server.engine.list_audit_entries())
    actions = [entry.action for entry in entries[:2]]
    assert actions == ["DELETE /ingestion/{source}/rules", "PUT /ingestion/{source}/rules"]
