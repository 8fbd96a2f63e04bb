"""What a seller may ask: a price that would not be collected as written is refused by field."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from faregate.core import codec
from faregate.core.plan_checks import validate_entitlements
from faregate.core.price_checks import validate_prices
from faregate.core.prices import (
    MAX_PRICES,
    Entitlement,
    Price,
)
from faregate.core.problems import FaregateError

from .builders import ASSETS, dimensional, price, value

FLAT: dict[str, Any] = {
    "type": "usage_based",
    "name": "Calls",
    "usage_calculation": {"event_type": "call", "usage_type": "unit"},
    "billing_model": {"type": "real_time"},
    "pricing": [{"asset": "USD", "values": [{"unit_price": 0.1}]}],
}
BY_MODEL: dict[str, Any] = {
    **FLAT,
    "usage_calculation": {
        "event_type": "call",
        "usage_type": "volume",
        "volume_field": "tokens",
        "billable_dimensions": ["model"],
    },
    "pricing": [
        {
            "asset": "USD",
            "values": [
                {"dimensions": {"model": "a"}, "values": [{"volume_rate": 1}]},
                {"dimensions": {"model": "*"}, "values": [{"volume_rate": 2}]},
            ],
        }
    ],
}
BY_USES: dict[str, Any] = {
    **FLAT,
    "pricing_model": "tiered",
    "tiering": {"basis": "unit", "period": "monthly"},
    "pricing": [
        {
            "asset": "USD",
            "values": [
                {"unit_price": 3, "up_to": 10},
                {"unit_price": 2, "up_to": 20},
                {"unit_price": 1},
            ],
        }
    ],
}
BY_VOLUME: dict[str, Any] = {
    **FLAT,
    "usage_calculation": {"event_type": "call", "usage_type": "volume", "volume_field": "tokens"},
    "pricing_model": "bulk",
    "tiering": {"basis": "volume"},
    "pricing": [
        {"asset": "USD", "values": [{"volume_rate": 2, "up_to": 0.5}, {"volume_rate": 1}]},
    ],
}
BY_SUM: dict[str, Any] = {
    **FLAT,
    "usage_calculation": {
        "event_type": "call",
        "usage_type": "custom",
        "volume_aggregation": "input + 4 * output",
    },
    "pricing": [{"asset": "USD", "values": [{"volume_rate": 0.1}]}],
}
BY_COST: dict[str, Any] = {
    **FLAT,
    "usage_calculation": {
        "event_type": "call",
        "usage_type": "cost",
        "costs": {"vendor_external_id": "acme", "category": "gpu"},
    },
    "pricing": [{"asset": "USD", "values": [{"volume_rate": 1.2, "min_amount": 0.01}]}],
}
FIXED: dict[str, Any] = {
    "type": "fixed",
    "name": "Seats",
    "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
    "collection": {"type": "balance"},
    "pricing": [{"asset": "USD", "values": [{"unit_price": 10, "quantity": 10}]}],
}


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with other values at dotted paths; numbers in a path are list indexes."""
    result = copy.deepcopy(base)
    for path, new in changes.items():
        *way, last = path.split(".")
        place: Any = result
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[last] = new
    return result


def errors_of(source: dict[str, Any]) -> dict[str, list[str]]:
    # Numbers are written as JSON text, so that no float stands between the case and the rule.
    text = json.dumps(source).replace('"#', "").replace('#"', "")
    prices = codec.decode_request(tuple[Price, ...], f"[{text}]".encode())
    return validate_prices(prices, ASSETS)


USAGE = "usage_calculation"
FIRST = "pricing.0.values.0"
TIERS = "pricing.0.values"

GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (FLAT, {}),
    (BY_MODEL, {}),
    (FLAT, {f"{FIRST}.unit_price": "#0.000000000000000001#"}),
    (FLAT, {f"{FIRST}.unit_price": 0}),
    (FLAT, {f"{FIRST}.unit_price": "#1e18#"}),
    (FLAT, {f"{FIRST}.min_amount": 1, f"{FIRST}.max_amount": 1}),
    (FLAT, {f"{USAGE}.unit_aggregation": "count", "pricing_model": "flat"}),
    (FLAT, {"collection": {"type": "balance", "address": "bonus:USD"}}),
    (BY_MODEL, {f"{USAGE}.volume_aggregation": "sum"}),
    (BY_MODEL, {f"{FIRST}.values.0.package_size": 1000}),
    (BY_MODEL, {f"{FIRST}.values.0.package_size": "#1e12#"}),
    (BY_USES, {}),
    (BY_SUM, {}),
    (BY_COST, {}),
    (BY_COST, {f"{USAGE}.costs": None}),
    (BY_COST, {"pricing_model": "tiered", "tiering": {"basis": "volume"}}),
    (BY_SUM, {f"{FIRST}.package_size": 10, "pricing_model": "package"}),
    (BY_SUM, {"pricing_model": "bulk", "tiering": {"basis": "custom"}}),
    (BY_USES, {"pricing_model": "bulk", "tiering": {"basis": "unit"}}),
    (BY_USES, {TIERS: [{"unit_price": 1}]}),
    (BY_USES, {"tiering.period": "custom"}),
    (BY_VOLUME, {}),
    (BY_VOLUME, {f"{TIERS}.0.package_size": 10, f"{TIERS}.1.package_size": 5}),
    (BY_MODEL, {"pricing_model": "tiered", "tiering": {"basis": "unit", "period": "yearly"}}),
]


