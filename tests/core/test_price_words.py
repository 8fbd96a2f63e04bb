"""Prices in words. The sentences were written by hand, from what the prices page says."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.test_differences import by_model, calls, credit, fixed, tiered, usage

from faregate.core.amounts import Number
from faregate.core.codec import decode, encode
from faregate.core.price_words import (
    commitment_in_words,
    entitlement_in_words,
    price_in_words,
)
from faregate.core.prices import Commitment, Entitlement, Price


def read(kind: Any, source: Any) -> Any:
    return decode(kind, encode(numbers(source)))


def numbers(source: Any) -> Any:
    """Digits of a text are a number where a number is asked."""
    if isinstance(source, dict):
        wanted = ("unit_price", "volume_rate", "package_size", "up_to", "quantity", "amount")
        wanted += ("min_amount", "max_amount", "exchange_rate", "revenue_basis", "minimum")
        return {
            key: Number(value) if key in wanted and isinstance(value, str) else numbers(value)
            for key, value in source.items()
            if value is not None
        }
    return [numbers(item) for item in source] if isinstance(source, (list, tuple)) else source


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (usage(), "$0.60 per 1,000,000 output of each llm."),
        (calls("0.02"), "$0.02 for each call."),
        (
            calls("0.02", min_amount="0.5", max_amount="3"),
            "$0.02 for each call, at least $0.50 and at most $3.00 per use.",
        ),
        (
            usage(
                values=[{"unit_price": "0.01", "volume_rate": "2", "package_size": "1000"}],
                by={"usage_type": "unit_and_volume"},
            ),
            "$0.01 for each llm and $2.00 per 1,000 output.",
        ),
        (
            usage(
                values=[{"unit_price": "0", "volume_rate": "2"}],
                by={"usage_type": "unit_and_volume"},
            ),
            "$2.00 per output of each llm.",
        ),
        (calls("0"), "Free for each call."),
        (
            calls("2")
            | {
                "pricing": [
                    {"asset": code, "values": [{"unit_price": "2"}]} for code in ("USD", "EUR")
                ]
            },
            "$2.00 for each call; or €2.00 for each call.",
        ),
        (
            usage(values=[{"volume_rate": "2", "package_size": "10"}], pricing_model="package"),
            "$2.00 per started 10 output of each llm.",
        ),
        (
            usage(
                rate="3",
                by={
                    "usage_type": "custom",
                    "volume_field": None,
                    "volume_aggregation": "a + 4 * b",
                },
            ),
            "$3.00 per 1,000,000 (a + 4 * b) of each llm.",
        ),
        (
            usage(
                values=[{"volume_rate": "1.2"}],
                by={
                    "usage_type": "cost",
                    "volume_field": None,
                    "costs": {"vendor_external_id": "acme", "category": "gpu"},
                },
            ),
            "120% of what each llm costs you (vendor acme, category gpu), in USD.",
        ),
        (
            tiered(("1000", "0.01"), ("5000", "0.005"), (None, "0.001")),
            "Each llm by tiers: the first 1,000 output in a calendar month: $0.01 per output; "
            "up to 5,000: $0.005 per output; beyond 5,000: $0.001 per output.",
        ),
        (
            tiered(("1000", "0"), (None, "0.01"), model="bulk", period="lifetime"),
            "Each llm by tiers: the first 1,000 output in all: output free; "
            "beyond 1,000: $0.01 per output. "
            "All of a use has the price of the tier that it reaches.",
        ),
        (
            by_model(big_one="0.02", any="0.01"),
            "For model big-one: $0.02 per output of each llm; "
            "for model any: $0.01 per output of each llm.",
        ),
        (fixed("20"), "$20.00 every month, in advance."),
        (
            fixed("12", seats="5", timing="in_arrears", every="year", asset="CHF"),
            "12.00 CHF for each seat every year, in arrears "
            "(5 seats come with it unless a subscription says how many).",
        ),
        (fixed("99", None), "$99.00 once, when it begins."),
        (
            {**usage(), "funding_destination": {"address": "default:CREDITS"}},
            "$0.60 per 1,000,000 output of each llm. "
            "The account default:CREDITS pays it, at the rate of the moment.",
        ),
        (
            {**usage(), "collection": {"type": "invoice"}},
            "$0.60 per 1,000,000 output of each llm. It is put on the invoice.",
        ),
    ],
)
def test_a_price_says_what_it_asks(source: dict[str, Any], said: str) -> None:
    assert price_in_words(read(Price, source)) == said


def test_what_comes_with_a_product_is_said_with_how_long_it_lasts() -> None:
    refresh = {"strategy": "rollover", "max_amount": Number(200)}
    kept = read(Entitlement, credit(lasts={"refresh": refresh}))
    gone = read(Entitlement, credit(lasts={"refresh": {"strategy": "expire_and_replace"}}))
    once = read(Entitlement, credit())
    said = [entitlement_in_words(item) for item in (kept, gone, once)]
    most = "200 CREDITS" if once.asset == "CREDITS" else "$200.00"
    amount = "1,000 CREDITS" if once.asset == "CREDITS" else "$1,000.00"
    assert said == [
        f"{amount} come with each month; what is left rolls over, at most {most}.",
        f"{amount} come with each month; what is left expires.",
        f"{amount} come with it once, for a month.",
    ]


def test_a_commitment_says_what_is_asked_at_least_and_at_most() -> None:
    every = {"interval": "month", "interval_count": 3}
    both = {"name": "Deal", "asset": "USD", "recurring": every, "minimum": 50, "maximum": 90}
    assert commitment_in_words(read(Commitment, both)) == (
        "At least $50.00 for use every 3 months: what is missing is charged. "
        "At most $90.00 for use every 3 months: more is free."
    )
