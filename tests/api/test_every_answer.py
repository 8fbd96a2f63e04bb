"""What every answer has: a request id, a problem document where it says no, and no caching."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.api.caller import LISTS, Caller, calling, event, is_problem, product, usage
from tests.api.conftest import RunningServer


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


def test_every_answer_has_the_callers_request_id_or_a_new_one(me: Caller) -> None:
    ada = me.customer()
    calls = [
        ("GET", "customers", None, 200),
        ("POST", "events", usage(ada, event("r")), 204),
        ("POST", "events", "{", 400),
        ("GET", "nowhere", None, 404),
        ("DELETE", "events", None, 405),
        ("GET", "/nowhere", None, 404),
        ("GET", "/healthz", None, 200),
        ("GET", "/openapi.json", None, 200),
    ]
    for method, path, body, status in calls:
        answer = me.send(method, path, body, {"x-request-id": "call:1.a_b-C"})
        assert (answer.status, answer.headers["x-request-id"]) == (status, "call:1.a_b-C")
        made = set()
        for bad in ("", "a b", "x" * 101, "<b>", "a,b"):
            answer = me.send(method, path, body, {"x-request-id": bad})
            made.add(answer.headers["x-request-id"])
            assert status < 400 or is_problem(answer, status)
        assert len(made) == 5
        assert not made & {"", "a b", "x" * 101, "<b>", "a,b"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nowhere",
        "/v1",
        "/v1/",
        "/v1/nowhere",
        "/v1/customers/",
        "/v1//customers",
        "/V1/events",
    ],
)
def test_a_path_that_is_not_there_is_a_problem_document(me: Caller, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = me.send(method, path)
        assert is_problem(answer, 404)
        assert answer.body["instance"] == path


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/events", "GET, POST"),
        ("/v1/customers/c", "GET, PATCH"),
        ("/v1/customers/c/wallet", "GET"),
        ("/v1/products/p/1", "DELETE, GET, PATCH"),
        ("/v1/accounts/self", "GET, PATCH"),
        ("/healthz", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_has_not_is_answered_with_those_it_has(
    me: Caller, path: str, allowed: str
) -> None:
    for method in ("DELETE", "PUT", "OPTIONS", "TRACE"):
        answer = me.send(method, path)
        assert is_problem(answer, 405)
        assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("name", LISTS)
def test_nothing_is_cached_on_its_way(me: Caller, name: str) -> None:
    assert me.get(name).headers["cache-control"] == "no-store"
