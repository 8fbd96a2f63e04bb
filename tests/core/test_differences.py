"""What has changed between two versions, in words. Sentences and percentages were worked out by
hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faregate.core.codec import decode
from faregate.core.differences import Offer, differences


def usage(name: str = "Tokens", rate: str | None = "0.60", **more: Any) -> dict[str, Any]:
    """A price per 1,000,000 tokens of output, in these digits, or with these values."""
    values = more.pop("values", [{"volume_rate": rate, "package_size": "1000000"}])
    calculation = {
        "event_type": "llm",
        "usage_type": "volume",
        "volume_field": "output",
        **more.pop("by", {}),
    }
    return {
        "type": "usage_based",
        "name": name,
        "billing_model": {"type": "real_time"},
        "usage_calculation": calculation,
        "pricing": more.pop("pricing", [{"asset": "USD", "values": values}]),
        **more,
    }


def calls(price: str, **more: Any) -> dict[str, Any]:
    """A price per call."""
    values = [{"unit_price": price, **more}]
    by = {"event_type": "call", "usage_type": "unit", "volume_field": None}
    return usage("Calls", values=values, by=by)


def tiered(*tiers: tuple[str | None, str], model: str = "tiered", period: str = "monthly") -> Any:
    values = [{"volume_rate": rate, "up_to": up_to} for up_to, rate in tiers]
    tiering = {"basis": "volume", "period": period}
    return usage(values=values, pricing_model=model, tiering=tiering)


def by_model(**rates: str) -> dict[str, Any]:
    values = [
        {"dimensions": {"model": model.replace("_", "-")}, "values": [{"volume_rate": rate}]}
        for model, rate in rates.items()
    ]
    return usage(values=values, by={"billable_dimensions": ["model"]})


def fixed(
    amount: str = "20",
    every: str | None = "month",
    count: int | None = None,
    *,
    name: str = "Base",
    seats: str | None = None,
    timing: str | None = None,
    service: str | None = None,
    asset: str = "USD",
) -> dict[str, Any]:
    billing: dict[str, Any] = {"type": "one_time", "one_time": {"service_period": service}}
    if every is not None:
        recurring = {"interval": every, "interval_count": count}
        billing = {"type": "recurring", "recurring": recurring}
    return {
        "type": "fixed",
        "name": name,
        "billing_model": billing,
        "pricing": [{"asset": asset, "values": [{"unit_price": amount, "quantity": seats}]}],
        "collection": {"type": "balance", "timing": timing} if timing else None,
    }


def credit(amount: str = "1000", name: str = "Included", **more: Any) -> dict[str, Any]:
    lifecycle = {"duration": "month", **more.pop("lasts", {})}
    return {
        "name": name,
        "asset": "CREDITS",
        "amount": amount,
        "purpose": "bundled",
        "lifecycle": lifecycle,
        **more,
    }


def commitment(
    least: str | None = "50",
    most: str | None = "200",
    name: str = "Use",
    every: str = "month",
    **more: Any,
) -> dict[str, Any]:
    recurring = {"interval": every, "interval_count": more.pop("count", None)}
    terms = {"asset": "USD", "recurring": recurring, "minimum": least, "maximum": most}
    return {"name": name, **terms, **more}


def paid(address: str, rate: str | None = None, **more: Any) -> dict[str, Any]:
    """What lets an account in another asset pay a price."""
    return {"funding_destination": {"address": address, "exchange_rate": rate, **more}}


NUMBERS = {
    "volume_rate",
    "unit_price",
    "package_size",
    "up_to",
    "min_amount",
    "max_amount",
    "quantity",
    "amount",
    "revenue_basis",
    "minimum",
    "maximum",
    "exchange_rate",
}


def written(value: Any, key: str = "") -> str:
    """Write JSON with the numbers in the digits that they were given in."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(k)}: {written(v, k)}" for k, v in value.items() if v is not None]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(written(item) for item in value)}]"
    return value if key in NUMBERS and isinstance(value, str) else json.dumps(value)