@pytest.mark.parametrize(("base", "changes"), GOOD)
def test_a_price_that_can_be_collected_is_accepted(
    base: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert errors_of(changed(base, changes)) == {}


BAD: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (FLAT, {"id": "prc_mine"}, "id", "leave it out"),
    (FLAT, {"collection": {"type": "invoice"}}, "collection.type", "not available yet"),
    (
        FLAT,
        {"funding_destination": {"address": "x"}},
        "funding_destination.address",
        "not an account",
    ),
    (FLAT, {"pricing.0.asset": "XYZ"}, "pricing[0].asset", "unknown"),
    (
        FLAT,
        {"pricing": FLAT["pricing"] * 2},
        "pricing[1].asset",
        "listed twice",
    ),
    (
        FLAT,
        {"billing_model": {"type": "one_time", "one_time": {}}},
        "billing_model.type",
        "real_time",
    ),
    (FLAT, {"pricing_model": "tiered"}, "tiering.basis", "is missing"),
    (FLAT, {"pricing_model": "bulk", "tiering": {}}, "tiering.basis", "is missing"),
    (FLAT, {"tiering": {"basis": "unit"}}, "tiering", "use tiered or bulk"),
    (FLAT, {f"{FIRST}.up_to": 10}, "pricing[0].values[0].up_to", "use tiered"),
    (BY_USES, {"tiering.basis": "volume"}, "tiering.basis", "use unit"),
    (BY_USES, {"tiering.basis": "package"}, "tiering.basis", "use unit"),
    (BY_USES, {"tiering.basis": "custom"}, "tiering.basis", "use unit"),
    (BY_VOLUME, {"tiering.basis": "custom"}, "tiering.basis", "unit or volume or package"),
    (BY_USES, {f"{TIERS}.1.up_to": 10}, "pricing[0].values[1].up_to", "tiers must rise"),
    (BY_USES, {f"{TIERS}.1.up_to": 9}, "pricing[0].values[1].up_to", "tiers must rise"),
    (BY_USES, {f"{TIERS}.1.up_to": None}, "pricing[0].values[1].up_to", "is missing"),
    (BY_USES, {f"{TIERS}.0.up_to": 0}, "pricing[0].values[0].up_to", "above 0"),
    (BY_USES, {f"{TIERS}.0.up_to": -1}, "pricing[0].values[0].up_to", "above 0"),
    (BY_USES, {f"{TIERS}.0.up_to": 2.5}, "pricing[0].values[0].up_to", "a whole number"),
    (BY_USES, {f"{TIERS}.1.up_to": "#1e19#"}, "pricing[0].values[1].up_to", "up to 1000"),
    (BY_USES, {f"{TIERS}.1.up_to": "#1e99999#"}, "pricing[0].values[1].up_to", "too large"),
    (BY_USES, {f"{TIERS}.2.up_to": 30}, "pricing[0].values[2].up_to", "leave it out"),
    (BY_USES, {f"{TIERS}.1.unit_price": None}, "pricing[0].values[1].unit_price", "is missing"),
    (BY_USES, {f"{TIERS}.2.unit_price": -1}, "pricing[0].values[2].unit_price", "out of range"),
    (
        BY_USES,
        {TIERS: [{"unit_price": 1, "up_to": n} for n in range(1, 101)] + [{"unit_price": 1}]},
        "pricing[0].values",
        "at most 100",
    ),
    (
        BY_VOLUME,
        {f"{TIERS}.0.up_to": "#0.0000000000001#"},
        "pricing[0].values[0].up_to",
        "at most 12 decimals",
    ),
    (
        BY_VOLUME,
        {"tiering.basis": "package"},
        "pricing[0].values[0].package_size",
        "is missing",
    ),
    (
        BY_VOLUME,
        {"tiering.basis": "package", f"{TIERS}.0.package_size": 10, f"{TIERS}.1.package_size": 5},
        "pricing[0].values",
        "need one size",
    ),
    (
        BY_MODEL,
        {"pricing_model": "tiered", "tiering": {"basis": "volume"}, f"{FIRST}.values.0.up_to": 5},
        "pricing[0].values[0].values[0].up_to",
        "ends the last tier",
    ),
    (BY_SUM, {f"{USAGE}.volume_aggregation": None}, f"{USAGE}.volume_aggregation", "is missing"),
    (BY_SUM, {f"{USAGE}.volume_aggregation": "sum"}, f"{USAGE}.volume_aggregation", "is missing"),
    (BY_SUM, {f"{USAGE}.volume_aggregation": "a +"}, f"{USAGE}.volume_aggregation", "its end"),
    (BY_SUM, {f"{USAGE}.volume_field": "a"}, f"{USAGE}.volume_field", "has no use"),
    (BY_SUM, {f"{USAGE}.costs": {}}, f"{USAGE}.costs", "has no use"),
    (BY_COST, {f"{USAGE}.volume_field": "a"}, f"{USAGE}.volume_field", "has no use"),
    (BY_COST, {f"{FIRST}.unit_price": 1}, "pricing[0].values[0].unit_price", "has no use"),
    (BY_COST, {f"{FIRST}.volume_rate": None}, "pricing[0].values[0].volume_rate", "is missing"),
    (BY_COST, {f"{FIRST}.package_size": 5}, "pricing[0].values[0].package_size", "has no use"),
    (BY_COST, {"pricing_model": "package"}, "pricing[0].values[0].package_size", "has no use"),
    (BY_COST, {f"{USAGE}.volume_aggregation": "a"}, f"{USAGE}.volume_aggregation", "sum"),
    (BY_SUM, {f"{FIRST}.unit_price": 1}, "pricing[0].values[0].unit_price", "has no use"),
    (BY_SUM, {f"{FIRST}.volume_rate": None}, "pricing[0].values[0].volume_rate", "is missing"),
    (
        BY_SUM,
        {"pricing_model": "tiered", "tiering": {"basis": "volume"}},
        "tiering.basis",
        "unit or custom",
    ),
    (FLAT, {f"{USAGE}.unit_aggregation": "max"}, f"{USAGE}.unit_aggregation", "count"),
    (BY_MODEL, {f"{USAGE}.volume_aggregation": "max"}, f"{USAGE}.volume_aggregation", "sum"),
    (BY_MODEL, {f"{USAGE}.volume_field": None}, f"{USAGE}.volume_field", "is missing"),
    (
        BY_MODEL,
        {f"{USAGE}.billable_dimensions": ["model", "model"]},
        f"{USAGE}.billable_dimensions",
        "twice",
    ),
    (
        FLAT,
        {"collection": {"type": "balance", "address": "USD"}},
        "collection.address",
        "name:ASSET",
    ),
    (
        FLAT,
        {"collection": {"type": "balance", "address": "default:EUR"}},
        "collection.address",
        "default:USD",
    ),
    (
        FLAT,
        {"collection": {"type": "balance", "address": "my account:USD"}},
        "collection.address",
        "default:USD",
    ),
    (FLAT, {"pricing.0.values": [{"unit_price": 1}] * 2}, "pricing[0].values", "2 entries"),
    (FLAT, {"pricing.0.values": [{}]}, "pricing[0].values[0].unit_price", "is missing"),
    (FLAT, {f"{FIRST}.volume_rate": 1}, "pricing[0].values[0].volume_rate", "no use"),
    (FLAT, {f"{FIRST}.unit_price": -1}, "pricing[0].values[0].unit_price", "out of range"),
    (
        FLAT,
        {f"{FIRST}.unit_price": "#1.000000000000000000001#"},
        "pricing[0].values[0].unit_price",
        "18 decimals",
    ),
    (
        FLAT,
        {f"{FIRST}.unit_price": "#1e999999999#"},
        "pricing[0].values[0].unit_price",
        "too large",
    ),
    (
        FLAT,
        {f"{FIRST}.unit_price": "#1000000000000000001#"},
        "pricing[0].values[0].unit_price",
        "out of range",
    ),
    (
        FLAT,
        {f"{FIRST}.min_amount": 2, f"{FIRST}.max_amount": 1},
        "pricing[0].values[0].min_amount",
        "above max_amount",
    ),
    (
        BY_MODEL,
        {f"{FIRST}.values.0.unit_price": 1},
        "pricing[0].values[0].values[0].unit_price",
        "no use",
    ),
    (
        BY_MODEL,
        {f"{FIRST}.values": [{}]},
        "pricing[0].values[0].values[0].volume_rate",
        "is missing",
    ),
    (
        BY_MODEL,
        {f"{USAGE}.usage_type": "unit_and_volume"},
        "pricing[0].values[0].values[0].unit_price",
        "is missing",
    ),
    (
        BY_MODEL,
        {f"{FIRST}.dimensions": {"region": "eu"}},
        "pricing[0].values[0].dimensions.region",
        "billable_dimensions",
    ),
    (BY_MODEL, {f"{FIRST}.values": None}, "pricing[0].values[0]", "give both"),
    (BY_MODEL, {f"{FIRST}.dimensions": None}, "pricing[0].values[0]", "give both"),
    (BY_MODEL, {f"{FIRST}.volume_rate": 1}, "pricing[0].values[0]", "into its values"),
    (BY_MODEL, {f"{FIRST}.package_size": 1000}, "pricing[0].values[0]", "into its values"),
    (BY_MODEL, {f"{FIRST}.up_to": 10}, "pricing[0].values[0]", "into its values"),
    (
        BY_MODEL,
        {"pricing_model": "package", f"{FIRST}.values.0.package_size": 10},
        "pricing[0].values[1].values[0].package_size",
        "is missing",
    ),
    (
        BY_MODEL,
        {f"{FIRST}.values.0.package_size": 0},
        "pricing[0].values[0].values[0].package_size",
        "from 1",
    ),
    (
        BY_MODEL,
        {f"{FIRST}.values.0.package_size": "#1.5#"},
        "pricing[0].values[0].values[0].package_size",
        "whole",
    ),
    (
        BY_MODEL,
        {f"{FIRST}.values.0.package_size": -1},
        "pricing[0].values[0].values[0].package_size",
        "from 1",
    ),
    (
        BY_MODEL,
        {f"{FIRST}.values.0.package_size": "#1e999999999#"},
        "pricing[0].values[0].values[0].package_size",
        "whole number",
    ),
    (
        BY_MODEL,
        {
            f"{FIRST}.values.0.package_size": 999_999_999_989,
            "pricing.0.values.1.values.0.package_size": 999_999_999_961,
        },
        "pricing[0].values",
        "common multiple",
    ),
    (FLAT, {"collection": {"type": "balance", "timing": "in_arrears"}}, "collection.timing", "fit"),
    (
        FIXED,
        {"billing_model": {"type": "one_time", "one_time": {"service_period": "3 months"}}},
        "billing_model.one_time.service_period",
        "no duration",
    ),
    (
        FIXED,
        {
            "billing_model": {"type": "one_time", "one_time": {}},
            "collection": {"type": "balance", "timing": "in_arrears"},
        },
        "collection.timing",
        "asked once",
    ),
    (FIXED, {"collection": {"type": "invoice"}}, "collection.type", "not available"),
    (FIXED, {"collection.address": "default:EUR"}, "collection.address", "not an account"),
    (FIXED, {f"{FIRST}.quantity": 1.5}, "pricing[0].values[0].quantity", "whole number"),
    (FIXED, {f"{FIRST}.unit_price": 10**12}, "pricing[0].values", "more than the ledger"),
    (FIXED, {"pricing_model": "tiered"}, "pricing_model", "does not fit"),
    (FIXED, {"tiering": {}}, "tiering", "does not fit"),
    (FIXED, {"pricing.0.asset": "XYZ"}, "pricing[0].asset", "unknown"),
    (FIXED, {f"{FIRST}.unit_price": -1}, "pricing[0].values[0].unit_price", "out of range"),
    (FIXED, {f"{FIRST}.quantity": -1}, "pricing[0].values[0].quantity", "whole number"),
]


