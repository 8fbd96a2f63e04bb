"""Bodies, batches and queries that the API refuses, with nothing changed. Single fields are in
`test_refused_fields`, who may ask in `test_access`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.api.caller import (
    LISTS,
    Caller,
    adjustments,
    assert_refused,
    calling,
    event,
    is_problem,
    product,
    read,
    usage,
    world,
)
from tests.api.conftest import RunningServer

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


@pytest.fixture(scope="module")
def ada(me: Caller) -> str:
    """A customer who never gets anything: all that is asked for her is refused."""
    return me.customer(external_id="ada")


@pytest.fixture(autouse=True)
def _nothing_changes(me: Caller, ada: str) -> Iterator[None]:
    before = world(me, ada)
    yield
    assert world(me, ada) == before


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "{",
        '{"name": "Ada"',
        '{"name": "Ada"} {}',
        "{'name': 'Ada'}",
        '{"name": "Ada",}',
        '{"name": "A\x01"}',
        b'{"name": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        '\ufeff{"name": "Ada"}',
        '{"name": "\\ud800"}',
        "nil",
    ],
)
def test_a_body_that_is_no_json_is_malformed(me: Caller, ada: str, body: str | bytes) -> None:
    for path in ("customers", "products", "events", "assets", adjustments(ada)):
        answer = me.post(path, body)
        # A body that also begins with an unknown field may be told so instead.
        assert is_problem(answer, 400) or (answer.status == 422 and path != "customers")
    assert me.post("customers", body).body["type"] == "urn:faregate:problem:malformed"


@pytest.mark.parametrize("body", ["[]", "null", "true", '"text"', "1"])
def test_a_body_that_is_no_object_isassert_refused(me: Caller, ada: str, body: str) -> None:
    for path in ("customers", "products", "events", "assets", adjustments(ada)):
        assert_refused(me.post(path, body), "body")


@pytest.mark.parametrize("one", ["[", '{"a":'])
def test_json_that_is_too_deep_to_read_is_malformed(me: Caller, ada: str, one: str) -> None:
    body = json.dumps(usage(ada, event("e", data={"x": "DEEP"})))
    assert is_problem(me.post("events", body.replace('"DEEP"', one * 100_000)), 400)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_of_another_type_is_unsupported(me: Caller, kind: str) -> None:
    assert is_problem(me.post("customers", {"name": "A"}, {"content-type": kind}), 415)


@pytest.mark.parametrize("path", ["customers", "events", "products"])
def test_a_body_of_ten_megabytes_is_too_large(me: Caller, path: str) -> None:
    whole = b"x" * (10 * MEBIBYTE)
    assert is_problem(me.post(path, whole), 413)
    pieces = (whole[:MEBIBYTE] for _ in range(10))
    response = me.http.post(
        f"/v1/{path}", content=pieces, headers={"content-type": "application/json"}
    )
    assert "content-length" not in response.request.headers
    assert is_problem(read(response), 413)


def test_a_batch_has_one_to_a_thousand_events(me: Caller, ada: str) -> None:
    assert_refused(me.post("events", usage(ada)), "events")
    assert_refused(me.post("events", usage(ada, *[event(str(n)) for n in range(1001)])), "events")


def test_a_batch_names_its_customer_once(me: Caller, ada: str) -> None:
    events = [event("e")]
    assert_refused(me.post("events", {"events": events}), "customer_id")
    both = {"events": events, "customer_id": ada, "customer_external_id": "ada"}
    assert_refused(me.post("events", both), "customer_id")
    assert_refused(me.post("events", {**both, "color": 1}), "color")
    assert is_problem(me.post("events", usage("cust_nobody", *events)), 404)
    nobody = {"events": events, "customer_external_id": "nobody"}
    assert_refused(me.post("events", nobody), "customer_external_id")


@pytest.mark.parametrize("path", [*LISTS, "customers/{ada}/wallet/default:USD/grants"])
def test_a_query_has_known_parameters_within_their_bounds(me: Caller, ada: str, path: str) -> None:
    path = path.format(ada=ada)
    for limit in ("0", "101", "-1", "abc", "1.5", "", "%D9%A3", "1" + "0" * 400):
        assert_refused(me.get(f"{path}?limit={limit}"), "limit")
    for offset in ("-1", "10000001", "x"):
        assert_refused(me.get(f"{path}?offset={offset}"), "offset")
    assert_refused(me.get(f"{path}?color=red"), "color")
    assert_refused(me.get(f"{path}?limit=1&limit=2"), "limit")
    assert_refused(me.get(f"{path}?" + "&".join(f"a{n}=1" for n in range(60))), "query")
    assert me.get(f"{path}?limit=100&offset=10000000").body["items"] == []


@pytest.mark.parametrize("day", ["0001-01-01", "9000-01-01", "9999-12-31", "2026-02-30", "today"])
def test_a_period_is_of_days_from_1970_to_8999(me: Caller, day: str) -> None:
    assert_refused(me.get(f"events?period_from={day}"), "period_from")
    assert_refused(me.get(f"events?period_to={day}"), "period_to")
