"""Work under a hold: what a `with` block charges, however it ends."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import Caller
from tests.api.conftest import TEST_KEY
from tests.client.shop import balance, charged, tokens
from tests.doubles.unreliable import LOST_AFTER, LOST_BEFORE, UnreliableWay, answered

from faregate.client import (
    Client,
    Cost,
    Declined,
    FaregateClientError,
    HeldWork,
    PaymentRequired,
    Unreachable,
)

ASKED: dict[str, Any] = {"event_type": "llm", "data": {"tokens": 5}}


def events(me: Caller, customer: str) -> list[Any]:
    """A customer's events, whole, the newest first."""
    listed = me.get(f"events?customer_id={customer}").body["items"]
    return [me.get(f"events/{e['id']}?customer_id={customer}").body for e in listed]


def test_what_was_used_is_captured_as_one_event_and_the_rest_goes_back(
    me: Caller, client: Client, customer: str
) -> None:
    data = {"max_tokens": 5, "model": "small"}
    with client.hold(
        customer, event_type="llm", data=data, estimate="upper_bound", subject="ada"
    ) as hold:
        assert balance(me, customer) == (5, 5)
        hold.use(tokens=1, stop="length")
        hold.use({"tokens": 0.5}, stop="end", streamed=True)
        hold.cost(Cost("c", Decimal("0.1"), vendor_external_id="openai"))  # type: ignore[arg-type]
        assert hold.captured is None
    assert hold.captured is not None
    assert (hold.captured.captured_amount, hold.captured.released_amount) == (1.5, 3.5)
    assert hold.hold.status == "captured"
    assert balance(me, customer) == (8.5, 0)
    (event,) = events(me, customer)
    assert event["data"] == {
        "tokens": Decimal("1.5"),
        "stop": "end",
        "streamed": True,
        "model": "small",
    }
    assert (event["subject"], event["costs"][0]["amount"]) == ("ada", Decimal("0.1"))


def test_a_declined_hold_raises_before_the_work_begins(
    me: Caller, client: Client, customer: str
) -> None:
    with (
        pytest.raises(Declined, match=r"insufficient_funds.*top-up of 40 USD") as declined,
        client.hold(customer, event_type="llm", data={"tokens": 50}),
    ):
        pytest.fail("the work began")
    assert declined.value.hold.top_up_needed == 40
    assert declined.value.problem.status == 200
    assert balance(me, customer) == (10, 0)


def test_a_block_that_used_nothing_voids_its_hold(
    me: Caller, client: Client, customer: str
) -> None:
    with client.hold(customer, **ASKED) as hold:
        pass
    assert (hold.hold.status, hold.captured) == ("voided", None)
    assert (balance(me, customer), charged(me, customer)) == ((10, 0), [])
    with pytest.raises(RuntimeError, match="was settled"):
        hold.use(tokens=1)


def test_an_exception_before_any_use_voids_and_passes_on_unchanged(
    me: Caller, client: Client, customer: str
) -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as raised, client.hold(customer, **ASKED) as hold:
        raise error
    assert raised.value is error
    assert (error.__notes__ if hasattr(error, "__notes__") else []) == []
    assert hold.hold.status == "voided"
    assert balance(me, customer) == (10, 0)


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), GeneratorExit()])
def test_work_that_was_done_before_an_exception_is_charged(
    me: Caller, client: Client, customer: str, error: BaseException
) -> None:
    hold = client.hold(customer, **ASKED)

    def work() -> None:
        with hold:
            hold.use(tokens=2)
            raise error

    with pytest.raises(type(error)) as raised:
        work()
    assert raised.value is error
    assert hold.hold.status == "captured"
    assert (balance(me, customer), charged(me, customer)) == ((8, 0), [2])


@pytest.mark.parametrize("fault", [LOST_BEFORE, LOST_AFTER, answered(503)])
def test_a_hold_is_taken_and_charged_once_whatever_becomes_of_the_answers(
    me: Caller, way: UnreliableWay, patient: Client, customer: str, fault: bytes | str
) -> None:
    way.fails(fault, None, fault, None, fault)
    with patient.hold(customer, **ASKED) as hold:
        hold.use(tokens=1)
        hold.update({"tokens": 3})
        hold.use(tokens=2)
    assert (len(way.passed), len(way.bodies)) == (6, 3)
    assert (balance(me, customer), charged(me, customer)) == ((7, 0), [2, 1])


