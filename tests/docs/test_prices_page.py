"""The prices page: its example costs what its table says, its expressions can be written, and its
grammar has no function that the parser lacks."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.core.builders import ASSETS, ONE_USD, T0, event

from faregate.core import codec
from faregate.core.amounts import Number
from faregate.core.compiled import compile_price
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.expressions import parse_expression
from faregate.core.price_checks import validate_prices
from faregate.core.prices import Price, UsageBasedPrice
from faregate.core.problems import Problem
from faregate.core.simulating import simulate

PAGE = (Path(__file__).parents[2] / "docs/prices.md").read_text()
BLOCKS = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
EXAMPLE, MARKUP, TIERED, FREE = [json.loads(text) for text in BLOCKS]
ROWS = re.findall(
    r"^\| ([\d,]+) tokens \| .*\*\*([\d.]+)\*\* \| .*\*\*([\d.]+)\*\* \|$", PAGE, re.M
)


FREE_ROWS = re.findall(r"^\| ([\d,]+) tokens \| [\d,]+ \| .*\*\*([\d.]+)\*\* \|$", PAGE, re.M)


def costs(source: dict[str, Any], events: list[UsageEvent]) -> list[Fraction]:
    (price,) = codec.decode_request(tuple[Price, ...], json.dumps([source]).encode())
    assert isinstance(price, UsageBasedPrice)
    assert validate_prices((price,), ASSETS) == {}
    found = simulate((compile_price(price, ASSETS, "prp_1", "tokens", 1),), events)
    assert not isinstance(found, Problem)
    return [Fraction(fee.units, ONE_USD) for fee in found[0]]


@pytest.mark.parametrize(("model", "column"), [("tiered", 1), ("bulk", 2)])
def test_the_example_of_tiers_costs_what_the_table_says(model: str, column: int) -> None:
    assert len(ROWS) == 3
    events = [
        event(f"e{n}", T0, "llm_call", tokens=int(row[0].replace(",", "")))
        for n, row in enumerate(ROWS)
    ]
    expected = [Fraction(row[column]) for row in ROWS]
    assert costs({**TIERED, "pricing_model": model}, events) == expected


def test_the_example_of_a_free_allowance_costs_what_the_table_says() -> None:
    assert len(FREE_ROWS) == 3
    events = [
        event(f"e{n}", T0, "llm_call", tokens=int(row[0].replace(",", "")))
        for n, row in enumerate(FREE_ROWS)
    ]
    assert costs(FREE, events) == [Fraction(row[1]) for row in FREE_ROWS]


def test_the_example_of_a_markup_is_a_price() -> None:
    calculation = {"event_type": "llm_call", **MARKUP}
    values = [{"volume_rate": 1.2, "min_amount": 0.01}]
    plain = {key: TIERED[key] for key in ("type", "name", "billing_model")}
    source = {
        **plain,
        "usage_calculation": calculation,
        "pricing": [{"asset": "USD", "values": values}],
    }
    gpu = Cost("c1", Number("2.5"), vendor_external_id="acme", category="gpu")
    paid = structs.replace(event("e", T0, "llm_call"), costs=[gpu])
    assert costs(source, [paid]) == [3]


def test_the_expressions_can_be_written() -> None:
    shown = [EXAMPLE["volume_aggregation"], "a / 3 * 3", "max(0, seconds - 30)", '"input-tokens"']
    for text in shown:
        assert text.strip('"') in PAGE
        parse_expression(text)
    for function in re.findall(r'"(\w+)"', re.search(r"function = (.*) ;", PAGE)[1]):  # type: ignore[index]
        parse_expression(f"{function}(a)" if function in ("ceil", "floor") else f"{function}(a, b)")
