"""The demo's imaginary business: what it sells, to whom, and what one request of the trace was.
Everything follows from the row's number, so that every run charges the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from faregate.catalog.types import CreateProduct
from faregate.cli.trace import TraceRequest
from faregate.core.codec import decode, encode
from faregate.core.events import UsageEvent

CUSTOMERS: Final = 50
SEED: Final = 7
MODELS: Final = ("swift-mini", "swift-mini", "swift-pro", "swift-mini", "swift-pro-long")
IMAGE_EVERY: Final = 25
IMAGES: Final = (("1024", "standard"), ("1024", "hd"), ("2048", "standard"), ("2048", "hd"))
_FIRST: Final = ("Amber", "Birch", "Cobalt", "Delta", "Ember", "Fjord", "Grove", "Harbor", "Iris")
_SECOND: Final = ("Labs", "Health", "Robotics", "Legal", "Studio", "Freight")
_USD: Final = "USD"


def customer_name(number: int) -> str:
    """Return the name of customer 0, 1, …; no two are the same."""
    row, column = divmod(number, len(_FIRST))
    return f"{_FIRST[column]} {_SECOND[(row + column) % len(_SECOND)]}"


def starting_credit(number: int) -> str:
    """Return how many USD a customer begins with: the heavy ones more, most of them enough."""
    return "25" if number == 0 else "8" if number < 8 else "2.5"


def _price(name: str, calculation: dict[str, Any], values: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "usage_based",
        "name": name,
        "usage_calculation": calculation,
        "billing_model": {"type": "real_time"},
        "pricing": [{"asset": _USD, "values": values}],
    }


def _token_price(name: str, field: str, rates: dict[str, float]) -> dict[str, Any]:
    calculation = {
        "event_type": "llm_call",
        "usage_type": "volume",
        "volume_field": field,
        "billable_dimensions": ["model"],
    }
    values = [
        {
            "dimensions": {"model": model},
            "values": [{"volume_rate": rate, "package_size": 1_000_000}],
        }
        for model, rate in rates.items()
    ]
    return _price(name, calculation, values)


def _image_price() -> dict[str, Any]:
    calculation = {
        "event_type": "image",
        "usage_type": "unit",
        "billable_dimensions": ["size", "quality"],
    }
    prices = (0.02, 0.04, 0.06, 0.09)
    values = [
        {
            "dimensions": {"size": size, "quality": quality},
            "values": [{"unit_price": price}],
        }
        for (size, quality), price in zip(IMAGES, prices, strict=True)
    ]
    return _price("Images", calculation, values)


def products() -> list[CreateProduct]:
    """Return what is sold: a price per request, tokens by model, and images."""
    calls = {"event_type": "api_call", "usage_type": "unit"}
    input_rates = {"swift-mini": 0.15, "swift-pro": 2.5, "*": 3}
    output_rates = {"swift-mini": 0.6, "swift-pro": 10, "*": 15}
    shelf = [
        ("Requests", "requests", [_price("Requests", calls, [{"unit_price": 0.0004}])]),
        (
            "Tokens",
            "tokens",
            [
                _token_price("Input tokens", "input_tokens", input_rates),
                _token_price("Output tokens", "output_tokens", output_rates),
            ],
        ),
        ("Images", "images", [_image_price()]),
    ]
    return [
        decode(
            CreateProduct, encode({"name": name, "code": code, "prices": prices, "publish": True})
        )
        for name, code, prices in shelf
    ]


def events_of(row: int, request: TraceRequest, began_at: datetime) -> list[UsageEvent]:
    """Return what one request of the trace is reported as."""
    at = began_at + timedelta(milliseconds=request.offset_ms)
    tokens = {
        "model": MODELS[row % len(MODELS)],
        "input_tokens": request.context_tokens,
        "output_tokens": request.generated_tokens,
    }
    events = [
        UsageEvent(f"req-{row}", "api_call", at),
        UsageEvent(f"llm-{row}", "llm_call", at, data=tokens),
    ]
    if row % IMAGE_EVERY == 0:
        size, quality = IMAGES[row // IMAGE_EVERY % len(IMAGES)]
        events.append(
            UsageEvent(f"img-{row}", "image", at, data={"size": size, "quality": quality})
        )
    return events
