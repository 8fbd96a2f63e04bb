from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.assets import CURRENCIES, custom_asset
from faregate.core.bonuses import Bonus, BonusStep, TopUpBonus, bonus_for, check_bonuses

NOW = datetime(2026, 3, 2, tzinfo=UTC)
USD = CURRENCIES["USD"]
GEMS = custom_asset("GEMS", "Gems", 0, None, None)
ONE = 10**9
STEPS = (BonusStep(Decimal(50), Decimal(5)), BonusStep(Decimal(100), Decimal(20)))
PERCENT = TopUpBonus("p", Decimal(10))


def given_units(*rules: TopUpBonus, units: int, had: tuple[str, ...] = ()) -> int:
    found = bonus_for(rules, units, USD, had, NOW)
    return 0 if found is None else found.units


@pytest.mark.parametrize(
    ("dollars", "cents"), [("20", 200), ("12.35", 123), ("0.09", 0), ("0.1", 1)]
)
def test_a_percentage_is_rounded_down_to_what_people_see(dollars: str, cents: int):
    units = int(Decimal(dollars) * ONE)
    assert given_units(PERCENT, units=units) == cents * 10**7


@pytest.mark.parametrize(("dollars", "bonus"), [(49, 0), (50, 5), (99, 5), (100, 20), (10_000, 20)])
def test_the_highest_step_that_is_reached_counts(dollars: int, bonus: int):
    assert given_units(TopUpBonus("s", steps=STEPS), units=dollars * ONE) == bonus * ONE


@pytest.mark.parametrize(
    ("rule", "applies"),
    [
        (TopUpBonus("p", Decimal(10), minimum=Decimal(20)), True),
        (TopUpBonus("p", Decimal(10), minimum=Decimal("20.01")), False),
        (TopUpBonus("p", Decimal(10), maximum=Decimal(20)), True),
        (TopUpBonus("p", Decimal(10), maximum=Decimal("19.99")), False),
        (TopUpBonus("p", Decimal(10), valid_from=NOW), True),
        (TopUpBonus("p", Decimal(10), valid_from=NOW + timedelta(microseconds=1)), False),
        (TopUpBonus("p", Decimal(10), valid_to=NOW), False),
        (TopUpBonus("p", Decimal(10), valid_to=NOW + timedelta(microseconds=1)), True),
    ],
)
def test_a_rule_has_its_amounts_and_its_time(rule: TopUpBonus, applies: bool):
    assert bool(given_units(rule, units=20 * ONE)) is applies


def test_the_rule_that_gives_most_counts_alone():
    rules = (PERCENT, TopUpBonus("s", steps=STEPS), TopUpBonus("q", Decimal(15)))
    assert bonus_for(rules, 100 * ONE, USD, (), NOW) == Bonus("s", 20 * ONE)
    assert bonus_for(rules, 1000 * ONE, USD, (), NOW) == Bonus("q", 150 * ONE)


def test_what_counts_once_is_not_given_to_who_had_it():
    once = TopUpBonus("w", Decimal(50), once_per_customer=True, expires_in_days=7)
    assert bonus_for((once, PERCENT), ONE, USD, (), NOW) == Bonus(
        "w", ONE // 2, True, NOW + timedelta(days=7)
    )
    assert bonus_for((once, PERCENT), ONE, USD, ("w",), NOW) == Bonus("p", ONE // 10)


@given(
    st.integers(1, 9 * 10**18),
    st.decimals("0.000001", 1000, places=6),
    st.sampled_from([USD, GEMS, CURRENCIES["JPY"]]),
)
def test_a_percentage_never_gives_more_than_it_says(units, percent, asset):
    found = bonus_for((TopUpBonus("p", percent),), units, asset, (), NOW)
    if found is not None:
        assert Decimal(found.units) * 100 <= percent * units
        assert found.units % 10 ** (asset.scale - asset.precision) == 0


@pytest.mark.parametrize("percent", ["0", "-1", "1000.000001", "0.0000001", "1E+400", "1E-400"])
def test_a_percentage_beyond_bounds_is_refused(percent: str):
    problem = check_bonuses((TopUpBonus("p", Decimal(percent)),), USD)
    assert problem is not None
    assert "send more than 0" in problem.errors["top_up_bonus[0].percent"][0]


def test_rules_have_names_of_their_own():
    problem = check_bonuses((PERCENT, PERCENT), USD)
    assert problem is not None
    assert list(problem.errors) == ["top_up_bonus[1].id"]
