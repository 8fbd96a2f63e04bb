"""Which prices a customer has: by what was in force when the event occurred."""

from __future__ import annotations

from datetime import datetime

import pytest

from faregate.core.subscriptions import CLOCK_SKEW, Binding, Stretch, Subscription

from .builders import DAY, MINUTE, T0, catalog_of, price, product, subscription, value

V1, V2, V3 = (price(value(unit_price=str(n)), id=f"prc_v{n}") for n in (1, 2, 3))
CATALOG = catalog_of(
    product(
        {1: (V1,), 2: (V2,), 3: (V3,)},
        defaults=((T0 - 60 * DAY, 1), (T0 - 10 * DAY, 2), (T0 - DAY, 1)),
    ),
    product({1: (price(value(unit_price="9"), id="prc_other"),)}, id="prp_other"),
)


def names(at: datetime, *subscriptions: Subscription, event_type: str = "call") -> list[str]:
    return [one.id for one in CATALOG.prices_for(subscriptions, event_type, at)]


@pytest.mark.parametrize(
    ("at", "is_active", "covers", "status"),
    [
        (T0 - CLOCK_SKEW - MINUTE, False, False, "scheduled"),
        (T0 - CLOCK_SKEW, False, True, "scheduled"),
        (T0, True, True, "active"),
        (T0 + DAY - MINUTE, True, True, "active"),
        (T0 + DAY, False, False, "scheduled"),
        (T0 + 2 * DAY - CLOCK_SKEW, False, False, "scheduled"),
        (T0 + 2 * DAY, True, True, "active"),
        (T0 + 3 * DAY, False, False, "inactive"),
    ],
)
def test_a_subscription_covers_its_stretches_and_a_little_before_the_first(
    at: datetime, is_active: bool, covers: bool, status: str
) -> None:
    stretches = (Stretch(T0, T0 + DAY), Stretch(T0 + 2 * DAY, T0 + 3 * DAY))
    one = Subscription("sub_one", T0, None, (Binding("prp_one", 1, T0),), stretches)
    assert one.is_active(at) is is_active
    assert one.covers(at) is covers
    assert one.status(at) == status


@pytest.mark.parametrize(
    ("at", "version"),
    [
        (T0 - 90 * DAY, "prc_v1"),
        (T0 - 60 * DAY, "prc_v1"),
        (T0 - 10 * DAY - MINUTE, "prc_v1"),
        (T0 - 10 * DAY, "prc_v2"),
        (T0 - DAY - MINUTE, "prc_v2"),
        (T0 - DAY, "prc_v1"),
        (T0 + DAY, "prc_v1"),
    ],
)
def test_the_default_is_the_version_that_was_the_default_then(at: datetime, version: str) -> None:
    assert names(at, subscription(version=None)) == [version]


def test_a_product_without_default_prices_nothing_by_default() -> None:
    empty = catalog_of(product({1: (V1,)}, defaults=()))
    assert empty.products["prp_one"].default_at(T0) is None
    assert empty.prices_for((subscription(version=None),), "call", T0) == []
    assert len(empty.prices_for((subscription(version=1),), "call", T0)) == 1


def test_a_bound_version_does_not_follow_the_default() -> None:
    for at in (T0 - 90 * DAY, T0 - 5 * DAY, T0):
        assert names(at, subscription(version=3)) == ["prc_v3"]


@pytest.mark.parametrize(
    ("at", "version"),
    [
        (T0 - 20 * DAY, "prc_v3"),
        (T0 - MINUTE, "prc_v3"),
        (T0, "prc_v1"),
        (T0 + DAY, "prc_v2"),
    ],
)
def test_the_binding_that_had_begun_last_counts(at: datetime, version: str) -> None:
    bindings = (
        Binding("prp_one", 3, T0 - 10 * DAY),
        Binding("prp_one", 1, T0),
        Binding("prp_one", 2, T0 + DAY),
    )
    one = Subscription("sub_one", T0, None, bindings, (Stretch(T0 - 50 * DAY),))
    assert names(at, one) == [version]


def test_the_newest_binding_of_each_product_is_the_current_one() -> None:
    first, other, second = (
        Binding("prp_one", 1, T0),
        Binding("prp_other", None, T0),
        Binding("prp_one", 2, T0 + DAY),
    )
    one = Subscription("sub_one", T0, None, (first, other, second), (Stretch(T0),))
    assert one.current_bindings() == (second, other)


def test_a_product_counts_once_by_the_oldest_subscription() -> None:
    older = subscription(version=1, id="sub_a")
    newer = subscription(version=2, id="sub_b")
    assert names(T0, older, newer) == ["prc_v1"]


def test_an_older_subscription_that_has_ended_gives_way() -> None:
    older = subscription(version=1, to_at=T0 - DAY, id="sub_a")
    newer = subscription(version=2, id="sub_b")
    assert names(T0 - 2 * DAY, older, newer) == ["prc_v1"]
    assert names(T0, older, newer) == ["prc_v2"]


def test_every_product_of_every_subscription_prices_the_event() -> None:
    assert names(T0, subscription(), subscription("prp_other", id="sub_b")) == [
        "prc_v1",
        "prc_other",
    ]


@pytest.mark.parametrize(
    "one",
    [
        subscription(from_at=T0 + DAY),
        subscription(to_at=T0),
        subscription("prp_unknown"),
        subscription(version=7),
    ],
    ids=["not begun", "ended", "unknown product", "unknown version"],
)
def test_what_is_not_in_force_prices_nothing(one: Subscription) -> None:
    assert names(T0, one) == []


def test_another_type_of_event_is_not_priced() -> None:
    assert names(T0, subscription(), event_type="search") == []
    assert names(T0) == []
