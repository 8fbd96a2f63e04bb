"""How an account takes payments: bounds, bonuses beside them, and receipts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import Caller, assert_refused, calling, is_problem, product
from tests.api.conftest import LIVE_KEY, RunningServer, running_server
from tests.api.crossing import pay
from tests.ledger.shop import Clock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DISPUTED = "4000000000000259"
WAYS_BACK = {"return_url": "https://shop.example/ok", "failure_url": "https://shop.example/no"}


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture(scope="module")
def place(module_database_url: str, clock: Clock) -> Iterator[RunningServer]:
    with running_server(module_database_url, clock) as server:
        yield server


@pytest.fixture(scope="module")
def me(place: RunningServer) -> Iterator[Caller]:
    with calling(place) as caller:
        caller.made("products", product())
        caller.made("assets", {"code": "GEMS", "name": "Gems", "precision": 2})
        assert caller.post("assets/GEMS/rates", {"source": "USD", "rate": 0.5}).status == 204
        yield caller


@pytest.fixture
def ada(me: Caller) -> str:
    return str(me.made("customers", {"name": "Ada", "email": "ada@shop.example"})["id"])


@pytest.fixture(autouse=True)
def nothing_is_set(me: Caller) -> Iterator[None]:
    yield
    assert me.patch("accounts/self", {"payments": {}}).status == 204
    for asset in ("USD", "GEMS"):
        assert me.patch(f"assets/{asset}", {"top_up_bonus": []}).status == 200


def asked(customer: str, amount: Any = 20, **more: Any) -> dict[str, Any]:
    return {"customer_id": customer, "amount": amount, "currency": "USD", **WAYS_BACK, **more}


def grants(me: Caller, customer: str, account: str = "default:USD") -> list[tuple[str, Decimal]]:
    items = me.get(f"customers/{customer}/wallet/{account}/grants").body["items"]
    return sorted((g["purpose"], g["amount"]) for g in items)


def test_an_account_says_between_which_amounts_and_by_whom(me: Caller, ada: str) -> None:
    rules = {"provider": "sandbox", "top_ups": {"USD": {"minimum": 5, "maximum": 50}}}
    assert me.patch("accounts/self", {"payments": rules}).status == 204
    shown = me.get("accounts/self").body["payments"]
    assert shown == {"provider": "sandbox", "top_ups": {"USD": {"minimum": 5, "maximum": 50}}}
    for amount, says in ((4.99, "the least is 5"), (50.01, "the most is 50")):
        refused = me.post("top-ups", asked(ada, amount))
        assert_refused(refused, "amount")
        assert says in refused.body["errors"]["amount"][0]
    for amount in (5, 50):
        me.made("top-ups", asked(ada, amount))


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"provider": "nobody"}, "payments.provider"),
        ({"top_ups": {"GEM": {"minimum": 5}}}, "payments.top_ups.GEM"),
        ({"top_ups": {"USD": {"minimum": 5.001}}}, "payments.top_ups.USD.minimum"),
        ({"top_ups": {"USD": {"minimum": 0}}}, "payments.top_ups.USD.minimum"),
        ({"top_ups": {"USD": {"minimum": 5, "maximum": 4}}}, "payments.top_ups.USD.maximum"),
    ],
)
def test_settings_that_cannot_be_are_refused(me: Caller, rules: Any, field: str) -> None:
    assert_refused(me.patch("accounts/self", {"payments": rules}), field)


def test_settings_are_of_one_mode_where_the_sandbox_does_not_collect_live_money(
    place: RunningServer, me: Caller
) -> None:
    assert me.patch("accounts/self", {"payments": {"blocks_on_dispute": True}}).status == 204
    with calling(place, LIVE_KEY) as live:
        assert live.get("accounts/self").body["payments"] == {}
        assert_refused(
            live.patch("accounts/self", {"payments": {"provider": "sandbox"}}), "payments.provider"
        )
        customer = live.made("customers", {"name": "Ada"})["id"]
        answer = live.post("top-ups", asked(customer))
        assert is_problem(answer, 409)
        assert "no payment provider" in answer.body["detail"]


def test_a_bonus_comes_as_a_promotion_beside_what_is_paid(
    place: RunningServer, me: Caller, ada: str, clock: Clock
) -> None:
    welcome = {"id": "welcome", "percent": 50, "once_per_customer": True, "expires_in_days": 30}
    steps = [{"amount": 50, "bonus": 5}, {"amount": 100, "bonus": 20}]
    body = {"top_up_bonus": [welcome, {"id": "more", "steps": steps}]}
    assert me.patch("assets/USD", body).body["top_up_bonus"] == body["top_up_bonus"]
    assert me.get("assets/USD").body["top_up_bonus"] == body["top_up_bonus"]

    # Two pages are open at once: each promises the welcome, which counts once.
    first, second = me.made("top-ups", asked(ada, 10)), me.made("top-ups", asked(ada, 10))
    assert me.get(f"top-ups/{second['id']}").body["bonus"] == 5
    pay(place, first["id"])
    pay(place, second["id"])
    assert grants(me, ada) == [("paid", 10), ("paid", 10), ("promotion", 5)]
    assert "bonus" not in me.get(f"top-ups/{second['id']}").body
    given = me.get(f"customers/{ada}/wallet/default:USD/grants?purpose=promotion").body["items"][0]
    assert datetime.fromisoformat(given["expires_at"]) == clock() + timedelta(days=30)

    third = me.made("top-ups", asked(ada, 120))
    assert me.patch("assets/USD", {"top_up_bonus": []}).status == 200
    pay(place, third["id"])
    assert me.get(f"top-ups/{third['id']}/receipt").body["bonus"] == 20
    assert me.available(ada) == 10 + 10 + 5 + 120 + 20


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({}, "percent"),
        ({"percent": 1, "steps": [{"amount": 1, "bonus": 1}]}, "percent"),
        ({"percent": 0}, "percent"),
        ({"percent": 1000.1}, "percent"),
        ({"steps": [{"amount": 2, "bonus": 1}, {"amount": 2, "bonus": 2}]}, "steps[1].amount"),
        ({"steps": [{"amount": 2, "bonus": 0}]}, "steps[0].bonus"),
        ({"percent": 1, "minimum": -1}, "minimum"),
        ({"percent": 1, "minimum": 5, "maximum": 1}, "maximum"),
        (
            {
                "percent": 1,
                "valid_from": "2026-03-02T00:00:00Z",
                "valid_to": "2026-03-01T00:00:00Z",
            },
            "valid_to",
        ),
    ],
)
def test_a_bonus_that_says_nothing_or_too_much_is_refused(
    me: Caller, rule: dict[str, Any], field: str
) -> None:
    answer = me.patch("assets/USD", {"top_up_bonus": [{"id": "a", **rule}]})
    assert_refused(answer, f"top_up_bonus[0].{field}")
    assert "top_up_bonus" not in me.get("assets/USD").body


def test_a_receipt_has_what_was_paid_and_never_another_number(
    place: RunningServer, me: Caller, ada: str
) -> None:
    made = me.made("top-ups", asked(ada, 30, description="Credit"))
    pay(place, made["id"])
    receipt = me.get(f"top-ups/{made['id']}/receipt").body
    assert receipt["customer"]["email"] == "ada@shop.example"
    assert (receipt["amount"], receipt["kept"], receipt["is_test"]) == (30, 30, True)
    assert receipt["card"] == {"brand": "visa", "last4": "4242"}
    assert receipt["url"].startswith(f"{place.url}/receipts/{made['id']}?key=")
    assert me.get(f"top-ups/{made['id']}/receipt").body == receipt


def test_a_disputed_payment_shows_on_its_receipt(
    place: RunningServer, me: Caller, ada: str
) -> None:
    made = me.made("top-ups", asked(ada, 30))
    pay(place, made["id"], DISPUTED)
    receipt = me.get(f"top-ups/{made['id']}/receipt").body
    assert receipt["kept"] == 0
    assert [(r["reason"], r["amount"]) for r in receipt["returns"]] == [("dispute", 30)]
    assert me.available(ada) == 0
