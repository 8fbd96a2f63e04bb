"""Who may ask what: keys, roles, and the two environments."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.api.caller import (
    USD,
    Caller,
    adjustment,
    adjustments,
    assert_refused,
    calling,
    event,
    is_problem,
    product,
    usage,
    world,
)
from tests.api.conftest import INGEST_KEY, LIVE_KEY, READ_KEY, TEST_KEY, RunningServer

WALLET = "/v1/customers/{customer_id}/wallet"
SUBSCRIPTION = "/v1/customers/{customer_id}/subscriptions/{subscription_id}"
HOLDS = f"{WALLET}/holds"
OWN_LIMITS = "/v1/customers/{customer_id}/limits"
CARDS = "/v1/customers/{customer_id}/payment-methods"
ADMIN, INGEST, EVERYBODY = {"admin"}, {"admin", "ingest"}, {"admin", "ingest", "read"}
READ_ALL = {"admin", "read"}
WEBHOOK = "/v1/webhooks/{webhook_id}"
OPERATIONS = {
    ("GET", "/v1/ingestion/{source}/rules"): READ_ALL,
    ("PUT", "/v1/ingestion/{source}/rules"): ADMIN,
    ("DELETE", "/v1/ingestion/{source}/rules"): ADMIN,
    ("POST", "/v1/ingestion/{source}/preview"): READ_ALL,
    ("POST", "/v1/ingestion/import"): INGEST,
    ("POST", "/v1/webhooks"): ADMIN,
    ("GET", "/v1/webhooks"): READ_ALL,
    ("GET", "/v1/webhooks/events"): READ_ALL,
    ("POST", "/v1/webhooks/test/{topic}"): ADMIN,
    ("POST", "/v1/webhooks/test/{topic}/{connected_account_id}"): ADMIN,
    ("GET", WEBHOOK): ADMIN,
    ("PATCH", WEBHOOK): ADMIN,
    ("DELETE", WEBHOOK): ADMIN,
    ("POST", f"{WEBHOOK}/test/{{topic}}"): ADMIN,
    ("POST", f"{WEBHOOK}/test/{{topic}}/{{connected_account_id}}"): ADMIN,
    ("POST", f"{WEBHOOK}/rotate-secret"): ADMIN,
    ("POST", f"{WEBHOOK}/redeliver"): ADMIN,
    ("POST", "/v1/top-ups"): ADMIN,
    ("GET", "/v1/top-ups"): READ_ALL,
    ("GET", "/v1/top-ups/{top_up_id}"): READ_ALL,
    ("GET", "/v1/top-ups/{top_up_id}/refunds"): READ_ALL,
    ("POST", "/v1/top-ups/{top_up_id}/refunds"): ADMIN,
    ("POST", CARDS): ADMIN,
    ("GET", CARDS): EVERYBODY,
    ("PATCH", f"{CARDS}/{{payment_method_id}}"): ADMIN,
    ("DELETE", f"{CARDS}/{{payment_method_id}}"): ADMIN,
    ("GET", f"{WALLET}/{{account_id}}/auto-top-up"): EVERYBODY,
    ("PUT", f"{WALLET}/{{account_id}}/auto-top-up"): ADMIN,
    ("GET", "/v1/top-ups/{top_up_id}/receipt"): READ_ALL,
    ("PATCH", "/v1/assets/{asset_code}"): ADMIN,
    ("POST", "/v1/assets"): ADMIN,
    ("GET", "/v1/assets"): EVERYBODY,
    ("GET", "/v1/assets/{asset_code}"): EVERYBODY,
    ("POST", "/v1/assets/{asset_code}/rates"): ADMIN,
    ("POST", "/v1/assets/{asset_code}/quote"): EVERYBODY,
    ("POST", "/v1/vendors"): ADMIN,
    ("GET", "/v1/vendors"): READ_ALL,
    ("GET", "/v1/vendors/{vendor_id}"): READ_ALL,
    ("GET", "/v1/vendors/{vendor_id}/stats"): READ_ALL,
    ("GET", "/v1/customers/stats"): READ_ALL,
    ("GET", "/v1/customers/{customer_id}/stats"): READ_ALL,
    ("GET", "/v1/stats"): READ_ALL,
    ("POST", "/v1/model-prices"): ADMIN,
    ("GET", "/v1/model-prices"): READ_ALL,
    ("POST", "/v1/model-prices/quote"): READ_ALL,
    ("GET", "/v1/model-prices/{model_price_id}"): READ_ALL,
    ("DELETE", "/v1/model-prices/{model_price_id}"): ADMIN,
    ("POST", "/v1/coupons"): ADMIN,
    ("GET", "/v1/coupons"): READ_ALL,
    ("GET", "/v1/coupons/{coupon_code}"): READ_ALL,
    ("DELETE", "/v1/coupons/{coupon_code}"): ADMIN,
    ("POST", f"{SUBSCRIPTION}/discounts"): ADMIN,
    ("DELETE", f"{SUBSCRIPTION}/discounts/{{coupon_code}}"): ADMIN,
    ("POST", "/v1/products"): ADMIN,
    ("GET", "/v1/products"): EVERYBODY,
    ("GET", "/v1/products/{product_id}"): EVERYBODY,
    ("POST", "/v1/products/{product_id}"): ADMIN,
    ("GET", "/v1/products/{product_id}/{version}"): EVERYBODY,
    ("GET", "/v1/products/{product_id}/{version}/diff"): EVERYBODY,
    ("PATCH", "/v1/products/{product_id}/{version}"): ADMIN,
    ("DELETE", "/v1/products/{product_id}/{version}"): ADMIN,
    ("DELETE", "/v1/products/{product_id}"): ADMIN,
    ("GET", "/v1/products/{product_id}/subscribers"): READ_ALL,
    ("POST", "/v1/products/{product_id}/subscribers/migrate"): ADMIN,
    ("POST", "/v1/products/{product_id}/{version}/simulate-usage"): EVERYBODY,
    ("POST", "/v1/customers"): ADMIN,
    ("GET", "/v1/customers"): READ_ALL,
    ("GET", "/v1/customers/{customer_id}"): EVERYBODY,
    ("PATCH", "/v1/customers/{customer_id}"): ADMIN,
    ("POST", "/v1/customers/{customer_id}/subscriptions"): ADMIN,
    ("GET", "/v1/customers/{customer_id}/subscriptions"): EVERYBODY,
    ("GET", SUBSCRIPTION): EVERYBODY,
    ("PATCH", SUBSCRIPTION): ADMIN,
    ("POST", f"{SUBSCRIPTION}/pause"): ADMIN,
    ("POST", f"{SUBSCRIPTION}/resume"): ADMIN,
    ("POST", f"{SUBSCRIPTION}/cancel"): ADMIN,
    ("POST", f"{SUBSCRIPTION}/reactivate"): ADMIN,
    ("POST", "/v1/test-clocks"): ADMIN,
    ("GET", "/v1/test-clocks"): READ_ALL,
    ("GET", "/v1/test-clocks/{clock_id}"): READ_ALL,
    ("POST", "/v1/test-clocks/{clock_id}/advance"): ADMIN,
    ("GET", "/v1/due-work"): READ_ALL,
    ("POST", "/v1/accounts"): ADMIN,
    ("GET", "/v1/accounts"): READ_ALL,
    ("GET", "/v1/accounts/{connected_account_id}"): READ_ALL,
    ("GET", "/v1/credit-revenue"): READ_ALL,
    ("POST", "/v1/billing-portal/sessions"): ADMIN,
    ("DELETE", "/v1/customers/{customer_id}/billing-portal-sessions"): ADMIN,
    ("GET", "/v1/billing-portal/settings"): READ_ALL,
    ("PUT", "/v1/billing-portal/settings"): ADMIN,
    ("PUT", "/v1/billing-portal/logo"): ADMIN,
    ("DELETE", "/v1/billing-portal/logo"): ADMIN,
    ("PATCH", f"{SUBSCRIPTION}/products/{{product_id}}"): ADMIN,
    ("GET", "/v1/accounts/self"): EVERYBODY,
    ("PATCH", "/v1/accounts/self"): ADMIN,
    ("POST", "/v1/customers/{customer_id}/block"): ADMIN,
    ("POST", "/v1/customers/{customer_id}/unblock"): ADMIN,
    ("POST", "/v1/limits"): ADMIN,
    ("GET", "/v1/limits"): READ_ALL,
    ("GET", "/v1/limits/{limit_id}"): READ_ALL,
    ("PATCH", "/v1/limits/{limit_id}"): ADMIN,
    ("DELETE", "/v1/limits/{limit_id}"): ADMIN,
    ("POST", OWN_LIMITS): ADMIN,
    ("GET", OWN_LIMITS): EVERYBODY,
    ("GET", f"{OWN_LIMITS}/{{limit_id}}"): EVERYBODY,
    ("PATCH", f"{OWN_LIMITS}/{{limit_id}}"): ADMIN,
    ("DELETE", f"{OWN_LIMITS}/{{limit_id}}"): ADMIN,
    ("POST", "/v1/events"): INGEST,
    ("GET", "/v1/events"): READ_ALL,
    ("GET", "/v1/events/{event_id}"): EVERYBODY,
    ("GET", "/v1/events/{event_id}/explanation"): EVERYBODY,
    ("POST", "/v1/events/{event_id}/outcome"): INGEST,
    ("GET", WALLET): EVERYBODY,
    ("POST", HOLDS): INGEST,
    ("POST", f"{HOLDS}/batch"): INGEST,
    ("GET", HOLDS): EVERYBODY,
    ("GET", f"{HOLDS}/{{hold_id}}"): EVERYBODY,
    ("POST", f"{HOLDS}/{{hold_id}}/capture"): INGEST,
    ("POST", f"{HOLDS}/{{hold_id}}/update"): INGEST,
    ("POST", f"{HOLDS}/{{hold_id}}/extend"): INGEST,
    ("POST", f"{HOLDS}/{{hold_id}}/void"): INGEST,
    ("POST", f"{WALLET}/adjustments"): ADMIN,
    ("POST", f"{WALLET}/charges"): ADMIN,
    ("GET", f"{WALLET}/transactions/{{transaction_id}}"): EVERYBODY,
    ("GET", f"{WALLET}/{{account_id}}/grants"): EVERYBODY,
    ("GET", f"{WALLET}/{{account_id}}"): EVERYBODY,
    ("PATCH", f"{WALLET}/{{account_id}}"): ADMIN,
}
ROLES = {"admin": TEST_KEY, "ingest": INGEST_KEY, "read": READ_KEY}


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


@pytest.fixture(scope="module")
def ada(me: Caller) -> str:
    """A customer with one of everything."""
    me.made("assets", {"code": "GEMS", "name": "Gems"})
    customer = me.customer(external_id="ada")
    me.made(adjustments(customer), adjustment("5", transaction_id="gift"))
    assert me.post("events", usage(customer, event("e1"))).status == 204
    hold = {"transaction_id": "hold", "max_amount": 1, "asset": "USD"}
    assert me.post(f"customers/{customer}/wallet/holds", hold).status == 200
    return customer


def test_the_table_of_roles_has_every_operation(me: Caller) -> None:
    paths = me.get("/openapi.json").body["paths"]
    found = {
        (method.upper(), path): described.get("security")
        for path, entry in paths.items()
        for method, described in entry.items()
    }
    # No key is asked for where payment providers tell: what they say is signed.
    without = {operation for operation, security in found.items() if security is not None}
    assert without == {("POST", "/payments/messages/{provider}/{account_id}/{mode}")}
    assert set(found) - without == set(OPERATIONS)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_the_table_says_and_nothing_else(
    shared_server: RunningServer, role: str
) -> None:
    with calling(shared_server, ROLES[role]) as caller:
        for (method, path), allowed in OPERATIONS.items():
            # The ids are nobody's and the bodies empty: what is allowed still changes nothing.
            answer = caller.send(method, path, None if method == "GET" else {})
            if role in allowed:
                assert answer.status in (200, 404, 422), (method, path, answer.body)
            else:
                assert is_problem(answer, 403), (method, path, answer.body)
                assert repr(role) in answer.body["detail"]


def test_nothing_of_the_api_answers_without_a_key(shared_server: RunningServer) -> None:
    with calling(shared_server, None) as caller:
        for method, path in [*OPERATIONS, ("GET", "/metrics")]:
            answer = caller.send(method, path, None if method == "GET" else {})
            assert is_problem(answer, 401), (method, path, answer.body)


def test_a_wrong_key_is_answered_the_same_whatever_is_wrong_with_it(
    shared_server: RunningServer,
) -> None:
    wait, engine = shared_server.wait, shared_server.engine
    key, revoked = wait(engine.create_key("test", "admin", "revoked"))
    wait(engine.revoke_key(key.id))
    wrong = [
        {},
        {"x-credyt-api-key": ""},
        {"x-credyt-api-key": "nonsense"},
        {"x-credyt-api-key": "fg_test_" + "x" * 32},
        {"x-credyt-api-key": TEST_KEY.replace("fg_test_", "fg_live_")},
        {"x-credyt-api-key": TEST_KEY[:-1]},
        {"x-credyt-api-key": TEST_KEY + "t"},
        {"x-credyt-api-key": TEST_KEY.upper()},
        {"x-credyt-api-key": revoked},
        {"x-credyt-api-key": "k" * 5000},
        {"authorization": f"Bearer {revoked}"},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {TEST_KEY}"},
        {"authorization": TEST_KEY},
    ]
    bodies = []
    with calling(shared_server, None) as caller:
        for headers in wrong:
            answer = caller.send("GET", "customers/cust_1", headers=headers)
            assert is_problem(answer, 401), (headers, answer.body)
            assert answer.headers["www-authenticate"] == "Bearer"
            bodies.append({**answer.body, "request_id": ""})
    assert all(body == bodies[0] for body in bodies)


def test_a_key_is_taken_from_either_header(shared_server: RunningServer) -> None:
    with calling(shared_server, None) as caller:
        for headers in (
            {"x-credyt-api-key": TEST_KEY},
            {"authorization": f"Bearer {TEST_KEY}"},
            {"authorization": f"bearer {TEST_KEY}"},
        ):
            answer = caller.send("GET", "accounts/self", headers=headers)
            assert (answer.status, answer.body["environment"]) == (200, "test")


@pytest.fixture(scope="module")
def other_account(me: Caller) -> str:
    """Another account of the platform."""
    return str(me.made("accounts", {"name": "Bob's shop"})["id"])


@pytest.mark.parametrize("stranger", ["live key", "platform for another", "key of another"])
def test_a_stranger_sees_nothing_of_another_account_or_environment(
    shared_server: RunningServer, me: Caller, ada: str, other_account: str, stranger: str
) -> None:
    key, account = LIVE_KEY, None
    if stranger == "platform for another":
        key, account = TEST_KEY, other_account
    elif stranger == "key of another":
        created = shared_server.engine.create_key(
            "test", "admin", "Bob's", account_id=other_account
        )
        key = shared_server.wait(created)[1]
    shown = me.get(f"customers/{ada}").body
    bought = me.get("products/tokens").body["id"]
    names = {
        "customer_id": ada,
        "subscription_id": shown["subscriptions"][0]["id"],
        "product_id": bought,
        "version": "1",
        "event_id": "e1",
        "transaction_id": "gift",
        "account_id": USD,
        "asset_code": "GEMS",
        "hold_id": me.get(f"customers/{ada}/wallet/holds").body["items"][0]["id"],
    }
    limit = {"amount": 1, "asset": "USD", "period": "day", "mode": "soft"}
    names["limit_id"] = me.made("limits", limit)["id"]
    clock = {"now": "2026-01-01T00:00:00Z"}
    names["clock_id"] = me.made("test-clocks", clock)["id"]
    names["vendor_id"] = me.made("vendors", {"name": "Acme"})["id"]
    names["connected_account_id"] = "acc_nobody"
    coupon = {"code": f"HALF_{stranger.replace(' ', '_').upper()}"[:20], "percent": 50}
    names["coupon_code"] = me.made("coupons", coupon)["code"]
    own = {"model": "m", "per_request": 1}
    names["model_price_id"] = me.made("model-prices", own)["id"]
    urls = {"return_url": "https://shop.example", "failure_url": "https://shop.example"}
    pays = {"customer_id": ada, "amount": 1, "currency": "USD", **urls}
    names["top_up_id"] = me.made("top-ups", pays)["id"]
    setup = me.made(f"customers/{ada}/payment-methods", urls)["id"]
    shared_server.wait(shared_server.engine.sandbox.pay(setup, "4242424242424242"))
    shared_server.wait(shared_server.engine.settle_payment(setup))
    cards = me.get(f"customers/{ada}/payment-methods").body["items"]
    names["payment_method_id"] = cards[0]["id"]
    names["webhook_id"] = me.made("webhooks", {"url": "https://shop.example/hook"})["id"]
    names["topic"] = "limit.reached"
    ask = {"transaction_id": "x", "max_amount": 1, "asset": "USD"}
    bodies = {
        "adjustments": adjustment("1"),
        "charges": {"transaction_id": "c", "asset": "USD", "amount": 1},
        "simulate-usage": {"events": [event("s")]},
        "subscriptions": {"products": [{"id": bought}]},
        "{product_id}": {"prices": [], "version": 1},
        "{version}": {"publish": True},
        "{customer_id}": {"name": "Eve"},
        "{subscription_id}": {"status": "inactive"},
        "{account_id}": {"overdraft": {"policy": "reject"}},
        "outcome": {"transaction_id": "x", "outcome": "withdrawn"},
        "migrate": {"to_version": 1, "dry_run": False},
        "holds": ask,
        "batch": {"holds": [ask]},
        "capture": {"transaction_id": "x", "amount": 1},
        "update": {"transaction_id": "x", "want": {"amount": 1}},
        "extend": {"expires_in_seconds": 60},
        "void": {},
        "pause": {},
        "resume": {},
        "cancel": {},
        "reactivate": {},
        "discounts": {"coupon": names["coupon_code"]},
        "advance": {"to": "2026-02-01T00:00:00Z"},
        "refunds": {},
        "{webhook_id}": {"enabled": False},
        "{topic}": {},
        "{connected_account_id}": {},
        "rotate-secret": {"overlap_seconds": 60},
        "redeliver": {"time_gte": "2026-01-01T00:00:00Z"},
        "block": {},
        "unblock": {},
        "limits": limit,
        "payment-methods": {"return_url": "https://a.example", "failure_url": "https://b.example"},
        "{payment_method_id}": {"is_default": True},
        "auto-top-up": {"enabled": True, "threshold": 1, "amount": 5},
        "{limit_id}": {"name": "Eve's"},
        "rates": {"source": "USD", "rate": 1},
        "quote": {"source": "USD", "amount": 1},
        "{asset_code}": {"top_up_bonus": []},
    }
    before = world(me, ada)
    with calling(shared_server, key, account) as live:
        for method, path in OPERATIONS:
            if "{" not in path or path.startswith(("/v1/webhooks/test/", "/v1/ingestion/")):
                # What names nothing finds nothing of another account. (Sources are everybody's.)
                continue
            if "connected_account_id" in path and stranger != "live key":
                # What is connected has no accounts to look at.
                sent = None if method == "GET" else {}
                assert is_problem(live.send(method, path.format(**names), sent), 403)
                continue
            body = None if method in ("GET", "DELETE") else bodies[path.rpartition("/")[2]]
            if body == bodies["{product_id}"]:
                body = {"version": 1} if method == "PATCH" else {"prices": []}
            answer = live.send(method, path.format(**names), body)
            assert is_problem(answer, 404), (method, path, answer.body)
        assert is_problem(live.post("events", usage(ada, event("e2"))), 404)
        by_name = {"customer_external_id": "ada", "events": [event("e2")]}
        assert_refused(live.post("events", by_name), "customer_external_id")
        buyer = {"name": "Eve", "subscriptions": [{"products": [{"id": bought}]}]}
        assert_refused(live.post("customers", buyer), "subscriptions[0].products[0].id")
        assert_refused(live.post("products", product(asset="GEMS")), "prices[0].pricing[0].asset")
        for path in ("products", "customers", "limits", "events", f"events?customer_id={ada}"):
            assert live.get(path).body["total_count"] == 0
        codes = [item["code"] for item in live.get("assets?limit=100").body["items"]]
        assert "GEMS" not in codes
    assert world(me, ada) == before
    assert me.send("DELETE", f"limits/{names['limit_id']}").status == 204


def test_both_environments_have_their_own_of_the_same_names(
    shared_server: RunningServer, me: Caller, ada: str
) -> None:
    with calling(shared_server, LIVE_KEY) as live:
        live.made("products", product("2"))
        customer = live.customer(external_id="ada")
        assert live.post("events", usage(customer, event("e1"))).status == 204
        assert (live.available(customer), me.available(ada)) == (-2, 3)
        assert live.get("events/e1").body["customer_id"] == customer
        assert me.get("events/e1").body["customer_id"] == ada
