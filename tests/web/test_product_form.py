"""A product as a form and back: nothing is lost, whatever it is; errors are beside their fields."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from faregate.catalog.guide import Answers, plan
from faregate.catalog.types import CreateProduct, CreateVersion
from faregate.core.amounts import Number
from faregate.core.codec import checked
from faregate.core.differences import Offer, differences
from faregate.core.prices import (
    AssetPricing,
    BalanceCollection,
    Commitment,
    CostFilter,
    Entitlement,
    EntitlementAccounting,
    EntitlementLifecycle,
    EntitlementRefresh,
    FixedAssetPricing,
    FixedPrice,
    FixedValue,
    FundingDestination,
    GrantScope,
    InvoiceCollection,
    OneTime,
    OneTimeBilling,
    PriceValue,
    RealTimeBilling,
    Recurrence,
    RecurringBilling,
    Tiering,
    UsageBasedPrice,
    UsageCalculation,
)
from faregate.web.product_form.branches import add, flat, grow, remove
from faregate.web.product_form.reading import read_form, request_of
from faregate.web.product_form.writing import plainly, write_form

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=100
)
NAMES = (
    st.sampled_from(["Calls", "Tokens, all", " in spaces ", "two\nlines", '"', "–", "*"]) | TEXTS
)
KEYS = st.sampled_from(["model", "region", "a,b", "llm call", "n"])
ASSETS = st.sampled_from(["USD", "EUR", "CREDITS"])
NUMBERS = st.decimals(0, 10**6, places=6, allow_nan=False).map(Number) | st.sampled_from(
    [Number(0), Number("1E+3"), Number("0.000000000000000001"), Number("1.50"), Number(10**18)]
)
COUNTS = st.none() | st.integers(1, 12)
EVERY = st.builds(Recurrence, st.sampled_from(["day", "week", "month", "year"]), COUNTS)
TIMINGS = st.sampled_from([None, "in_advance", "in_arrears"])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


COLLECTIONS = maybe(
    st.builds(BalanceCollection, TIMINGS, maybe(st.sampled_from(["default:USD", "team:CREDITS"])))
    | st.builds(InvoiceCollection, TIMINGS)
)
LEAVES = st.builds(
    PriceValue,
    name=maybe(NAMES),
    up_to=maybe(NUMBERS),
    unit_price=maybe(NUMBERS),
    volume_rate=maybe(NUMBERS),
    package_size=maybe(st.sampled_from([Number(1000), Number(1)])),
    max_amount=maybe(NUMBERS),
    min_amount=maybe(NUMBERS),
)
ENTRIES = st.builds(
    PriceValue,
    dimensions=st.dictionaries(KEYS, st.sampled_from(["*", "a", " b", "gpt-4"]), max_size=2),
    values=st.lists(LEAVES, min_size=1, max_size=3).map(tuple),
)
VALUES = st.lists(LEAVES, min_size=1, max_size=3) | st.lists(ENTRIES, min_size=1, max_size=3)
FUNDING = maybe(st.builds(FundingDestination, st.just("default:CREDITS")))
USAGE = st.builds(
    UsageBasedPrice,
    NAMES,
    st.builds(
        UsageCalculation,
        KEYS,
        st.sampled_from(["unit", "volume", "unit_and_volume", "custom", "cost"]),
        maybe(st.just("count")),
        maybe(KEYS),
        maybe(st.sampled_from(["sum", "a + 4 * b"])),
        maybe(st.lists(KEYS, max_size=2, unique=True).map(tuple)),
        maybe(KEYS),
        maybe(st.builds(CostFilter, maybe(KEYS), maybe(KEYS), maybe(KEYS))),
    ),
    st.just(RealTimeBilling()) | st.builds(RecurringBilling, EVERY),
    st.lists(
        st.builds(AssetPricing, ASSETS, VALUES.map(tuple)),
        min_size=1,
        max_size=2,
        unique_by=lambda pricing: pricing.asset,
    ).map(tuple),
    maybe(st.just("prc_1")),
    maybe(st.sampled_from(["flat", "tiered", "bulk", "package"])),
    maybe(
        st.builds(
            Tiering,
            maybe(st.sampled_from(["unit", "volume", "package", "custom"])),
            maybe(st.sampled_from(["lifetime", "monthly", "quarterly", "yearly", "custom"])),
        )
    ),
    COLLECTIONS,
    FUNDING,
)
FIXED = st.builds(
    FixedPrice,
    NAMES,
    st.builds(RecurringBilling, EVERY)
    | st.builds(OneTimeBilling, st.builds(OneTime, maybe(st.just("P3M")))),
    st.lists(
        st.builds(
            FixedAssetPricing,
            ASSETS,
            st.lists(
                st.builds(FixedValue, NUMBERS, maybe(NAMES), maybe(NUMBERS)), min_size=1, max_size=3
            ).map(tuple),
        ),
        min_size=1,
        max_size=2,
        unique_by=lambda pricing: pricing.asset,
    ).map(tuple),
    pricing_model=maybe(st.just("flat")),
    collection=COLLECTIONS,
)
ENTITLEMENTS = st.builds(
    Entitlement,
    NAMES,
    ASSETS,
    NUMBERS,
    st.sampled_from(["bundled", "promotion"]),
    st.builds(
        EntitlementLifecycle,
        st.sampled_from(["day", "week", "month", "year"]),
        COUNTS,
        maybe(
            st.builds(
                EntitlementRefresh,
                st.sampled_from(["expire_and_replace", "rollover"]),
                maybe(NUMBERS),
                COUNTS,
            )
        ),
    ),
    maybe(st.builds(EntitlementAccounting, NUMBERS, currency=st.sampled_from(["USD", "EUR"]))),
    maybe(st.integers(0, 500)),
    limited_to=maybe(
        st.builds(
            GrantScope,
            maybe(st.just(("one",))),
            maybe(st.lists(KEYS, min_size=1, max_size=2).map(tuple)),
            maybe(st.just({"model": "a"})),
        )
    ),
)
COMMITMENTS = st.builds(
    Commitment,
    NAMES,
    ASSETS,
    EVERY,
    maybe(NUMBERS),
    maybe(NUMBERS),
    maybe(st.lists(KEYS, min_size=1, max_size=2).map(tuple)),
)
VERSIONS = st.builds(
    CreateVersion,
    st.lists(USAGE | FIXED, max_size=3).map(tuple),
    st.lists(ENTITLEMENTS, max_size=2).map(tuple),
    commitments=st.lists(COMMITMENTS, max_size=2).map(tuple),
)


def sent(fields: dict[str, str]) -> dict[str, str]:
    """Return fields as a browser sends them: one line each, but for areas of text."""
    return {
        name: value.replace("\n", "\r\n") if name.endswith("json") else value.replace("\n", "")
        for name, value in fields.items()
    }


def through_the_form(version: CreateVersion) -> CreateVersion:
    form = write_form(version.prices, version.entitlements or (), version.commitments or ())
    fields = {name: value.strip() for name, value in sent(flat(form)).items()}
    read = request_of(CreateVersion, read_form(grow(fields)))
    assert isinstance(read, CreateVersion), read
    return read


def plain_parts(version: CreateVersion) -> list[Any]:
    lists = (version.prices, version.entitlements or (), version.commitments or ())
    return [[plainly(part) for part in parts] for parts in lists]


EMPTY = UsageBasedPrice(
    "Calls",
    UsageCalculation("call", "unit", billable_dimensions=("model",)),
    RealTimeBilling(),
    (AssetPricing("USD", (PriceValue(dimensions={}, values=(PriceValue(), PriceValue())),)),),
)


@settings(max_examples=100)
@example(CreateVersion((EMPTY,)))
@given(VERSIONS)
def test_a_version_that_goes_through_the_form_is_the_same_version(version: CreateVersion) -> None:
    version = checked(version)
    again = through_the_form(version)
    assert plain_parts(again) == plain_parts(version)
    offers = [Offer(v.prices, v.entitlements or (), v.commitments or ()) for v in (version, again)]
    assert differences(*offers) == []


ALL = [
    Answers(costs, differ, paid, fee, counted)
    for costs in ("no", "per_use", "per_volume")
    for differ in ("no", "model", "customer", "each")
    for paid in ("prepaid", "contract")
    for fee in ("none", "included", "only")
    for counted in ("money", "credits")
]


def test_what_the_guide_makes_is_shown_without_json() -> None:
    for answers in ALL:
        made = plan(answers).product
        form = write_form(made.prices, made.entitlements or (), (), made.name, made.code)
        fields = flat(form)
        assert not [name for name in fields if name.endswith("-json")], answers
        again = request_of(CreateProduct, read_form(grow(fields)))
        assert isinstance(again, CreateProduct)
        before, after = [Offer(p.prices, p.entitlements or ()) for p in (made, again)]
        assert differences(before, after) == []


MODELS: list[tuple[dict[str, str], dict[str, Any]]] = [
    (
        {"price-1-entry-1-tier-1-unit_price": "0.02"},
        {"values": [{"unit_price": Decimal("0.02")}]},
    ),
    (
        {
            "price-1-model": "package",
            "price-1-measure": "volume",
            "price-1-volume_field": "n",
            "price-1-package_size": "1,000",
            "price-1-entry-1-tier-1-volume_rate": "2",
        },
        {"values": [{"volume_rate": 2, "package_size": 1000}]},
    ),
    (
        {
            "price-1-model": "tiered",
            "price-1-entry-1-tier-1-up_to": "1 000",
            "price-1-entry-1-tier-1-unit_price": "0",
            "price-1-entry-1-tier-2-unit_price": ".5",
        },
        {"values": [{"up_to": 1000, "unit_price": 0}, {"unit_price": Decimal("0.5")}]},
    ),
    (
        {
            "price-1-model": "bulk",
            "price-1-dimensions": "model, region",
            "price-1-entry-1-dimension-1": "big",
            "price-1-entry-1-tier-1-up_to": "10",
            "price-1-entry-1-tier-1-unit_price": "3",
            "price-1-entry-1-tier-2-unit_price": "2",
            "price-1-entry-2-tier-1-unit_price": "1",
            "price-1-entry-2-tier-1-max_amount": "9",
        },
        {
            "values": [
                {
                    "dimensions": {"model": "big", "region": "*"},
                    "values": [{"up_to": 10, "unit_price": 3}, {"unit_price": 2}],
                },
                {
                    "dimensions": {"model": "*", "region": "*"},
                    "values": [{"unit_price": 1, "max_amount": 9}],
                },
            ]
        },
    ),
    (
        {
            "price-1-model": "fixed",
            "price-1-amount": "20",
            "price-1-seat_price": "5",
            "price-1-seats": "3",
        },
        {"values": [{"unit_price": 20}, {"unit_price": 5, "quantity": 3}]},
    ),
]


@pytest.mark.parametrize(("fields", "wanted"), MODELS, ids=lambda case: case.get("price-1-model"))
def test_each_of_the_five_models_is_read_as_it_was_meant(
    fields: dict[str, str], wanted: dict[str, Any]
) -> None:
    draft = read_form(grow({"price-1-event_type": "call", **fields}))
    assert draft.content["prices"][0]["pricing"] == [{"asset": "USD", **wanted}]
    read = request_of(CreateVersion, draft)
    assert isinstance(read, CreateVersion)
    assert plain_parts(through_the_form(read)) == plain_parts(read)


def test_what_is_wrong_is_said_at_the_field_that_it_is_about() -> None:
    fields = {
        "price-1-model": "tiered",
        "price-1-entry-1-tier-1-unit_price": "0,60",
        "price-2-model": "json",
        "price-2-json": "{",
        "commitment-1-minimum": "ten",
    }
    draft = read_form(grow(fields))
    wrong = request_of(CreateVersion, draft)
    assert isinstance(wrong, dict)
    assert sorted(wrong) == [
        "commitment-1-minimum",
        "price-1-entry-1-tier-1-unit_price",
        "price-2-json",
    ]
    (said,) = wrong["price-1-entry-1-tier-1-unit_price"]
    assert said == "'0,60' is not a number: write e.g. 0.60 or 1,000, with a point before decimals"
    missing = request_of(CreateProduct, read_form(grow({"price-1-model": "flat"})))
    assert missing == {
        "price-1-event_type": ["is missing: send a text"],
        "name": ["is missing: send a text"],
    }
    for path, field in (
        ("prices[0].pricing[0].values[0].up_to", "price-1-entry-1-tier-1-up_to"),
        ("prices[0].pricing[0].values[0]", "price-1-entry-1-tier-1"),
        ("prices[0].pricing[0].values", "price-1"),
        ("prices[0].tiering.basis", "price-1-basis"),
        ("prices[1].pricing[0].asset", "price-2-json"),
        ("commitments[0].maximum", "commitment-1-maximum"),
        ("publish", ""),
    ):
        assert draft.places.field(path)[0] == field
    assert draft.places.fields({"publish": ["is odd"]}) == {"": ["publish is odd"]}
    deep = draft.places.fields({"prices[1].pricing[0].asset": ["is odd"]})
    assert deep == {"price-2-json": ["pricing[0].asset is odd"]}


def test_buttons_add_and_take_away_and_the_open_tier_stays_the_last() -> None:
    root = grow({"price-1-entry-1-tier-1-up_to": "5", "price-1-entry-1-tier-2-unit_price": "1"})
    assert add(root, "price-1-entry-1-tier") == "price-1-entry-1-tier-2"
    assert flat(root)["price-1-entry-1-tier-3-unit_price"] == "1"
    assert add(root, "price") == "price-2"
    assert add(root, "price-1-entry") == "price-1-entry-2"
    assert add(root, "price-9-entry") is None
    assert add(root, "prices") is None
    assert remove(root, "price-1-entry-1-tier-1")
    assert not remove(root, "price-7")
    assert not remove(root, "price-x")
    assert flat(root)["price-1-entry-1-tier-2-unit_price"] == "1"
    many = grow({f"price-{n}-name": "x" for n in range(1, 102)})
    assert len(many.lists["price"]) == 100
    assert add(many, "price") is None


def test_a_version_with_very_many_values_is_json_in_the_form_which_can_still_be_sent() -> None:
    leaf = PriceValue(unit_price=Number(1))
    values = tuple(PriceValue(dimensions={"model": f"m{n}"}, values=(leaf,)) for n in range(1_000))
    calculation = UsageCalculation("call", "unit", billable_dimensions=("model",))
    large, small = [
        UsageBasedPrice("Calls", calculation, RealTimeBilling(), (AssetPricing("USD", some),))
        for some in (values, values[:2])
    ]
    fields = flat(write_form([small, large]))
    assert fields["price-1-entry-1-dimension-1"] == "m0"
    assert fields["price-2-model"] == "json"
    assert len(fields) < 100
    assert plain_parts(through_the_form(CreateVersion((small, large))))[0] == [
        plainly(small),
        plainly(large),
    ]


def test_two_ways_to_say_the_same_are_equal_and_two_prices_are_not() -> None:
    (price,) = plan(Answers()).product.prices
    flat_too = structs.replace(price, pricing_model="flat", collection=BalanceCollection())
    assert plainly(flat_too) == plainly(price)
    assert plainly(structs.replace(price, name="Other")) != plainly(price)
