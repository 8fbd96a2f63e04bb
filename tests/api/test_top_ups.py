"""Top-ups over REST: what they promise, what they refuse, and the door for providers' messages."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import Caller, assert_refused, calling, is_problem, product
from tests.api.conftest import LIVE_KEY, RunningServer, running_server
from tests.api.crossing import WAYS_BACK, pay
from tests.ledger.shop import Clock

from faregate.platform.accounts import CreateAccount

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DECLINED, DISPUTED = "4000000000000002", "4000000000000259"


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


def message(server: RunningServer, payment_id: str) -> tuple[str, dict[str, str], bytes]:
    """The message of the sandbox about a payment: where it goes, its headers and body."""
    context = server.engine.context
    headers, body = server.engine.sandbox.message(payment_id, context.environment_id)
    return f"/v1/payments/messages/sandbox/{context.account_id}/test", headers, body


def sandbox_pays(server: RunningServer, payment_id: str, number: str = "4242424242424242") -> None:
    """The customer pays, and nobody tells us yet."""
    server.wait(server.engine.sandbox.pay(payment_id, number))


def test_a_payment_becomes_one_paid_grant(place: RunningServer, me: Caller, ada: str) -> None:
    made = me.made("top-ups", asked(ada, 12.5, description="Credit", metadata={"order": "7"}))
    assert made["status"] == "initiated"
    assert made["redirect_url"] == f"{place.url}/checkout/{made['id']}"
    assert made["expires_at"] > made["created_at"]
    path = f"top-ups/{made['id']}"
    assert me.get(path).body["destination"] == {
        "account_name": "default",
        "asset": "USD",
        "amount": Decimal("12.5"),
    }
    assert is_problem(me.get(f"{path}/receipt"), 409)

    pay(place, made["id"])

    assert me.get(path).body["status"] == "succeeded"
    assert me.available(ada) == Decimal("12.5")
    assert grants(me, ada) == [("paid", Decimal("12.5"))]
    booked = me.get(f"customers/{ada}/wallet/transactions/payment:{made['id']}").body
    assert (booked["amount"], booked["payment_id"]) == (Decimal("12.5"), made["id"])
    assert booked["metadata"] == {"order": "7"}


def test_what_it_brings_in_another_asset_is_kept_when_the_rate_changes(
    place: RunningServer, me: Caller, ada: str, clock: Clock
) -> None:
    to_gems = asked(ada, 10, destination={"asset": "GEMS"})
    made = me.made("top-ups", to_gems)
    clock.move(minutes=1)
    assert me.post("assets/GEMS/rates", {"source": "USD", "rate": 1}).status == 204
    pay(place, made["id"])
    assert me.available(ada, "default:GEMS") == 20
    own = asked(ada, 10, destination={"asset": "GEMS", "exchange_rate": 0.25, "account_name": "g"})
    quoted = me.get(f"top-ups/{me.made('top-ups', own)['id']}").body["destination"]
    assert (quoted["account_name"], quoted["amount"]) == ("g", Decimal("2.5"))


def test_the_same_request_under_the_same_key_is_the_same_payment(me: Caller, ada: str) -> None:
    key = {"idempotency-key": f"key of {ada}"}
    first = me.post("top-ups", asked(ada), key)
    again = me.post("top-ups", asked(ada), key)
    assert first.status == again.status == 201
    assert first.body == again.body
    assert me.get(f"top-ups?customer_id={ada}").body["total_count"] == 1
    assert is_problem(me.post("top-ups", asked(ada, 21), key), 409)


def test_a_declined_card_brings_nothing_and_another_one_may_pay(
    place: RunningServer, me: Caller, ada: str
) -> None:
    made = me.made("top-ups", asked(ada))
    pay(place, made["id"], DECLINED)
    assert me.get(f"top-ups/{made['id']}").body["status"] == "initiated"
    pay(place, made["id"])
    pay(place, made["id"])
    assert me.available(ada) == 20


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"amount": 0}, "amount", "send more than 0"),
        ({"amount": -1}, "amount", "send more than 0"),
        ({"amount": 1.005}, "amount", "round it"),
        ({"currency": "GEMS"}, "currency", "ISO 4217"),
        ({"currency": "XXXX"}, "currency", "ISO 4217"),
        ({"return_url": "javascript:alert(1)"}, "return_url", "http"),
        ({"destination": {"asset": "NONE"}}, "destination.asset", "NONE"),
        ({"destination": {"asset": "USD", "exchange_rate": 2}}, "destination.exchange_rate", "out"),
        ({"credit_expires_at": "2026-03-02T12:30:00Z"}, "credit_expires_at", "later"),
        ({"metadata": {"x": "y" * 20_000}}, "metadata", "at most"),
    ],
)
def test_what_is_wrong_with_a_top_up_is_named(
    me: Caller, ada: str, change: dict[str, Any], field: str, says: str
) -> None:
    answer = me.post("top-ups", {**asked(ada), **change})
    assert answer.status == 422, answer.body
    assert [f.partition("[")[0] for f in answer.fields] == [field]
    assert says in answer.body["errors"][answer.fields[0]][0]
    assert me.get(f"top-ups?customer_id={ada}").body["items"] == []


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


def test_a_message_of_the_provider_settles_a_payment_once(
    place: RunningServer, me: Caller, ada: str
) -> None:
    made = me.made("top-ups", asked(ada))
    sandbox_pays(place, made["id"])
    assert me.available(ada) == 0
    path, headers, body = message(place, made["id"])
    with calling(place, "") as nobody, ThreadPoolExecutor(4) as threads:
        sent = [threads.submit(nobody.post, path, body, headers) for _ in range(4)]
        answers = [one.result() for one in sent]
    assert [(a.status, a.body) for a in answers] == [(200, {"is_known": True})] * 4
    assert grants(me, ada) == [("paid", 20)]


def test_a_message_that_is_not_genuine_does_nothing_and_is_told_nothing(
    place: RunningServer, me: Caller, ada: str, clock: Clock
) -> None:
    made = me.made("top-ups", asked(ada))
    sandbox_pays(place, made["id"])
    path, headers, body = message(place, made["id"])
    signature = headers["sandbox-signature"]
    live = path.replace("/test", "/live")
    other = place.wait(place.engine.create_account(CreateAccount("Other"))).id
    elsewhere = path.replace(place.engine.context.account_id, other)
    with calling(place, "") as nobody:
        forged = [
            nobody.post(path, body, {}),
            nobody.post(path, body + b" ", headers),
            nobody.post(path, body, {"sandbox-signature": signature[:-1] + "0g"}),
            nobody.post(path, body, {"sandbox-signature": "t=é,v1=x".encode("latin-1")}),  # type: ignore[dict-item]
            nobody.post(elsewhere, body, headers),
        ]
        for answer in forged:
            assert is_problem(answer, 403), answer.body
            assert answer.body["detail"] == "the message is not genuine, or too old"
        assert is_problem(nobody.post(live, body, headers), 404)
        assert is_problem(nobody.post(path.replace("sandbox", "other"), body, headers), 404)
        assert is_problem(nobody.post(path.replace("/test", "/x"), body, headers), 404)
        assert is_problem(nobody.post(path, b"x" * 300_000, headers), 413)
        assert is_problem(nobody.get(path), 405)
        clock.move(minutes=6)
        assert is_problem(nobody.post(path, body, headers), 403)
        assert me.available(ada) == 0
        path, headers, body = message(place, "tup_of_nobody")
        assert nobody.post(path, body, headers).body == {"is_known": False}
