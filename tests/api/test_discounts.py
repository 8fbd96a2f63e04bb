"""Coupons, discounts and commitments over a real port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import (
    Caller,
    adjustment,
    adjustments,
    ago,
    assert_refused,
    calling,
    event,
    is_problem,
    product,
    usage,
)
from tests.api.conftest import LIVE_KEY, RunningServer

SHOWN = {"prefer": "return=representation"}
MONTH = {"interval": "month"}
PLAN = {
    "name": "Plan",
    "code": "plan",
    "publish": True,
    "prices": [
        {
            "type": "fixed",
            "name": "Monthly",
            "billing_model": {"type": "recurring", "recurring": MONTH},
            "pricing": [{"asset": "USD", "values": [{"unit_price": 10}]}],
        },
        json.loads(product())["prices"][0],
    ],
    "commitments": [{"name": "Use", "asset": "USD", "recurring": MONTH, "maximum": 20}],
}


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", PLAN)
        caller.made("products", product())
        caller.made("assets", {"code": "GEMS", "name": "Gems"})
        caller.made("coupons", {"code": "HALF", "name": "Half", "percent": 50})
        yield caller


def member(me: Caller, coupon: str | None = None, **more: Any) -> tuple[str, str]:
    """A customer with 100 USD who has the plan; returns their id and the path of what they have."""
    customer = me.made("customers", {"name": "Ada", **more})["id"]
    me.made(adjustments(customer), adjustment("100"))
    body = {"products": [{"code": "plan"}], **({} if coupon is None else {"coupon": coupon})}
    made = me.made(f"customers/{customer}/subscriptions", body)
    return customer, f"customers/{customer}/subscriptions/{made['id']}"


def use(me: Caller, customer: str, name: str, tokens: int) -> dict[str, Any]:
    answer = me.post("events", usage(customer, event(name, tokens)), headers=SHOWN)
    assert answer.status == 200, answer.body
    booked: dict[str, Any] = answer.body["events"][0]
    return booked


def test_coupons_are_made_listed_found_and_deleted(server: RunningServer) -> None:
    with calling(server) as me:
        bought = me.made("products", product())["id"]
        until = "2999-01-01T00:00:00Z"
        first = me.made("coupons", {"code": "A", "percent": 12.5, "periods": 3})
        second = me.made(
            "coupons",
            {
                "code": "B.2",
                "name": "B",
                "amount": 5,
                "asset": "USD",
                "products": ["tokens"],
                "redeem_by": until,
            },
        )
        assert (first["percent"], first["periods"]) == (Decimal("12.5"), 3)
        assert "amount" not in first
        assert (second["amount"], second["asset"], second["redeem_by"]) == (5, "USD", until)
        assert second["products"] == [bought]
        page = me.get("coupons").body
        assert {one["code"] for one in page["items"]} == {"A", "B.2"}
        assert (page["total_count"], page["limit"], page["offset"]) == (2, 20, 0)
        assert me.get("coupons/B.2").body == second
        assert me.send("DELETE", "coupons/A").status == 204
        assert me.send("DELETE", "coupons/A").status == 204
        assert "deleted_at" in me.get("coupons/A").body
        assert [one["code"] for one in me.get("coupons").body["items"]] == ["B.2"]
        assert me.get("coupons?limit=1&offset=1").body["items"] == []
        again = me.post("coupons", {"code": "A", "percent": 1})
        assert is_problem(again, 409)
        assert again.fields == ["code"]
        assert is_problem(me.get("coupons/C"), 404)
        assert is_problem(me.send("DELETE", "coupons/C"), 404)
    with calling(server, LIVE_KEY) as other:
        assert other.get("coupons").body["total_count"] == 0
        assert other.get("coupons/B.2").status == 404


WRONG = [
    ({"percent": 0}, "percent"),
    ({"percent": -1}, "percent"),
    ({"percent": 100.0001}, "percent"),
    ({"percent": 0.00001}, "percent"),
    ({"percent": 1e400}, "percent"),
    ({"percent": "5"}, "percent"),
    ({}, "percent"),
    ({"percent": 5, "amount": 1, "asset": "USD"}, "percent"),
    ({"percent": 5, "asset": "USD"}, "asset"),
    ({"amount": 1}, "asset"),
    ({"amount": 1, "asset": "GOLD"}, "asset"),
    ({"amount": 0, "asset": "USD"}, "amount"),
    ({"amount": 0.0000000001, "asset": "USD"}, "amount"),
    ({"amount": 0.5, "asset": "GEMS"}, "amount"),
    ({"percent": 5, "periods": 0}, "periods"),
    ({"percent": 5, "products": []}, "products"),
    ({"percent": 5, "products": ["plan", "nothing"]}, "products[1]"),
    ({"percent": 5, "redeem_by": "2020-01-01T00:00:00Z"}, "redeem_by"),
    ({"percent": 5, "code": "no spaces"}, "code"),
    ({"percent": 5, "more": 1}, "more"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_a_coupon_that_cannot_be_is_refused_by_field(
    me: Caller, body: dict[str, Any], field: str
) -> None:
    before = me.get("coupons").body
    text = json.dumps({"code": "BAD", **body}).replace("Infinity", "1e400")
    assert_refused(me.post("coupons", text), field)
    assert me.get("coupons").body == before


WRONG_COMMITMENTS = [
    ({}, "minimum"),
    ({"minimum": 0}, "minimum"),
    ({"minimum": 5, "maximum": 4}, "maximum"),
    ({"maximum": 0.0000000001}, "maximum"),
    ({"minimum": 1, "asset": "GOLD"}, "asset"),
    ({"minimum": 1, "event_types": ["none"]}, "event_types[0]"),
    ({"minimum": 1, "event_types": []}, "event_types"),
    ({"minimum": 1, "recurring": {"interval": "hour"}}, "recurring.interval"),
    ({"minimum": 1, "id": "cmt_1"}, "id"),
]


@pytest.mark.parametrize(("given", "field"), WRONG_COMMITMENTS)
def test_a_commitment_that_cannot_be_is_refused_by_field(
    me: Caller, given: dict[str, Any], field: str
) -> None:
    one = {"name": "Use", "asset": "USD", "recurring": MONTH, **given}
    body = {**PLAN, "code": "bad", "commitments": [one]}
    assert_refused(me.post("products", body), f"commitments[0].{field}")
    assert is_problem(me.get("products/bad"), 404)
    version = {"prices": PLAN["prices"], "commitments": [one]}
    assert_refused(me.post("products/plan", version), f"commitments[0].{field}")
    assert len(me.get("products/plan").body["versions"]) == 1


def test_a_product_shows_its_commitments(me: Caller) -> None:
    (one,) = me.get("products/plan/1").body["commitments"]
    assert one["id"].startswith("cmt_")
    assert (one["name"], one["maximum"], one["recurring"]) == ("Use", 20, {"interval": "month"})
    assert me.get("products/plan").body["default_version"]["commitments"] == [one]
    assert me.get("products/tokens/1").body["commitments"] == []


def test_a_subscription_that_begins_with_a_coupon_costs_less(me: Caller) -> None:
    customer, path = member(me, "HALF")
    assert me.available(customer) == 95
    booked = use(me, customer, "e", 4)
    (fee,) = booked["fees"]
    assert (fee["amount"], fee["discount"]) == (2, 2)
    assert "capped" not in fee
    assert me.available(customer) == 93
    shown = me.get(path).body
    (discount,) = shown["discounts"]
    assert (discount["coupon"], discount["name"], discount["percent"]) == ("HALF", "Half", 50)
    assert "ends_at" not in discount
    (commitment,) = shown["commitments"]
    assert (commitment["name"], commitment["spent"], commitment["maximum"]) == ("Use", 2, 20)
    # The event says later what was taken off, too.
    (again,) = me.get(f"events/e?customer_id={customer}").body["fees"]
    assert (again["amount"], again["discount"]) == (2, 2)


def test_what_is_over_the_maximum_is_free_and_the_event_says_so(me: Caller) -> None:
    customer, _ = member(me)
    first, second = use(me, customer, "one", 19), use(me, customer, "two", 3)
    assert first["warnings"] == []
    assert "cap of 20 USD reached" in second["warnings"][0]
    (fee,) = second["fees"]
    assert (fee["amount"], fee["capped"]) == (1, 2)
    assert me.available(customer) == 70
    # Sent again, it is answered as it was.
    same = me.get(f"events/two?customer_id={customer}").body
    assert same["fees"] == [fee]


def test_many_callers_at_once_do_not_pass_the_maximum(
    me: Caller, shared_server: RunningServer
) -> None:
    customer, path = member(me)

    def send(number: int) -> Decimal:
        with calling(shared_server) as one:
            return Decimal(use(one, customer, f"many {number}", 3)["fees"][0]["amount"])

    with ThreadPoolExecutor(8) as pool:
        charged = list(pool.map(send, range(20)))
    assert sum(charged) == 20
    assert me.available(customer) == 70
    assert me.get(path).body["commitments"][0]["spent"] == 20
    report = shared_server.wait(shared_server.engine.verify())
    assert report.is_clean


def test_a_discount_is_given_and_taken(me: Caller) -> None:
    customer, path = member(me)
    changed = me.post(f"{path}/discounts", {"coupon": "HALF"})
    assert changed.status == 200
    assert changed.body["subscription"]["discounts"][0]["coupon"] == "HALF"
    assert changed.body["fees"] == []
    again = me.post(f"{path}/discounts", {"coupon": "HALF"})
    assert again.body["subscription"] == changed.body["subscription"]
    assert use(me, customer, "a", 2)["fees"][0]["amount"] == 1
    assert me.send("DELETE", f"{path}/discounts/HALF").status == 204
    assert is_problem(me.send("DELETE", f"{path}/discounts/HALF"), 404)
    assert use(me, customer, "b", 2)["fees"][0]["amount"] == 2
    assert "discounts" not in me.get(path).body


def test_a_discount_outlives_its_coupon(me: Caller) -> None:
    me.made("coupons", {"code": "SOON", "percent": 50})
    customer, path = member(me, "SOON")
    assert me.send("DELETE", "coupons/SOON").status == 204
    assert use(me, customer, "a", 2)["fees"][0]["amount"] == 1
    other = me.made("customers", {"name": "Eve"})["id"]
    body = {"products": [{"code": "plan"}], "coupon": "SOON"}
    assert_refused(me.post(f"customers/{other}/subscriptions", body), "coupon")
    assert me.get(path).body["discounts"][0]["coupon"] == "SOON"


def test_a_coupon_that_is_not_there_or_not_for_it_is_refused_by_field(me: Caller) -> None:
    me.made("coupons", {"code": "TOKENS", "percent": 50, "products": ["tokens"]})
    customer, path = member(me)
    for code in ("NONE", "TOKENS"):
        assert_refused(me.post(f"{path}/discounts", {"coupon": code}), "coupon")
        body = {"products": [{"code": "plan"}], "coupon": code}
        assert_refused(me.post(f"customers/{customer}/subscriptions", body), "coupon")
        buyer = {"name": "Eve", "subscriptions": [body]}
        assert_refused(me.post("customers", buyer), "subscriptions[0].coupon")
    assert_refused(me.post(f"{path}/discounts", {}), "coupon")
    assert is_problem(me.post(f"{path}x/discounts", {"coupon": "HALF"}), 404)


def test_a_minimum_is_not_asked_for_more_than_a_year_that_is_over(me: Caller) -> None:
    least = {"name": "Least", "asset": "USD", "recurring": MONTH, "minimum": 8}
    prices = [PLAN["prices"][1]]
    me.made("products", {**PLAN, "code": "past", "prices": prices, "commitments": [least]})
    customer = me.made("customers", {"name": "Ada"})["id"]
    path = f"customers/{customer}/subscriptions"
    old = {"products": [{"code": "past"}], "starts_at": ago(days=400)}
    assert_refused(me.post(path, old), "starts_at")


def test_a_bill_shows_price_discount_and_minimum(me: Caller) -> None:
    least = {"name": "Least", "asset": "USD", "recurring": MONTH, "minimum": 8}
    me.made("products", {**PLAN, "code": "least", "commitments": [least]})
    clock = me.made("test-clocks", {"now": "2026-01-01T00:00:00Z"})["id"]
    customer = me.made("customers", {"name": "Ada", "test_clock_id": clock})["id"]
    me.made(adjustments(customer), adjustment("100"))
    body = {"products": [{"code": "least"}], "coupon": "HALF"}
    made = me.made(f"customers/{customer}/subscriptions", body)
    path = f"customers/{customer}/subscriptions/{made['id']}"
    assert me.available(customer) == 95
    to = {"to": "2026-01-16T12:00:00Z"}
    assert me.post(f"test-clocks/{clock}/advance", to).status == 200
    spent = usage(customer, event("e", 6, occurred_at="2026-01-16T12:00:00Z"))
    assert me.post("events", spent).status == 204
    # Half of the base fee of 5 comes back; half of the minimum of 8 is owed, and 3 are spent.
    left = me.post(f"{path}/cancel", {"at": "now", "proration": "prorate"}).body
    lines = [
        (line["price_name"], line.get("coupon"), line["amount"])
        for line in left["fees"][0]["lines"]
    ]
    assert lines == [
        ("Monthly", None, -5),
        ("Monthly", "HALF", Decimal("2.5")),
        ("minimum commitment: Least", None, 1),
    ]
    assert me.available(customer) == Decimal("93.5")
    found = me.get(f"customers/{customer}/wallet/transactions/{left['fees'][0]['id']}").body
    assert [line.get("coupon") for line in found["lines"]] == [None, "HALF", None]


def test_a_hold_sets_aside_what_is_left_to_pay(me: Caller) -> None:
    customer, _ = member(me, "HALF")
    ask = {"transaction_id": "h", "event_type": "llm", "data": {"tokens": 6}}
    hold = me.post(f"customers/{customer}/wallet/holds", ask).body
    assert hold["amount"] == 3
    settle = {"transaction_id": "c", "events": [event("e", 6)]}
    done = me.post(f"customers/{customer}/wallet/holds/{hold['id']}/capture", settle).body
    assert (done["captured_amount"], done["released_amount"]) == (3, 0)
    assert done["fees"][0]["discount"] == 3


def test_a_simulation_is_a_new_customers_without_coupons(me: Caller) -> None:
    free = json.loads(product())["prices"][0]
    free["pricing_model"] = "tiered"
    free["tiering"] = {"basis": "volume", "period": "monthly"}
    tiers = [{"up_to": 1000, "volume_rate": 0}, {"volume_rate": 0.01}]
    free["pricing"] = [{"asset": "USD", "values": tiers}]
    most = {"name": "Use", "asset": "USD", "recurring": MONTH, "maximum": 1}
    me.made("products", {**PLAN, "code": "free", "prices": [free], "commitments": [most]})
    body = {"events": [event(f"s{n}", tokens) for n, tokens in enumerate((800, 400, 1000))]}
    answer = me.post("products/free/default/simulate-usage", body)
    # Of the 2 and the 10 USD that they would cost, 1 USD is asked.
    assert [fee["amount"] for fee in answer.body["fees"]] == [0, 1, 0]
    assert [fee.get("capped") for fee in answer.body["fees"]] == [None, 1, 10]
    first, second = answer.body["warnings"]
    assert first.startswith("events[1]: cap of 1 USD reached under 'Use': the rest is free until ")
    assert second.startswith("events[2]: cap of 1 USD reached")


def test_a_simulation_says_what_misses_a_minimum_in_each_of_its_periods(me: Caller) -> None:
    least = {"name": "Least", "asset": "USD", "recurring": MONTH, "minimum": 50, "maximum": 60}
    me.made("products", {**PLAN, "code": "least-said", "commitments": [least]})
    days = ("2026-01-10", "2026-01-31", "2026-04-15", "2026-04-16")
    events = [
        {**event(f"s{n}", tokens), "occurred_at": f"{day}T00:00:00Z"}
        for n, (day, tokens) in enumerate(zip(days, (20, 10, 55, 10), strict=True))
    ]
    answer = me.post("products/least-said/default/simulate-usage", {"events": events})
    assert [fee["amount"] for fee in answer.body["fees"]] == [20, 10, 55, 5]
    # 20 in the first month, 50 in each of the next two, nothing in the last one.
    assert answer.body["warnings"] == [
        "events[3]: cap of 60 USD reached under 'Least': the rest is free until "
        "2026-05-10T00:00:00+00:00",
        "120 USD of the minimum are missing in 3 periods under 'Least': "
        "charged when a period is over",
    ]
