"""`Idempotency-Key` on the requests that have no key of their own: one thing is made, and every
repeat gets the first answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.api.caller import Caller, assert_refused, calling, is_problem, product, read
from tests.api.conftest import LIVE_KEY, TEST_KEY, RunningServer


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


PRODUCT = json.loads(product(code="once"))
BODIES: dict[str, tuple[Any, Any]] = {
    "assets": ({"code": "GEMS", "name": "Gems"}, {"code": "GEMS", "name": "Other gems"}),
    "products": (PRODUCT, {**PRODUCT, "name": "Other"}),
    "products/tokens": ({"prices": PRODUCT["prices"]}, {"prices": []}),
    "customers": ({"name": "Ada", "external_id": "ada"}, {"name": "Ada", "external_id": "eve"}),
    "customers/{customer}/subscriptions": (
        {"products": [{"code": "tokens"}]},
        {"products": [{"code": "tokens", "version": 1}]},
    ),
    "coupons": (
        {"code": "HALF", "percent": 50},
        {"code": "HALF", "percent": 51},
    ),
    "limits": (
        {"amount": 1000, "period": "day", "asset": "USD"},
        {"amount": 1000, "period": "week", "asset": "USD"},
    ),
    "customers/{customer}/limits": (
        {"amount": 1000, "period": "day", "asset": "USD"},
        {"amount": 1001, "period": "day", "asset": "USD"},
    ),
}


def _how_many(me: Caller, customer_id: str) -> list[int]:
    counts = [
        me.get(path).body["total_count"] for path in ("assets", "products", "customers", "coupons")
    ]
    limits = me.get(f"customers/{customer_id}/limits?limit=100").body["items"]
    counts += [me.get("limits").body["total_count"], sum(one["is_own"] for one in limits)]
    versions = len(me.get("products/tokens").body["versions"])
    return [*counts, versions, len(me.get(f"customers/{customer_id}").body["subscriptions"])]


@pytest.mark.parametrize("path", BODIES)
def test_a_repeat_under_a_key_makes_nothing_and_gets_the_first_answer(
    me: Caller, path: str
) -> None:
    customer = me.customer()
    first_body, other_body = BODIES[path]
    path, headers = path.format(customer=customer), {"idempotency-key": f"key of {path}"}
    before = _how_many(me, customer)
    first = me.post(path, first_body, headers)
    assert first.status == 201, first.body
    after = _how_many(me, customer)
    assert sum(after) == sum(before) + 1
    for _ in range(2):
        again = me.post(path, first_body, headers)
        assert (again.status, again.body) == (201, first.body)
    answer = me.post(path, other_body, headers)
    assert is_problem(answer, 409)
    assert headers["idempotency-key"] in answer.body["detail"]
    assert _how_many(me, customer) == after


def test_a_key_belongs_to_one_operation(me: Caller) -> None:
    headers = {"idempotency-key": "one"}
    assert me.post("customers", {"name": "A"}, headers).status == 201
    assert is_problem(me.post("assets", {"code": "ONE", "name": "A"}, headers), 409)
    assert me.get("assets/ONE").status == 404


def test_a_refused_request_leaves_its_key_free(me: Caller) -> None:
    headers = {"idempotency-key": "free"}
    assert_refused(me.post("customers", {"name": ""}, headers), "name")
    assert me.post("customers", {"name": "A"}, headers).status == 201


def test_the_environments_have_their_own_keys(shared_server: RunningServer, me: Caller) -> None:
    headers = {"idempotency-key": "shared"}
    first = me.post("customers", {"name": "A"}, headers)
    with calling(shared_server, LIVE_KEY) as live:
        second = live.post("customers", {"name": "B"}, headers)
    assert (first.status, second.status) == (201, 201)
    assert first.body["id"] != second.body["id"]


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_has_one_to_two_hundred_characters(me: Caller, key: str) -> None:
    answer = me.post("customers", {"name": "A"}, {"idempotency-key": key})
    assert_refused(answer, "Idempotency-Key")


@pytest.mark.parametrize("path", ["customers", "assets"])
def test_a_request_from_ten_connections_at_once_makes_one_thing(
    shared_server: RunningServer, me: Caller, path: str
) -> None:
    body = {
        "customers": {"name": "Ten", "external_id": "ten"},
        "assets": {"code": "TEN", "name": "Ten"},
    }[path]
    headers = {"x-credyt-api-key": TEST_KEY, "idempotency-key": f"ten {path}"}

    async def send() -> Any:
        async with httpx.AsyncClient(base_url=shared_server.url, timeout=30) as http:
            return read(await http.post(f"/v1/{path}", json=body, headers=headers))

    async def send_ten() -> list[Any]:
        return await asyncio.gather(*[send() for _ in range(10)])

    before = me.get(path).body["total_count"]
    answers = asyncio.run(send_ten())
    assert me.get(path).body["total_count"] == before + 1
    made = [answer.body for answer in answers if answer.status == 201]
    assert made
    assert all(body == made[0] for body in made)
    # One that met the first on its way is told to come again, and then gets the same answer.
    assert all(is_problem(answer, 503) for answer in answers if answer.status != 201)
    assert me.post(path, body, {"idempotency-key": f"ten {path}"}).body == made[0]
