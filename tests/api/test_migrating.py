"""Moving a product's subscribers to another version, and saying before what each would pay. Amounts
were worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import (
    USD,
    Answer,
    Caller,
    ago,
    assert_refused,
    calling,
    is_problem,
    usage,
)
from tests.api.conftest import READ_KEY, RunningServer

from faregate.engine import migrating

MIGRATE = "products/plan/subscribers/migrate"


@pytest.fixture
def me(server: RunningServer) -> Iterator[Caller]:
    with calling(server) as caller:
        yield caller


def fixed(name: str, amount: str, interval: str, seats: int | None = None) -> str:
    quantity = "" if seats is None else f', "quantity": {seats}'
    return (
        f'{{"type": "fixed", "name": "{name}", "billing_model": {{"type": "recurring", '
        f'"recurring": {{"interval": "{interval}"}}}}, "pricing": [{{"asset": "USD", '
        f'"values": [{{"unit_price": {amount}{quantity}}}]}}]}}'
    )


def used(event_type: str, measured: str, value: str) -> str:
    return (
        f'{{"type": "usage_based", "name": "{event_type}", "billing_model": '
        f'{{"type": "real_time"}}, "usage_calculation": {{"event_type": "{event_type}", '
        f'{measured}}}, "pricing": [{{"asset": "USD", "values": [{{{value}}}]}}]}}'
    )


def prices(seat: str, support: str, call: str, tokens: str) -> str:
    by_volume = '"usage_type": "volume", "volume_field": "tokens"'
    parts = [
        fixed("Seats", seat, "month", 1),
        support,
        used("call", '"usage_type": "unit"', f'"unit_price": {call}'),
        used("llm", by_volume, f'"volume_rate": {tokens}, "package_size": 1000000'),
    ]
    return f'"prices": [{", ".join(parts)}], "publish": true'


FIRST = prices("30", fixed("Support", "100", "year"), "0.5", "0.60")
SECOND = prices("25", fixed("Support", "2", "week"), "0.4", "0.50")


def plan(me: Caller, *versions: str) -> str:
    """Make a product of these versions; returns its id."""
    first, *others = versions
    made = me.made("products", f'{{"name": "Plan", "code": "plan", {first}}}')
    for version in others:
        me.made("products/plan", f"{{{version}}}")
    return str(made["id"])


def subscriber(
    me: Caller, name: str, credit: str = "1000", customer: Any = None, **product: Any
) -> str:
    made = me.made("customers", {"name": name, **(customer or {})})["id"]
    me.give(made, credit)
    me.made(f"customers/{made}/subscriptions", {"products": [{"code": "plan", **product}]})
    return str(made)


def migrate(me: Caller, query: str = "", **body: Any) -> Answer:
    return me.post(MIGRATE + query, body)


def done(me: Caller, **body: Any) -> Any:
    answer = migrate(me, dry_run=False, **body)
    assert answer.status == 200, answer.body
    assert answer.body.pop("result") == "migrated"
    return answer.body


def subscription(me: Caller, customer: str) -> Any:
    return me.get(f"customers/{customer}").body["subscriptions"][0]


def everything(me: Caller, customer: str) -> list[Any]:
    paths = ("", "/subscriptions", "/wallet", f"/wallet/{USD}/grants")
    return [me.get(f"customers/{customer}{path}").body for path in paths] + [
        me.get(path).body for path in (f"events?customer_id={customer}", "products/plan", "limits")
    ]


def version(me: Caller, customer: str) -> Any:
    return subscription(me, customer)["products"][0].get("version")


def amounts(*numbers: str) -> list[dict[str, Any]]:
    names = ("fixed_before", "usage_before", "before", "fixed_after", "usage_after", "after")
    given = zip((*names, "difference"), map(Decimal, numbers), strict=True)
    return [{"asset": "USD", **dict(given)}]


def event(identifier: str, event_type: str, days: float = 1, **data: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "event_type": event_type,
        "occurred_at": ago(days=days),
        "data": data,
    }


ADA = amounts(
    # 3 seats at 30 and 100 / 12; 10 calls at 0.5 and 3,000,000 tokens at 0.60 per 1,000,000.
    "98.333333333",
    "6.8",
    "105.133333333",
    # 3 seats at 25 and 2 x 52 / 12; 10 calls at 0.4 and 3,000,000 tokens at 0.50.
    "83.666666667",
    "5.5",
    "89.166666667",
    "-15.966666667",
)
BOB = amounts(
    "38.333333333", "0", "38.333333333", "33.666666667", "0", "33.666666667", "-4.666666667"
)
BOTH = amounts(
    # 136.666… and 117.333…: exact sums are rounded, not the rounded ones added.
    "136.666666667",
    "6.8",
    "143.466666667",
    "117.333333333",
    "5.5",
    "122.833333333",
    "-20.633333333",
)


def test_a_dry_run_says_what_each_would_pay_and_changes_nothing(me: Caller) -> None:
    plan(me, FIRST, SECOND)
    ada = subscriber(me, "Ada", quantity=3)
    bob = subscriber(me, "Bob")
    started = {"products": [{"code": "plan"}], "starts_at": ago(days=40)}
    ago_31 = me.made("customers", {"name": "Cleo"})["id"]
    me.give(ago_31, "1000")
    me.made(f"customers/{ago_31}/subscriptions", started)
    events = [
        *[event(f"c{n}", "call") for n in range(10)],
        event("t2", "llm", tokens=2_000_000),
        event("t1", "llm", 29.9, tokens=1_000_000),
        event("other", "mail"),
    ]
    assert me.post("events", usage(ada, *events)).status == 204
    assert me.post("events", usage(ago_31, event("old", "call", 31))).status == 204
    before = [everything(me, customer) for customer in (ada, bob)]
    page = migrate(me, "?limit=2", to_version=2).body
    assert (page["result"], page["to_version"], page["total_count"]) == ("preview", 2, 3)
    one, other = page["items"]
    assert (one["customer_id"], one["customer_name"], one["version"]) == (ada, "Ada", 1)
    assert one["subscription_id"] == subscription(me, ada)["id"]
    assert (one["events"], one["is_partial"], one["is_already_there"]) == (13, False, False)
    assert (one["amounts"], one["warnings"]) == (ADA, [])
    assert (other["customer_id"], other["events"], other["amounts"]) == (bob, 0, BOB)
    assert page["totals"] == BOTH
    (last,) = migrate(me, "?limit=2&offset=2", to_version=2).body["items"]
    # What occurred 31 days ago does not count.
    assert (last["customer_id"], last["events"], last["amounts"]) == (ago_31, 0, BOB)
    assert [everything(me, customer) for customer in (ada, bob)] == before
    assert version(me, ada) == "default"


def test_what_the_new_version_does_not_price_is_said(me: Caller) -> None:
    by_use = used("call", '"usage_type": "unit"', '"unit_price": 2')
    only_calls = f'"prices": [{by_use}], "publish": true'
    plan(me, FIRST, only_calls)
    ada = subscriber(me, "Ada")
    assert me.post("events", usage(ada, event("t", "llm", tokens=1), event("x", "x"))).status == 204
    (item,) = migrate(me, to_version=2).body["items"]
    # What neither prices is not news.
    assert item["warnings"] == ["no price for event_type=llm"]


def test_with_the_renewal_all_are_arranged_to_move_and_a_repeat_is_harmless(me: Caller) -> None:
    product = plan(me, FIRST, SECOND)
    customers = [subscriber(me, name) for name in ("Ada", "Bob", "Cleo")]
    money = [me.available(customer) for customer in customers]
    first = {"moved": 3, "already_there": 0, "failed": [], "total": 3}
    assert done(me, to_version=2) == first
    for customer in customers:
        (planned,) = subscription(me, customer)["planned"]
        assert (planned["product_id"], planned["version"]) == (product, 2)
    assert done(me, to_version=2) == {**first, "moved": 0, "already_there": 3}
    assert [item["is_already_there"] for item in migrate(me, to_version=2).body["items"]] == [
        True,
        True,
        True,
    ]
    # Nothing was charged: it counts with the renewal.
    assert [me.available(customer) for customer in customers] == money


def test_one_call_tries_so_many_and_the_next_goes_on(
    me: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(me, FIRST, SECOND)
    monkeypatch.setattr(migrating, "MAX_TRIED", 2)
    for name in ("Ada", "Bob", "Cleo", "Dan", "Eve"):
        subscriber(me, name)
    counted = []
    for _ in range(4):
        answer = done(me, to_version=2)
        counted.append((answer["moved"], answer["already_there"], answer["total"]))
    # Those who are there already are counted as far as the call goes.
    assert [moved for moved, _, _ in counted] == [2, 2, 1, 0]
    assert counted[-1] == (0, 5, 5)


def on_a_clock(me: Caller) -> dict[str, Any]:
    clock = {"now": "2026-01-01T00:00:00Z", "name": "month"}
    return {"test_clock_id": me.made("test-clocks", clock)["id"]}


def test_who_cannot_pay_it_now_stays_and_is_named_with_the_reason(me: Caller) -> None:
    plan(
        me,
        f'"prices": [{fixed("Base", "31", "month")}], "publish": true',
        f'"prices": [{fixed("Base", "310", "month")}], "publish": true',
    )
    clock = on_a_clock(me)
    rich = subscriber(me, "Rich", "1000", clock, version=1)
    poor = subscriber(me, "Poor", "100", clock, version=1)
    there = subscriber(me, "There", "1000", clock, version=2)
    # Half of January is left.
    to = {"to": "2026-01-16T12:00:00Z"}
    assert me.post(f"test-clocks/{clock['test_clock_id']}/advance", to).status == 200
    body = {"to_version": 2, "effective": "now"}
    answer = done(me, **body)
    (failed,) = answer.pop("failed")
    assert answer == {"moved": 1, "already_there": 1, "total": 3}
    assert (failed["customer_id"], failed["subscription_id"]) == (
        poor,
        subscription(me, poor)["id"],
    )
    assert "69" in failed["detail"]
    # 15.50 were given back and 155 charged: after 969, 829.50.
    assert (version(me, rich), me.available(rich)) == (2, Decimal("829.5"))
    assert (version(me, poor), me.available(poor)) == (1, 69)
    assert (version(me, there), me.available(there)) == (2, 690)
    me.give(poor, "70.5")
    assert done(me, **body) == {
        "moved": 1,
        "already_there": 2,
        "failed": [],
        "total": 3,
    }
    assert (version(me, poor), me.available(poor)) == (2, 0)
    assert me.available(rich) == Decimal("829.5")


def test_those_of_one_version_and_a_named_few_are_moved_and_nobody_else(me: Caller) -> None:
    plan(me, FIRST, SECOND, SECOND)
    pinned = subscriber(me, "Pinned", version=1)
    follows = subscriber(me, "Follows")
    second = subscriber(me, "Second", version=2)
    assert migrate(me, to_version=3).body["total_count"] == 3
    for from_version, expected in ((1, {pinned, follows}), ("default", {follows}), (2, {second})):
        page = migrate(me, to_version=3, from_version=from_version).body
        assert {item["customer_id"] for item in page["items"]} == expected, from_version
        assert page["total_count"] == len(expected)
    now = {"to_version": 3, "effective": "now", "proration": "none"}
    moved = done(me, **now, customer_ids=[second, pinned, second], from_version=2)
    assert (moved["moved"], moved["total"]) == (1, 1)
    assert [version(me, c) for c in (pinned, second)] == [1, 3]
    moved = done(me, **now, customer_ids=[second, pinned])
    assert (moved["moved"], moved["already_there"], moved["total"]) == (1, 1, 2)
    # Back to whatever is the default, which is version 1.
    moved = done(me, **{**now, "to_version": "default"}, from_version=3)
    assert (moved["moved"], moved["total"]) == (2, 2)
    page = migrate(me, to_version=2, from_version="default").body
    assert (page["total_count"], {item["version"] for item in page["items"]}) == (3, {1})


def test_who_has_cancelled_is_not_moved_with_a_renewal_that_never_comes(me: Caller) -> None:
    plan(me, FIRST, SECOND)
    ada = subscriber(me, "Ada")
    path = f"customers/{ada}/subscriptions/{subscription(me, ada)['id']}"
    assert me.post(f"{path}/cancel", {}).status == 200
    money = me.available(ada)
    (failed,) = done(me, to_version=2)["failed"]
    assert "does not renew" in failed["detail"]
    assert (me.available(ada), version(me, ada)) == (money, "default")


def test_what_cannot_be_meant_is_refused_and_moves_nobody(
    server: RunningServer, me: Caller
) -> None:
    plan(me, FIRST)
    me.made("products/plan", f"{{{SECOND}}}".replace('"publish": true', '"publish": false'))
    ada = subscriber(me, "Ada")
    stranger = me.made("customers", {"name": "Eve"})["id"]
    before = everything(me, ada)
    for field, body in (
        ("to_version", {}),
        ("to_version", {"to_version": 0}),
        ("to_version", {"to_version": 2}),
        ("from_version", {"to_version": 1, "from_version": -1}),
        ("effective", {"to_version": 1, "effective": "later"}),
        ("proration", {"to_version": 1, "effective": "now", "proration": "next_period"}),
        ("customer_ids", {"to_version": 1, "customer_ids": []}),
        ("customer_ids", {"to_version": 1, "customer_ids": [ada] * 101}),
        ("customer_ids[1]", {"to_version": 1, "customer_ids": [ada, stranger]}),
        ("customer_ids[0]", {"to_version": 1, "customer_ids": ["cust_nobody"]}),
    ):
        assert_refused(migrate(me, dry_run=False, **body), field)
    for body in ({"to_version": 9}, {"to_version": 1, "from_version": 9}):
        assert is_problem(migrate(me, **body), 404), body
    assert is_problem(me.post("products/no/subscribers/migrate", {"to_version": 1}), 404)
    assert_refused(migrate(me, "?limit=101", to_version=1), "limit")
    with calling(server, READ_KEY) as reader:
        assert is_problem(reader.post(MIGRATE, {"to_version": 1}), 403)
    assert everything(me, ada) == before


def test_what_a_version_has_changed_is_said_in_words(me: Caller) -> None:
    plan(me, FIRST, SECOND)
    said = me.get("products/plan/2/diff?against=1").body
    assert said == {
        "from": 1,
        "to": 2,
        "changes": [
            "Seats: 30.00 → 25.00 USD per seat every month (−16.7%)",
            "Support: 100.00 USD every year → 2.00 USD every week",
            "call: 0.50 → 0.40 USD per event (−20.0%)",
            "llm: 0.60 → 0.50 USD per 1,000,000 (−16.7%)",
        ],
    }
    # Without a name, it is compared with the default.
    assert me.get("products/plan/2/diff").body == said
    back = me.get("products/plan/default/diff?against=2").body
    assert (back["from"], back["to"], len(back["changes"])) == (2, 1, 4)
    assert me.get("products/plan/2/diff?against=2").body["changes"] == []
    for path in ("plan/2/diff?against=9", "plan/9/diff", "plan/2/diff?against=x", "no/1/diff"):
        assert is_problem(me.get(f"products/{path}"), 404), path
