"""Every call, by both clients, against a real server."""

from __future__ import annotations

import inspect
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import USD, Caller
from tests.api.conftest import RunningServer
from tests.client.shop import balance, run, tokens

from faregate.client import AsyncClient, Client, FaregateClientError, calls, new_event
from faregate.client.client import Calls


def test_events_come_back_with_what_they_cost(client: Client, customer: str) -> None:
    booked = client.record_events(customer, [tokens(2, "a"), tokens(3, "b")])
    assert [(b.id, b.status, b.fees[0].amount) for b in booked] == [
        ("a", "booked", 2),
        ("b", "booked", 3),
    ]
    assert booked[1].balances == {USD: Decimal(5)}
    assert client.record_events(customer, [tokens(2, "c")])[0].balances == {USD: Decimal(3)}


def test_an_event_that_is_recorded_again_is_a_repeat(client: Client, customer: str) -> None:
    event = tokens(2)
    client.record_events(customer, [event])
    assert client.record_events(customer, [event])[0].status == "repeat"
    assert client.get_wallet(customer).accounts[0].available == 8


def test_what_became_of_an_event_is_said_later(client: Client, customer: str) -> None:
    (booked,) = client.record_events(
        customer, [new_event("llm", {"tokens": 2, "model": "a"}, outcome="pending")]
    )
    assert (booked.fees, booked.balances) == ([], {USD: Decimal(10)})
    answer = client.settle_outcome(booked.id, "confirmed", description="solved")
    assert (answer.outcome, answer.net_amounts) == ("confirmed", {"USD": 2})
    assert answer.customer_id == customer
    answer = client.settle_outcome(
        booked.id, "changed", data={"tokens": Decimal("0.5")}, customer_id=customer
    )
    assert [fee.amount for fee in answer.fees] == [Decimal("0.5")]
    assert [fee.amount for fee in answer.reversed] == [2]
    first = client.settle_outcome(booked.id, "withdrawn", transaction_id="gone")
    assert client.settle_outcome(booked.id, "withdrawn", transaction_id="gone") == first
    assert (first.net_amounts, first.balances) == ({"USD": Decimal("-0.5")}, {USD: 10})
    with pytest.raises(FaregateClientError) as refused:
        client.settle_outcome(booked.id, "confirmed")
    assert refused.value.problem.status == 409
    with pytest.raises(FaregateClientError) as wrong:
        client.settle_outcome(booked.id, "solved")  # type: ignore[arg-type]
    assert list(wrong.value.problem.errors) == ["outcome"]


def test_an_event_whose_id_is_odd_or_used_twice_is_settled_by_its_customer(client: Client) -> None:
    for name in ("dora", "emil"):
        made = client.create_customer(
            name, external_id=name, subscriptions=[{"products": [{"code": "tokens"}]}]
        )
        client.record_events(made.id, [tokens(3, "case/1?x=#")])
    with pytest.raises(FaregateClientError) as refused:
        client.settle_outcome("case/1?x=#", "withdrawn")
    assert list(refused.value.problem.errors) == ["customer_id"]
    answer = client.settle_outcome("case/1?x=#", "withdrawn", external_id="emil")
    assert (answer.event_id, answer.net_amounts) == ("case/1?x=#", {"USD": -3})


def test_a_customer_may_be_named_by_external_id(client: Client) -> None:
    made = client.create_customer(
        "Ada", external_id="ada-7", subscriptions=[{"products": [{"code": "tokens"}]}]
    )
    client.adjust(made.id, 5, "USD", "gift")
    booked = client.record_events(None, [tokens(1)], external_id="ada-7")
    assert booked[0].balances == {USD: Decimal(4)}
    client.create_customer("Bo", external_id="bo-1", idempotency_key="k")
    assert client.create_customer("Bo", external_id="bo-1", idempotency_key="k")


def test_leniently_a_bad_event_takes_no_other_with_it(client: Client, customer: str) -> None:
    events = [tokens(1, "good"), new_event("llm", {"tokens": "many"}, id="bad"), tokens(1, "last")]
    booked = client.record_events(customer, events, is_lenient=True)
    assert [b.status for b in booked] == ["booked", "refused", "booked"]
    problem = booked[1].problem
    assert problem is not None
    assert list(problem.errors) == ["events[1].data.tokens"]
    with pytest.raises(FaregateClientError) as refused:
        client.record_events(customer, [tokens(1), events[1]])
    assert refused.value.problem.status == 422
    assert client.get_account(customer, USD).available == 8


def test_numbers_travel_exactly(client: Client, customer: str) -> None:
    exact = Decimal("0.000000001")
    client.adjust(customer, exact, "USD", "gift")
    assert client.get_account(customer, USD).available == Decimal("10.000000001")
    client.charge(customer, exact, "USD", description="a billionth")
    booked = client.record_events(customer, [new_event("llm", {"tokens": Decimal("0.1")})])
    assert booked[0].fees[0].amount == Decimal("0.1")
    booked = client.record_events(customer, [new_event("llm", {"tokens": 0.2})])
    assert booked[0].fees[0].amount == Decimal("0.2")
    assert client.get_account(customer, USD).available == Decimal("9.7")


