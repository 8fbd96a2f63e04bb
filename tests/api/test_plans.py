"""Plans over a real port: fixed prices, entitlements and the life of a subscription, by the
published client where it has the operation."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from credytapi import CredytApiClient
from tests.api.caller import (
    USD,
    Answer,
    Caller,
    adjustment,
    adjustments,
    assert_refused,
    calling,
    is_problem,
)
from tests.api.conftest import LIVE_KEY, RunningServer

PLAN: dict[str, Any] = {
    "name": "Pro",
    "code": "pro",
    "publish": True,
    "prices": [
        {
            "type": "fixed",
            "name": "Seats",
            "billing_model": {
                "type": "recurring",
                "recurring": {"interval": "month", "interval_count": 1},
            },
            "pricing": [{"asset": "USD", "values": [{"unit_price": 30, "quantity": 1}]}],
        },
        {
            "type": "fixed",
            "name": "Set-up",
            "billing_model": {"type": "one_time", "one_time": {"service_period": "P3M"}},
            "pricing": [{"asset": "USD", "values": [{"unit_price": 50}]}],
        },
    ],
    "entitlements": [
        {
            "name": "Included",
            "asset": "GEMS",
            "amount": 100,
            "purpose": "bundled",
            "priority": 10,
            "lifecycle": {
                "duration": "month",
                "duration_count": 1,
                "refresh": {"strategy": "expire_and_replace"},
            },
            "accounting": {"revenue_basis": 0.25, "cost_basis": "auto"},
        }
    ],
}
START = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("assets", {"code": "GEMS", "name": "Gems"})
        caller.made("products", PLAN)
        yield caller


class Member:
    """A customer on a test clock, with credit, who may have the plan."""

    def __init__(self, me: Caller, credit: str | None = "1000", **subscription: Any) -> None:
        self.me = me
        self.clock = me.made("test-clocks", {"now": START, "name": "a year"})["id"]
        body = {"name": "Ada", "test_clock_id": self.clock}
        self.id = me.made("customers", body)["id"]
        if credit is not None:
            me.made(adjustments(self.id), adjustment(credit, transaction_id="first"))
        self.made = me.made(
            f"customers/{self.id}/subscriptions",
            {"products": [{"code": "pro"}], **subscription},
        )
        self.path = f"customers/{self.id}/subscriptions/{self.made['id']}"
        self.product = self.made["products"][0]["id"]

    def go(self, to: str) -> None:
        answer = self.me.post(f"test-clocks/{self.clock}/advance", {"to": f"{to}T00:00:00Z"})
        assert answer.status == 200, answer.body

    def move(self, **body: Any) -> Answer:
        return self.me.send(
            "PATCH",
            f"{self.path}/products/{self.product}",
            body,
            {"prefer": "return=representation"},
        )

    def gems(self) -> Any:
        return self.me.available(self.id, "default:GEMS")

    def usd(self) -> Any:
        return self.me.available(self.id)

    def shown(self) -> Any:
        return self.me.get(self.path).body


def test_the_published_client_sells_a_plan_and_subscribes_to_it(client: CredytApiClient) -> None:
    client.assets.create({"code": "GEMS", "name": "Gems"})
    created = client.products.create(PLAN)
    shown = client.products.get_version(created.id, 1)
    assert shown.entitlements[0].lifecycle.refresh.strategy == "expire_and_replace"
    assert shown.entitlements[0].priority == 10
    assert shown.entitlements[0].accounting.cost_basis == "auto"
    assert shown["entitlements"][0]["accounting"]["revenue_basis"] == 0.25
    monthly, setup = shown["prices"]
    assert monthly["billing_model"]["recurring"]["interval"] == "month"
    assert setup["billing_model"]["one_time"]["service_period"] == "P3M"
    customer = client.customers.create({"name": "Ada"})
    waiting = client.customers.create_subscription(
        customer.id,
        {
            "products": [{"code": "pro", "version": 1}],
            "return_url": "https://shop.example/done",
            "failure_url": "https://shop.example/failed",
        },
    )
    assert waiting.status == "action_required"
    assert waiting.required_actions[0].type == "payment"
    assert waiting.required_actions[0].redirect_url.endswith(waiting.id)
    client.wallets.customer_wallet_ops.create_adjustment(
        customer.id,
        {"transaction_id": "t", "asset": "USD", "amount": 200, "reason": "external_topup"},
    )
    subscription = client.customers.get(customer.id).subscriptions[0]
    assert (subscription.status, subscription.id) == ("active", waiting.id)
    assert subscription.renews_at > subscription.started_at
    wallet = client.wallets.customer_wallet_ops.get_customer_wallet(customer.id)
    assert {a.id: a.available for a in wallet.accounts} == {USD: 120, "default:GEMS": 100}
    grants = client.wallets.customer_wallet_ops.get_credit_grants(customer.id, "default:GEMS")
    (grant,) = grants.items_property
    assert (grant.purpose, grant.available, grant.expires_at) == (
        "bundled",
        100,
        subscription.renews_at,
    )
    client.customers.update_subscription(customer.id, subscription.id, {"status": "inactive"})
    assert client.customers.get(customer.id).subscriptions[0].status == "inactive"


def test_a_customer_lives_a_year_in_one_call(me: Caller) -> None:
    member = Member(me)
    assert (member.made["status"], member.usd(), member.gems()) == ("active", 920, 100)
    member.go("2026-12-31")
    # 11 more months of 30 USD.
    assert (member.usd(), member.gems()) == (920 - 330, 100)
    assert member.shown()["renews_at"].startswith("2027-01-01")
    grants = me.get(f"customers/{member.id}/wallet/default:GEMS/grants?limit=100").body
    assert (grants["total_count"], {g["amount"] for g in grants["items"]}) == (12, {100})
    revenue = me.get(f"credit-revenue?customer_id={member.id}").body["items"]
    assert revenue == [
        {
            "asset": "GEMS",
            "currency": "USD",
            "granted": 1200,
            "used": 0,
            "left": 100,
            "broken": 1100,
            "earned_revenue": 0,
            "deferred_revenue": 25,
            "broken_revenue": 275,
        }
    ]


def test_seats_change_in_the_middle_of_a_period(me: Caller) -> None:
    member = Member(me, products=[{"code": "pro", "quantity": 2}])
    assert member.usd() == 1000 - 110
    member.go("2026-01-16")
    answer = member.move(quantity=5)
    assert answer.status == 200, answer.body
    assert answer.headers["preference-applied"] == "return=representation"
    (fee,) = answer.body["fees"]
    # 3 seats for 16 of 31 days.
    # 77.419354839 for five less 30.967741935 for two.
    assert fee["amount"] == Decimal("46.451612904")
    assert [line["quantity"] for line in fee["lines"]] == [2, 5]
    assert answer.body["subscription"]["products"][0]["quantity"] == 5
    fewer = member.move(quantity=1).body
    assert (fewer["fees"], fewer["effective_at"]) == ([], "2026-02-01T00:00:00Z")
    assert fewer["subscription"]["planned"][0]["quantity"] == 1
    found = me.get(f"customers/{member.id}/wallet/transactions/{fee['id']}").body
    assert (found["type"], found["amount"], found["lines"]) == ("fee", fee["amount"], fee["lines"])


def test_pause_resume_cancel_and_begin_again(me: Caller) -> None:
    member = Member(me)
    member.go("2026-01-11")
    paused = me.post(f"{member.path}/pause", {}).body["subscription"]
    assert (paused["status"], paused["paused_at"]) == ("inactive", "2026-01-11T00:00:00Z")
    member.go("2026-02-11")
    resumed = me.post(f"{member.path}/resume", {}).body["subscription"]
    assert (resumed["status"], resumed["renews_at"]) == ("active", "2026-03-04T00:00:00Z")
    cancelled = me.post(f"{member.path}/cancel", {}).body
    assert cancelled["effective_at"] == cancelled["subscription"]["ends_at"]
    assert cancelled["subscription"]["status"] == "active"
    back = me.post(f"{member.path}/reactivate", {}).body["subscription"]
    assert "ends_at" not in back
    now = me.post(
        f"{member.path}/cancel", {"at": "now", "proration": "prorate", "credits": "lapse"}
    ).body
    assert now["subscription"]["status"] == "inactive"
    assert now["fees"][0]["amount"] < 0
    assert member.gems() == 0
    assert is_problem(me.post(f"{member.path}/resume", {}), 409)
    again = me.post(f"{member.path}/reactivate", {}).body["subscription"]
    assert (again["status"], member.gems()) == ("active", 100)


def test_a_trial_and_a_later_start(me: Caller) -> None:
    member = Member(me, starts_at="2026-02-01T00:00:00Z", trial={"days": 14})
    assert member.made["status"] == "scheduled"
    member.go("2026-02-02")
    assert (member.usd(), member.gems()) == (1000, 100)
    assert member.shown()["trial_ends_at"] == "2026-02-15T00:00:00Z"
    member.go("2026-02-15")
    assert member.usd() == 920
    needy = Member(me, trial={"days": 14, "card_required": True})
    assert needy.made["required_actions"][0]["type"] == "payment_method"
    assert is_problem(me.post(f"{needy.path}/reactivate", {}), 409)
    began = me.post(f"{needy.path}/reactivate", {"has_card": True}).body["subscription"]
    assert began["status"] == "active"


def test_what_happens_to_an_unpaid_renewal_is_a_setting(me: Caller) -> None:
    try:
        assert (
            me.patch("accounts/self", {"renewals": {"retry_hours": [24], "grace_hours": 72}}).status
            == 204
        )
        assert me.get("accounts/self").body["renewals"]["retry_hours"] == [24]
        member = Member(me, "80")
        member.go("2026-02-01")
        overdue = member.shown()["overdue"]
        assert (overdue["next_try_at"], overdue["ends_at"]) == (
            "2026-02-02T00:00:00Z",
            "2026-02-04T00:00:00Z",
        )
        assert (member.shown()["status"], member.gems()) == ("active", 0)
        me.made(adjustments(member.id), adjustment("30", transaction_id="late"))
        assert ("overdue" in member.shown(), member.usd(), member.gems()) == (False, 0, 100)
        member.go("2026-03-04")
        assert member.shown()["status"] == "inactive"
    finally:
        me.patch("accounts/self", {"renewals": {}})


def test_an_upgrade_that_cannot_be_paid_changes_nothing(me: Caller) -> None:
    member = Member(me, "80")
    refused = member.move(quantity=3)
    assert is_problem(refused, 402)
    assert "top up at least" in refused.body["detail"]
    assert "quantity" not in member.shown()["products"][0]


BAD = [
    ({"products": [{"code": "pro", "quantity": -1}]}, "products[0].quantity"),
    ({"products": [{"code": "pro", "quantity": 1.5}]}, "products[0].quantity"),
    ({"starts_at": "9999-01-01T00:00:00Z"}, "starts_at"),
    ({"starts_at": "2024-01-01T00:00:00Z"}, "starts_at"),
    ({"renews_at": "2025-01-01T00:00:00Z"}, "renews_at"),
    ({"asset": "NOTHING"}, "asset"),
    ({"trial": {}}, "trial"),
    ({"trial": {"days": 3, "ends_at": "2026-02-01T00:00:00Z"}}, "trial"),
    ({"trial": {"ends_at": "2025-02-01T00:00:00Z"}}, "trial.ends_at"),
    ({"trial": {"days": 0}}, "trial.days"),
    ({"products": [{"code": "pro"}, {"code": "pro"}]}, "products"),
    ({"plan": "pro"}, "plan"),
]


@pytest.mark.parametrize(("change", "field"), BAD)
def test_what_cannot_be_subscribed_to_is_named(me: Caller, change: Any, field: str) -> None:
    clock = me.made("test-clocks", {"now": START})["id"]
    customer = me.made("customers", {"name": "Ada", "test_clock_id": clock})["id"]
    path = f"customers/{customer}/subscriptions"
    answer = me.post(path, {"products": [{"code": "pro"}], **change})
    assert_refused(answer, field)
    assert me.get(path).body["total_count"] == 0


def test_what_cannot_be_moved_to_is_refused(me: Caller) -> None:
    member = Member(me)
    before = member.shown()
    assert_refused(member.move(), "version")
    assert_refused(member.move(version=0), "version")
    assert is_problem(member.move(version=9), 404)
    assert_refused(member.move(quantity=2, effective="soon"), "effective")
    assert_refused(member.move(quantity=2, credits="all"), "credits")
    assert_refused(me.post(f"{member.path}/pause", {"resumes_at": START}), "resumes_at")
    assert_refused(me.post(f"{member.path}/cancel", {"at": "later"}), "at")
    other = me.send("PATCH", f"{member.path}/products/prp_no", {"quantity": 2})
    assert is_problem(other, 404)
    assert member.shown() == before


def test_clocks_go_forward_and_not_too_far_and_are_for_tests(
    me: Caller, shared_server: RunningServer
) -> None:
    clock = me.made("test-clocks", {"now": START})
    path = f"test-clocks/{clock['id']}"
    assert me.get(path).body == clock
    for to in ("2025-12-31T00:00:00Z", "2040-01-01T00:00:00Z", "9999-01-01T00:00:00Z"):
        assert_refused(me.post(f"{path}/advance", {"to": to}), "to")
    assert_refused(me.post("test-clocks", {"now": "1960-01-01T00:00:00Z"}), "now")
    assert_refused(me.post("test-clocks", {"now": "2026-01-01T00:00:00"}), "now")
    assert_refused(me.post("customers", {"name": "A", "test_clock_id": "clk_no"}), "test_clock_id")
    assert is_problem(me.post("test-clocks/clk_no/advance", {"to": START}), 404)
    assert me.get("test-clocks").body["items"][0]["id"] == clock["id"]
    with calling(shared_server, LIVE_KEY) as live:
        assert is_problem(live.post("test-clocks", {"now": START}), 409)


def test_a_repeat_of_subscribing_makes_nothing_twice(me: Caller) -> None:
    customer = me.made("customers", {"name": "Ada"})["id"]
    me.made(adjustments(customer), adjustment("1000", transaction_id="first"))
    path, body = f"customers/{customer}/subscriptions", {"products": [{"code": "pro"}]}
    key = {"idempotency-key": f"subscribe {customer}"}
    first, again = me.post(path, body, key), me.post(path, body, key)
    assert (first.status, again.status, first.body) == (201, 201, again.body)
    assert me.available(customer) == 920
    assert me.get(path).body["total_count"] == 1


def test_the_page_behind_a_required_action_says_what_to_do(me: Caller) -> None:
    waiting = Member(me, None).made
    url = waiting["required_actions"][0]["redirect_url"]
    assert httpx.URL(url).path.endswith(waiting["id"])


def test_nothing_is_due_that_is_done(me: Caller) -> None:
    assert me.get("due-work").body["total_count"] == 0
    assert me.get("due-work?status=set_aside").body["items"] == []
    assert_refused(me.get("due-work?status=lost"), "status")