@pytest.mark.parametrize(("base", "changes", "path", "message"), BAD)
def test_a_price_that_could_not_be_collected_is_refused_by_field(
    base: dict[str, Any], changes: dict[str, Any], path: str, message: str
) -> None:
    errors = errors_of(changed(base, changes))
    assert f"prices[0].{path}" in errors
    assert message in errors[f"prices[0].{path}"][0]


def test_the_same_dimensions_twice_are_refused_because_one_could_never_apply() -> None:
    one, same = dimensional({"model": "*"}, unit_price="1"), dimensional({}, unit_price="2")
    twice = price(one, same, dimensions=("model",), id="")
    errors = validate_prices((twice,), ASSETS)
    assert "are listed before" in errors["prices[0].pricing[0].values[1].dimensions"][0]


def test_every_bad_price_is_named_by_its_place() -> None:
    unpriced = price(value(), id="")
    errors = validate_prices((price(value(unit_price="1")), unpriced, unpriced), ASSETS)
    assert {path.partition(".")[0] for path in errors} == {"prices[0]", "prices[1]", "prices[2]"}
    assert errors["prices[0].id"] == ["is chosen by Faregate: leave it out"]


def test_a_product_has_at_most_a_hundred_prices() -> None:
    errors = validate_prices((price(value(unit_price="1")),) * (MAX_PRICES + 1), ASSETS)
    assert list(errors) == ["prices"]


