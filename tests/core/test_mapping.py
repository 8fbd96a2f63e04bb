"""Rules make events of what is told: by the fields that they name, and of nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from faregate.core.codec import checked
from faregate.core.mapping import (
    Condition,
    CostRule,
    MappedEvent,
    MappingRules,
    Skipped,
    check_rules,
    map_observed,
)
from faregate.core.mapping_defaults import DEFAULT_RULES
from faregate.core.observed import SOURCES, Observed
from faregate.core.problems import Problem

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = MappingRules(
    customer=("customer", "user"), event_type=("type",), data={"units": ("units", "count")}
)


def observed(**fields: Any) -> Observed:
    return Observed("1", NOON, "message", fields, "[0]")


def mapped(rules: MappingRules = RULES, **fields: Any) -> MappedEvent:
    made = map_observed(rules, observed(**{"customer": "ada", "type": "call", **fields}))
    assert isinstance(made, MappedEvent), made
    return made


def refused(rules: MappingRules = RULES, **fields: Any) -> Problem:
    made = map_observed(rules, observed(**{"customer": "ada", "type": "call", **fields}))
    assert isinstance(made, Problem), made
    return made


def with_rules(**changes: Any) -> MappingRules:
    return structs.replace(RULES, **changes)


def test_the_first_field_that_is_there_counts() -> None:
    made = mapped(user="bob", count=2, units=3)
    assert (made.customer, made.event.data) == ("ada", {"units": 3})
    made = mapped(customer="", user="bob", count=2)
    assert (made.customer, made.event.data) == ("bob", {"units": 2})


def test_what_no_rule_names_is_not_taken_over() -> None:
    event = mapped(prompt="my secret illness", units=1).event
    assert event.data == {"units": 1}
    assert "secret" not in repr(event)


def test_nothing_is_left_of_data_of_which_nothing_is_there() -> None:
    assert mapped().event.data is None


@pytest.mark.parametrize(
    ("value", "called"),
    [("0042", "0042"), (42, "42"), (Decimal("4.20"), "4.2"), (True, "true"), (" x ", " x ")],
)
def test_a_customer_may_be_called_by_anything_flat(value: Any, called: str) -> None:
    assert mapped(customer=value).customer == called


def test_types_are_renamed_and_one_is_used_where_none_is_said() -> None:
    rules = with_rules(event_types={"call": "model_call"}, default_event_type="other")
    assert mapped(rules).event.event_type == "model_call"
    assert mapped(rules, type="tool").event.event_type == "tool"
    assert mapped(rules, type="").event.event_type == "other"
    assert refused(RULES, type="").errors.keys() == {"event_type"}


def test_subject_and_description_come_from_their_fields_and_a_description_is_cut() -> None:
    rules = with_rules(subject=("team",), description=("note",))
    event = mapped(rules, team="red", note="x" * 600).event
    assert (event.subject, event.description) == ("red", "x" * 500)


def test_everything_below_a_name_becomes_data() -> None:
    rules = with_rules(data_below="data.", data={"units": ("data.used",)})
    fields = {"data.used": 3, "data.deep.tokens": Decimal("1.50"), "data.": 1, "database": 1}
    made = map_observed(rules, observed(customer="ada", type="call", **fields))
    assert isinstance(made, MappedEvent)
    assert made.event.data == {"used": 3, "deep.tokens": Decimal("1.50"), "units": 3}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("12", 12),
        ("-3", -3),
        ("1.50", Decimal("1.50")),
        ("1e3", Decimal("1e3")),
        ("0.1", Decimal("0.1")),
        ("007", "007"),
        ("1_000", "1_000"),
        ("1,5", "1,5"),
        ("NaN", "NaN"),
        ("true", "true"),
        ("", None),
        ("9" * 61, "9" * 61),
        ("12 ", "12 "),
        ("１２", "１２"),
    ],
)
def test_texts_become_numbers_only_where_they_are_json_numbers(text: str, read: Any) -> None:
    event = mapped(with_rules(read_numbers=True), units=text).event
    assert (event.data or {}).get("units") == read
    assert type((event.data or {}).get("units")) is type(read)
    assert (mapped(units=text).event.data or {}).get("units") == (text or None)


@pytest.mark.parametrize(
    ("condition", "fields", "why"),
    [
        (Condition("a"), {}, "a is not there"),
        (Condition("a"), {"a": False}, None),
        (Condition("a", exists=False), {"a": 0}, "a is there"),
        (Condition("a", exists=False), {}, None),
        (Condition("a", ("x", "true")), {"a": True}, None),
        (Condition("a", ("12",)), {"a": Decimal("12.0")}, None),
        (Condition("a", ("x",)), {"a": "y"}, "a is 'y'"),
        (Condition("a", ("x",)), {}, "a is not there"),
        (Condition("a", none_of=("true",)), {"a": True}, "a is 'true'"),
        (Condition("a", none_of=("true",)), {"a": False}, None),
        (Condition("a", none_of=("true",)), {}, None),
    ],
)
def test_what_does_not_meet_a_condition_is_skipped_and_it_is_said_why(
    condition: Condition, fields: dict[str, Any], why: str | None
) -> None:
    made = map_observed(
        with_rules(only=(condition,)), observed(customer="ada", type="call", **fields)
    )
    assert made == Skipped(why) if why else isinstance(made, MappedEvent)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"customer": ""}, "customer"),
        ({"customer": "x" * 201}, "customer"),
        ({"customer": "a\x00"}, "customer"),
        ({"customer": "\ud800"}, "customer"),
        ({"type": "x" * 101}, "event_type"),
        ({"units": "a\x00b"}, "data.units"),
        ({"units": Decimal("NaN")}, "data.units"),
        ({"units": Decimal("Infinity")}, "data.units"),
        ({"units": "x" * 16_385}, "data.units"),
        ({"units": "ü" * 16_000}, "data"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(fields: dict[str, Any], path: str) -> None:
    assert list(refused(**fields).errors) == [path]


def test_more_keys_than_an_event_may_have_are_refused_not_cut() -> None:
    rules = with_rules(data_below="data.")
    fields = {f"data.{n}": n for n in range(51)}
    assert "51 keys" in refused(rules, **fields).detail


COST = CostRule(("cost",), "openai", vendor_fields=("provider",))


def test_a_cost_is_taken_over_only_if_the_rules_ask_for_it() -> None:
    assert mapped(cost=Decimal("0.5")).event.costs is None
    (cost,) = mapped(with_rules(cost=COST), cost=Decimal("1.35e-05")).event.costs or ()
    assert (cost.amount, cost.vendor_external_id) == (Decimal("0.000013500"), "openai")
    (cost,) = mapped(with_rules(cost=COST), cost="2", provider="groq").event.costs or ()
    assert (cost.amount, cost.vendor_external_id, cost.currency) == (2, "groq", "USD")
    assert mapped(with_rules(cost=COST)).event.costs is None


@pytest.mark.parametrize(
    ("told", "kept"),
    [("0.0000000004", "0"), ("0.0000000006", "0.000000001"), ("0.0000000005", "0")],
)
def test_a_cost_is_rounded_to_what_the_ledger_keeps_half_to_even(told: str, kept: str) -> None:
    (cost,) = mapped(with_rules(cost=COST), cost=Decimal(told)).event.costs or ()
    assert cost.amount == Decimal(kept)


@pytest.mark.parametrize("cost", ["much", True, Decimal("NaN"), Decimal("1e99"), "1e-99", 10**30])
def test_a_cost_that_is_no_amount_is_refused(cost: Any) -> None:
    made = map_observed(with_rules(cost=COST), observed(customer="a", type="b", cost=cost))
    assert isinstance(made, Problem)
    assert list(made.errors) == ["cost"]


def test_an_id_or_a_time_that_cannot_be_booked_is_refused() -> None:
    fields = {"customer": "ada", "type": "call"}
    for event_id, at, path in (
        ("", NOON, "id"),
        ("x" * 201, NOON, "id"),
        ("1", NOON.replace(tzinfo=None), "occurred_at"),
    ):
        made = map_observed(RULES, Observed(event_id, at, "message", fields, "[0]"))
        assert isinstance(made, Problem)
        assert list(made.errors) == [path]


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        (MappingRules(("c",)), "event_type"),
        (with_rules(only=(Condition("a", ("x",), exists=False),)), "only[0]"),
        (with_rules(only=(Condition("a", ("x",), none_of=("y",)),)), "only[0]"),
        (with_rules(data={"units": ()}), "data.units"),
    ],
)
def test_rules_that_can_make_no_event_are_refused(rules: MappingRules, path: str) -> None:
    problem = check_rules(rules)
    assert problem is not None
    assert list(problem.errors) == [path]


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_rules_of_its_own_that_could_be_saved(source: Any) -> None:
    assert check_rules(checked(DEFAULT_RULES[source])) is None


NAMES = ("customer", "user", "type", "team", "note", "cost", "data.a", "data.b", "status")
scalars = (
    st.text(max_size=30)
    | st.text(st.characters(), max_size=300)
    | st.integers()
    | st.decimals()
    | st.booleans()
)
name_lists = st.lists(st.sampled_from(NAMES), max_size=3).map(tuple)
rule_sets = st.builds(
    MappingRules,
    customer=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple),
    event_type=name_lists,
    default_event_type=st.none() | st.just("use"),
    subject=name_lists,
    description=name_lists,
    data=st.dictionaries(st.text(min_size=1, max_size=5), name_lists, max_size=4),
    data_below=st.none() | st.just("data."),
    read_numbers=st.booleans(),
    cost=st.none() | st.just(CostRule(("cost",), "v", ("note",))),
    only=st.lists(st.builds(Condition, st.sampled_from(NAMES)), max_size=2).map(tuple),
)


@given(
    rule_sets,
    st.dictionaries(st.sampled_from(NAMES), scalars),
    st.text(max_size=210),
)
def test_whatever_is_told_there_is_an_event_as_json_would_have_it_or_a_reason(
    rules: MappingRules, fields: dict[str, Any], event_id: str
) -> None:
    made = map_observed(rules, Observed(event_id, NOON, "message", fields, "[0]"))
    if isinstance(made, MappedEvent):
        assert 1 <= len(made.customer) <= 200
        assert checked(made.event) == made.event
    else:
        assert isinstance(made, (Skipped, Problem))
