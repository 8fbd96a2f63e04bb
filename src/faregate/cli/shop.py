"""What the demo's company sells. Fernglass makes agents, pictures and voices, and sells them in six
ways: by tokens, by the piece, as a plan with credit in it, as packs of credit, by the seat, and by
contract. What a use looks like lives in `using`, who buys in `crowd`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from faregate.catalog.coupons import CreateCoupon
from faregate.catalog.types import CreateAsset, CreateProduct, CreateVersion
from faregate.core.bonuses import TopUpBonus
from faregate.core.codec import decode, encode
from faregate.core.portal import PortalSettings

COMPANY: Final = "Fernglass"
SPARK: Final = "SPARK"
SPARKS_PER_USD: Final = 100
AGENTS: Final = "agents"
PICTURES: Final = "pictures"
STUDIO: Final = "studio"
SPARKS: Final = "sparks"
TEAM: Final = "team"
ENTERPRISE: Final = "enterprise"
WELCOME: Final = "WELCOME20"
LAUNCH: Final = "LAUNCH10"
_USD: Final = "USD"
_MILLION: Final = 1_000_000

# USD per million tokens in and out. At first the long model was sold for less than it costs.
_FIRST_RATES: Final = {
    "fern-mini": ("0.80", "3.20"),
    "fern-pro": ("4.00", "16.00"),
    "fern-long": ("2.40", "12.00"),
}
_SECOND_RATES: Final = _FIRST_RATES | {
    "fern-mini": ("0.75", "3.20"),
    "fern-long": ("5.00", "24.00"),
}
PICTURE_PRICES: Final = {
    ("1024", "standard"): "0.03",
    ("1024", "high"): "0.05",
    ("2048", "standard"): "0.07",
    ("2048", "high"): "0.12",
}
_CONTRACT_TIERS: Final = (
    {"up_to": 200_000_000, "volume_rate": 3, "package_size": _MILLION},
    {"volume_rate": "2.6", "package_size": _MILLION},
)


def asset() -> CreateAsset:
    """Return the company's own credit: 100 sparks for a dollar."""
    wanted = {
        "code": SPARK,
        "name": "Sparks",
        "label": "sparks",
        "symbol": "✦",
        "rates": [{"source": _USD, "inverse_rate": SPARKS_PER_USD}],
    }
    return decode(CreateAsset, encode(wanted))


def portal() -> PortalSettings:
    """Return how the portal looks, and what customers may choose there by themselves."""
    return PortalSettings(
        name=COMPANY,
        accent="#0f766e",
        support_email="help@fernglass.example",
        plans=[AGENTS, PICTURES, STUDIO, TEAM],
    )


def bonuses() -> list[TopUpBonus]:
    """Return what a top-up of sparks brings beside it."""
    return decode(list[TopUpBonus], encode([{"id": "big-packs", "percent": 10, "minimum": 5_000}]))


def coupons() -> list[CreateCoupon]:
    """Return the coupons: 20% of the first month, and 10% of agents for three."""
    wanted = [
        {"code": WELCOME, "name": "Welcome", "percent": 20, "periods": 1},
        {"code": LAUNCH, "name": "Launch", "percent": 10, "periods": 3, "products": [AGENTS]},
    ]
    return decode(list[CreateCoupon], encode(wanted))