ENTITLEMENT: dict[str, Any] = {
    "name": "Monthly",
    "asset": "CREDITS",
    "amount": 100,
    "purpose": "bundled",
    "lifecycle": {
        "duration": "month",
        "refresh": {"strategy": "rollover", "max_amount": 20, "max_periods": 2},
    },
    "accounting": {"revenue_basis": 0.02},
    "priority": 5,
    "limited_to": {"event_types": ["call"], "dimensions": {"model": "small"}},
}


def entitlement_errors(changes: dict[str, Any]) -> dict[str, list[str]]:
    body = codec.encode(changed(ENTITLEMENT, changes))
    return validate_entitlements((codec.decode_request(Entitlement, body),), ASSETS)


def test_an_entitlement_says_what_is_granted_for_how_long_and_for_what() -> None:
    assert entitlement_errors({}) == {}
    assert validate_entitlements(None, ASSETS) == {}


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"asset": "XYZ"}, "asset", "unknown"),
        ({"amount": 0}, "amount", "more than 0"),
        ({"amount": -1}, "amount", "more than 0"),
        # CREDITS keeps two decimals.
        ({"amount": 1.001}, "amount", "more decimals"),
        ({"id": "ent_mine"}, "id", "chosen by Faregate"),
        ({"lifecycle.refresh.max_amount": 0.001}, "lifecycle.refresh.max_amount", "decimals"),
        ({"lifecycle.refresh.max_amount": -1}, "lifecycle.refresh.max_amount", "0 or more"),
        (
            {"lifecycle.refresh.strategy": "expire_and_replace"},
            "lifecycle.refresh.max_periods",
            "rollover",
        ),
        ({"accounting.revenue_basis": -1}, "accounting.revenue_basis", "out of range"),
        ({"accounting.currency": "CREDITS"}, "accounting.currency", "ISO 4217"),
    ],
)
def test_an_entitlement_that_could_not_be_granted_is_refused_by_field(
    changes: dict[str, Any], path: str, message: str
) -> None:
    errors = entitlement_errors(changes)
    assert message in errors[f"entitlements[0].{path}"][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "paid"},
        {"lifecycle.duration": "hour"},
        {"lifecycle.duration_count": 0},
        {"lifecycle.refresh.strategy": "keep"},
        {"limited_to": {"models": ["small"]}},
        {"limited_to": {"event_types": []}},
        {"accounting": {"revenue_basis": "0.02"}},
        {"amount": "100"},
        {"priority": -1},
    ],
)
def test_an_entitlement_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FaregateError):
        entitlement_errors(changes)
