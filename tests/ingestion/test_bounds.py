"""Bodies that are small to send and large to read are refused before they take memory or time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.ingestion.telling import NOW

from faregate.core.observed import Told
from faregate.core.problems import FaregateError
from faregate.ingestion import cloudevents, litellm, otlp
from faregate.ingestion.flattening import MAX_COMMAS, MAX_ITEMS
from faregate.ingestion.span_bytes import MAX_GROUPS, MAX_PAIRS
from faregate.ingestion.way import Sent

JSON = "application/json"
BATCH = cloudevents.BATCH
PROTOBUF = otlp.PROTOBUF
MANY = MAX_ITEMS + 1
Read = Callable[[Sent], Sequence[Told]]


def refused(read: Read, form: str, body: bytes) -> int:
    with pytest.raises(FaregateError) as caught:
        read(Sent({"content-type": form}, body, NOW))
    return caught.value.problem.kind.status


@pytest.mark.parametrize(
    ("read", "form", "body"),
    [
        (cloudevents.read_cloudevents, BATCH, b"[" + b"1," * MAX_ITEMS + b"1]"),
        (litellm.read_litellm, JSON, b"[" + b"1," * MAX_ITEMS + b"1]"),
        (litellm.read_litellm, JSON, b"1\n" * MANY + b"1"),
    ],
)
def test_more_things_than_one_body_may_tell_are_refused_unread(
    read: Read, form: str, body: bytes
) -> None:
    assert refused(read, form, body) == 413


@pytest.mark.parametrize(
    ("read", "form"),
    [
        (cloudevents.read_cloudevents, BATCH),
        (litellm.read_litellm, JSON),
        (otlp.read, JSON),
    ],
)
def test_a_body_of_nothing_but_commas_is_refused_before_it_takes_memory(
    read: Read, form: str
) -> None:
    assert refused(read, form, b"[" + b"1," * (MAX_COMMAS + 1) + b"1]") == 413


def test_ten_thousand_things_are_looked_at() -> None:
    body = b"[" + b"1," * (MAX_ITEMS - 1) + b"1]"
    assert len(cloudevents.read_cloudevents(Sent({"content-type": BATCH}, body, NOW))) == MAX_ITEMS


def within(number: int, message: bytes) -> bytes:
    """Write a message of protobuf under a number."""
    size, left = bytearray(), len(message)
    while left > 127:
        size.append(left & 127 | 128)
        left >>= 7
    return bytes((number << 3 | 2, *size, left)) + message


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (PROTOBUF, b"\x0a\x00" * (MAX_GROUPS + 2)),
        (PROTOBUF, within(1, b"\x12\x00" * (MAX_GROUPS + 1))),
        (JSON, b'{"resourceSpans":[' + b"{}," * MAX_GROUPS + b"{}]}"),
        (JSON, b'{"resourceSpans":[{"scopeSpans":[' + b"{}," * MAX_GROUPS + b"{}]}]}"),
    ],
)
def test_resources_and_scopes_without_a_span_are_bounded_as_spans_are(
    form: str, body: bytes
) -> None:
    assert refused(otlp.read, form, body) == 413


@pytest.mark.parametrize("is_nested", [False, True])
def test_attributes_that_say_nothing_are_bounded_in_a_whole_request(is_nested: bool) -> None:
    pairs = b"\x0a\x00" * (MAX_PAIRS // 2 + 1)
    if is_nested:
        pairs = within(1, within(2, within(6, pairs)))
    body = within(1, within(1, pairs)) * 2
    assert refused(otlp.read, PROTOBUF, body) == 413
