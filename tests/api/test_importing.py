"""Lines of files over REST: each has an outcome of its own, and is charged once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import Caller, ago, assert_refused, calling, is_problem, product
from tests.api.conftest import INGEST_KEY, RunningServer

from faregate.core.codec import encode
from faregate.core.mapping_defaults import DEFAULT_RULES

PATH = "ingestion/import"
RULES = json.loads(encode(DEFAULT_RULES["import"]))


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product("0.01"))
        yield caller


@pytest.fixture
def named(me: Caller) -> tuple[str, str]:
    """Two customers with credit, by external id."""
    names = (f"one-{uuid.uuid4()}", f"two-{uuid.uuid4()}")
    for name in names:
        me.give(me.customer(external_id=name), "10")
    return names


def line(customer: str, number: str, tokens: Any = "1", **more: Any) -> dict[str, Any]:
    fields = {"customer": customer, "event_type": "llm", "data.tokens": tokens, **more}
    return {"id": number, "occurred_at": ago(), "fields": fields}


def left(me: Caller, name: str) -> Decimal:
    (customer,) = me.get(f"customers?external_id={name}").body["items"]
    return me.available(customer["id"])


def test_lines_of_several_customers_are_charged_once_and_answered_in_their_order(
    me: Caller, named: tuple[str, str]
):
    one, two = named
    lines = [line(one, "a", "3"), line("nobody", "b"), line(two, "a", 5), line(one, "c", "x")]
    answer = me.post(PATH, {"lines": lines})
    assert answer.status == 200
    results = answer.body["results"]
    assert [(r["id"], r["status"]) for r in results] == [
        ("a", "booked"),
        ("b", "refused"),
        ("a", "booked"),
        ("c", "refused"),
    ]
    assert results[1]["reason"].startswith("customer 'nobody' is unknown")
    assert list(results[3]["errors"]) == ["data.tokens"]
    assert (left(me, one), left(me, two)) == (Decimal("9.97"), Decimal("9.95"))
    again = me.post(PATH, {"lines": lines}).body["results"]
    assert [r["status"] for r in again] == ["repeat", "refused", "repeat", "refused"]
    assert (left(me, one), left(me, two)) == (Decimal("9.97"), Decimal("9.95"))


def test_a_line_with_a_nested_value_is_refused_alone(me: Caller, named: tuple[str, str]):
    lines = [line(named[0], "a", **{"data.x": [1]}), line(named[0], "b")]
    refused, booked = me.post(PATH, {"lines": lines}).body["results"]
    assert (refused["status"], booked["status"]) == ("refused", "booked")
    assert list(refused["errors"]) == ["lines[0].fields.data.x"]


def test_no_lines_say_whose_they_would_be_and_by_which_rules(
    me: Caller, shared_server: RunningServer
):
    answer = me.post(PATH, {"lines": []}).body
    assert (answer["mode"], answer["results"]) == ("test", [])
    assert answer["rules"] == RULES
    connected = me.made("accounts", {"name": "Seller"})["id"]
    with calling(shared_server, account=connected) as other:
        assert other.post(PATH, {"lines": []}).body["account_id"] == connected
    assert answer["account_id"] != connected


def test_a_key_that_sends_events_imports_by_its_own_rules_but_makes_no_customers(
    me: Caller, shared_server: RunningServer, named: tuple[str, str]
):
    rules = {**RULES, "customer": ["payer"]}
    body = {"lines": [line("", "r", payer=named[0])], "rules": rules}
    makes = {**body, "rules": {**rules, "unknown_customer": "create"}}
    with calling(shared_server, INGEST_KEY) as sender:
        assert sender.post(PATH, body).body["results"][0]["status"] == "booked"
        refused = sender.post(PATH, makes)
        assert is_problem(refused, 403)
        assert "may not make customers" in refused.body["detail"]
    assert me.post(PATH, makes).body["results"][0]["status"] == "repeat"


def test_rules_that_make_no_event_are_refused(me: Caller):
    rules = {**RULES, "event_type": []}
    assert_refused(me.post(PATH, {"lines": [], "rules": rules}), "rules.event_type")


@pytest.mark.parametrize(
    "sample",
    [
        "id,occurred_at,customer,event_type,data.tokens\na,{at},{one},llm,2\n",
        "id\toccurred_at\tcustomer\tevent_type\tdata.tokens\na\t{at}\t{one}\tllm\t2\n",
        '{{"id": "a", "timestamp": "{at}", "customer": "{one}", "event_type": "llm", '
        '"data": {{"tokens": 2}}}}\n',
    ],
)
def test_rules_are_tried_on_some_lines_of_a_file(me: Caller, named: tuple[str, str], sample: str):
    text = sample.format(at=ago(), one=named[0])
    (found,) = me.post(f"{PATH}/preview", {"sample": text}).body["items"]
    assert (found["status"], found["customer"]) == ("event", named[0])
    assert [fee["amount"] for fee in found["fees"]] == [Decimal("0.02")]
    assert left(me, named[0]) == 10


def test_a_line_of_a_sample_that_cannot_be_read_is_told_beside_the_others(me: Caller):
    text = f"occurred_at,customer,event_type\n{ago()},nobody,llm\nx,y\n"
    first, second = me.post(f"{PATH}/preview", {"sample": text}).body["items"]
    assert first["problem"]["detail"].startswith("customer 'nobody' is unknown")
    assert second["problem"]["detail"].startswith("line has 2 columns, the header 3")