def test_what_the_api_would_refuse_is_refused_here(client: Client, customer: str) -> None:
    wrong: dict[str, Any] = {
        "amount": lambda: client.adjust(customer, 0.1, "USD"),  # type: ignore[arg-type]
        "events": lambda: client.record_events(customer, []),
        "events[0].id": lambda: client.record_events(customer, [tokens(1, "")]),
        "events[0].data.tokens": lambda: client.record_events(
            customer, [new_event("llm", {"tokens": float("nan")})]
        ),
        "expires_in_seconds": lambda: client.extend(customer, "hld_x", 0),
        "color": lambda: client.charge(customer, 1, "USD", color="red"),  # type: ignore[call-arg]
    }
    for field, call in wrong.items():
        with pytest.raises(FaregateClientError) as refused:
            call()
        assert refused.value.problem.status == 422
        assert list(refused.value.problem.errors) == [field]
        assert field in str(refused.value)


def test_a_remedy_is_said_once(shared_server: RunningServer) -> None:
    with (
        Client(shared_server.url, "fg_test_nobody") as nobody,
        pytest.raises(FaregateClientError) as no,
    ):
        nobody.get_wallet("cust_x")
    assert str(no.value).count("Send X-CREDYT-API-KEY") == 1
    assert ".. " not in str(no.value)


def test_an_id_is_one_part_of_a_path_whatever_is_in_it(client: Client) -> None:
    with pytest.raises(FaregateClientError) as missing:
        client.get_wallet("../products?x=1#")
    assert missing.value.problem.status == 404
    for nothing in ("", ".", ".."):
        with pytest.raises(ValueError, match="is no id"):
            client.get_wallet(nothing)


def test_a_hold_from_asking_to_capture(client: Client, customer: str) -> None:
    asked = client.authorize(customer, event_type="llm", data={"tokens": 3}, subject="ada")
    assert (asked.status, asked.amount, asked.available) == ("authorized", 3, 7)
    assert client.get_hold(customer, asked.id) == asked
    part = client.capture(customer, asked.id, events=[tokens(1)], final=False)
    assert (part.captured_amount, part.hold.held_amount) == (1, 2)
    later = client.extend(customer, asked.id, 80_000)
    assert later.expires_at > asked.expires_at
    done = client.capture(customer, asked.id, amount=Decimal("0.5"), transaction_id="end")
    again = client.capture(customer, asked.id, amount=Decimal("0.5"), transaction_id="end")
    assert done == again
    assert (done.released_amount, done.hold.status) == (Decimal("1.5"), "captured")
    assert done.available == Decimal("8.5")


def test_a_decline_is_an_answer(client: Client, customer: str) -> None:
    asked = client.authorize(customer, max_amount=11, asset="USD")
    assert (asked.status, asked.decline_code) == ("declined", "insufficient_funds")
    assert asked.top_up_needed == 1


def test_a_batch_of_holds_and_slices_and_lists(client: Client, customer: str) -> None:
    one, two = client.authorize_batch(
        customer,
        [{"event_type": "llm", "data": {"tokens": 2}}, {"max_amount": 20, "asset": "USD"}],
    )
    assert (one.status, two.status) == ("authorized", "declined")
    updated = client.update_hold(
        customer, one.id, used={"events": [tokens(2)]}, want={"data": {"tokens": 4}}
    )
    assert (updated.captured_amount, updated.granted, updated.final) == (2, 4, False)
    assert client.void(customer, one.id).status == client.void(customer, one.id).status == "voided"
    page = client.list_holds(customer, status="declined", limit=1)
    assert ([h.id for h in page.items], page.total_count) == ([two.id], 1)
    assert client.list_holds(customer, subject="nobody").items == []


def test_the_asynchronous_client_makes_the_same_calls(
    me: Caller, shared_server: RunningServer, customer: str
) -> None:
    async def story(client: AsyncClient) -> None:
        made = await client.create_customer("Cy")
        assert (await client.get_wallet(made.id)).accounts is not None
        await client.adjust(customer, 1, "USD", "gift")
        await client.charge(customer, 1, "USD")
        assert (await client.record_events(customer, [tokens(1)]))[0].balances == {USD: Decimal(9)}
        gone = tokens(3)
        await client.record_events(customer, [gone])
        answer = await client.settle_outcome(gone.id, "withdrawn")
        assert answer.balances == {USD: Decimal(9)}
        one, two = await client.authorize_batch(
            customer, [{"event_type": "llm", "data": {"tokens": n}} for n in (2, 1)]
        )
        assert await client.get_hold(customer, one.id) != two
        await client.update_hold(customer, one.id, used={"amount": 1}, want={"amount": 1})
        await client.extend(customer, one.id, 5_000)
        await client.capture(customer, one.id, amount=1)
        await client.void(customer, two.id)
        assert (await client.authorize(customer, max_amount=8, asset="USD")).status == "declined"
        assert (await client.list_holds(customer)).total_count == 3
        assert (await client.get_account(customer, USD)).available == 7

    run(shared_server.url, story)
    assert balance(me, customer) == (7, 0)


def test_both_clients_show_the_same_calls_with_what_they_take(client: Client) -> None:
    for name in vars(Calls):
        if not name.startswith("_"):
            build = getattr(calls, name)
            assert inspect.signature(getattr(client, name)) == inspect.signature(build)
            assert getattr(client, name).__doc__ == build.__doc__


LOADED = """
import sys
import faregate.client
print(*sys.modules)
"""
SERVER = {"alembic", "asyncpg", "httptools", "sqlalchemy", "sqlite3", "starlette", "structlog"}
SERVER |= {"uvicorn", "uvloop", "jinja2", "prometheus_client", "typer"}
FLOORS = {"cli", "engine", "ledger", "platform", "rest", "store", "sync", "web"}


def test_the_client_loads_nothing_of_the_server() -> None:
    told = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    loaded = set(told.stdout.split())
    assert "faregate.client" in loaded
    assert loaded & (SERVER | {f"faregate.{floor}" for floor in FLOORS}) == set()
