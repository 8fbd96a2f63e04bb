"""CloudEvents are read in each of their modes, exactly, and what is wrong with one is said at its
place."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.observed import Observed, Unreadable, told_id
from faregate.core.problems import FaregateError
from faregate.ingestion.cloudevents import BATCH, STRUCTURED, read_cloudevents
from faregate.ingestion.way import Sent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = {
    "specversion": "1.0",
    "id": "7",
    "source": "/shop",
    "type": "com.example.call",
    "subject": "ada",
    "time": "2026-03-01T10:00:00.123456+01:00",
}


def read(body: Any, content_type: str | None = STRUCTURED, **headers: str) -> list[Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        named["content-type"] = content_type
    return list(read_cloudevents(Sent(named, raw, NOW)))


def one(body: Any, content_type: str | None = STRUCTURED, **headers: str) -> Observed:
    (found,) = read(body, content_type, **headers)
    assert isinstance(found, Observed), found
    return found


def unreadable(body: Any, content_type: str = STRUCTURED, **headers: str) -> Unreadable:
    (found,) = read(body, content_type, **headers)
    assert isinstance(found, Unreadable), found
    return found


def test_a_structured_event_has_its_attributes_and_its_data_as_fields() -> None:
    found = one({**EVENT, "data": {"tokens": 3, "model": {"name": "m"}}, "customer": "x"})
    assert found.id == "/shop 7"
    assert found.occurred_at == datetime(2026, 3, 1, 9, 0, 0, 123456, tzinfo=UTC)
    assert found.kind == "com.example.call"
    assert found.fields["customer"] == "x"
    assert (found.fields["data.tokens"], found.fields["data.model.name"]) == (3, "m")
    assert found.has_own_time


def test_numbers_are_the_digits_that_were_written() -> None:
    body = json.dumps({**EVENT, "data": {"n": 0}}).replace('"n": 0', '"n": 0.1000000000000000055')
    assert one(body.encode()).fields["data.n"] == Decimal("0.1000000000000000055")


def test_a_binary_event_has_its_attributes_in_headers() -> None:
    found = one(
        b'{"tokens": 1.50}',
        "application/json; charset=utf-8",
        ce_specversion="1.0",
        ce_id="7",
        ce_source="/shop",
        ce_type="call",
        ce_subject="Z%C3%BCrich%20AG",
        ce_time="2026-03-01T09:00:00Z",
    )
    assert found.id == "/shop 7"
    assert found.fields["subject"] == "Zürich AG"
    assert found.fields["data.tokens"] == Decimal("1.50")


def test_a_batch_has_every_event_at_its_place_and_one_that_is_broken_harms_no_other() -> None:
    found = read([EVENT, {**EVENT, "type": ""}, 7, {**EVENT, "id": "8"}], BATCH)
    assert [one.place for one in found] == ["[0]", "[1]", "[2]", "[3]"]
    assert [type(one) for one in found] == [Observed, Unreadable, Unreadable, Observed]
    assert list(found[1].problem.errors) == ["type"]
    assert read([], BATCH) == []


def test_plain_json_is_taken_for_what_it_can_only_be() -> None:
    assert one(EVENT, "application/json").id == "/shop 7"
    assert [found.id for found in read([EVENT, EVENT], None)] == ["/shop 7"] * 2


def test_packed_data_is_read_where_it_is_json() -> None:
    packed = base64.b64encode(b'{"n": 1.10}').decode()
    found = one({**EVENT, "data_base64": packed, "datacontenttype": "application/json"})
    assert found.fields["data.n"] == Decimal("1.10")
    assert "data_base64" not in found.fields
    found = one({**EVENT, "data_base64": packed, "datacontenttype": "image/png"})
    assert not any(name.startswith("data.") for name in found.fields)


def test_data_that_is_no_json_is_left_alone() -> None:
    found = one({**EVENT, "data": "<a/>", "datacontenttype": "text/xml"})
    assert "data" not in found.fields
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t"}
    assert "data" not in one(b"\xff\xfe", "image/png", **headers).fields


def test_an_event_without_a_time_has_the_one_at_which_it_came() -> None:
    found = one({name: value for name, value in EVENT.items() if name != "time"})
    assert (found.occurred_at, found.has_own_time) == (NOW, False)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"source": None}, "source"),
        ({"time": "yesterday"}, "time"),
        ({"time": 12}, "time"),
        ({"time": "2026-03-01T09:00:00"}, "time"),
        ({"time": "9999-12-31T23:59:59Z"}, "time"),
        ({"data_base64": "!"}, "data_base64"),
    ],
)
def test_what_the_standard_does_not_allow_is_named(changes: dict[str, Any], field: str) -> None:
    assert list(unreadable({**EVENT, **changes}).problem.errors) == [field]


def test_data_that_is_too_deep_or_too_wide_is_refused_and_its_id_is_known() -> None:
    deep: Any = 1
    for _ in range(12):
        deep = [deep]
    for data in (deep, {str(n): n for n in range(1_100)}):
        found = unreadable({**EVENT, "data": data})
        assert found.id == told_id("/shop", "7")


def test_depth_that_no_parser_bears_is_no_json() -> None:
    body = json.dumps(EVENT)[:-1].encode() + b', "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert unreadable(body).problem.kind.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_batch_that_is_no_json_is_malformed_as_a_whole(body: bytes) -> None:
    with pytest.raises(FaregateError) as refused:
        read(body, BATCH)
    assert refused.value.problem.kind.status == 400


def test_a_media_type_that_is_none_of_theirs_is_refused_with_those_that_are() -> None:
    with pytest.raises(FaregateError, match="cloudevents-batch") as refused:
        read(b"<a/>", "text/xml")
    assert refused.value.problem.kind.status == 415


finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | finite,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=15,
)


@given(st.lists(st.dictionaries(st.sampled_from([*EVENT, "data", "data_base64"]), json_values)))
def test_whatever_a_batch_holds_every_thing_of_it_is_read_or_refused(items: list[Any]) -> None:
    body = json.dumps([{**EVENT, **item} for item in items]).encode()
    found = read_cloudevents(Sent({"content-type": BATCH}, body, NOW))
    assert [one.place for one in found] == [f"[{n}]" for n in range(len(items))]
