"""Made-up uses have all that their prices look at, and come out priced."""

from __future__ import annotations

from typing import Any

from tests.core.builders import ASSETS, T0
from tests.core.test_differences import by_model, calls, fixed, usage
from tests.core.test_price_words import read

from faregate.core.compiled import compile_price
from faregate.core.prices import Price
from faregate.core.sample_use import sample_uses
from faregate.core.simulating import simulate


def samples(*sources: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Make up uses for prices, price one of each, and return what they are."""
    prices = [read(Price, source) for source in sources]
    uses = sample_uses(prices)
    compiled = tuple(
        compile_price(price, ASSETS, "prp", "code", 1)
        for price in prices
        if hasattr(price, "usage_calculation")
    )
    outcome = simulate(compiled, [use.event(n, T0) for n, use in enumerate(uses)])
    assert isinstance(outcome, tuple)
    fees, warnings = outcome
    assert not warnings
    assert len(fees) == len(compiled)
    return [(use.event_type, use.data) for use in uses]


def test_a_use_has_a_usual_amount_of_what_is_cheap_and_one_of_what_is_not() -> None:
    dear = usage(values=[{"volume_rate": "2"}])
    package = usage(values=[{"volume_rate": "2", "package_size": "10"}], pricing_model="package")
    assert samples(usage()) == [("llm", {"output": 1000})]
    assert samples(dear) == [("llm", {"output": 1})]
    assert samples(package) == [("llm", {"output": 10})]


def test_two_prices_of_one_event_type_share_a_use_that_has_what_both_look_at() -> None:
    expression = {"usage_type": "custom", "volume_field": None, "volume_aggregation": "a + 4 * b"}
    both = samples(by_model(big="0.02"), usage("Other", rate="3", by=expression), fixed("20"))
    assert both == [("llm", {"a": 1000, "b": 1000, "model": "big", "output": 1})]
    assert samples(calls("1"), usage()) == [("call", {}), ("llm", {"output": 1000})]


def test_a_markup_has_a_cost_of_the_vendor_and_category_that_it_is_about() -> None:
    wanted = {"vendor_external_id": "acme", "category": "gpu"}
    by = {"usage_type": "cost", "volume_field": None, "costs": wanted}
    samples(usage(values=[{"volume_rate": "1.2"}], by=by))
    (use,) = sample_uses([read(Price, usage(values=[{"volume_rate": "1.2"}], by=by))])
    assert use.cost is not None
    assert (use.cost.vendor_external_id, use.cost.category, use.cost.currency) == (
        "acme",
        "gpu",
        "USD",
    )
