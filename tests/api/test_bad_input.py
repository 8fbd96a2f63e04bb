"""Bad input to every operation: it is refused with a message that names the field, the value and
the remedy, and nothing that anybody can see has changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from tests.api.caller import (
    Answer,
    Caller,
    adjustment,
    adjustments,
    calling,
    event,
    is_problem,
    product,
    usage,
    wrong,
)
from tests.api.conftest import RunningServer, running_server
from tests.api.crossing import Things, attempts, fill
from tests.ledger.shop import Clock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
_RAW = re.compile(r'"<([^>"]*)>"')


class Bad(NamedTuple):
    """A request with something wrong: the field that the refusal names, and words that it says.
    In a body, a text in <> travels as these characters: numbers that Python would change."""

    request: str
    body: Any
    field: str
    says: str
    status: int = 422


class Place(NamedTuple):
    """A server with one of everything, and what paths call it."""

    me: Caller
    things: Things
    names: dict[str, str]

    def send(self, bad: Bad) -> Answer:
        """Send a bad request."""
        method, path = bad.request.split(" ")
        body = None if bad.body is None else _RAW.sub(r"\1", json.dumps(bad.body))
        for name, value in self.names.items():
            path = path.replace(f"{{{name}}}", value)
            body = body and body.replace(f"{{{name}}}", value)
        return self.me.send(method, path, body)

    def read(self, path: str) -> Any:
        """What is there."""
        answer = self.me.get(path)
        assert answer.status == 200, (path, answer.body)
        return answer.body

    def world(self) -> dict[str, Any]:
        """All that operations show."""
        found = {}
        for (method, path), tries in attempts(self.things).items():
            if method != "GET" or "connected_account_id" in path:
                continue
            for one in tries:
                shown = self.things.path((method, path)) + one.query
                found[shown] = self.read(shown)
        for path in ("products/seats", "products/seats/3", "customers?limit=100"):
            found[path] = self.read(path)
        for customer in ("paused", "over", "clocked"):
            for of in ("", "/wallet", "/limits", "/subscriptions"):
                path = f"customers/{self.names[customer]}{of}"
                found[path] = self.read(path)
        return found


SEATS = {
    "type": "fixed",
    "name": "Seats",
    "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
    "pricing": [{"asset": "USD", "values": [{"unit_price": 10, "quantity": 1}]}],
}
INCLUDED = {
    "name": "Included",
    "asset": "USD",
    "amount": 5,
    "purpose": "bundled",
    "lifecycle": {"duration": "month", "refresh": {"strategy": "rollover"}},
}
PLAN = {"name": "Plan", "code": "other", "publish": True, "prices": [SEATS]}
PLAN |= {"entitlements": [INCLUDED]}


@pytest.fixture(scope="module")
def place(module_database_url: str) -> Iterator[Place]:
    with running_server(module_database_url, Clock(NOW)) as server, calling(server) as me:
        yield _place(server, me)


def _place(server: RunningServer, me: Caller) -> Place:
    things = fill(server, me, "QUARTZ")
    names = {**things.names, "own_limit_id": things.own_limit_id}
    names["seats"] = me.made("products", {**PLAN, "code": "seats"})["id"]
    me.made("products/seats", {"prices": [SEATS], "publish": True})
    me.made("products/seats", {"prices": [SEATS]})
    clock = names["clock_id"]
    for name, more in (("paused", {}), ("over", {}), ("clocked", {"test_clock_id": clock})):
        customer = me.made("customers", {"name": name, **more})["id"]
        me.made(adjustments(customer), adjustment("100", transaction_id="gift"))
        wanted = {"products": [{"code": "seats", "quantity": 2}]}
        subscription = me.made(f"customers/{customer}/subscriptions", wanted)["id"]
        names |= {name: customer, f"{name}_subscription": subscription}
    path = "customers/{}/subscriptions/{}/{}"
    assert me.post(path.format(names["paused"], names["paused_subscription"], "pause"), {})
    ended = me.post(path.format(names["over"], names["over_subscription"], "cancel"), {"at": "now"})
    assert ended.body["subscription"]["status"] == "inactive", ended.body
    me.made("coupons", {"code": "GONE", "percent": 5})
    assert me.send("DELETE", "coupons/GONE").status == 204
    me.made("coupons", {"code": "SOON", "percent": 5, "redeem_by": "2026-04-01T00:00:00Z"})
    return Place(me, things, names)


TOKENS = json.loads(product(code="other"))
USE, VALUE = "prices.0.usage_calculation", "prices.0.pricing.0.values"
AT = "prices[0].pricing[0].values"


def tokens(path: str, value: Any, field: str, says: str) -> Bad:
    """A usage price with one thing wrong."""
    return Bad("POST products", wrong(TOKENS, path, value), field, says)


def tiers(values: list[Any], field: str, says: str, **tiering: Any) -> Bad:
    """A tiered price with bad tiers."""
    body = wrong(TOKENS, VALUE, values)
    body["prices"][0] |= {"pricing_model": "tiered", "tiering": {"basis": "volume", **tiering}}
    return Bad("POST products", body, field, says)


def measured(usage_calculation: dict[str, Any], values: list[Any], field: str, says: str) -> Bad:
    """A usage price that measures in some way."""
    body = wrong(TOKENS, USE, {"event_type": "llm", **usage_calculation})
    return Bad("POST products", wrong(body, VALUE, values), field, says)


def expression(text: str, says: str) -> Bad:
    """A custom price with a bad expression."""
    calculation = {"usage_type": "custom", "volume_aggregation": text}
    field = "prices[0].usage_calculation.volume_aggregation"
    return measured(calculation, [{"volume_rate": 1}], field, says)


def plan(path: str, value: Any, field: str, says: str) -> Bad:
    """A plan with one thing wrong."""
    return Bad("POST products", wrong(PLAN, path, value), field, says)


def included(path: str, value: Any, says: str, field: str = "") -> Bad:
    """A plan whose entitlement has one thing wrong."""
    field = f"entitlements[0].{field or path}"
    return Bad("POST products", wrong(PLAN, f"entitlements.0.{path}", value), field, says)


def committed(path: str, value: Any, says: str, field: str = "") -> Bad:
    """A commitment with one thing wrong."""
    whole = {"name": "C", "asset": "USD", "recurring": {"interval": "month"}, "minimum": 5}
    body = {**TOKENS, "commitments": [wrong(whole, path, value)]}
    return Bad("POST products", body, f"commitments[0].{field or path}", says)


R = [{"volume_rate": 1}]
ONE_TIME = {"type": "one_time", "one_time": {}}
PRODUCTS = [
    tiers(
        [{"volume_rate": 1, "up_to": 5}, {"volume_rate": 1, "up_to": 9}], f"{AT}[1].up_to", "last"
    ),
    tiers(
        [{"volume_rate": 1, "up_to": 5}, {"volume_rate": 1, "up_to": 5}, *R],
        f"{AT}[1].up_to",
        "rise",
    ),
    tiers(
        [{"volume_rate": 1, "up_to": 5}, {"volume_rate": 1, "up_to": 4}, *R],
        f"{AT}[1].up_to",
        "rise",
    ),
    tiers([{"volume_rate": 1}, *R], f"{AT}[0].up_to", "missing"),
    tiers([{"volume_rate": 1, "up_to": 0}, *R], f"{AT}[0].up_to", "above 0"),
    tiers([{"volume_rate": 1, "up_to": -5}, *R], f"{AT}[0].up_to", "above 0"),
    tiers([{"volume_rate": 1, "up_to": "<1e999999>"}, *R], f"{AT}[0].up_to", "too large"),
    tiers([{"volume_rate": 1, "up_to": "<1e-999999999>"}, *R], f"{AT}[0].up_to", "decimals"),
    tiers([{"volume_rate": 1, "up_to": 1.5}, *R], f"{AT}[0].up_to", "whole number", basis="unit"),
    tiers(R, "prices[0].tiering.basis", "unit", basis="custom"),
    tiers(R, "prices[0].tiering.basis", "package", basis="seats"),
    tiers(R, "prices[0].tiering.period", "monthly", period="weekly"),
    tiers(R, f"{AT}[0].package_size", "missing", basis="package"),
    tiers([{"volume_rate": 1, "up_to": 1}] * 101, AT, "at most 100"),
    tokens("prices.0.tiering", {"basis": "volume"}, "prices[0].tiering", "leave it out"),
    tokens(f"{VALUE}.0.up_to", 5, f"{AT}[0].up_to", "leave it out"),
    tokens(f"{VALUE}.0.volume_rate", -1, f"{AT}[0].volume_rate", "from 0"),
    tokens(f"{VALUE}.0.volume_rate", "<1e-19>", f"{AT}[0].volume_rate", "18"),
    tokens(f"{VALUE}.0.volume_rate", "<1e-999999999>", f"{AT}[0].volume_rate", "18"),
    tokens(f"{VALUE}.0.volume_rate", "<1e19>", f"{AT}[0].volume_rate", "1e18"),
    tokens(f"{VALUE}.0.volume_rate", "<1e999999999>", f"{AT}[0].volume_rate", "too large"),
    tokens(
        f"{VALUE}.0.volume_rate", "<1e99999999999999999999>", f"{AT}[0].volume_rate", "exponent"
    ),
    tokens(f"{VALUE}.0.volume_rate", "NaN", f"{AT}[0].volume_rate", "number"),
    tokens(f"{VALUE}.0.volume_rate", None, f"{AT}[0].volume_rate", "missing"),
    tokens(f"{VALUE}.0.unit_price", 1, f"{AT}[0].unit_price", "leave it out"),
    tokens(f"{VALUE}.0.package_size", 0, f"{AT}[0].package_size", "whole number"),
    tokens(f"{VALUE}.0.package_size", 1.5, f"{AT}[0].package_size", "whole number"),
    tokens(f"{VALUE}.0.package_size", "<1e13>", f"{AT}[0].package_size", "from 1 to"),
    tokens(
        f"{VALUE}.0",
        {"volume_rate": 1, "min_amount": 5, "max_amount": 1},
        f"{AT}[0].min_amount",
        "above max_amount",
    ),
    tokens(f"{VALUE}", [*R, *R], AT, "one"),
    tokens(f"{VALUE}", [], AT, "at least 1"),
    tokens("prices.0.pricing", [], "prices[0].pricing", "at least 1"),
    tokens("prices.0.pricing.0.asset", "usd", "prices[0].pricing[0].asset", "create the asset"),
    tokens("prices.0.pricing_model", "stairs", "prices[0].pricing_model", "tiered"),
    tokens("prices.0.pricing_model", "package", f"{AT}[0].package_size", "missing"),
    tokens(f"{USE}.usage_type", "litres", "prices[0].usage_calculation.usage_type", "volume"),
    tokens(f"{USE}.volume_field", ..., "prices[0].usage_calculation.volume_field", "missing"),
    tokens(
        f"{USE}.volume_aggregation", "max", "prices[0].usage_calculation.volume_aggregation", "sum"
    ),
    tokens(
        f"{USE}.unit_aggregation", "max", "prices[0].usage_calculation.unit_aggregation", "count"
    ),
    tokens(
        f"{USE}.billable_dimensions",
        ["m", "m"],
        "prices[0].usage_calculation.billable_dimensions",
        "twice",
    ),
    tokens(
        f"{USE}.billable_dimensions",
        ["d"] * 11,
        "prices[0].usage_calculation.billable_dimensions",
        "at most 10",
    ),
    tokens(f"{USE}.costs", {}, "prices[0].usage_calculation.costs", "leave it out"),
    tokens(
        f"{VALUE}",
        [{"dimensions": {"m": "a"}, "values": R}],
        f"{AT}[0].dimensions.m",
        "add it there",
    ),
    tokens(f"{VALUE}", [{"dimensions": {"m": "a"}}], f"{AT}[0]", "dimensions"),
    tokens(
        "prices.0.billing_model",
        {"type": "recurring", "recurring": {"interval": "month"}},
        "prices[0].billing_model.type",
        "real_time",
    ),
    tokens("prices.0.collection", {"type": "invoice"}, "prices[0].collection.type", "balance"),
    tokens(
        "prices.0.collection",
        {"type": "balance", "address": "default:EUR"},
        "prices[0].collection.address",
        "default:USD",
    ),
    tokens(
        "prices.0.collection",
        {"type": "balance", "timing": "in_arrears"},
        "prices[0].collection.timing",
        "leave it out",
    ),
    tokens(
        "prices.0.funding_destination",
        {"address": "GEMSQUARTZ"},
        "prices[0].funding_destination.address",
        "name:ASSET",
    ),
    tokens(
        "prices.0.funding_destination",
        {"address": "default:EUR", "exchange_rate": 0},
        "prices[0].funding_destination.exchange_rate",
        "more than 0",
    ),
    tokens("prices.0.id", "prc_1", "prices[0].id", "leave it out"),
    tokens("code", "a b", "code", "letters"),
    tokens("prices", TOKENS["prices"] * 101, "prices", "at most 100"),
    tokens("name", 5, "name", "is 5"),
    tokens("nmae", "x", "nmae", "name, code"),
    measured(
        {"usage_type": "cost", "volume_field": "x"},
        R,
        "prices[0].usage_calculation.volume_field",
        "leave it out",
    ),
    measured(
        {"usage_type": "cost"},
        [{"volume_rate": 1, "package_size": 5}],
        f"{AT}[0].package_size",
        "leave it out",
    ),
    measured({"usage_type": "cost"}, [{"volume_rate": -0.2}], f"{AT}[0].volume_rate", "from 0"),
    measured(
        {"usage_type": "cost", "costs": {"vendor": "x"}},
        R,
        "prices[0].usage_calculation.costs.vendor",
        "vendor_id",
    ),
    measured({"usage_type": "unit"}, R, f"{AT}[0].unit_price", "missing"),
    expression("", "at least 1"),
    expression("   ", "end"),
    expression("a +", "end"),
    expression("a ** b", "character 4"),
    expression("a b", "operator"),
    expression("sqrt(a)", "min, max"),
    expression("min(a)", "2 to 20"),
    expression("a; b", "; b"),
    expression("1e5", "e5"),
    expression("(" * 40 + "a" + ")" * 40, "flatter"),
    expression("1" * 41, "40"),
    expression("a + " * 60 + "a", "at most"),
    expression("__import__('os')", "use numbers"),
    expression("a / 0", "divides by 0"),
    plan(
        "prices.0.billing_model.recurring.interval",
        "fortnight",
        "prices[0].billing_model.recurring.interval",
        "week",
    ),
    plan(
        "prices.0.billing_model.recurring.interval_count",
        0,
        "prices[0].billing_model.recurring.interval_count",
        "from 1 to",
    ),
    plan(
        "prices.0.billing_model.recurring.interval_count",
        1001,
        "prices[0].billing_model.recurring.interval_count",
        "from 1 to",
    ),
    plan(
        "prices.0.billing_model.recurring.interval_count",
        1.5,
        "prices[0].billing_model.recurring.interval_count",
        "whole number",
    ),
    plan(
        "prices.0.billing_model", {"type": "real_time"}, "prices[0].billing_model.type", "recurring"
    ),
    plan("prices.0.pricing.0.values.0.quantity", -1, f"{AT}[0].quantity", "from 0"),
    plan("prices.0.pricing.0.values.0.quantity", 1.5, f"{AT}[0].quantity", "whole number"),
    plan(
        "prices.0.pricing.0.values.0.quantity", "<1e999999999>", f"{AT}[0].quantity", "whole number"
    ),
    plan(
        "prices.0.pricing.0.values.0.quantity",
        "<1e-999999999>",
        f"{AT}[0].quantity",
        "whole number",
    ),
    plan("prices.0.pricing.0.values.0.unit_price", -10, f"{AT}[0].unit_price", "from 0"),
    plan("prices.0.pricing.0.values.0.unit_price", "<1e17>", AT, "ask less"),
    plan(
        "prices.0.pricing.0.values",
        [{"unit_price": 1, "quantity": 1}, {"unit_price": 1, "quantity": 2}],
        "prices[0].pricing",
        "one quantity",
    ),
    plan("prices.0.pricing_model", "tiered", "prices[0].pricing_model", "flat"),
    plan("prices.0.tiering", {"basis": "unit"}, "prices[0].tiering", "leave it out"),
    plan(
        "prices.0.billing_model",
        {"type": "one_time", "one_time": {"service_period": "3 months"}},
        "prices[0].billing_model.one_time.service_period",
        "P3M",
    ),
    plan(
        "prices.0.billing_model",
        {"type": "one_time", "one_time": {"service_period": "P"}},
        "prices[0].billing_model.one_time.service_period",
        "P3M",
    ),
    plan(
        "prices.0.billing_model",
        {"type": "one_time", "one_time": {"service_period": "P0D"}},
        "prices[0].billing_model.one_time.service_period",
        "P3M",
    ),
    plan(
        "prices.0.billing_model",
        {"type": "one_time", "one_time": {"service_period": "P9999Y"}},
        "prices[0].billing_model.one_time.service_period",
        "years",
    ),
    plan(
        "prices.0.billing_model",
        {"type": "one_time", "one_time": {"service_period": "P" + "9" * 50 + "D"}},
        "prices[0].billing_model.one_time.service_period",
        "P3M",
    ),
    plan(
        "prices.0.collection",
        {"type": "balance", "timing": "sometime"},
        "prices[0].collection.timing",
        "in_advance",
    ),
    included("asset", "NOPE", "create the asset"),
    included("amount", 0, "more than 0"),
    included("amount", -5, "more than 0"),
    included("amount", "<1e-10>", "9 decimals"),
    included("amount", "<1e-999999999>", "9 decimals"),
    included("amount", "<1e30>", "at most"),
    included("purpose", "paid", "promotion"),
    included("lifecycle.duration", "decade", "month"),
    included("lifecycle.duration_count", 0, "from 1 to"),
    included("lifecycle.duration_count", 10**40, "from 1 to"),
    included("lifecycle.refresh.strategy", "keep", "rollover"),
    included(
        "lifecycle.refresh",
        {"strategy": "expire_and_replace", "max_periods": 2},
        "leave it out",
        "lifecycle.refresh.max_periods",
    ),
    included("lifecycle.refresh.max_amount", -1, "0 or more"),
    included("lifecycle.refresh.max_periods", 0, "from 1 to"),
    included("priority", -1, "from 0 to"),
    included("accounting", {"revenue_basis": -1}, "from 0", "accounting.revenue_basis"),
    included(
        "accounting",
        {"revenue_basis": 1, "currency": "GEMSQUARTZ"},
        "ISO 4217",
        "accounting.currency",
    ),
    included("limited_to", {"products": []}, "at least 1", "limited_to.products"),
    included("id", "ent_1", "leave it out"),
    committed("minimum", 0, "more than 0"),
    committed("minimum", -1, "more than 0"),
    committed("minimum", ..., "maximum"),
    committed("minimum", "<1e-10>", "9 decimals"),
    committed("maximum", 4, "minimum of 5"),
    committed("asset", "NOPE", "create the asset"),
    committed("event_types", ["x"], "llm", "event_types[0]"),
    committed("event_types", [], "at least 1"),
    committed("recurring", {"interval": "hour"}, "month", "recurring.interval"),
    Bad(
        "POST products",
        {
            **PLAN,
            "commitments": [
                {"name": "C", "asset": "USD", "recurring": {"interval": "month"}, "minimum": 5}
            ],
        },
        "commitments[0].name",
        "usage price",
    ),
    Bad("POST products", {**PLAN, "code": "seats"}, "code", "new version", 409),
    Bad(
        "POST products/seats",
        {"prices": [wrong(SEATS, "type", "gift")]},
        "prices[0].type",
        "usage_based",
    ),
    Bad("PATCH products/seats/1", {"publish": False}, "publish", "new version", 409),
    Bad("PATCH products/seats/1", {"prices": []}, "prices", "publish"),
    Bad("PATCH products/seats/3", {"make_default": True}, "make_default", "publish it"),
    Bad("PATCH products/seats/1", {"make_default": False}, "make_default", "another version"),
    Bad("DELETE products/seats/1", None, "version", "make another one the default", 409),
    Bad("DELETE products/{product_id}/1", None, "version", "move or cancel", 409),
    Bad("DELETE products/seats", None, "product_id", "move or cancel", 409),
    Bad("POST products/seats/1/simulate-usage", {"events": []}, "events", "at least 1"),
    Bad(
        "POST products/seats/1/simulate-usage",
        usage("x", event("e", occurred_at="2026-03-02")),
        "customer_id",
        "events",
    ),
    Bad(
        "POST products/seats/1/simulate-usage",
        {"events": [event("e", occurred_at="2026-03-02")]},
        "events[0].occurred_at",
        "2026-01-31T12:00:00Z",
    ),
    Bad("GET products/seats/1/diff?against=2&with=3", None, "with", "against"),
]
RATE = "POST assets/{asset_code}/rates"
QUOTE = "POST assets/{asset_code}/quote"
ASSETS = [
    Bad(RATE, {"source": "EUR", "rate": 0}, "rate", "above 0"),
    Bad(RATE, {"source": "EUR", "rate": -1}, "rate", "above 0"),
    Bad(RATE, {"source": "EUR", "rate": "<1e-999999999>"}, "rate", "18 decimals"),
    Bad(RATE, {"source": "EUR", "rate": "<1e-19>"}, "rate", "send at most 18"),
    Bad(RATE, {"source": "EUR", "rate": "<1e999999999>"}, "rate", "1e18"),
    Bad(RATE, {"source": "EUR", "inverse_rate": 0}, "inverse_rate", "above 0"),
    Bad(RATE, {"source": "EUR", "rate": 1, "inverse_rate": 1}, "rate", "one of the two"),
    Bad(RATE, {"source": "EUR"}, "rate", "inverse_rate"),
    Bad(RATE, {"source": "{asset_code}", "rate": 1}, "source", "ISO 4217"),
    Bad(RATE, {"source": "NOPE", "rate": 1}, "source", "ISO 4217"),
    Bad("POST assets/USD/rates", {"source": "USD", "rate": 1}, "source", "another currency"),
    Bad(
        RATE,
        {"source": "EUR", "rate": 1, "valid_from": "1969-12-31T23:59:59Z"},
        "valid_from",
        "1970",
    ),
    Bad(
        RATE,
        {"source": "EUR", "rate": 1, "valid_from": "9999-01-01T00:00:00Z"},
        "valid_from",
        "8999",
    ),
    Bad(RATE, {"source": "EUR", "rate": 1, "valid_to": "9999-01-01T00:00:00Z"}, "valid_to", "8999"),
    Bad(
        RATE,
        {
            "source": "EUR",
            "rate": 1,
            "valid_from": "2026-04-01T00:00:00Z",
            "valid_to": "2026-04-01T00:00:00Z",
        },
        "valid_to",
        "later",
    ),
    Bad(
        RATE,
        {"source": "EUR", "rate": 1, "valid_from": "2026-04-01T00:00:00"},
        "valid_from",
        "timezone",
    ),
    Bad(
        RATE,
        {"source": "USD", "rate": 1, "valid_from": NOW.isoformat()},
        "valid_from",
        "begin later",
        409,
    ),
    Bad(
        RATE,
        {
            "source": "USD",
            "rate": 1,
            "valid_from": "2026-01-01T00:00:00Z",
            "valid_to": "2027-01-01T00:00:00Z",
        },
        "valid_to",
        "next rate begins",
    ),
    Bad(QUOTE, {"source": "USD", "amount": -1}, "amount", "0 or more"),
    Bad(QUOTE, {"source": "USD", "amount": "<1e-10>"}, "amount", "9 decimals"),
    Bad(QUOTE, {"source": "USD", "amount": "<1e30>"}, "amount", "at most"),
    Bad(QUOTE, {"source": "USD", "amount": "1"}, "amount", 'is "1"'),
    Bad(QUOTE, {"source": "CHF", "amount": 1}, "source", "add one"),
    Bad(
        QUOTE,
        {"source": "USD", "amount": 1, "exchange_at": "1960-01-01T00:00:00Z"},
        "exchange_at",
        "1970",
    ),
    Bad(
        QUOTE,
        {"source": "USD", "amount": 1, "exchange_at": "2026-01-01T00:00:00Z"},
        "source",
        "add one",
    ),
    Bad("POST assets", {"code": "x", "name": "X"}, "code", "capital letters"),
    Bad("POST assets", {"code": "NEW", "name": "X", "precision": 1.5}, "precision", "whole number"),
    Bad("POST assets", {"code": "NEW", "name": "X", "symbol": "s" * 9}, "symbol", "at most 8"),
    Bad(
        "POST assets",
        {"code": "NEW", "name": "X", "rates": [{"source": "USD", "inverse_rate": 0}]},
        "rates[0].inverse_rate",
        "above 0",
    ),
    Bad("POST assets", {"code": "{asset_code}", "name": "X"}, "code", "another code", 409),
]
SUBSCRIBE = "POST customers/{customer_id}/subscriptions"
SUBSCRIPTION = "customers/{customer_id}/subscriptions/{subscription_id}"
PAUSED = "customers/{paused}/subscriptions/{paused_subscription}"
OVER = "customers/{over}/subscriptions/{over_subscription}"
MOVE = f"PATCH {PAUSED}/products/{{seats}}"
DISCOUNT = f"POST {SUBSCRIPTION}/discounts"
MIGRATE = "POST products/seats/subscribers/migrate"


def subscribed(more: dict[str, Any], field: str, says: str) -> Bad:
    """A subscription with one thing wrong."""
    return Bad(SUBSCRIBE, {"products": [{"code": "seats"}], **more}, field, says)


SUBSCRIPTIONS = [
    subscribed({"starts_at": "1969-12-31T00:00:00Z"}, "starts_at", "1970"),
    subscribed({"starts_at": "9999-01-01T00:00:00Z"}, "starts_at", "8999"),
    subscribed({"starts_at": "0001-01-01T00:00:00+14:00"}, "starts_at", "1970"),
    subscribed({"starts_at": "2025-01-01T00:00:00Z"}, "starts_at", "366 days ago"),
    subscribed({"starts_at": "soon"}, "starts_at", "2026-01-31T12:00:00Z"),
    subscribed({"renews_at": "2026-03-01T00:00:00Z"}, "renews_at", "later"),
    subscribed({"renews_at": "9999-03-01T00:00:00Z"}, "renews_at", "8999"),
    subscribed(
        {"products": [{"code": "seats", "quantity": -1}]}, "products[0].quantity", "from 0 to"
    ),
    subscribed(
        {"products": [{"code": "seats", "quantity": 10**9 + 1}]},
        "products[0].quantity",
        "from 0 to",
    ),
    subscribed(
        {"products": [{"code": "seats", "quantity": 10**9}]}, "products[0].quantity", "send fewer"
    ),
    subscribed(
        {"products": [{"code": "seats", "quantity": 1.5}]}, "products[0].quantity", "whole number"
    ),
    subscribed(
        {"products": [{"code": "tokensQUARTZ", "quantity": 1}]},
        "products[0].quantity",
        "leave it out",
    ),
    subscribed({"products": [{"code": "seats"}, {"id": "{seats}"}]}, "products", "twice"),
    subscribed({"products": []}, "products", "at least 1"),
    subscribed({"products": [{}]}, "products[0].id", "one of the two"),
    subscribed(
        {"products": [{"code": "seats", "id": "{seats}"}]}, "products[0].id", "one of the two"
    ),
    subscribed({"products": [{"code": "nope"}]}, "products[0].code", "create the product"),
    subscribed(
        {"products": [{"code": "seats", "version": 3}]}, "products[0].version", "publish it"
    ),
    subscribed(
        {"products": [{"code": "seats", "version": 10**30}]}, "products[0].version", "publish"
    ),
    subscribed(
        {"products": [{"code": "seats", "version": "newest"}]}, "products[0].version", "default"
    ),
    subscribed({"asset": "NOPE"}, "asset", "create the asset"),
    subscribed({"trial": {}}, "trial", "either days or ends_at"),
    subscribed({"trial": {"days": 0}}, "trial.days", "from 1 to"),
    subscribed({"trial": {"days": 3661}}, "trial.days", "from 1 to"),
    subscribed({"trial": {"ends_at": "2026-03-01T00:00:00Z"}}, "trial.ends_at", "later"),
    subscribed({"trial": {"ends_at": "9999-03-01T00:00:00Z"}}, "trial.ends_at", "8999"),
    subscribed({"coupon": "NOPE"}, "coupon", "NOPE"),
    subscribed({"coupon": "GONE"}, "coupon", "GONE"),
    subscribed({"redirect_to": "home"}, "redirect_to", "portal"),
    Bad(
        "POST customers",
        {"name": "Eve", "subscriptions": [{"products": [{"code": "nope"}]}]},
        "subscriptions[0].products[0].code",
        "create the product",
    ),
    Bad(
        "POST customers",
        {"name": "Eve", "test_clock_id": "clk_nobody"},
        "test_clock_id",
        "test clock",
    ),
    Bad(
        "POST customers",
        {"name": "Eve", "external_id": "ada-QUARTZ"},
        "external_id",
        "another",
        409,
    ),
    Bad("POST customers", {"name": "Eve", "email": "eve"}, "email", "ada@example.com"),
    Bad("POST customers", {"name": "Eve", "metadata": {"n": 1}}, "metadata.n", "a text"),
    Bad(f"PATCH {SUBSCRIPTION}", {"status": "paused"}, "status", "inactive"),
    Bad(f"PATCH {SUBSCRIPTION}", {}, "status", "send one of the two"),
    Bad(
        f"PATCH {SUBSCRIPTION}",
        {"status": "active", "collection_method": "wallet"},
        "status",
        "send one of the two",
    ),
    Bad(
        f"PATCH {SUBSCRIPTION}",
        {"collection_method": "invoice"},
        "collection_method",
        "charge_automatically",
    ),
    Bad(
        f"POST {SUBSCRIPTION}/pause", {"resumes_at": "2026-03-02T12:00:00Z"}, "resumes_at", "later"
    ),
    Bad(f"POST {SUBSCRIPTION}/pause", {"resumes_at": "9999-03-02T12:00:00Z"}, "resumes_at", "8999"),
    Bad(f"POST {PAUSED}/pause", {"resumes_at": "2020-03-02T12:00:00Z"}, "resumes_at", "later"),
    Bad(f"POST {OVER}/pause", {}, "subscription_id", "reactivate", 409),
    Bad(f"POST {OVER}/resume", {}, "subscription_id", "reactivate", 409),
    Bad(f"POST {SUBSCRIPTION}/resume", {}, "subscription_id", "not paused", 409),
    Bad(f"POST {SUBSCRIPTION}/cancel", {"at": "tomorrow"}, "at", "period_end"),
    Bad(f"POST {SUBSCRIPTION}/cancel", {"proration": "next_period"}, "proration", "prorate"),
    Bad(
        "POST customers/{clocked}/subscriptions/{clocked_subscription}/cancel",
        {"proration": "prorate"},
        "proration",
        "at 'now'",
    ),
    Bad(
        "POST customers/{clocked}/subscriptions/{clocked_subscription}/cancel",
        {"at": "period_end", "credits": "lapse"},
        "credits",
        "at 'now'",
    ),
    Bad(f"POST {SUBSCRIPTION}/reactivate", {"has_card": 1}, "has_card", "true or false"),
    Bad(MOVE, {}, "version", "quantity"),
    Bad(MOVE, {"version": 3}, "version", "publish it"),
    Bad(MOVE, {"quantity": -1}, "quantity", "from 0 to"),
    Bad(MOVE, {"quantity": 10**9}, "quantity", "send fewer"),
    Bad(MOVE, {"version": 1, "effective": "later"}, "effective", "renewal"),
    Bad(
        MOVE, {"version": 1, "effective": "now", "proration": "next_period"}, "proration", "renewal"
    ),
    Bad(
        f"PATCH {SUBSCRIPTION}/products/{{product_id}}", {"quantity": 5}, "quantity", "leave it out"
    ),
    Bad(MIGRATE, {}, "to_version", "default"),
    Bad(MIGRATE, {"to_version": 3}, "to_version", "published"),
    Bad(
        MIGRATE,
        {"to_version": 2, "customer_ids": ["{customer_id}"]},
        "customer_ids[0]",
        "leave it out",
    ),
    Bad(MIGRATE, {"to_version": 2, "customer_ids": []}, "customer_ids", "at least 1"),
    Bad(
        MIGRATE,
        {"to_version": 2, "effective": "now", "proration": "next_period"},
        "proration",
        "renewal",
    ),
    Bad(MIGRATE, {"to_version": "2"}, "to_version", "whole number"),
    Bad(DISCOUNT, {"coupon": "NOPE"}, "coupon", "NOPE"),
    Bad(DISCOUNT, {"coupon": "GONE"}, "coupon", "GONE"),
    Bad(DISCOUNT, {"coupon": ""}, "coupon", "at least 1"),
    Bad(DISCOUNT, {}, "coupon", "missing"),
    Bad(f"POST {OVER}/discounts", {"coupon": "SOON"}, "subscription_id", "reactivate", 409),
]
COUPONS = [
    Bad("POST coupons", {"code": "NEW", **more}, field, says)
    for more, field, says in (
        ({}, "percent", "one of the two"),
        ({"percent": 5, "amount": 5, "asset": "USD"}, "percent", "one of the two"),
        ({"percent": 0}, "percent", "more than 0"),
        ({"percent": 100.5}, "percent", "at most 100"),
        ({"percent": -1}, "percent", "more than 0"),
        ({"percent": "<1e-999999999>"}, "percent", "decimals"),
        ({"percent": "<1e999999999>"}, "percent", "at most 100"),
        ({"percent": "50"}, "percent", "a number"),
        ({"percent": 5, "asset": "USD"}, "asset", "leave it out"),
        ({"amount": 5}, "asset", "missing"),
        ({"amount": 5, "asset": "NOPE"}, "asset", "create the asset"),
        ({"amount": 0, "asset": "USD"}, "amount", "more than 0"),
        ({"amount": "<1e-10>", "asset": "USD"}, "amount", "9 decimals"),
        ({"percent": 5, "periods": 0}, "periods", "from 1 to"),
        ({"percent": 5, "periods": 1001}, "periods", "from 1 to"),
        ({"percent": 5, "products": []}, "products", "at least 1"),
        ({"percent": 5, "products": ["nope"]}, "products[0]", "create the product"),
        ({"percent": 5, "products": ["seats", "{seats}"]}, "products", "twice"),
        ({"percent": 5, "redeem_by": "2026-03-01T00:00:00Z"}, "redeem_by", "later"),
        ({"percent": 5, "redeem_by": "9999-03-01T00:00:00Z"}, "redeem_by", "8999"),
    )
]
COUPONS += [
    Bad("POST coupons", {"code": "a b", "percent": 5}, "code", "letters"),
    Bad("POST coupons", {"code": "GONE", "percent": 5}, "code", "another code", 409),
]
ADVANCE = "POST test-clocks/{clock_id}/advance"
OUTCOME = "POST events/{event_id}/outcome"
SETTLED = {"transaction_id": "t", "outcome": "confirmed"}
COST = {"id": "c", "vendor_id": "{vendor_id}", "amount": 1}
OTHERS = [
    Bad(ADVANCE, {"to": "2026-03-01T00:00:00Z"}, "to", "forward"),
    Bad(ADVANCE, {"to": "2032-03-01T00:00:00Z"}, "to", "go in steps"),
    Bad(ADVANCE, {"to": "9999-03-01T00:00:00Z"}, "to", "8999"),
    Bad(ADVANCE, {"to": "1969-03-01T00:00:00Z"}, "to", "forward"),
    Bad(ADVANCE, {"to": "2026-03-03"}, "to", "2026-01-31T12:00:00Z"),
    Bad(ADVANCE, {}, "to", "missing"),
    Bad("POST test-clocks", {"now": "9999-01-01T00:00:00Z"}, "now", "8999"),
    Bad("POST test-clocks", {"now": "1960-01-01T00:00:00Z"}, "now", "1970"),
    Bad("POST test-clocks", {"now": "now"}, "now", "2026-01-31T12:00:00Z"),
    Bad("POST test-clocks", {"now": "2026-03-03T00:00:00Z", "name": ""}, "name", "at least 1"),
    Bad(OUTCOME, {**SETTLED, "outcome": "done"}, "outcome", "withdrawn"),
    Bad(OUTCOME, {**SETTLED, "outcome": "changed"}, "data", "missing"),
    Bad(OUTCOME, {**SETTLED, "outcome": "withdrawn", "data": {}}, "data", "leave it out"),
    Bad(OUTCOME, {**SETTLED, "data": {"tokens": 5}}, "outcome", "'changed'", 409),
    Bad(
        OUTCOME, {**SETTLED, "outcome": "changed", "data": {"tokens": -5}}, "data.tokens", "from 0"
    ),
    Bad(
        OUTCOME, {**SETTLED, "outcome": "changed", "data": {"tokens": "x"}}, "data.tokens", "number"
    ),
    Bad(OUTCOME, {**SETTLED, "transaction_id": "gift-QUARTZ"}, "transaction_id", "new one", 409),
    Bad(OUTCOME, {**SETTLED, "customer_external_id": "nobody"}, "customer_external_id", "nobody"),
    Bad(
        OUTCOME,
        {**SETTLED, "customer_id": "{customer_id}", "customer_external_id": "ada-QUARTZ"},
        "customer_id",
        "one of",
    ),
    Bad("POST vendors", {"name": ""}, "name", "at least 1"),
    Bad(
        "POST vendors",
        {"name": "V", "external_id": "vendor-QUARTZ"},
        "external_id",
        "use that one",
        409,
    ),
    Bad("POST vendors", {"name": "V", "external_id": 7}, "external_id", "a text"),
    *[
        Bad(
            "POST events",
            usage("{customer_id}", event("e", occurred_at=NOW.isoformat(), costs=costs)),
            f"events[0].costs{field}",
            says,
        )
        for costs, field, says in (
            ([{**COST, "amount": -1}], "[0].amount", "0 or more"),
            ([{**COST, "amount": "<1e-999999999>"}], "[0].amount", "9 decimals"),
            ([{**COST, "currency": "NOPE"}], "[0].currency", "currency"),
            ([COST] * 101, "", "at most 100"),
        )
    ],
    *[
        Bad(f"GET {path}{'&' if '?' in path else '?'}{query}", None, field, says)
        for path in (
            "stats",
            "customers/stats",
            "vendors/{vendor_id}/stats",
            "customers/{customer_id}/stats",
        )
        for query, field, says in (
            ("period_from=2026-02-30", "period_from", "a day such as"),
            ("period_from=1969-12-31", "period_from", "from 1970"),
            ("period_to=9999-12-31", "period_to", "to 8999"),
            ("period_from=2026-03-02&period_to=2026-03-01", "period_to", "later"),
            ("currency=GEMSQUARTZ", "currency", "ISO 4217"),
            ("color=red", "color", "period_from"),
        )
    ],
    Bad("GET webhooks?enabled=null", None, "enabled", "leave it out"),
    *[
        Bad(f"GET {path}?{query}", None, field, says)
        for path in ("stats", "customers/stats")
        for query, field, says in (
            ("limit=0", "limit", "from 1 to 100"),
            ("limit=101", "limit", "from 1 to 100"),
            ("limit=1.5", "limit", "whole number"),
            ("offset=-1", "offset", "from 0 to"),
            ("offset=99999999999999999999", "offset", "from 0 to"),
        )
    ],
    Bad("GET stats?group_by=planet", None, "group_by", "customer, product"),
    Bad("GET stats?group_by=customer,customer", None, "group_by", "once"),
    Bad("GET stats?group_by=customer,day,month", None, "group_by", "one or two"),
    Bad("GET stats?group_by=", None, "group_by", "at least 1"),
    Bad("GET stats?group_by=vendor,product", None, "group_by", "vendor or category"),
    Bad("GET stats?sort=name", None, "sort", "net_revenue"),
    Bad("POST accounts", {"name": ""}, "name", "at least 1"),
    Bad("POST accounts", {"name": "A", "metadata": {"k": 5}}, "metadata.k", "a text"),
    Bad(
        "POST accounts",
        {"name": "A", "metadata": {str(n): "" for n in range(51)}},
        "metadata",
        "at most 50",
    ),
    Bad(
        "POST accounts", {"name": "A", "metadata": {"k": "v" * 17_000}}, "metadata", "at most 16384"
    ),
    Bad("POST accounts", {"name": "A", "external_id": "x" * 201}, "external_id", "at most 200"),
    Bad(
        "PATCH accounts/self",
        {"alerts": {"low_balances": {"NONE": 1}}},
        "alerts.low_balances.NONE",
        "GET /v1/assets",
    ),
    Bad(
        "PATCH accounts/self",
        {"alerts": {"low_balances": {"USD": -1}}},
        "alerts.low_balances.USD",
        "0 or more",
    ),
    Bad(
        "PATCH accounts/self",
        {"alerts": {"grant_expiring_hours": 8785}},
        "alerts.grant_expiring_hours",
        "from 0 to",
    ),
    Bad("PATCH accounts/self", {"alerts": {"low": {}}}, "alerts.low", "low_balances"),
    Bad("PATCH accounts/self", {"timezone": "Mars/Olympus"}, "timezone", "Europe/Berlin"),
    Bad("PATCH accounts/self", {"timezone": ""}, "timezone", "Europe/Berlin"),
    Bad("PATCH accounts/self", {"timezone": "../../etc/passwd"}, "timezone", "Europe/Berlin"),
    Bad(
        "PATCH accounts/self",
        {"renewals": {"retry_hours": [5, 5]}},
        "renewals.retry_hours",
        "higher",
    ),
    Bad(
        "PATCH accounts/self",
        {"renewals": {"retry_hours": [0]}},
        "renewals.retry_hours",
        "above 0",
    ),
    Bad(
        "PATCH accounts/self",
        {"renewals": {"retry_hours": [24, 200], "grace_hours": 168}},
        "renewals.retry_hours",
        "grace_hours",
    ),
    Bad("PATCH accounts/self", {"renewals": {"grace_hours": -1}}, "renewals.grace_hours", "from"),
    Bad(
        "PATCH accounts/self", {"renewals": {"grace_hours": 10**9}}, "renewals.grace_hours", "from"
    ),
    Bad(
        "PATCH accounts/self",
        {"renewals": {"may_overdraw": "yes"}},
        "renewals.may_overdraw",
        "true or false",
    ),
    Bad(
        "PATCH accounts/self",
        {"timezone": "Asia/Tokyo", "renewals": {"retry_hours": [5, 5]}},
        "renewals.retry_hours",
        "higher",
    ),
    Bad("PATCH accounts/self", {}, "timezone", "renewals"),
    *[
        Bad(f"POST {path}", {"amount": 5, "period": "day", **more}, field, says)
        for path in ("limits", "customers/{customer_id}/limits")
        for more, field, says in (
            ({}, "asset", "missing"),
            ({"asset": "NOPE"}, "asset", "create the asset"),
            ({"asset": "USD", "amount": -1}, "amount", "from 0"),
            ({"asset": "USD", "amount": "<1e-10>"}, "amount", "9 decimals"),
            ({"asset": "USD", "amount": "<1e999999999>"}, "amount", "too large"),
            ({"measure": "events", "amount": 1.5}, "amount", "whole number"),
            ({"measure": "volume"}, "volume_field", "missing"),
            ({"measure": "events", "asset": "USD"}, "asset", "leave it out"),
            ({"asset": "USD", "period": "fortnight"}, "period", "month"),
            ({"asset": "USD", "mode": "free"}, "measure", "grant"),
            (
                {"asset": "USD", "mode": "soft", "rejects_events": True},
                "rejects_events",
                "leave it out",
            ),
            ({"asset": "USD", "period": "lifetime", "window": "rolling"}, "window", "leave it out"),
            ({"asset": "USD", "timezone": "Mars"}, "timezone", "Europe/Berlin"),
        )
    ],
    Bad(
        "POST customers/{customer_id}/limits",
        {"amount": 5, "period": "day", "asset": "USD", "customer_metadata": {}},
        "customer_metadata",
        "leave it out",
    ),
    Bad("PATCH limits/{limit_id}", {"amount": -1}, "amount", "from 0"),
    Bad("PATCH limits/{limit_id}", {"period": "day"}, "period", "amount"),
    Bad("PATCH limits/{limit_id}", {"mode": "free"}, "mode", "soft"),
    Bad(
        "PATCH limits/{limit_id}",
        {"mode": "soft", "rejects_events": True},
        "rejects_events",
        "hard",
    ),
    Bad(
        "PATCH customers/{customer_id}/limits/{own_limit_id}",
        {"amount": "<1e999999999>"},
        "amount",
        "too large",
    ),
    Bad("GET due-work?status=never", None, "status", "set_aside"),
    Bad("GET events?period_from=2026-03-02&period_to=2026-03-01", None, "period_to", "later"),
]
CASES = [*PRODUCTS, *ASSETS, *SUBSCRIPTIONS, *COUPONS, *OTHERS]


@pytest.fixture(scope="module")
def answers(place: Place) -> Iterator[list[Answer]]:
    before = place.world()
    yield [place.send(bad) for bad in CASES]
    assert place.world() == before


@pytest.mark.parametrize("number", range(len(CASES)))
def test_bad_input_is_refused_with_the_field_and_the_remedy(
    answers: list[Answer], number: int
) -> None:
    bad, answer = CASES[number], answers[number]
    assert is_problem(answer, bad.status), (bad, answer.body)
    assert bad.field in answer.body.get("errors", {}), (bad, answer.body)
    assert bad.says in answer.body["errors"][bad.field][0], (bad, answer.body)