def offer(*parts: dict[str, Any]) -> Offer:
    prices = [part for part in parts if "type" in part]
    commitments = [part for part in parts if "recurring" in part]
    entitlements = [part for part in parts if "lifecycle" in part]
    shown = {"prices": prices, "entitlements": entitlements, "commitments": commitments}
    return decode(Offer, written(shown))


REFRESH = {"refresh": {"strategy": "expire_and_replace"}}
ROLLOVER = {"refresh": {"strategy": "rollover", "max_amount": "200", "max_periods": 3}}
CASES: list[tuple[str, list[Any], list[Any], list[str]]] = [
    ("the same", [usage()], [usage()], []),
    ("the same number in other digits", [usage(rate="0.6")], [usage(rate="0.60")], []),
    (
        "a cheaper rate",
        [usage("Output tokens")],
        [usage("Output tokens", "0.50")],
        ["Output tokens: 0.60 → 0.50 USD per 1,000,000 (−16.7%)"],
    ),
    (
        "a dearer rate of more than twice as much",
        [usage(rate="1")],
        [usage(rate="12.5")],
        ["Tokens: 1.00 → 12.50 USD per 1,000,000 (+1,150.0%)"],
    ),
    (
        "what was free has no percentage",
        [usage(rate="0")],
        [usage(rate="0.5")],
        ["Tokens: 0.00 → 0.50 USD per 1,000,000"],
    ),
    (
        "a tie of tenths goes to the even one",
        [calls("800"), usage(rate="800")],
        # 0.25% and 0.35% of 800.
        [calls("802"), usage(rate="802.8")],
        [
            "Calls: 800.00 → 802.00 USD per event (+0.2%)",
            "Tokens: 800.00 → 802.80 USD per 1,000,000 (+0.4%)",
        ],
    ),
    (
        "another package is compared by what one of it costs",
        [usage(values=[{"volume_rate": "0.60", "package_size": "1000"}])],
        [usage(values=[{"volume_rate": "480", "package_size": "1000000"}])],
        ["Tokens: 0.60 USD per 1,000 → 480.00 USD per 1,000,000 (−20.0%)"],
    ),
    (
        "started packages of another size cannot be compared",
        [usage(values=[{"volume_rate": "2", "package_size": "1000"}], pricing_model="package")],
        [usage(values=[{"volume_rate": "3", "package_size": "2000"}], pricing_model="package")],
        ["Tokens: 2.00 USD per started 1,000 → 3.00 USD per started 2,000"],
    ),
    (
        "an added price",
        [calls("1")],
        [calls("1"), usage()],
        ['Added price "Tokens": 0.60 USD per 1,000,000 (events llm, by volume of data.output)'],
    ),
    (
        "a removed price",
        [calls("0.02"), fixed()],
        [],
        [
            'Removed price "Calls": 0.02 USD per event (events call, by unit)',
            'Removed price "Base": 20.00 USD every month',
        ],
    ),
    (
        "another name for the same use",
        [usage("Output")],
        [usage("Output tokens", "0.50")],
        [
            'Output tokens: was called "Output"',
            "Output tokens: 0.60 → 0.50 USD per 1,000,000 (−16.7%)",
        ],
    ),
    (
        "a name counts more than a type of use",
        [usage("A", "1"), usage("B", "2")],
        [usage("B", "2"), usage("A", "3")],
        ["A: 1.00 → 3.00 USD per 1,000,000 (+200.0%)"],
    ),
    (
        "of two of one name the one that stays is not the one that has gone",
        [usage(rate="1"), usage(rate="2")],
        [usage(rate="2")],
        ['Removed price "Tokens": 1.00 USD per 1,000,000 (events llm, by volume of data.output)'],
    ),
    (
        "least and most",
        [calls("1", min_amount="0.5")],
        [calls("1", min_amount="0.6", max_amount="3")],
        [
            "Calls: at least 0.50 → 0.60 USD per event (+20.0%)",
            "Calls: added at most 3.00 USD per event",
        ],
    ),
    (
        "no least any more",
        [calls("1", min_amount="0.5")],
        [calls("1")],
        ["Calls: removed at least 0.50 USD per event"],
    ),
    (
        "another field is measured, of other events",
        [usage()],
        [usage(by={"volume_field": "input", "event_type": "chat"})],
        ["Tokens: event type llm → chat", "Tokens: measures data.output → data.input"],
    ),
    (
        "uses instead of a volume",
        [usage()],
        [usage(values=[{"unit_price": "1"}], by={"usage_type": "unit", "volume_field": None})],
        [
            "Tokens: measured by volume → unit",
            "Tokens: measures data.output → nothing",
            "Tokens: removed 0.60 USD per 1,000,000",
            "Tokens: added 1.00 USD per event",
        ],
    ),
    (
        "another expression",
        [usage(by={"usage_type": "custom", "volume_field": None, "volume_aggregation": "a + b"})],
        [usage(by={"usage_type": "custom", "volume_field": None, "volume_aggregation": "a"})],
        ["Tokens: counts a + b → a"],
    ),
    (
        "costs of another vendor",
        [usage(by={"usage_type": "cost", "volume_field": None, "costs": {"vendor_id": "ven_1"}})],
        [usage(by={"usage_type": "cost", "volume_field": None, "costs": {"category": "gpu"}})],
        ["Tokens: is on costs of vendor ven_1 → category gpu"],
    ),
    (
        "another asset beside the first",
        [usage()],
        [
            usage(
                pricing=[
                    {
                        "asset": "USD",
                        "values": [{"volume_rate": "0.60", "package_size": "1000000"}],
                    },
                    {"asset": "GEMS", "values": [{"volume_rate": "6"}]},
                ]
            )
        ],
        ["Tokens: is priced in GEMS too: 6 GEMS per 1"],
    ),
    (
        "another asset instead",
        [usage(pricing=[{"asset": "USD", "values": [{"volume_rate": "1"}]}])],
        [usage(pricing=[{"asset": "EUR", "values": [{"volume_rate": "1"}]}])],
        [
            "Tokens: is not priced in USD any more",
            "Tokens: is priced in EUR too: 1.00 EUR per 1",
        ],
    ),
    (
        "the order of assets",
        [usage(pricing=[{"asset": a, "values": [{"volume_rate": "1"}]} for a in ("USD", "EUR")])],
        [usage(pricing=[{"asset": a, "values": [{"volume_rate": "1"}]} for a in ("EUR", "USD")])],
        ["Tokens: looks for an account in the order USD, EUR → EUR, USD"],
    ),
    (
        "dimensions",
        [by_model(small="1", large="2", old="3")],
        [by_model(small="1", large="1.5", new="4")],
        [
            "Tokens: model=large: 2.00 → 1.50 USD per 1 (−25.0%)",
            "Tokens: model=old: removed 3.00 USD per 1",
            "Tokens: model=new: added 4.00 USD per 1",
        ],
    ),
    (
        "no dimensions before",
        [usage(values=[{"volume_rate": "1"}])],
        [by_model(small="1")],
        [
            "Tokens: dimensions none → model",
            "Tokens: removed 1.00 USD per 1",
            "Tokens: model=small: added 1.00 USD per 1",
        ],
    ),
    (
        "a tier that costs less and one that ends later",
        [tiered(("1000", "2"), (None, "1"))],
        [tiered(("2000", "2"), (None, "0.5"))],
        [
            "Tokens: tier 1 ends at 1,000 → 2,000 (+100.0%)",
            "Tokens: beyond: 1.00 → 0.50 USD per 1 (−50.0%)",
        ],
    ),
    (
        "a tier more",
        [tiered(("1000", "2"), (None, "1"))],
        [tiered(("1000", "2"), ("5000", "1"), (None, "0.5"))],
        [
            "Tokens: beyond: 1.00 → 0.50 USD per 1 (−50.0%)",
            "Tokens: tier up to 5,000 added: 1.00 USD per 1",
        ],
    ),
    (
        "a tier less",
        [tiered(("1000", "2"), ("5000", "1"), (None, "0.5"))],
        [tiered(("1000", "2"), (None, "0.5"))],
        ["Tokens: tier up to 5,000 removed: 1.00 USD per 1"],
    ),
    (
        "how tiers count",
        [tiered(("1000", "2"), (None, "1"))],
        [tiered(("1000", "2"), (None, "1"), model="bulk", period="yearly")],
        ["Tokens: pricing model tiered → bulk", "Tokens: tiers begin anew monthly → yearly"],
    ),
    (
        "a fixed price",
        [fixed()],
        [fixed("25")],
        ["Base: 20.00 → 25.00 USD every month (+25.0%)"],
    ),
    (
        "a fixed price each year, which is no percentage of one each month",
        [fixed()],
        [fixed("200", "year")],
        ["Base: 20.00 USD every month → 200.00 USD every year"],
    ),
    (
        "every so many months",
        [fixed()],
        [fixed(count=3)],
        ["Base: 20.00 USD every month → 20.00 USD every 3 months"],
    ),
    (
        "seats",
        [fixed("30", seats="1")],
        [fixed("25", seats="5")],
        ["Base: included seats 1 → 5", "Base: 30.00 → 25.00 USD per seat every month (−16.7%)"],
    ),
    (
        "by the seat from now on",
        [fixed("30")],
        [fixed("30", seats="2")],
        [
            "Base: included seats none → 2",
            "Base: 30.00 USD every month → 30.00 USD per seat every month",
        ],
    ),
    (
        "in arrears",
        [fixed()],
        [fixed(timing="in_arrears")],
        ["Base: asked in advance → in arrears"],
    ),
    (
        "once, earned over another time",
        [fixed("50", None, service="P3M")],
        [fixed("50", None, service="P6M")],
        ["Base: earned over P3M → over P6M"],
    ),
    (
        "a fee each month instead of one that is asked once is another price",
        [fixed("50", None, name="Set-up")],
        [fixed("20", name="Monthly")],
        [
            'Added price "Monthly": 20.00 USD every month',
            'Removed price "Set-up": 50.00 USD once',
        ],
    ),
    (
        "more credit",
        [credit()],
        [credit("1200")],
        ["Included: 1,000 → 1,200 CREDITS (+20.0%)"],
    ),
    (
        "credit that is added and removed",
        [credit(name="Gift", asset="GEMS", purpose="promotion")],
        [credit(lasts=REFRESH)],
        [
            'Added entitlement "Included": 1,000 CREDITS (bundled) for a month, '
            "given each period, what is left expires",
            'Removed entitlement "Gift": 1,000 GEMS (promotion) for a month, given once',
        ],
    ),
    (
        "how long credit lasts, and what is left of it",
        [credit(lasts=REFRESH)],
        [credit(lasts={"duration": "year", "duration_count": 2, **ROLLOVER})],
        [
            "Included: lasts a month → 2 years",
            "Included: given each period, what is left expires → each period, what is left rolls "
            "over",
            "Included: rolls over at most any amount → 200 CREDITS",
            "Included: rolls over for at most any time → 3 periods",
        ],
    ),
    (
        "what credit is for, and its place in the order of use",
        [credit()],
        [
            credit(
                purpose="promotion",
                priority=5,
                limited_to={"event_types": ["call"], "dimensions": {"model": "small"}},
            )
        ],
        [
            "Included: purpose bundled → promotion",
            "Included: priority 100 → 5",
            "Included: limited to any use → event types call and events with model=small",
        ],
    ),
    (
        "what credit earns",
        [credit(accounting={"revenue_basis": "0.02"})],
        [credit(accounting={"revenue_basis": "0.03", "currency": "EUR"})],
        ["Included: earns 0.02 USD per unit used → 0.03 EUR per unit used"],
    ),
    (
        "an added commitment",
        [calls("1")],
        [calls("1"), commitment()],
        ['Added commitment "Use": at least 50.00 USD, at most 200.00 USD every month (any use)'],
    ),
    (
        "a removed commitment to some events",
        [commitment(most=None, every="year", event_types=["llm", "call"])],
        [],
        ['Removed commitment "Use": at least 50.00 USD every year (events call, llm)'],
    ),
    ("the same commitment", [commitment()], [commitment("50.00")], []),
    (
        "a higher minimum and a lower cap",
        [commitment()],
        [commitment("60", "150")],
        [
            "Use: at least 50.00 → 60.00 USD every month (+20.0%)",
            "Use: at most 200.00 → 150.00 USD every month (−25.0%)",
        ],
    ),
    (
        "a minimum that is new, and a cap that is gone",
        [commitment(None, "200")],
        [commitment("50", None)],
        [
            "Use: has a minimum now: at least 50.00 USD every month",
            "Use: has no cap any more (was at most 200.00 USD every month)",
        ],
    ),
    (
        "a commitment to longer periods, under another name",
        [commitment(most=None)],
        [commitment("140", None, "Quarterly use", count=3)],
        [
            'Quarterly use: was called "Use"',
            "Quarterly use: at least 50.00 USD every month → 140.00 USD every 3 months",
        ],
    ),
    (
        "what counts for a commitment",
        [commitment()],
        [commitment(event_types=["llm"])],
        ["Use: counts any use → events llm"],
    ),
    (
        "another account that pays, at the rate of the moment",
        [calls("1")],
        [{**calls("1"), **paid("default:CREDITS")}],
        ["Calls: is paid from the default account → default:CREDITS at the rate of the moment"],
    ),
    (
        "another rate of its own",
        [{**fixed(), **paid("default:CREDITS", "25")}],
        [{**fixed(), **paid("default:CREDITS", "20.5")}],
        [
            "Base: is paid from default:CREDITS at 25 CREDITS for one USD"
            " → default:CREDITS at 20.5 CREDITS for one USD"
        ],
    ),
    (
        "the currency said again is nothing new",
        [{**calls("1"), **paid("default:CREDITS")}],
        [{**calls("1"), **paid("default:CREDITS", currency="CREDITS")}],
        [],
    ),
    (
        "an added price that another asset pays",
        [],
        [{**fixed(), **paid("team:CREDITS", "25")}],
        [
            'Added price "Base": 20.00 USD every month,'
            " paid from team:CREDITS at 25 CREDITS for one USD"
        ],
    ),
    (
        "a markup on some costs only",
        [usage(by={"usage_type": "cost", "volume_field": None})],
        [
            usage(
                by={
                    "usage_type": "cost",
                    "volume_field": None,
                    "costs": {"vendor_external_id": "acme", "category": "gpu"},
                }
            )
        ],
        ["Tokens: is on costs of anything → vendor acme, category gpu"],
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_every_difference_is_said(before: Any, after: Any, said: list[str]) -> None:
    assert differences(offer(*before), offer(*after)) == said


@pytest.mark.parametrize(
    ("before", "after"), [case[1:3] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_differs_one_way_differs_the_other_way_too(before: Any, after: Any) -> None:
    assert bool(differences(offer(*before), offer(*after))) == bool(
        differences(offer(*after), offer(*before))
    )
    assert differences(offer(*before), offer(*reversed(before))) == []


def test_ids_do_not_count() -> None:
    one, other = [{**usage(), "id": f"prc_{n}"} for n in "12"]
    assert differences(offer(one, {**credit(), "id": "ent_1"}), offer(other, credit())) == []


def test_long_lists_are_counted() -> None:
    models = {f"m{n}": "1" for n in range(9)}
    (said,) = differences(offer(), offer(by_model(**models)))
    assert said.startswith('Added price "Tokens": model=m0: 1.00 USD per 1; ')
    assert "model=m4: 1.00 USD per 1; and 4 more (events llm" in said
