"""Two versions of a product and what their difference is called, case by case."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.amounts import Number
from faregate.core.assets import CURRENCIES, custom_asset
from faregate.core.codec import decode, encode
from faregate.core.credit_differences import CREDIT_FIELDS
from faregate.core.differences import Offer, differences
from faregate.core.plan_differences import COMMITMENT_FIELDS, FIXED_FIELDS
from faregate.core.prices import (
    Commitment,
    Entitlement,
    FixedPrice,
    Price,
    PriceValue,
    UsageBasedPrice,
    UsageCalculation,
)
from faregate.core.usage_differences import CALCULATION_FIELDS, USAGE_FIELDS, VALUE_FIELDS
from faregate.core.wording import Priced, change, digits, percentage

ASSETS = {**CURRENCIES, "GEMS": custom_asset("GEMS", "Gems", 0)}


def raw(number: str) -> Any:
    """A number that is written in just these digits."""
    return msgspec.Raw(number.encode())


def usage(*values: dict[str, Any], name: str = "tokens", **more: Any) -> dict[str, Any]:
    """A usage price in USD; what is not about values or the calculation stands beside them."""
    calculation = {"event_type": "llm", "usage_type": "volume", "volume_field": "n"}
    calculation |= more.pop("calculation", {})
    return {
        "type": "usage_based",
        "name": name,
        "usage_calculation": {k: v for k, v in calculation.items() if v is not None},
        "billing_model": {"type": "real_time"},
        "pricing": [{"asset": "USD", "values": list(values)}],
        **more,
    }


def rate(number: str, size: int | None = 1_000_000, **more: Any) -> dict[str, Any]:
    return {"volume_rate": raw(number), **({"package_size": size} if size else {}), **more}


def per_event(number: str, name: str = "tokens", **more: Any) -> dict[str, Any]:
    calculation = {"usage_type": "unit", "volume_field": None}
    return usage({"unit_price": raw(number), **more}, name=name, calculation=calculation)


def tiers(*ends_and_rates: tuple[int | None, str], **more: Any) -> dict[str, Any]:
    values = [
        {**rate(number, 1000), **({"up_to": end} if end else {})} for end, number in ends_and_rates
    ]
    return usage(*values, **{"pricing_model": "tiered", "tiering": {"basis": "volume"}, **more})


def by_model(**rates: str) -> dict[str, Any]:
    values = [
        {"dimensions": {"model": "*" if key == "other" else key}, "values": [rate(number)]}
        for key, number in rates.items()
    ]
    return usage(*values, calculation={"billable_dimensions": ["model"]})


def crossed(*names: str) -> dict[str, Any]:
    """A price for one model anywhere, and one for any model in one region."""
    rates_of = {"model": "3", "region": "1"}
    values = [{"dimensions": {name: "x"}, "values": [rate(rates_of[name])]} for name in names]
    return usage(*values, calculation={"billable_dimensions": ["model", "region"]})


def fixed(number: str = "20", interval: str | None = "month", **more: Any) -> dict[str, Any]:
    value = {"unit_price": raw(number)}
    if "seats" in more:
        value["quantity"] = more.pop("seats")
    count = more.pop("count", None)
    every = {"interval": interval, **({"interval_count": count} if count else {})}
    billing: dict[str, Any] = {"type": "recurring", "recurring": every}
    if interval is None:
        billing = {"type": "one_time", "one_time": more.pop("one_time", {})}
    return {
        "type": "fixed",
        "name": "Monthly",
        "billing_model": billing,
        "pricing": [{"asset": "USD", "values": [value]}],
        **more,
    }


def credit(amount: int = 100, refresh: Any = "expire_and_replace", **more: Any) -> dict[str, Any]:
    lifecycle: dict[str, Any] = {"duration": more.pop("duration", "month")}
    if "count" in more:
        lifecycle["duration_count"] = more.pop("count")
    if refresh is not None:
        lifecycle["refresh"] = refresh if isinstance(refresh, dict) else {"strategy": refresh}
    return {
        "name": "Included",
        "asset": "GEMS",
        "amount": amount,
        "purpose": "bundled",
        "lifecycle": lifecycle,
        **more,
    }


def committed(minimum: int | None = 10, maximum: int | None = None, **more: Any) -> dict[str, Any]:
    bounds = {"minimum": minimum, "maximum": maximum}
    return {
        "name": "Promise",
        "asset": "USD",
        "recurring": {"interval": "month"},
        **{key: bound for key, bound in bounds.items() if bound is not None},
        **more,
    }


def offer(*listed: dict[str, Any]) -> Offer:
    prices = [item for item in listed if "pricing" in item]
    entitlements = [item for item in listed if "purpose" in item]
    commitments = [item for item in listed if "recurring" in item]
    return Offer(
        decode(tuple[Price, ...], encode(prices)),
        decode(tuple[Entitlement, ...], encode(entitlements)),
        decode(tuple[Commitment, ...], encode(commitments)),
    )


def both(usd: str, eur: str) -> dict[str, Any]:
    pricing = [{"asset": "USD", "values": [rate(usd)]}, {"asset": "EUR", "values": [rate(eur)]}]
    return {**usage(rate(usd)), "pricing": pricing}


T, F, E = "tokens", "Monthly", "Included"
COST = {"usage_type": "cost", "volume_field": None}
CUSTOM = {"usage_type": "custom", "volume_field": None}
ROLLOVER = {"strategy": "rollover"}
SAME_RATE = f"{T}: 0.60 USD per 1,000,000 → 0.0006 USD per 1,000 (the same rate)"

CASES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]] = {
    # amounts
    "cheaper": (
        [usage(rate("0.60"), name="output tokens")],
        [usage(rate("0.50"), name="output tokens")],
        ["output tokens: 0.60 → 0.50 USD per 1,000,000 (−16.7%)"],
    ),
    "dearer": (
        [usage(rate("2", None))],
        [usage(rate("3", None))],
        [f"{T}: 2.00 → 3.00 USD per unit (+50.0%)"],
    ),
    "no percentage of nothing": (
        [per_event("0")],
        [per_event("0.01")],
        [f"{T}: 0.00 → 0.01 USD per event"],
    ),
    "for free": (
        [per_event("0.01")],
        [per_event("0")],
        [f"{T}: 0.01 → 0.00 USD per event (−100.0%)"],
    ),
    "very small": (
        [per_event("0.000000000000000001")],
        [per_event("0.000000000000000002")],
        [f"{T}: 0.000000000000000001 → 0.000000000000000002 USD per event (+100.0%)"],
    ),
    "very large": (
        [per_event("0.000000000000000001")],
        [per_event("1e18")],
        [
            f"{T}: 0.000000000000000001 → 1,000,000,000,000,000,000.00 USD per event "
            f"(+{10**38 - 100:,}.0%)"
        ],
    ),
    "hardly": (
        [per_event("100000")],
        [per_event("100001")],
        [f"{T}: 100,000.00 → 100,001.00 USD per event (+0.0%)"],
    ),
    "package that costs its part": (
        [usage(rate("0.60"))],
        [usage(rate("0.60", 500_000))],
        [f"{T}: 0.60 USD per 1,000,000 → 0.60 USD per 500,000 (+100.0%)"],
    ),
    "same rate, other package": ([usage(rate("0.60"))], [usage(rate("0.0006", 1000))], [SAME_RATE]),
    "packages that are begun": (
        [usage(rate("1", 10))],
        [usage(rate("1", 10), pricing_model="package")],
        [
            f"{T}: is priced by the package, each that is begun instead of at one rate",
            f"{T}: 1.00 USD per 10 → 1.00 USD per 10 begun",
        ],
    ),
    "size of packages that are begun": (
        [usage(rate("1", 10), pricing_model="package")],
        [usage(rate("1", 20), pricing_model="package")],
        [f"{T}: 1.00 USD per 10 begun → 1.00 USD per 20 begun"],
    ),
    "own credits": (
        [{**per_event("1"), "pricing": [{"asset": "GEMS", "values": [{"unit_price": 1}]}]}],
        [{**per_event("1"), "pricing": [{"asset": "GEMS", "values": [{"unit_price": 3}]}]}],
        [f"{T}: 1 → 3 GEMS per event (+200.0%)"],
    ),
    "markup": (
        [usage(rate("1.2", None), calculation=COST)],
        [usage(rate("1.3", None), calculation=COST)],
        [f"{T}: 1.2 → 1.3 times the cost in USD (+8.3%)"],
    ),
    # minimum and maximum
    "minimum added": (
        [per_event("1")],
        [per_event("1", min_amount=2)],
        [f"{T}: now at least 2.00 USD per event"],
    ),
    "minimum of nothing": ([per_event("1")], [per_event("1", min_amount=0)], []),
    "minimum raised": (
        [per_event("1", min_amount=2)],
        [per_event("1", min_amount=3)],
        [f"{T}: at least 2.00 → 3.00 USD per event (+50.0%)"],
    ),
    "maximum removed": (
        [per_event("1", max_amount=2)],
        [per_event("1")],
        [f"{T}: no longer at most 2.00 USD per event"],
    ),
    "maximum of nothing": (
        [per_event("1")],
        [per_event("1", max_amount=0)],
        [f"{T}: now at most 0.00 USD per event"],
    ),
    # prices come, go and are renamed
    "added": (
        [],
        [usage(rate("0.5"), name="Input")],
        ['Added "Input": the number in "n" of "llm" events: 0.50 USD per 1,000,000'],
    ),
    "removed": (
        [per_event("1", "Calls", max_amount=5)],
        [],
        [
            'Removed "Calls": each one of "llm" events: '
            "1.00 USD per event, at most 5.00 USD per event"
        ],
    ),
    "renamed": (
        [per_event("1", "Calls")],
        [per_event("2", "Requests")],
        ['"Calls" is now called "Requests"', "Requests: 1.00 → 2.00 USD per event (+100.0%)"],
    ),
    "name before event type": (
        [per_event("1", "a"), per_event("2", "b")],
        [per_event("2", "b"), per_event("1", "a")],
        [],
    ),
    "another kind of the same name": (
        [per_event("1", "Monthly")],
        [fixed("2")],
        [
            'Added "Monthly": 2.00 USD each month',
            'Removed "Monthly": each one of "llm" events: 1.00 USD per event',
        ],
    ),
    "added with tiers": (
        [],
        [tiers((100, "2"), (None, "1"))],
        [
            'Added "tokens": the number in "n" of "llm" events: '
            "up to 100 at 2.00 USD per 1,000; beyond 100 at 1.00 USD per 1,000"
        ],
    ),
    # measuring
    "event type": (
        [usage(rate("1"))],
        [usage(rate("1"), calculation={"event_type": "chat"})],
        [f'{T}: counts events of type "chat" instead of "llm"'],
    ),
    "field": (
        [usage(rate("1"))],
        [usage(rate("1"), calculation={"volume_field": "m"})],
        [f'{T}: measures the number in "m" instead of the number in "n"'],
    ),
    "unit to volume": (
        [per_event("1")],
        [usage(rate("1", 1000))],
        [
            f'{T}: measures the number in "n" instead of each one',
            f"{T}: no longer 1.00 USD per event",
            f"{T}: now 1.00 USD per 1,000",
        ],
    ),
    "both": (
        [usage(rate("1"))],
        [usage({**rate("1"), "unit_price": 2}, calculation={"usage_type": "unit_and_volume"})],
        [
            f'{T}: measures each one and the number in "n" instead of the number in "n"',
            f"{T}: now 2.00 USD per event",
        ],
    ),
    "expression": (
        [usage(rate("1"), calculation={**CUSTOM, "volume_aggregation": "a + b"})],
        [usage(rate("1"), calculation={**CUSTOM, "volume_aggregation": "a + 4 * b"})],
        [f"{T}: measures what a + 4 * b comes to instead of what a + b comes to"],
    ),
    "costs": (
        [usage(rate("1"), calculation=COST)],
        [usage(rate("1"), calculation={**COST, "costs": {"vendor_external_id": "acme"}})],
        [f"{T}: measures the costs of vendor acme instead of the costs"],
    ),
    "a default that is said": (
        [usage(rate("1", None))],
        [usage(rate("1.0", 1), pricing_model="flat", calculation={"volume_aggregation": "sum"})],
        [],
    ),
    # dimensions
    "dimension added": (
        [usage(rate("1"))],
        [by_model(other="1", large="3")],
        [f"{T}: may now differ by model", f"{T} (model=large): added at 3.00 USD per 1,000,000"],
    ),
    "dimension removed": (
        [by_model(other="1", large="3")],
        [usage(rate("1"))],
        [
            f"{T}: no longer differs by model",
            f"{T} (model=large): removed (was 3.00 USD per 1,000,000)",
        ],
    ),
    "entry changed": (
        [by_model(large="3", other="1")],
        [by_model(large="2", other="4")],
        [
            f"{T} (model=large): 3.00 → 2.00 USD per 1,000,000 (−33.3%)",
            f"{T} (any other): 1.00 → 4.00 USD per 1,000,000 (+300.0%)",
        ],
    ),
    "entries in another order that exclude each other": (
        [by_model(large="3", small="1")],
        [by_model(small="1", large="3")],
        [],
    ),
    "entries in another order that both fit": (
        [crossed("model", "region")],
        [crossed("region", "model")],
        [
            f"{T}: prices in USD are listed in another order; "
            "where several fit equally well, the first one counts"
        ],
    ),
    # tiers
    "tier cheaper": (
        [tiers((100, "2"), (None, "1"))],
        [tiers((100, "2"), (None, "0.5"))],
        [f"{T}, beyond 100: 1.00 → 0.50 USD per 1,000 (−50.0%)"],
    ),
    "tier moved": (
        [tiers((100, "2"), (None, "1"))],
        [tiers((5000, "2"), (None, "1"))],
        [f"{T}: tier 1 ends at 5,000 instead of 100"],
    ),
    "tier added": (
        [tiers((100, "2"), (None, "1"))],
        [tiers((100, "2"), (200, "1.5"), (None, "1"))],
        [
            f"{T}: 3 tiers instead of 2 tiers: up to 100 at 2.00 USD per 1,000; up to 200 "
            "at 1.50 USD per 1,000; beyond 200 at 1.00 USD per 1,000"
        ],
    ),
    "tiers removed": (
        [tiers((100, "2"), (None, "1"))],
        [usage(rate("1", 1000))],
        [
            f"{T}: is priced at one rate instead of in tiers, each part at its own tier's price",
            f"{T}: one price instead of 2 tiers: 1.00 USD per 1,000",
        ],
    ),
    "tiers in bulk": (
        [tiers((100, "2"), (None, "1"))],
        [tiers((100, "2"), (None, "1"), pricing_model="bulk")],
        [
            f"{T}: is priced in tiers, everything at the price of the tier reached instead of "
            "in tiers, each part at its own tier's price"
        ],
    ),
    "tiers count otherwise": (
        [tiers((100, "2"), (None, "1"))],
        [tiers((100, "2"), (None, "1"), tiering={"basis": "unit", "period": "monthly"})],
        [
            f"{T}: tiers count events instead of the volume",
            f"{T}: tiers begin anew each month instead of never",
        ],
    ),
    # assets and collection
    "another currency": (
        [usage(rate("1"))],
        [both("1", "0.9")],
        [f"{T}: can now be paid in EUR: 0.90 EUR per 1,000,000"],
    ),
    "a currency less": (
        [both("1", "0.9")],
        [usage(rate("1"))],
        [f"{T}: can no longer be paid in EUR (was 0.90 EUR per 1,000,000)"],
    ),
    "assets in another order": (
        [both("1", "0.9")],
        [{**both("1", "0.9"), "pricing": both("1", "0.9")["pricing"][::-1]}],
        [f"{T}: is paid in the first that fits of EUR, USD instead of USD, EUR"],
    ),
    "account": (
        [usage(rate("1"))],
        [usage(rate("1"), collection={"type": "balance", "address": "tokens:USD"})],
        [f"{T}: is collected from the account tokens:USD instead of from the default account"],
    ),
    "default account that is said": (
        [usage(rate("1"))],
        [usage(rate("1"), collection={"type": "balance", "address": "default:USD"})],
        [],
    ),
    "funding": (
        [usage(rate("1"))],
        [usage(rate("1"), funding_destination={"address": "bank"})],
        [f'{T}: funding_destination is {{"address":"bank"}} instead of null'],
    ),
    # fixed prices
    "fixed dearer": ([fixed("20")], [fixed("25")], [f"{F}: 20.00 → 25.00 USD each month (+25.0%)"]),
    "interval": (
        [fixed("20")],
        [fixed("200", "year")],
        [f"{F}: 20.00 USD each month → 200.00 USD each year"],
    ),
    "interval alone": (
        [fixed("20")],
        [fixed("20", count=3)],
        [f"{F}: 20.00 USD each month → 20.00 USD every 3 months"],
    ),
    "one interval that is said": ([fixed("20")], [fixed("20", count=1)], []),
    "once": ([fixed("20")], [fixed("20", None)], [f"{F}: 20.00 USD each month → 20.00 USD once"]),
    "seats": (
        [fixed("20", seats=1)],
        [fixed("20", seats=5)],
        [f"{F}: a subscription that does not say how many seats has 5 instead of 1"],
    ),
    "by the seat": (
        [fixed("20")],
        [fixed("20", seats=5)],
        [
            f"{F}: 20.00 USD each month → 20.00 USD per seat each month",
            f"{F}: is now sold by the seat, 5 unless a subscription says how many",
        ],
    ),
    "not by the seat": (
        [fixed("20", seats=5)],
        [fixed("20")],
        [
            f"{F}: 20.00 USD per seat each month → 20.00 USD each month",
            f"{F}: is no longer sold by the seat",
        ],
    ),
    "timing": (
        [fixed()],
        [fixed(collection={"type": "balance", "timing": "in_arrears"})],
        [f"{F}: is charged in arrears instead of in advance"],
    ),
    "timing that is said": (
        [fixed()],
        [fixed(collection={"type": "balance", "timing": "in_advance"})],
        [],
    ),
    "service period": (
        [fixed("9", None)],
        [fixed("9", None, one_time={"service_period": "P3M"})],
        [f"{F}: is earned over P3M instead of at once"],
    ),
    "fixed added": (
        [],
        [fixed("20", seats=2)],
        ['Added "Monthly": 20.00 USD per seat each month, 2 unless a subscription says how many'],
    ),
    "fixed renamed": (
        [fixed("20")],
        [{**fixed("20"), "name": "Base"}],
        ['"Monthly" is now called "Base"'],
    ),
    # entitlements
    "more credit": ([credit(100)], [credit(250)], [f"{E}: 100 → 250 GEMS each month (+150.0%)"]),
    "credit added": (
        [],
        [credit(100)],
        [
            'Added "Included": 100 GEMS each month, bundled; '
            "what is left expires when new credit comes"
        ],
    ),
    "credit removed": (
        [credit(100, None, duration="week", count=2)],
        [],
        ['Removed "Included": 100 GEMS once, bundled; what is left expires after 2 weeks'],
    ),
    "purpose": (
        [credit()],
        [credit(purpose="promotion")],
        [f"{E}: is promotion credit instead of bundled credit"],
    ),
    "duration": (
        [credit(100, None)],
        [credit(100, None, count=3)],
        [f"{E}: what is left expires after 3 months; before, it expires after 1 month"],
    ),
    "credit more often": (
        [credit()],
        [credit(duration="week")],
        [f"{E}: 100 GEMS each month → 100 GEMS each week"],
    ),
    "rollover": (
        [credit()],
        [credit(100, {**ROLLOVER, "max_amount": 50, "max_periods": 1})],
        [
            f"{E}: what is left rolls over, at most 50 GEMS, for at most 1 period; "
            "before, it expires when new credit comes"
        ],
    ),
    "rollover less": (
        [credit(100, ROLLOVER)],
        [credit(100, {**ROLLOVER, "max_periods": 3})],
        [f"{E}: what is left rolls over, for at most 3 periods; before, it rolls over"],
    ),
    "once only": (
        [credit()],
        [credit(100, None)],
        [
            f"{E}: 100 GEMS each month → 100 GEMS once",
            f"{E}: what is left expires after 1 month; before, it expires when new credit comes",
        ],
    ),
    "priority": (
        [credit()],
        [credit(priority=5)],
        [f"{E}: has in the order of use the priority 5 instead of 100"],
    ),
    "priority that is said": ([credit()], [credit(priority=100)], []),
    "limited": (
        [credit()],
        [credit(limited_to={"event_types": ["llm"], "dimensions": {"model": "x"}})],
        [f"{E}: is for events of type llm with model=x instead of everything"],
    ),
    "revenue": (
        [credit(accounting={"revenue_basis": raw("0.10")})],
        [credit(accounting={"revenue_basis": raw("0.05")})],
        [f"{E}: earns 0.10 → 0.05 USD per credit used (−50.0%)"],
    ),
    "credit of another asset": (
        [credit()],
        [credit(asset="USD")],
        [f"{E}: 100 GEMS each month → 100.00 USD each month"],
    ),
    # commitments
    "minimum of a month": (
        [committed(10)],
        [committed(15)],
        ["Promise: at least 10.00 → 15.00 USD each month (+50.0%)"],
    ),
    "cap of a month": (
        [committed(10)],
        [committed(10, 100)],
        ["Promise: now at most 100.00 USD each month"],
    ),
    "minimum of a year": (
        [committed(10)],
        [committed(10, recurring={"interval": "year"})],
        ["Promise: at least 10.00 USD each month → 10.00 USD each year"],
    ),
    "commitment to some use": (
        [committed(10)],
        [committed(10, event_types=["b", "a"])],
        ["Promise: counts events of type a, b instead of all use"],
    ),
    "commitment added": (
        [],
        [committed(10, 20)],
        [
            'Added "Promise": at least 10.00 USD each month '
            "and at most 20.00 USD each month for all use"
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_called_what_the_table_says(case: str) -> None:
    before, after, sentences = CASES[case]
    assert differences(offer(*before), offer(*after), ASSETS) == sentences


@pytest.mark.parametrize("case", CASES)
def test_a_version_does_not_differ_from_itself_nor_from_a_copy_with_other_ids(case: str) -> None:
    for listed in CASES[case][:2]:
        same = offer(*[{**item, "id": "prc_other"} for item in listed])
        assert differences(offer(*listed), same, ASSETS) == []


@pytest.mark.parametrize("case", CASES)
def test_what_changed_one_way_changes_back_as_well(case: str) -> None:
    before, after, sentences = CASES[case]
    back = differences(offer(*after), offer(*before), ASSETS)
    assert bool(back) == bool(sentences)


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (UsageBasedPrice, USAGE_FIELDS),
        (UsageCalculation, CALCULATION_FIELDS),
        (PriceValue, VALUE_FIELDS),
        (FixedPrice, FIXED_FIELDS),
        (Entitlement, CREDIT_FIELDS),
        (Commitment, COMMITMENT_FIELDS),
    ],
)
def test_only_fields_that_there_are_have_words_of_their_own(kind: Any, known: Any) -> None:
    assert set(known) <= set(kind.__struct_fields__)


@given(st.lists(st.sampled_from(sorted(CASES)), max_size=4), st.randoms())
def test_the_order_of_prices_is_no_change(cases: list[str], random: Any) -> None:
    prices: dict[str, dict[str, Any]] = {}
    for number, case in enumerate(cases):
        for item in CASES[case][1]:
            prices[f"{item['name']} {number}"] = {**item, "name": f"{item['name']} {number}"}
    listed = list(prices.values())
    shuffled = random.sample(listed, len(listed))
    assert differences(offer(*listed), offer(*shuffled), ASSETS) == []


rates = st.decimals(0, 10**18, allow_nan=False, places=9).map(lambda d: Number(str(d)))


@given(rates, rates)
def test_a_percentage_is_within_half_a_tenth_of_the_exact_one(
    before: Number, after: Number
) -> None:
    old, new = Fraction(before), Fraction(after)
    found = percentage(old, new)
    if not old:
        assert found is None
        return
    assert isinstance(found, Decimal)
    assert abs(Fraction(found) - (new - old) / old * 100) <= Fraction(1, 20)


def test_numbers_are_written_in_full() -> None:
    shown = [digits(Decimal(text), 2) for text in ("1E+3", "0.1", "1234567.891", "0E-9", "1E-9")]
    assert shown == ["1,000.00", "0.10", "1,234,567.891", "0.00", "0.000000001"]


def test_what_is_the_same_number_is_no_change() -> None:
    assert change("x", Priced(Decimal("1.0"), "USD"), Priced(Decimal(1), "USD")) is None
    assert change("x", None, None) is None
