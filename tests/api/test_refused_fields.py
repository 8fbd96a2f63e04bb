"""Fields that the API refuses by name, with nothing changed: tables of one wrong thing each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.caller import (
    Caller,
    adjustments,
    ago,
    assert_refused,
    calling,
    event,
    is_problem,
    product,
    usage,
    world,
    wrong,
)
from tests.api.conftest import RunningServer


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


@pytest.fixture(scope="module")
def ada(me: Caller) -> str:
    """A customer who never gets anything: all that is asked for her is refused."""
    return me.customer(external_id="ada")


@pytest.fixture(autouse=True)
def _nothing_changes(me: Caller, ada: str) -> Iterator[None]:
    before = world(me, ada)
    yield
    assert world(me, ada) == before


PRODUCT = json.loads(product(code="other"))
ADDRESS = "prices[0].collection.address"
VALUE = "prices.0.pricing.0.values.0"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("color", 1, "color"),
        ("prices.0.color", 1, "prices[0].color"),
        ("prices.0.usage_calculation.color", 1, "prices[0].usage_calculation.color"),
        ("prices.0.billing_model.color", 1, "prices[0].billing_model.color"),
        ("prices.0.pricing.0.color", 1, "prices[0].pricing[0].color"),
        (f"{VALUE}.color", 1, "prices[0].pricing[0].values[0].color"),
        ("name", ..., "name"),
        ("code", ..., "code"),
        ("prices", ..., "prices"),
        ("prices.0.type", ..., "prices[0].type"),
        ("prices.0.name", ..., "prices[0].name"),
        ("prices.0.usage_calculation", ..., "prices[0].usage_calculation"),
        ("prices.0.pricing.0.asset", ..., "prices[0].pricing[0].asset"),
        ("prices.0.type", "gift", "prices[0].type"),
        ("prices.0.pricing.0.asset", "NOPE", "prices[0].pricing[0].asset"),
        ("prices.0.pricing.0.values", [], "prices[0].pricing[0].values"),
        ("prices.0.collection", {"type": "balance", "address": "é:USD"}, ADDRESS),
        ("code", "a b", "code"),
        ("name", "", "name"),
        ("name", "n" * 201, "name"),
        ("publish", 1, "publish"),
    ],
)
def test_a_product_with_a_wrong_field_is_refused_by_name(
    me: Caller, path: str, value: Any, field: str
) -> None:
    assert_refused(me.post("products", wrong(PRODUCT, path, value)), field)
    assert me.get("products/other").status == 404


ASSET = {"code": "GEMS", "name": "Gems", "rates": [{"source": "USD", "rate": 2}]}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("color", 1, "color"),
        ("code", "gems", "code"),
        ("code", "USD", "code"),
        ("precision", 10, "precision"),
        ("precision", -1, "precision"),
        ("rates.0.color", 1, "rates[0].color"),
        ("rates.0.source", "GEMS", "rates[0].source"),
        ("rates.0.rate", 0, "rates[0].rate"),
        ("rates.0.inverse_rate", 2, "rates[0].rate"),
        ("rates", [{"source": "USD", "rate": 1}] * 2, "rates[1].source"),
    ],
)
def test_an_asset_with_a_wrong_field_is_refused_by_name(
    me: Caller, path: str, value: Any, field: str
) -> None:
    assert_refused(me.post("assets", wrong(ASSET, path, value)), field)
    assert me.get("assets/GEMS").status == 404


GIFT = {"transaction_id": "t", "asset": "USD", "amount": 1, "reason": "gift"}
MANY = {str(n): "" for n in range(51)}
LARGE = {"note": "x" * 16 * 1024}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("color", 1, "color"),
        ("transaction_id", ..., "transaction_id"),
        ("transaction_id", "", "transaction_id"),
        ("transaction_id", "t" * 201, "transaction_id"),
        ("asset", ..., "asset"),
        ("asset", "NOPE", "asset"),
        ("amount", ..., "amount"),
        ("reason", ..., "reason"),
        ("reason", "love", "reason"),
        ("account_name", "a:b", "account_name"),
        ("effective_at", "2026-01-01T00:00:00", "effective_at"),
        ("expires_at", "tomorrow", "expires_at"),
        ("expires_at", "2020-01-01T00:00:00Z", "expires_at"),
        ("metadata", MANY, "metadata"),
        ("metadata", LARGE, "metadata"),
        ("description", "\0", "description"),
    ],
)
def test_an_adjustment_with_a_wrong_field_is_refused_by_name(
    me: Caller, ada: str, path: str, value: Any, field: str
) -> None:
    assert_refused(me.post(adjustments(ada), wrong(GIFT, path, value)), field)


@pytest.mark.parametrize("limit", [-1, 1e-10, None])
def test_an_overdraft_with_a_wrong_limit_isassert_refused(me: Caller, ada: str, limit: Any) -> None:
    path = f"customers/{ada}/wallet/default:USD"
    answer = me.patch(path, {"overdraft": {"policy": "limit", "limit": limit}})
    assert is_problem(answer, 422)


@pytest.mark.parametrize("name", ["a b", "%C3%A9", "a:b", "n" * 65])
def test_an_account_has_a_name_that_a_path_can_hold(me: Caller, ada: str, name: str) -> None:
    path = f"customers/{ada}/wallet/{name}:USD"
    assert_refused(me.patch(path, {"overdraft": {"policy": "reject"}}), "account_id")


TOO_OLD, TOO_NEW = "too old", "too new"
USE = {"id": "e", "event_type": "llm", "occurred_at": "NOW", "data": {"tokens": 1}}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("color", 1, "color"),
        ("id", ..., "id"),
        ("id", "", "id"),
        ("id", "i" * 201, "id"),
        ("event_type", ..., "event_type"),
        ("occurred_at", ..., "occurred_at"),
        ("occurred_at", None, "occurred_at"),
        ("occurred_at", 1767225600, "occurred_at"),
        ("occurred_at", "yesterday", "occurred_at"),
        ("occurred_at", "2026-01-01", "occurred_at"),
        ("occurred_at", "2026-01-01T00:00:00", "occurred_at"),
        ("occurred_at", "2026-02-30T00:00:00Z", "occurred_at"),
        ("occurred_at", "0001-01-01T00:00:00+14:00", "occurred_at"),
        ("occurred_at", "9999-12-31T23:59:59-14:00", "occurred_at"),
        ("occurred_at", TOO_OLD, "occurred_at"),
        ("occurred_at", TOO_NEW, "occurred_at"),
        ("data", MANY, "data"),
        ("data", LARGE, "data"),
        ("data", [], "data"),
        ("data.note", "a\0b", "data.note"),
        ("costs", [{"id": "c", "amount": 1, "color": 1}], "costs[0].color"),
        ("costs", [{"id": "c"}], "costs[0].amount"),
        ("costs", [{"id": "c", "amount": 1}], "costs[0].vendor_id"),
        ("costs", [{"id": "c", "vendor_id": "v", "amount": 1e-10}], "costs[0].amount"),
        ("costs", [{"id": "c", "vendor_id": "v", "amount": 1e30}], "costs[0].amount"),
        ("costs", [{"id": "c", "vendor_id": "v", "amount": -1}], "costs[0].amount"),
        (
            "costs",
            [{"id": "c", "vendor_id": "v", "amount": 1, "currency": "NOPE"}],
            "costs[0].currency",
        ),
    ],
)
def test_an_event_with_a_wrong_field_is_refused_by_name_with_its_whole_batch(
    me: Caller, ada: str, path: str, value: Any, field: str
) -> None:
    # Not among the parameters: a test's name must not have the time in it.
    value = {TOO_OLD: ago(days=34, seconds=60), TOO_NEW: ago(minutes=-6)}.get(str(value), value)
    bad = wrong({**USE, "occurred_at": ago()}, path, value)
    answer = me.post("events", usage(ada, event("e1"), event("e2"), bad))
    assert_refused(answer, f"events[2].{field}")