def products() -> list[CreateProduct]:
    """Return what is sold from the first day on."""
    return [
        _product("Agents API", AGENTS, _token_prices(_FIRST_RATES)),
        _product("Pictures", PICTURES, [_picture_price()]),
        _product(
            "Studio",
            STUDIO,
            [
                _monthly("Studio", 29),
                _price("Scenes", _unit("scene"), SPARK, [{"unit_price": 8}]),
            ],
            entitlements=[
                {
                    "name": "1,500 sparks a month",
                    "asset": SPARK,
                    "amount": 1_500,
                    "purpose": "bundled",
                    "lifecycle": {
                        "duration": "month",
                        "refresh": {"strategy": "rollover", "max_amount": 500},
                    },
                    "accounting": {"revenue_basis": Decimal("0.01")},
                }
            ],
        ),
        _product(
            "Spark packs",
            SPARKS,
            [
                _price(
                    "Voice",
                    _volume("voice", "seconds"),
                    SPARK,
                    [{"volume_rate": 1, "package_size": 10}],
                    pricing_model="package",
                )
            ],
        ),
        _product(
            "Team",
            TEAM,
            [
                _monthly("Seats", 24, seats=1),
                _price(
                    "Transcripts",
                    _volume("transcript", "minutes"),
                    _USD,
                    [
                        {"up_to": 1_000, "volume_rate": "0.012"},
                        {"up_to": 10_000, "volume_rate": "0.009"},
                        {"volume_rate": "0.006"},
                    ],
                    pricing_model="tiered",
                    tiering={"basis": "volume", "period": "monthly"},
                ),
            ],
        ),
        _product(
            "Enterprise",
            ENTERPRISE,
            [
                _monthly("Platform fee", 650, timing="in_arrears"),
                _price("Resolved cases", _unit("case"), _USD, [{"unit_price": "0.99"}]),
                _price(
                    "Tokens under contract",
                    _volume("contract_run", "tokens"),
                    _USD,
                    _CONTRACT_TIERS,
                    pricing_model="bulk",
                    tiering={"basis": "volume", "period": "monthly"},
                ),
            ],
            commitments=[
                {
                    "name": "Least use of cases",
                    "asset": _USD,
                    "recurring": {"interval": "month"},
                    "minimum": 300,
                    "event_types": ["case"],
                }
            ],
        ),
    ]


def second_agents() -> CreateVersion:
    """Return the version in which the long model costs more than it costs us."""
    return decode(CreateVersion, encode({"prices": _token_prices(_SECOND_RATES), "publish": True}))


def draft_pictures() -> CreateVersion:
    """Return what is thought about for pictures, and not sold yet."""
    return decode(CreateVersion, encode({"prices": [_picture_price("1.25")], "publish": False}))


def _product(name: str, code: str, prices: Sequence[Any], **more: Any) -> CreateProduct:
    wanted = {"name": name, "code": code, "prices": prices, "publish": True, **more}
    return decode(CreateProduct, encode(wanted))


def _unit(event_type: str, **more: Any) -> dict[str, Any]:
    return {"event_type": event_type, "usage_type": "unit", **more}


def _volume(event_type: str, field: str, **more: Any) -> dict[str, Any]:
    return {"event_type": event_type, "usage_type": "volume", "volume_field": field, **more}


def _price(
    name: str, measure: Mapping[str, Any], asset: str, values: Sequence[Any], **more: Any
) -> dict[str, Any]:
    return {
        "type": "usage_based",
        "name": name,
        "usage_calculation": measure,
        "billing_model": {"type": "real_time"},
        "pricing": [{"asset": asset, "values": [_exact(value) for value in values]}],
        **more,
    }


def _exact(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value whose numbers that are written as text are exact numbers."""
    return {key: Decimal(v) if isinstance(v, str) else v for key, v in value.items()}


def _monthly(
    name: str, amount: int, *, seats: int | None = None, timing: str = "in_advance"
) -> dict[str, Any]:
    value: dict[str, Any] = {"unit_price": amount}
    if seats is not None:
        value["quantity"] = seats
    return {
        "type": "fixed",
        "name": name,
        "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
        "pricing": [{"asset": _USD, "values": [value]}],
        "collection": {"type": "balance", "timing": timing},
    }


def _token_prices(rates: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        _price(
            name,
            _volume("agent_run", field, billable_dimensions=["model"]),
            _USD,
            [
                {
                    "dimensions": {"model": model},
                    "values": [_exact({"volume_rate": both[side], "package_size": _MILLION})],
                }
                for model, both in rates.items()
            ],
        )
        for side, (name, field) in enumerate(
            (("Input tokens", "input_tokens"), ("Output tokens", "output_tokens"))
        )
    ]


def _picture_price(factor: str = "1") -> dict[str, Any]:
    values = [
        {
            "dimensions": {"size": size, "quality": quality},
            "values": [{"unit_price": Decimal(price) * Decimal(factor)}],
        }
        for (size, quality), price in PICTURE_PRICES.items()
    ]
    measure = _unit("picture", billable_dimensions=["size", "quality"])
    return _price("Pictures", measure, _USD, values)
