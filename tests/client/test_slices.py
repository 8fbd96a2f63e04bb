"""Streams that are paid slice by slice, and end when the money does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import Caller
from tests.api.conftest import RunningServer
from tests.client.shop import balance, charged, run
from tests.doubles.unreliable import LOST_AFTER, LOST_BEFORE, UnreliableWay, answered

from faregate.client import AsyncClient, Client, Unreachable

ASKED: dict[str, Any] = {"event_type": "llm", "data": {"tokens": 4}}


def one(token: str) -> dict[str, int]:
    """What a token uses."""
    return {"tokens": 1}


class Model:
    """Streams tokens for as long as anybody listens."""

    def __init__(self) -> None:
        self.is_closed = False

    def tokens(self) -> Iterator[str]:
        try:
            while True:
                yield "token"
        finally:
            self.is_closed = True

    async def async_tokens(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "token"
        finally:
            self.is_closed = True


def test_a_stream_ends_within_one_slice_of_an_empty_wallet(
    me: Caller, client: Client, customer: str
) -> None:
    model = Model()
    with client.hold(customer, **ASKED, final_action="redirect") as hold:
        assert hold.final is None
        heard = list(hold.stream(model.tokens(), one))
    assert (len(heard), model.is_closed) == (8, True)
    assert hold.final is not None
    assert (hold.final.final_action, hold.final.top_up_needed) == ("redirect", 2)
    assert (balance(me, customer), charged(me, customer)) == ((2, 0), [4, 4])


def test_a_stream_on_asyncio_ends_the_same_way(
    me: Caller, shared_server: RunningServer, customer: str
) -> None:
    async def story(client: AsyncClient) -> None:
        model = Model()
        async with client.hold(customer, **ASKED) as hold:
            heard = [token async for token in hold.stream(model.async_tokens(), one)]
        assert (len(heard), model.is_closed) == (8, True)
        assert hold.final is not None

    run(shared_server.url, story)
    assert (balance(me, customer), charged(me, customer)) == ((2, 0), [4, 4])


def test_a_stream_that_ends_by_itself_or_is_left_is_charged_for_what_was_heard(
    me: Caller, client: Client, customer: str
) -> None:
    with client.hold(customer, **ASKED) as hold:
        assert list(hold.stream(["a", "b", "c", "d", "e"], one)) == ["a", "b", "c", "d", "e"]
    assert (hold.final, balance(me, customer)) == (None, (5, 0))
    model = Model()
    with client.hold(customer, **ASKED) as hold:
        for _ in hold.stream(model.tokens(), one):
            break
    assert (model.is_closed, balance(me, customer)) == (True, (4, 0))


def test_items_may_use_much_little_or_nothing_and_a_slice_may_be_smaller_than_the_hold(
    me: Caller, client: Client, customer: str
) -> None:
    bounded = {"max_tokens": 6, "model": "small"}
    used: list[dict[str, Any] | None] = [None, {"tokens": Decimal("0.5")}, {"tokens": 3}, None]
    with client.hold(customer, event_type="llm", data=bounded, estimate="upper_bound") as hold:
        items = hold.stream(range(4), lambda n: used[n], slice={"max_tokens": 2, "model": "small"})
        assert list(items) == [0, 1, 2, 3]
    assert (balance(me, customer), charged(me, customer)) == ((Decimal("6.5"), 0), [3.5])


def test_a_slice_that_says_no_number_or_has_no_price_is_refused(
    client: Client, customer: str
) -> None:
    with client.hold(customer, **ASKED) as hold:
        for wrong in ({"model": "small"}, {"tokens": 0}, {}):
            with pytest.raises(ValueError, match="say how much"):
                next(hold.stream(["a"], one, slice=wrong))
    with (
        client.hold(customer, max_amount=1, asset="USD") as hold,
        pytest.raises(ValueError, match="not for max_amount"),
    ):
        next(hold.stream(["a"], one))


@pytest.mark.parametrize("fault", [LOST_BEFORE, LOST_AFTER, answered(503)])
def test_a_slice_is_paid_once_whatever_becomes_of_the_answer(
    me: Caller, way: UnreliableWay, patient: Client, customer: str, fault: bytes | str
) -> None:
    with patient.hold(customer, **ASKED) as hold:
        way.fails(fault, None, fault, fault)
        heard = list(hold.stream(Model().tokens(), one))
    assert (len(heard), charged(me, customer)) == (8, [4, 4])
    assert balance(me, customer) == (2, 0)


def test_a_stream_ends_with_an_error_when_nobody_answers_and_is_charged_all_the_same(
    me: Caller, way: UnreliableWay, patient: Client, customer: str
) -> None:
    heard: list[str] = []

    def listen(hold: Any) -> None:
        for token in hold.stream(Model().tokens(), one):
            heard.append(token)
            if len(heard) == 4:
                way.fails(*[LOST_AFTER] * 6)

    with patient.hold(customer, **ASKED) as hold, pytest.raises(Unreachable):
        listen(hold)
    assert (len(heard), charged(me, customer)) == (4, [4])
    assert balance(me, customer) == (6, 0)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_slices_cost_what_one_charge_costs(
    me: Caller, client: Client, customer: str, size: int
) -> None:
    me.give(customer, "90")
    with client.hold(customer, event_type="llm", data={"tokens": size}) as hold:
        assert len(list(hold.stream(range(50), lambda _: {"tokens": Decimal("0.1")}))) == 50
    assert sum(charged(me, customer)) == 5
    assert balance(me, customer) == (95, 0)
