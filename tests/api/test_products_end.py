"""Products that end: versions are archived, products deleted, and nobody loses what they have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from corehttp.exceptions import ResourceExistsError, ResourceNotFoundError
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
from tests.api.conftest import RunningServer

SOLD: dict[str, Any] = json.loads(product())
PRICES = SOLD["prices"]


@pytest.fixture
def me(server: RunningServer) -> Iterator[Caller]:
    with calling(server) as caller:
        caller.made("products", product())
        yield caller


def customer(me: Caller, **bound: Any) -> str:
    subscription = {"products": [{"code": "tokens", **bound}]}
    return str(me.made("customers", {"name": "Ada", "subscriptions": [subscription]})["id"])


def statuses(me: Caller) -> list[str]:
    return [version["status"] for version in me.get("products/tokens").body["versions"]]


def test_the_published_client_lists_subscribers_archives_and_deletes(
    client: CredytApiClient,
) -> None:
    made = client.products.create(SOLD)
    client.products.create_version(made.id, {"prices": PRICES, "publish": True})
    ada = client.customers.create(
        {
            "name": "Ada",
            "external_id": "ada",
            "email": "ada@example.com",
            "subscriptions": [{"products": [{"id": made.id, "version": 2}]}],
        }
    )
    page = client.products.get_subscribers(made.id)
    (subscriber,) = page.items_property
    assert (page.total_count, subscriber.customer_id, subscriber.customer_name) == (
        1,
        ada.id,
        "Ada",
    )
    assert (subscriber.external_id, subscriber.email) == ("ada", "ada@example.com")
    assert (subscriber.subscription_status, subscriber.version) == ("active", 2)
    assert subscriber.subscription_id == ada.subscriptions[0].id
    assert subscriber.product_rate_plan_id == f"{made.id}:2"
    with pytest.raises(ResourceExistsError):
        client.products.archive_version(made.id, 2)
    with pytest.raises(ResourceExistsError):
        client.products.delete(made.id)
    client.customers.update_subscription(ada.id, subscriber.subscription_id, {"status": "inactive"})
    assert client.products.get_subscribers(made.id).total_count == 0
    client.products.archive_version(made.id, 2)
    assert [v.status for v in client.products.get(made.id).versions] == ["archived", "published"]
    client.products.delete(made.id)
    # It was used: it is archived, not gone.
    assert [v.status for v in client.products.get(made.id).versions] == ["archived", "archived"]
    unused = client.products.create({**SOLD, "code": "unused"})
    client.products.delete(unused.id)
    with pytest.raises(ResourceNotFoundError):
        client.products.get(unused.id)


def test_who_has_an_archived_version_before_keeps_it_and_nobody_else_gets_it(me: Caller) -> None:
    old = customer(me, version=1)
    me.made("products/tokens", {"prices": PRICES, "publish": True})
    assert me.send("PATCH", "products/tokens/2", {"make_default": True}).status == 204
    refused = me.send("DELETE", "products/tokens/1")
    assert is_problem(refused, 409)
    assert "1 subscription has version 1 of 'tokens': move" in refused.body["detail"]
    assert statuses(me) == ["published", "published"]
    # What was refused changed nothing: it can still be subscribed to, and is priced.
    customer(me, version=1)
    assert me.post("events", usage(old, event("still"))).status == 204


def test_the_default_is_archived_last_and_takes_the_default_with_it(me: Caller) -> None:
    me.made("products/tokens", {"prices": PRICES, "publish": True})
    first = me.send("DELETE", "products/tokens/1")
    assert is_problem(first, 409)
    assert "make another one the default" in first.body["detail"]
    assert me.send("DELETE", "products/tokens/2").status == 204
    assert me.send("DELETE", "products/tokens/default").status == 204
    # A repeat is harmless.
    assert me.send("DELETE", "products/tokens/1").status == 204
    assert statuses(me) == ["archived", "archived"]
    body = {"name": "Ada", "subscriptions": [{"products": [{"code": "tokens"}]}]}
    assert_refused(me.post("customers", body), "subscriptions[0].products[0].code")
    body = {"name": "Ada", "subscriptions": [{"products": [{"code": "tokens", "version": 1}]}]}
    assert_refused(me.post("customers", body), "subscriptions[0].products[0].version")
    assert is_problem(me.send("PATCH", "products/tokens/1", {"publish": True}), 409)
    assert is_problem(me.send("PATCH", "products/tokens/1", {"make_default": True}), 409)


def test_those_who_follow_the_default_have_it(me: Caller) -> None:
    customer(me)
    assert is_problem(me.send("DELETE", "products/tokens/1"), 409)
    (subscriber,) = me.get("products/tokens/subscribers").body["items"]
    assert subscriber["version"] == 1


def test_a_draft_goes_for_good_and_the_only_one_goes_with_its_product(me: Caller) -> None:
    me.made("products/tokens", {"prices": PRICES})
    assert me.send("DELETE", "products/tokens/2").status == 204
    assert is_problem(me.get("products/tokens/2"), 404)
    draft = {**SOLD, "code": "draft", "publish": False}
    me.made("products", draft)
    assert is_problem(me.send("DELETE", "products/draft/1"), 409)
    assert me.send("DELETE", "products/draft").status == 204
    assert is_problem(me.get("products/draft"), 404)
    # The code is free again.
    me.made("products", draft)


def test_a_move_that_is_planned_counts_as_having_the_version(me: Caller) -> None:
    me.made("assets", {"code": "GEMS", "name": "Gems"})

    def plan(price: int) -> dict[str, Any]:
        billing = {"type": "recurring", "recurring": {"interval": "month"}}
        values = [{"unit_price": price}]
        fixed = {
            "type": "fixed",
            "name": "Monthly",
            "billing_model": billing,
            "pricing": [{"asset": "USD", "values": values}],
        }
        return {"prices": [fixed], "publish": True}

    made = me.made("products", {"name": "Plan", "code": "plan", **plan(20)})
    me.made("products/plan", plan(5))
    ada = me.made("customers", {"name": "Ada"})["id"]
    me.made(adjustments(ada), adjustment("100"))
    subscription = me.made(
        f"customers/{ada}/subscriptions", {"products": [{"code": "plan", "version": 1}]}
    )
    path = f"customers/{ada}/subscriptions/{subscription['id']}/products/{made['id']}"
    # It costs less: it waits for the next period.
    assert me.patch(path, {"version": 2}).status == 204
    assert is_problem(me.send("DELETE", "products/plan/2"), 409)
    shown = me.get(f"customers/{ada}").body["subscriptions"][0]
    assert (shown["products"][0]["version"], shown["planned"][0]["version"]) == (1, 2)


def test_what_is_not_there_is_not_found(me: Caller) -> None:
    for method, path in (
        ("DELETE", "products/no"),
        ("DELETE", "products/no/1"),
        ("DELETE", "products/tokens/9"),
        ("DELETE", "products/tokens/first"),
        ("GET", "products/no/subscribers"),
    ):
        assert is_problem(me.send(method, path), 404), (method, path)
    assert_refused(me.get("products/tokens/subscribers?limit=0"), "limit")
