"""Odd requests that are legal: what is accepted can be sent again, and looked at; what prefers
another kind of answer gets it as RFC 7240 says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from tests.api.caller import Caller, calling, event, product, usage
from tests.api.conftest import RunningServer


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


@pytest.mark.parametrize("depth", [10, 470, 940])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_data_is_refused_before_it_can_harm(
    me: Caller, depth: int, opening: str, closing: str
) -> None:
    customer = me.customer()
    body = json.dumps(usage(customer, event("deep", data={"tokens": 1, "x": "DEEP"})))
    body = body.replace('"DEEP"', opening * depth + "1" + closing * depth)
    statuses = [me.post("events", body).status for _ in range(2)]
    statuses.append(me.get(f"events/deep?customer_id={customer}").status)
    assert statuses == [422, 422, 404]


def test_costs_are_added_exactly(me: Caller) -> None:
    customer = me.customer()
    costs = [{"id": n, "vendor_id": "v", "amount": n.upper()} for n in ("a", "b")]
    body = json.dumps(usage(customer, event("e", costs=costs)))
    body = body.replace('"A"', "8999999999.999999999").replace('"B"', "0.000000001")
    assert me.post("events", body).status == 204
    stats = me.get(f"events/e?customer_id={customer}").body["stats"]
    assert stats["total_costs"] == 9_000_000_000


@pytest.mark.parametrize(
    "wrong", [{"occurred_at": "2026-01-01T00:00:00"}, {"color": 1}, {"data": [1]}, {"id": ""}]
)
def test_a_lenient_batch_books_the_good_beside_a_malformed_event(
    me: Caller, wrong: dict[str, object]
) -> None:
    customer = me.customer()
    batch = usage(customer, event("e1"), {**event("e2"), **wrong}, event("e3"))
    answer = me.post("events", batch, {"prefer": "handling=lenient"})
    assert answer.status == 200, answer.body
    assert [r["status"] for r in answer.body["events"]] == ["booked", "refused", "booked"]


def test_a_refused_event_of_a_lenient_batch_has_the_request_id(me: Caller) -> None:
    batch = usage(me.customer(), event("e1", -1))
    answer = me.post("events", batch, {"prefer": "handling=lenient"})
    problem = answer.body["events"][0]["problem"]
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("prefer", "status", "applied"),
    [
        (
            "return=representation, handling=lenient",
            200,
            {"return=representation", "handling=lenient"},
        ),
        ('return="representation"', 200, {"return=representation"}),
        ("x-return=representation", 204, set()),
        ("return=representation-2", 204, set()),
        ("return=minimal, handling=lenient-ish", 204, set()),
    ],
)
def test_preferences_are_read_as_rfc_7240_writes_them(
    me: Caller, prefer: str, status: int, applied: set[str]
) -> None:
    answer = me.post("events", usage(me.customer(), event("e")), {"prefer": prefer})
    assert answer.status == status
    shown = answer.headers.get("preference-applied", "")
    assert {part.strip() for part in shown.split(",") if part} - {"return=minimal"} == applied


def test_the_document_knows_that_the_customer_of_a_batch_may_not_be_there(me: Caller) -> None:
    answer = me.post("events", usage("cust_nobody", event("e")))
    document = me.get("/openapi.json").body
    assert str(answer.status) in document["paths"]["/v1/events"]["post"]["responses"]


@pytest.mark.parametrize("identifier", ["a/b", "a%b", "a b", "a?b", "é", "."])
def test_an_event_is_found_by_any_id_that_it_may_have(me: Caller, identifier: str) -> None:
    customer = me.customer()
    assert me.post("events", usage(customer, event(identifier))).status == 204
    path = f"events/{quote(identifier, safe='')}?customer_id={customer}"
    assert me.get(path).status == 200


def test_a_list_of_event_types_is_not_cut_or_dropped(me: Caller) -> None:
    customer = me.customer()
    assert me.post("events", usage(customer, event("e"))).status == 204
    many = ",".join([f"t{n}" for n in range(100)] + ["llm"])
    found = me.get(f"events?customer_id={customer}&event_types={many}")
    assert found.status == 422
    none = me.get(f"events?customer_id={customer}&event_types=,")
    assert none.status == 422


def _seats(code: str, *accounts: str) -> dict[str, object]:
    """A plan of 10 dollars a month from each of these accounts."""
    prices = [
        {
            "type": "fixed",
            "name": f"From {account}",
            "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
            "pricing": [{"asset": "USD", "values": [{"unit_price": 10}]}],
            "collection": {"type": "balance", "address": account},
        }
        for account in accounts
    ]
    return {"name": "Seats", "code": code, "publish": True, "prices": prices}


def test_a_plan_ends_and_begins_again_at_one_instant_of_a_test_clock(me: Caller) -> None:
    me.made("products", _seats("seats", "default:USD"))
    clock = me.made("test-clocks", {"now": "2026-03-01T00:00:00Z"})["id"]
    customer = me.made("customers", {"name": "Ada", "test_clock_id": clock})["id"]
    me.give(customer, "100")
    path = f"customers/{customer}/subscriptions"
    path += f"/{me.made(path, {'products': [{'code': 'seats'}]})['id']}"
    for _ in range(3):
        assert me.post(f"{path}/cancel", {"at": "now"}).status == 200
        assert me.post(f"{path}/reactivate", {}).status == 200
    assert me.available(customer) == 60


def test_what_is_paid_from_two_accounts_is_given_back_to_both(me: Caller) -> None:
    me.made("products", _seats("two", "default:USD", "team:USD"))
    customer = me.made("customers", {"name": "Ada"})["id"]
    me.give(customer, "100")
    path = f"customers/{customer}/wallet/adjustments"
    team = {"transaction_id": "team", "asset": "USD", "amount": 50, "reason": "gift"}
    me.made(path, {**team, "account_name": "team"})
    path = f"customers/{customer}/subscriptions"
    path += f"/{me.made(path, {'products': [{'code': 'two'}]})['id']}"
    ended = me.post(f"{path}/cancel", {"at": "now", "proration": "prorate"})
    assert ended.status == 200, ended.body
    assert len({fee["id"] for fee in ended.body["fees"]}) == 2
    assert me.available(customer, "team:USD") > 49