def test_a_capture_that_fails_may_be_sent_again_and_charges_once(
    me: Caller, way: UnreliableWay, patient: Client, customer: str
) -> None:
    hold = patient.hold(customer, **ASKED)

    def work() -> None:
        with hold:
            hold.use(tokens=2)
            way.fails(*[LOST_AFTER] * 6)

    with pytest.raises(Unreachable):
        work()
    assert charged(me, customer) == [2]
    with pytest.raises(RuntimeError, match="was settled"):
        hold.use(tokens=1)
    way.fails()
    hold.settle()
    hold.settle()
    assert hold.captured is not None
    assert (balance(me, customer), charged(me, customer)) == ((8, 0), [2])


def test_a_capture_that_fails_after_an_exception_is_noted_on_it(
    way: UnreliableWay, patient: Client, customer: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("mine")

    def work() -> None:
        with patient.hold(customer, **ASKED) as hold:
            hold.use(tokens=2)
            way.fails(*[LOST_BEFORE] * 6)
            raise error

    with pytest.raises(ValueError, match="mine") as raised:
        work()
    assert raised.value is error
    assert "could not be captured" in error.__notes__[0]
    assert "could not be captured" in caplog.text


def test_a_hold_that_cannot_be_let_go_of_ends_by_the_clock(
    way: UnreliableWay, patient: Client, customer: str, caplog: pytest.LogCaptureFixture
) -> None:
    with patient.hold(customer, **ASKED) as hold:
        way.fails(*[LOST_BEFORE] * 6)
    assert f"hold {hold.id} ends at" in caplog.text


def test_slices_are_settled_as_they_go_and_stop_when_the_money_is_gone(
    me: Caller, client: Client, customer: str
) -> None:
    slices = 0
    with client.hold(
        customer, event_type="llm", data={"tokens": 4}, final_action="redirect"
    ) as hold:
        while True:
            hold.use(tokens=4)
            slices += 1
            answer = hold.update({"tokens": 4})
            if answer.final:
                break
    assert (slices, answer.final_action) == (2, "redirect")
    assert charged(me, customer) == [4, 4]
    assert (balance(me, customer), hold.hold.status) == ((2, 0), "captured")


def test_an_update_whose_answer_never_came_is_not_charged_twice(
    me: Caller, way: UnreliableWay, patient: Client, customer: str
) -> None:
    for use, want in (("use", {"data": {"tokens": 1}}), ("use_amount", {"amount": 1})):
        before = balance(me, customer)[0]
        asked = ASKED if use == "use" else {"max_amount": 5, "asset": "USD"}
        with patient.hold(customer, **asked) as hold:
            spend = (lambda n, h=hold: h.use(tokens=n)) if use == "use" else hold.use_amount
            spend(2)
            way.fails(*[LOST_AFTER] * 6)
            with pytest.raises(Unreachable):
                hold.update(want.get("data"), amount=want.get("amount"))
            way.fails()
            spend(1)
        assert balance(me, customer) == (before - 3, 0)


def test_an_update_that_was_refused_leaves_what_was_used_to_be_charged(
    me: Caller, client: Client, customer: str
) -> None:
    for asked, spend in (
        (ASKED, lambda hold: hold.use(tokens=2)),
        ({"max_amount": 5, "asset": "USD"}, lambda hold: hold.use_amount(2)),
    ):
        before = balance(me, customer)[0]
        with client.hold(customer, **asked) as hold:
            spend(hold)
            for wrong in ({"data": {"tokens": -1}}, {"amount": -1}, {}):
                with pytest.raises(FaregateClientError) as refused:
                    hold.update(wrong.get("data"), amount=wrong.get("amount"))
                assert refused.value.problem.status == 422
        assert balance(me, customer) == (before - 2, 0)


def test_amounts_may_be_used_instead_of_data(me: Caller, client: Client, customer: str) -> None:
    with client.hold(customer, max_amount=Decimal("2.5"), asset="USD") as hold:
        hold.use_amount(Decimal("0.1"))
        hold.use_amount(1)
        with pytest.raises(TypeError, match=r"write Decimal\('0.1'\)"):
            hold.use_amount(0.1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="has no event_type"):
            hold.use(tokens=1)
        hold.extend(2_000)
    assert balance(me, customer) == (Decimal("8.9"), 0)
    with client.hold(customer, event_type="llm", max_amount=2, asset="USD") as hold:
        hold.use(tokens=1)
        with pytest.raises(ValueError, match="not both"):
            hold.use_amount(1)
    assert charged(me, customer) == [1]
    with client.hold(customer, **ASKED) as hold:
        hold.use_amount(1)
        with pytest.raises(ValueError, match="not both"):
            hold.use(tokens=1)
    assert balance(me, customer) == (Decimal("6.9"), 0)


def test_a_run_is_the_parent_of_its_calls(me: Caller, client: Client, customer: str) -> None:
    with client.hold(customer, event_type="llm", max_amount=6, asset="USD") as run:
        for _ in range(2):
            with client.hold(
                customer, event_type="llm", data={"tokens": 2}, parent_id=run.id
            ) as call:
                call.use(tokens=2)
        with pytest.raises(Declined), client.hold(customer, **ASKED, parent_id=run.id):
            pass
    assert charged(me, customer) == [2, 2]
    assert balance(me, customer) == (6, 0)


def test_the_event_is_of_the_servers_time_whatever_the_clock_here_says(
    me: Caller, client: Client, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=3)

    monkeypatch.setattr("faregate.client.fresh.datetime", Wrong)
    with client.hold(customer, **ASKED) as hold:
        hold.use(tokens=1)
    (event,) = events(me, customer)
    at = datetime.fromisoformat(event["occurred_at"])
    assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_hold_is_used_inside_its_block_and_once(client: Client, customer: str) -> None:
    hold = client.hold(customer, **ASKED)
    for early in (lambda: hold.id, lambda: hold.use_amount(1), lambda: hold.use(tokens=1)):
        with pytest.raises(RuntimeError, match="inside its `with` block"):
            early()
    with hold, pytest.raises(ValueError, match="use a finite number"):
        hold.use(tokens=float("inf"))
    with pytest.raises(RuntimeError, match="used once"), hold:
        pass
    with pytest.raises(FaregateClientError, match="expires_in_seconds"):
        client.hold(customer, **ASKED, expires_in_seconds=0)
    client.record_events(customer, [tokens(1)])


@pytest.mark.parametrize("last", [answered(429), answered(401), answered(408)])
def test_an_amount_is_not_charged_twice_when_the_answer_is_lost_and_then_no_more_is_heard(
    me: Caller, way: UnreliableWay, patient: Client, customer: str, last: bytes
) -> None:
    with patient.hold(customer, max_amount=5, asset="USD") as hold:
        hold.use_amount(2)
        way.fails(LOST_AFTER, *[last] * 5)
        with pytest.raises(FaregateClientError):
            hold.update(amount=1)
        way.fails()
        hold.use_amount(1)
    assert balance(me, customer) == (7, 0)


def test_an_interrupt_during_the_capture_is_told_and_the_capture_may_be_sent_again(
    me: Caller, way: UnreliableWay, customer: str, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    def work(hold: HeldWork) -> None:
        with hold:
            hold.use(tokens=2)
            way.fails(LOST_AFTER)

    with Client(way.url, TEST_KEY, sleep=interrupt) as client:
        hold = client.hold(customer, **ASKED)
        with pytest.raises(KeyboardInterrupt):
            work(hold)
        assert f"what was used under hold {hold.id} could not be captured" in caplog.text
        hold.settle()
    assert (balance(me, customer), charged(me, customer)) == ((8, 0), [2])


def test_threads_may_use_one_hold(me: Caller, client: Client, customer: str) -> None:
    with client.hold(customer, **ASKED) as hold:

        def work() -> None:
            for _ in range(100):
                hold.use(tokens=Decimal("0.01"))
            hold.update({"tokens": 1})

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (balance(me, customer), sum(charged(me, customer))) == ((5, 0), 5)


def test_a_cost_is_a_use_and_belongs_to_an_event(me: Caller, client: Client, customer: str) -> None:
    cost = Cost("c", Decimal("0.1"), vendor_external_id="openai")  # type: ignore[arg-type]
    with client.hold(customer, event_type="call", max_amount=1, asset="USD") as hold:
        hold.cost(cost)
    (event,) = events(me, customer)
    assert event["costs"][0]["amount"] == Decimal("0.1")
    with client.hold(customer, max_amount=1, asset="USD") as hold:
        with pytest.raises(ValueError, match="has no event_type"):
            hold.cost(cost)
        hold.use_amount(1)
    with client.hold(customer, **ASKED) as hold:
        hold.use_amount(1)
        with pytest.raises(ValueError, match="costs belong to events"):
            hold.cost(cost)


def test_a_limit_declines_holds_and_refuses_events_and_says_which_it_is(
    me: Caller, client: Client, customer: str
) -> None:
    cap = {"name": "a day", "amount": 3, "asset": "USD", "period": "day", "rejects_events": True}
    limit = me.made(f"customers/{customer}/limits", cap)
    with (
        pytest.raises(Declined, match="limit_exceeded") as declined,
        client.hold(customer, **ASKED),
    ):
        pytest.fail("the work began")
    said = declined.value.hold.limit
    assert said is not None
    assert (said.id, said.resets_at is not None) == (limit["id"], True)
    with pytest.raises(PaymentRequired, match="A limit does not allow this") as refused:
        client.record_events(customer, [tokens(5)])
    assert refused.value.problem.type == "urn:faregate:problem:limit-exceeded"
