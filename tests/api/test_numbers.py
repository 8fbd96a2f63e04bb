"""Numbers over the wire: what was written is what is kept, to the last digit. Bodies are JSON text,
so no number of these tests has ever been a float.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import (
    USD,
    Answer,
    Caller,
    adjustment,
    adjustments,
    calling,
    event,
    product,
    usage,
)
from tests.api.conftest import RunningServer

HUGE = "1" + "0" * 400
PRECISIONS = (0, 2)
BEYOND_PYTHON = "1" + "0" * 5000


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        for precision in PRECISIONS:
            asset = {"code": f"CREDITS{precision}", "name": "Credits", "precision": precision}
            caller.made("assets", asset)
        yield caller


def _use(me: Caller, customer_id: str, identifier: str, volume: str) -> Answer:
    """Send one use of a volume in these digits; the answer tells what it cost."""
    body = json.dumps(usage(customer_id, event(identifier, "VOLUME")))
    text = body.replace('"VOLUME"', volume)
    return me.post("events", text, {"prefer": "return=representation"})


def _fee(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    fee: dict[str, Any] = answer.body["events"][0]["fees"][0]
    return fee


def _booked(me: Caller, customer_id: str) -> int:
    return int(me.get(f"events?customer_id={customer_id}").body["total_count"])


def test_a_tenth_and_two_tenths_are_three_tenths(me: Caller) -> None:
    customer = me.customer()
    me.give(customer, "0.1")
    me.give(customer, "0.2")
    response = me.http.get(f"/v1/customers/{customer}/wallet/{USD}")
    assert '"available":0.3,' in response.text


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1e-9", "0.000000001"),
        ("9999999.999999999", "9999999.999999999"),
        ("1E2", "100"),
        ("0.10000000000000000000", "0.1"),
        ("9000000000", "9000000000"),
        ("-0.1", "-0.1"),
        ("1.0e+1", "10"),
    ],
)
def test_an_amount_is_kept_to_its_last_digit(me: Caller, written: str, kept: str) -> None:
    customer = me.customer()
    me.give(customer, written)
    assert me.available(customer) == Decimal(kept)
    booked = me.get(f"customers/{customer}/wallet/transactions/USD%20{written}").body
    assert Decimal(booked["amount"]) == Decimal(kept)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("0.1234567891", "at most 9 decimals"),
        ("1e-10", "at most 9 decimals"),
        ("1e-400", "at most 9 decimals"),
        ("0." + "0" * 80 + "1", "at most 9 decimals"),
        ("0", "is 0"),
        ("-0", "is 0"),
        ("-0.0", "is 0"),
        ("0e400", "is 0"),
        ("9000000000.000000001", "out of range"),
        ("1e30", "out of range"),
        ("1" + "0" * 30, "out of range"),
        ("1e400", "too large"),
        (HUGE, "401 digits"),
        ("-" + HUGE, "401 digits"),
        ("1" * 61, "61 digits"),
        (BEYOND_PYTHON, "too many digits"),
        ("1e999999999999999999999999", "number"),
        ("1e-999999999999999999999999", "number"),
        ('"1.5"', 'is "1.5"'),
        ("true", "is true"),
        ("null", "is null"),
        ("[1]", "is an array"),
        ('{"a": 1}', "is an object"),
    ],
)
def test_an_amount_that_cannot_be_kept_is_refused_by_name(
    me: Caller, written: str, message: str
) -> None:
    customer = me.customer()
    body = adjustment(written, transaction_id="t")
    answer = me.post(adjustments(customer), body)
    assert answer.status == 422, answer.body
    assert answer.fields == ["amount"]
    assert message in answer.body["errors"]["amount"][0]
    assert me.get(f"customers/{customer}/wallet/transactions/t").status == 404
    assert me.available(customer) == 0


@pytest.mark.parametrize(
    "written", ["NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5", "1e", "0x1", "1_000", "--1"]
)
def test_what_is_no_number_of_json_is_malformed(me: Caller, written: str) -> None:
    customer = me.customer()
    answer = me.post(adjustments(customer), adjustment(written, transaction_id="t"))
    assert (answer.status, answer.body["type"]) == (400, "urn:faregate:problem:malformed")
    assert _use(me, customer, "e", written).status == 400
    assert _booked(me, customer) == 0
    assert me.available(customer) == 0


@pytest.mark.parametrize(
    ("written", "cost"),
    [
        ("1.5", "1.5"),
        ("0.1", "0.1"),
        ("1e-9", "0.000000001"),
        ("123456789.123456789", "123456789.123456789"),
        ("1e3", "1000"),
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1e-12", "0"),
    ],
)
def test_a_volume_is_priced_as_it_was_written(me: Caller, written: str, cost: str) -> None:
    customer = me.customer()
    fee = _fee(_use(me, customer, "e", written))
    assert Decimal(fee["amount"]) == Decimal(cost)
    assert Decimal(fee["input_volume"]) == Decimal(written)
    assert me.available(customer) == -Decimal(cost)
    shown = me.get(f"events/e?customer_id={customer}").body
    assert Decimal(shown["data"]["tokens"]) == Decimal(written)
    assert shown["fees"] == [fee]


@pytest.mark.parametrize(
    "written",
    [
        "-1",
        "-0.5",
        "-1e-12",
        "1e-13",
        "1000000000000001",
        "1e16",
        "1e30",
        "1e400",
        HUGE,
        '"3"',
        "true",
        "[]",
        "{}",
    ],
)
def test_a_volume_that_cannot_be_is_refused_by_name(me: Caller, written: str) -> None:
    customer = me.customer()
    answer = _use(me, customer, "e", written)
    assert (answer.status, answer.fields) == (422, ["events[0].data.tokens"])
    assert _booked(me, customer) == 0
    assert me.available(customer) == 0


def test_what_is_not_priced_comes_back_as_it_was_sent(me: Caller) -> None:
    customer = me.customer()
    free = f'{{"tokens": 1, "a": 0.1, "b": 1e400, "c": {HUGE}, "d": 18446744073709551616}}'
    body = json.dumps(usage(customer, event("e"))).replace('{"tokens": 1}', free)
    assert me.post("events", body).status == 204
    assert me.post("events", body).status == 204
    shown = me.http.get(f"/v1/events/e?customer_id={customer}").text
    data = json.loads(shown, parse_float=Decimal)["data"]
    assert data == json.loads(free, parse_float=Decimal)
    assert me.available(customer) == -1


@pytest.mark.parametrize(
    ("precision", "kept", "refused", "limit"),
    [(0, "7", "0.5", "9000000000000000000"), (2, "0.07", "0.075", "90000000000000000")],
)
def test_a_credit_keeps_exactly_the_decimals_of_its_precision(
    me: Caller, precision: int, kept: str, refused: str, limit: str
) -> None:
    asset = f"CREDITS{precision}"
    customer, account = me.customer(), f"default:{asset}"
    me.give(customer, kept, asset)
    answer = me.post(adjustments(customer), adjustment(refused, asset))
    assert (answer.status, answer.fields) == (422, ["amount"])
    assert me.available(customer, account) == Decimal(kept)
    me.give(customer, f"-{kept}", asset)
    me.give(customer, limit, asset)
    assert me.available(customer, account) == Decimal(limit)
    smallest = str(Decimal(1).scaleb(-precision))
    answer = me.post(adjustments(customer), adjustment(smallest, asset))
    assert (answer.status, answer.fields) == (422, ["amount"])


def test_a_fee_in_whole_credits_carries_what_rounding_left_over(me: Caller) -> None:
    me.made("products", product("0.4", "CREDITS0", "credits"))
    customer = me.customer(subscriptions=[{"products": [{"code": "credits"}]}])
    fees = [Decimal(_fee(_use(me, customer, f"e{n}", "1"))["amount"]) for n in range(5)]
    assert fees == [0, 1, 0, 1, 0]
    assert me.available(customer, "default:CREDITS0") == -2


def test_a_price_has_up_to_eighteen_decimals(me: Caller) -> None:
    rate = "0.000000000000000001"
    me.made("products", product(rate, code="fine"))
    shown = me.http.get("/v1/products/fine/1").text
    value = json.loads(shown, parse_float=Decimal)["prices"][0]["pricing"][0]["values"][0]
    assert value == {"volume_rate": Decimal(rate)}
    customer = me.customer(subscriptions=[{"products": [{"code": "fine"}]}])
    assert _fee(_use(me, customer, "e1", "1000000000"))["amount"] == Decimal("0.000000001")
    answer = me.post("products", product("0.0000000000000000001", code="finer"))
    assert answer.status == 422
    assert answer.fields == ["prices[0].pricing[0].values[0].volume_rate"]
    assert me.get("products/finer").status == 404


@pytest.mark.parametrize("rate", ["-1", "1e19", HUGE, '"1"', "false"])
def test_a_price_that_cannot_be_is_refused_by_name(me: Caller, rate: str) -> None:
    answer = me.post("products", product(rate, code="odd"))
    assert answer.status == 422
    assert answer.fields == ["prices[0].pricing[0].values[0].volume_rate"]
    assert me.get("products?code=odd").body["total_count"] == 0
