"""Connected accounts: a platform makes them and acts for them, and nothing crosses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from corehttp.credentials import ServiceKeyCredential
from corehttp.exceptions import ResourceExistsError
from credytapi import CredytApiClient
from tests.api.caller import (
    Caller,
    adjustment,
    adjustments,
    assert_refused,
    calling,
    event,
    is_problem,
    product,
    usage,
)
from tests.api.conftest import READ_KEY, TEST_KEY, RunningServer


@pytest.fixture
def me(server: RunningServer) -> Iterator[Caller]:
    with calling(server) as caller:
        yield caller


def test_the_published_client_makes_accounts_and_acts_for_them(
    client: CredytApiClient, server: RunningServer
) -> None:
    made = client.accounts.create(
        {"name": "Bob's shop", "external_id": "bob", "metadata": {"plan": "gold"}}
    )
    shown = client.accounts.get(made.id)
    assert (shown.id, shown.name, shown.external_id) == (made.id, "Bob's shop", "bob")
    assert shown.metadata == {"plan": "gold"}
    with pytest.raises(ResourceExistsError):
        client.accounts.create({"name": "Other", "external_id": "bob"})
    page = client.accounts.list()
    assert (page.total_count, page.items_property[0].id) == (1, made.id)
    own = client.accounts.get_context()
    acting = CredytApiClient(
        credential=ServiceKeyCredential(TEST_KEY),
        endpoint=f"{server.url}/v1",
        retry_total=0,
        headers={"x-credyt-account": made.id},
    )
    headers = {"x-credyt-account": made.id}
    context = acting.accounts.get_context(headers=headers)
    assert (context.account_id, context.name, context.environment) == (
        made.id,
        "Bob's shop",
        "test",
    )
    assert own.account_id != made.id
    acting.assets.create({"code": "GEMS", "name": "Gems"}, headers=headers)
    assert "GEMS" in [asset.code for asset in acting.assets.list(headers=headers).items_property]
    assert "GEMS" not in [asset.code for asset in client.assets.list().items_property]


def test_two_accounts_have_their_own_of_the_same_names(me: Caller, server: RunningServer) -> None:
    bob = me.made("accounts", {"name": "Bob"})["id"]
    eve = me.made("accounts", {"name": "Eve"})["id"]
    key = {"idempotency-key": "the same"}
    with calling(server, TEST_KEY, bob) as for_bob, calling(server, TEST_KEY, eve) as for_eve:
        for caller, price in ((me, "1"), (for_bob, "2"), (for_eve, "3")):
            caller.made("products", product(price))
            answer = caller.post(
                "customers",
                {
                    "name": "Ada",
                    "external_id": "ada",
                    "subscriptions": [{"products": [{"code": "tokens"}]}],
                },
                key,
            )
            assert answer.status == 201
            ada = answer.body["id"]
            caller.made(adjustments(ada), adjustment("10", transaction_id="gift"))
            assert caller.post("events", usage(ada, event("e1"))).status == 204
            assert caller.available(ada) == 10 - int(price)
            assert caller.get("events/e1").body["customer_id"] == ada
            assert caller.get("customers").body["total_count"] == 1
        # What is set of one is set of no other.
        assert for_bob.patch("accounts/self", {"timezone": "Asia/Tokyo"}).status == 204
        assert for_bob.get("accounts/self").body["timezone"] == "Asia/Tokyo"
        assert for_eve.get("accounts/self").body["timezone"] == "UTC"
        assert me.get("accounts/self").body["timezone"] == "UTC"


def test_who_may_act_for_whom(me: Caller, server: RunningServer) -> None:
    bob = me.made("accounts", {"name": "Bob"})["id"]
    eve = me.made("accounts", {"name": "Eve"})["id"]
    _, secret = server.wait(server.engine.create_key("test", "admin", "Bob's", account_id=bob))
    with calling(server, secret) as own:
        assert own.get("accounts/self").body["account_id"] == bob
        assert is_problem(own.post("accounts", {"name": "Mine"}), 403)
        assert is_problem(own.get("accounts"), 403)
    with calling(server, secret, bob) as named:
        assert named.get("accounts/self").body["account_id"] == bob
    for path in ("accounts/self", "customers", "customers/cust_1/wallet"):
        with calling(server, secret, eve) as other:
            assert is_problem(other.get(path), 403)
        with calling(server, TEST_KEY, "acc_nobody") as nobody:
            assert is_problem(nobody.get(path), 404)
            assert "X-Credyt-Account" in nobody.get(path).body["detail"]
    with calling(server, secret, eve) as other:
        assert is_problem(other.post("events", usage("cust_1", event("e"))), 403)
    # The platform's key may do for others what its role may do.
    with calling(server, READ_KEY, bob) as reader:
        assert reader.get("customers").status == 200
        assert is_problem(reader.post("customers", {"name": "Ada"}), 403)
    with calling(server, TEST_KEY, bob) as acting:
        assert is_problem(acting.post("accounts", {"name": "Below"}), 403)


def test_what_is_wrong_with_an_account_is_named(me: Caller) -> None:
    assert_refused(me.post("accounts", {}), "name")
    assert_refused(me.post("accounts", {"name": ""}), "name")
    assert_refused(me.post("accounts", {"name": "Bob", "external_id": ""}), "external_id")
    assert_refused(me.post("accounts", {"name": "Bob", "plan": "gold"}), "plan")
    assert is_problem(me.post("accounts", {"name": "B", "metadata": {"a": 1}}), 422)
    assert is_problem(me.get("accounts/acc_nobody"), 404)
    assert me.get("accounts").body["total_count"] == 0
