"""The server against its own document: whatever is sent, valid or not, the answer is one that
`/openapi.json` describes, and never a fault.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from tests.api.caller import (
    USD,
    Caller,
    adjustment,
    adjustments,
    ago,
    calling,
    event,
    product,
    usage,
)
from tests.api.conftest import TEST_KEY, RunningServer
from tests.api.holding import holds

from faregate.operations.acting import ACCOUNT
from faregate.operations.table import OPERATIONS
from faregate.rest.app import VERSION
from faregate.rest.openapi import openapi_document

EXAMPLES = {"sqlite": 16, "postgresql": 4}
DEEP = ("POST /v1/products", "POST /v1/products/{product_id}")
"""Their bodies are trees that take a while to make up: they get a fourth of the examples."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
NAMES = [
    f"{method.upper()} {path}"
    for path, entry in openapi_document(OPERATIONS, VERSION)["paths"].items()
    for method in entry
]


class Target(NamedTuple):
    """A running server, its document, and ids of things that it has."""

    schema: Any
    session: requests.Session
    me: Caller
    examples: int
    ids: dict[str, str]


def _ids(me: Caller) -> dict[str, str]:
    """Fill the server with one of everything; returns how a path names each."""
    me.made("assets", {"code": "GEMS", "name": "Gems", "precision": 2})
    bought = me.made("products", product())["id"]
    customer = me.customer(external_id="ada")
    me.made(adjustments(customer), adjustment("1000000", transaction_id="gift"))
    assert me.post("events", usage(customer, event("e1"))).status == 204
    subscriptions = me.get(f"customers/{customer}").body["subscriptions"]
    back = {"return_url": "https://shop.example/ok", "failure_url": "https://shop.example/no"}
    paid = {"customer_id": customer, "amount": 5, "currency": "USD", **back}
    return {
        "top_up_id": me.made("top-ups", paid)["id"],
        "customer_id": customer,
        "subscription_id": subscriptions[0]["id"],
        "product_id": bought,
        "version": "1",
        "event_id": "e1",
        "transaction_id": "gift",
        "account_id": USD,
        "asset_code": "GEMS",
    }


def _set_free(me: Caller, customer: str) -> None:
    """Take away what other tests have put in the way of a customer."""
    assert me.post(f"customers/{customer}/unblock", {}).status == 204
    for path in ("limits", f"customers/{customer}/limits"):
        for item in me.get(f"{path}?limit=100").body["items"]:
            limit_id = item["limit"]["id"] if "limit" in item else item["id"]
            assert me.send("DELETE", f"{path}/{limit_id}").status == 204


def _limit(me: Caller, path: str, customer: str) -> str:
    """A limit for one test, which deletes it or not: an account's, or a customer's own."""
    of = path.rpartition("/")[0].format(customer_id=customer)
    return str(me.made(of, {"amount": 1, "period": "day", "asset": "USD"})["id"])


def _hold(me: Caller, customer: str, name: str) -> str:
    """A hold for one test: others may have ended theirs."""
    _set_free(me, customer)
    body = {"transaction_id": name, "max_amount": 1000, "asset": "USD"}
    answer = me.post(holds(customer), body)
    assert answer.body["status"] == "authorized"
    return str(answer.body["id"])


@pytest.fixture(scope="module")
def target(shared_server: RunningServer, module_database_url: str) -> Iterator[Target]:
    with calling(shared_server) as me, requests.Session() as session:
        session.headers["x-credyt-api-key"] = TEST_KEY
        kind = module_database_url.partition(":")[0]
        schema = schemathesis.openapi.from_url(f"{shared_server.url}/openapi.json")
        yield Target(schema, session, me, EXAMPLES[kind], _ids(me))


def _there(value: Any, ids: dict[str, str]) -> Any:
    """A made-up body in which names are those of things that are there."""
    if isinstance(value, list):
        return [_there(item, ids) for item in value]
    if not isinstance(value, dict):
        return value
    real = {
        "asset": "USD",
        "amount": 1,
        "want": {"amount": 1},
        "source": "USD",
        "currency": "USD",
        "event_type": "llm",
        "occurred_at": ago(),
        "products": [{"code": "tokens"}],
        "customer_id": ids["customer_id"],
        "billing_model": {"type": "real_time"},
    }
    if "symbol" in value or "precision" in value:
        real["code"] = f"GEMS{zlib.crc32(str(value).encode())}"
    found = {key: real.get(key) or _there(inner, ids) for key, inner in value.items()}
    # Two names of one customer, instants in any order, two ways to say what is held or was used,
    # are refused by rules beyond the schema.
    beyond = {"customer_external_id", "effective_at", "expires_at", "renews_at", "starts_at"}
    if "transaction_id" in found:
        beyond |= {"min_amount", "parent_id"}
        if "event_type" in found:
            beyond |= {"max_amount", "asset", "account_name"}
        elif "max_amount" in found:
            found |= {"max_amount": 1, "asset": "USD"}
            beyond.add("data")
    if "events" in found:
        beyond.add("amount")
    return {key: inner for key, inner in found.items() if key not in beyond}


def _really(case: Case, ids: dict[str, str]) -> Case:
    case.body = _there(case.body, ids)
    return case


def _for_itself(case: Case) -> Case:
    """The request without the header that names an account to act for: a made-up one is nobody's,
    and nothing else of the request would be looked at."""
    if case.headers:
        case.headers.pop(ACCOUNT, None)
    return case


def _send_many(target: Target, name: str, mode: GenerationMode, checks: list[Any]) -> None:
    """Send made-up requests of one operation, half of them about what is really there."""
    method, path = name.split(" ")
    operation, ids = target.schema[path][method], target.ids
    if "{hold_id}" in path:
        hold_id = _hold(target.me, ids["customer_id"], f"{name} {mode}")
        ids = {**ids, "hold_id": hold_id}
    if "{limit_id}" in path:
        _set_free(target.me, ids["customer_id"])
        ids = {**ids, "limit_id": _limit(target.me, path, ids["customer_id"])}
    names = {key: value for key, value in ids.items() if f"{{{key}}}" in path}
    made_up = operation.as_strategy(mode)
    about = operation.as_strategy(mode, path_parameters=names) if names else made_up
    if mode is GenerationMode.POSITIVE:
        about = about.map(lambda case: _really(case, ids))
    cases = made_up if about is made_up else st.one_of(about, made_up)
    if mode is GenerationMode.POSITIVE:
        cases = cases.map(_for_itself)

    @seed(1)
    @settings(
        max_examples=target.examples // (4 if name in DEEP else 1),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def send(case: Case) -> None:
        case.call_and_validate(session=target.session, checks=checks, timeout=30)

    send()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_valid_request_gets_an_answer_that_the_document_describes(
    target: Target, name: str
) -> None:
    _send_many(target, name, GenerationMode.POSITIVE, CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_invalid_request_is_refused_as_the_document_describes(target: Target, name: str) -> None:
    _send_many(target, name, GenerationMode.NEGATIVE, [*CHECKS, negative_data_rejection])
