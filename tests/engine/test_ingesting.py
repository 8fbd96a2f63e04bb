"""What is told is charged once, in each customer's order, whatever stands beside it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.faults.test_overload import fill
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    give,
    make_customer,
    refusal,
    sell_tokens,
    tell,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.limits import LimitRequest
from faregate.core.mapping import CostRule, MappingRules
from faregate.core.mapping_defaults import CLOUDEVENTS
from faregate.core.observed import Ingested, Observed, Unreadable
from faregate.core.problems import invalid
from faregate.customers.types import (
    CreateCustomer,
    CreateSubscription,
    SubscribedProduct,
    UpdateCustomer,
)
from faregate.engine import ingesting
from faregate.engine.ingesting import MAX_TOLD
from faregate.ingestion.cloudevents import read_cloudevents
from faregate.ingestion.way import Sent
from faregate.ledger.lane import MAX_QUEUED
from faregate.platform.accounts import CreateAccount
from faregate.platform.environments import AccountContext

RULES = MappingRules(("who",), default_event_type="llm", data={"n": ("n",)})


def told(event_id: str, who: str, n: Any = 1, place: str = "", **more: Any) -> Observed:
    return Observed(event_id, NOON, "t", {"who": who, "n": n}, place or f"[{event_id}]", **more)


async def make_called(engine: Engine, external_id: str, credit: str | None = "100") -> str:
    subscription = CreateSubscription([SubscribedProduct(code="tokens")])
    request = CreateCustomer(external_id, external_id=external_id, subscriptions=[subscription])
    customer_id = (await engine.create_customer(request)).id
    if credit is not None:
        await give(engine, customer_id, credit, "first credit")
    return customer_id


async def ingest(engine: Engine, *items: Any, **more: Any) -> Ingested:
    return await engine.ingest("cloudevents", items, rules=more.pop("rules", RULES), **more)


def statuses(ingested: Ingested) -> list[str]:
    return [outcome.status for outcome in ingested.outcomes]


def test_each_thing_has_its_outcome_in_order_and_a_second_telling_charges_nothing(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada, bob = await make_called(engine, "ada"), await make_called(engine, "bob")
            items = (
                told("1", "ada", 3),
                Unreadable("[1]", invalid("time", "is missing"), "x"),
                told("2", "bob", 5),
                told("3", "nobody"),
                told("4", "ada", "much"),
                told("5", "ada", 4),
            )
            first = await ingest(engine, *items)
            taken = ["booked", "refused", "booked", "refused", "refused", "booked"]
            assert statuses(first) == taken
            assert [outcome.place for outcome in first.outcomes][:3] == ["[1]", "[1]", "[2]"]
            assert [o.customer_id for o in first.outcomes] == [ada, None, bob, None, ada, ada]
            problems = [outcome.problem for outcome in first.refused]
            assert [list(p.errors) for p in problems if p] == [["time"], ["customer"], ["data.n"]]
            assert "events[" not in repr(problems)
            again = await ingest(engine, *items)
            assert statuses(again) == [s.replace("booked", "repeat") for s in taken]
            assert await available(engine, ada) == 93
            assert await available(engine, bob) == 95
            lately = engine.lately_ingested("cloudevents")
            assert lately.counts == {"booked": 3, "repeat": 3, "refused": 6}
            assert lately.refusals[0].detail.startswith("data.n is 'much'")
            await assert_clean(engine)

    tell(story())


def test_the_same_thing_twice_in_one_call_is_charged_once(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_called(engine, "ada")
            done = await ingest(engine, told("1", "ada", 3), told("1", "ada", 3))
            assert statuses(done) == ["booked", "repeat"]
            done = await ingest(engine, told("1", "ada", 4))
            assert done.outcomes[0].problem is not None
            assert done.outcomes[0].problem.kind.status == 409
            assert await available(engine, ada) == 97

    tell(story())


def test_what_has_no_time_of_its_own_is_a_repeat_whenever_it_comes_again(tmp_path: Any) -> None:
    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/f.db", clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_called(engine, "ada")
            first = told("1", "ada", 3, has_own_time=False)
            later = Observed("1", NOON - timedelta(hours=1), "t", first.fields, "[0]", False)
            other = Observed("1", later.occurred_at, "t", {"who": "ada", "n": 4}, "[0]", False)
            timed = Observed("1", later.occurred_at, "t", first.fields, "[0]")
            assert statuses(await ingest(engine, first)) == ["booked"]
            assert statuses(await ingest(engine, later)) == ["repeat"]
            assert statuses(await ingest(engine, other, timed)) == ["refused", "refused"]
            assert await available(engine, ada) == 97

    tell(story())


def test_a_customer_s_events_are_charged_in_their_order_however_many_there_are(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small waves, so that there are many: each customer's come in order over all of them."""
    monkeypatch.setattr(ingesting, "MAX_WAITING", 7)
    monkeypatch.setattr(ingesting, "MAX_EVENTS", 3)

    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/f.db", clock=Clock()) as engine:
            await sell_tokens(engine)
            names = ["ada", "bob", "eve", "joe"]
            ids = [await make_called(engine, name) for name in names]
            items = [told(f"{n:03}", names[n * n % 4 if n % 3 else 0]) for n in range(100)]
            done = await ingest(engine, *items)
            assert statuses(done) == ["booked"] * 100
            for name, customer_id in zip(names, ids, strict=True):
                page = await engine.list_events(100, filters={"customer_id": customer_id})
                booked = [event.id for event in reversed(page.items)]
                assert booked == [item.id for item in items if item.fields["who"] == name]

    tell(story())


def test_more_than_the_queue_holds_goes_through_in_one_call(tmp_path: Any) -> None:
    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/f.db", clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_called(engine, "ada")
            heavy = {"who": "ada", "n": 1, "text": "x" * 15_000}
            rules = MappingRules(
                ("who",), default_event_type="llm", data={"n": ("n",), "text": ("text",)}
            )
            count = MAX_QUEUED // 14 + 100
            items = [Observed(str(n), NOON, "t", heavy, "") for n in range(count)]
            done = await ingest(engine, *items, rules=rules)
            assert set(statuses(done)) == {"booked"}
            assert await available(engine, ada) == 100 - count

    tell(story())


def test_more_things_than_one_call_may_tell_are_refused_unlooked_at(tmp_path: Any) -> None:
    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/f.db", clock=Clock()) as engine:
            error = await refusal(ingest(engine, *[told("1", "ada")] * (MAX_TOLD + 1)))
            assert error.problem.kind.status == 413

    tell(story())


def test_if_the_gate_is_full_the_call_fails_whole_and_may_be_told_again(database_url: str) -> None:
    """Whatever of it was booked all the same is a repeat the second time."""
    rules = MappingRules(("who",), default_event_type="llm", data={"n": ("n",), "text": ("text",)})

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            busy, names = await make_customer(engine), ["ada", "bob", "eve", "joe"]
            ids = [await make_called(engine, name) for name in names]
            items = [
                Observed(str(n), NOON, "t", {"who": names[n % 4], "n": 1, "text": "x" * 15_000}, "")
                for n in range(280)
            ]
            asked = asyncio.ensure_future(refusal(ingest(engine, *items, rules=rules)))
            sent: list[Any] = []
            while not asked.done():
                sent += fill(engine, busy)
                await asyncio.sleep(0)
            assert asked.result().problem.kind.status == 429
            await asyncio.gather(*sent)
            done = await ingest(engine, *items, rules=rules)
            assert "booked" in statuses(done)
            assert set(statuses(done)) <= {"booked", "repeat"}
            assert [await available(engine, customer_id) for customer_id in ids] == [30] * 4
            await assert_clean(engine)

    tell(story())


def test_customers_are_found_by_external_id_by_id_or_by_either(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_called(engine, "ada")
            # Somebody else's id as an external id: whoever was given that name is meant.
            tricky = await make_called(engine, "tricky")
            await engine.update_customer(tricky, UpdateCustomer(external_id=ada))
            by: Any
            for by, name, found in (
                ("external_id", "ada", ada),
                ("external_id", tricky, None),
                ("id", tricky, tricky),
                ("id", "ada", None),
                ("either", "ada", ada),
                ("either", tricky, tricky),
                ("either", ada, tricky),
                ("id", ada, ada),
            ):
                rules = MappingRules(("who",), customer_by=by, default_event_type="llm")
                done = await ingest(engine, told(f"{by} {name}", name), rules=rules)
                assert done.outcomes[0].customer_id == found, (by, name)

    tell(story())


def test_customers_of_another_mode_are_not_found(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            ada = await make_called_simply(engine, "ada")
            live = engine.context_of("live")
            for name in ("ada", ada):
                done = await ingest(engine, told("1", name), context=live)
                assert statuses(done) == ["refused"]

    tell(story())


async def make_called_simply(engine: Engine, external_id: str) -> str:
    return (await engine.create_customer(CreateCustomer("A", external_id=external_id))).id


def test_an_unknown_customer_is_created_once_if_the_rules_say_so(database_url: str) -> None:
    rules = MappingRules(("who",), default_event_type="llm", unknown_customer="create")

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            calls = [
                ingest(engine, told(f"{n}.1", "new"), told(f"{n}.2", "new"), rules=rules)
                for n in range(5)
            ]
            done = await asyncio.gather(*calls)
            ids = {outcome.customer_id for one in done for outcome in one.outcomes}
            assert ids == {await engine.customer_id_of("new")}
            assert {s for one in done for s in statuses(one)} == {"booked"}

    tell(story())


def test_a_cost_that_the_rules_take_over_is_the_event_s_own(tmp_path: Any) -> None:
    rules = MappingRules(("who",), default_event_type="llm", cost=CostRule(("n",), "openai"))

    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/f.db", clock=Clock()) as engine:
            ada = await make_called_simply(engine, "ada")
            done = await ingest(engine, told("1", "ada", Decimal("0.0000123")), rules=rules)
            assert statuses(done) == ["booked"]
            _, booked = await engine.get_event("1", ada)
            (cost,) = booked.event.costs or ()
            assert (cost.amount, cost.vendor_external_id) == (Decimal("0.0000123"), "openai")

    tell(story())


def test_rules_hold_for_their_own_account_mode_and_source_until_they_are_taken_away(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            other = await engine.create_account(CreateAccount("Other"))
            places: list[AccountContext] = [
                engine.context_of("test"),
                engine.context_of("live"),
                await engine.acting_for(other.id, "test"),
            ]
            assert (await engine.get_ingestion_rules("cloudevents")).rules == CLOUDEVENTS
            for number, context in enumerate(places):
                rules = MappingRules((f"who{number}",), default_event_type="llm")
                await engine.set_ingestion_rules("cloudevents", rules, context=context)
            for number, context in enumerate(places):
                found = await engine.get_ingestion_rules("cloudevents", context=context)
                assert (found.rules.customer, found.is_default) == ((f"who{number}",), False)
            assert (await engine.get_ingestion_rules("litellm")).is_default
            await engine.reset_ingestion_rules("cloudevents")
            assert (await engine.get_ingestion_rules("cloudevents")).is_default
            live = await engine.get_ingestion_rules("cloudevents", context=places[1])
            assert live.rules.customer == ("who1",)

    tell(story())


def test_rules_that_are_set_are_those_by_which_is_charged(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_called(engine, "ada")
            await engine.set_ingestion_rules("litellm", RULES)
            done = await engine.ingest("litellm", [told("1", "ada", 5)])
            assert statuses(done) == ["booked"]
            assert await available(engine, ada) == 95

    tell(story())


def test_a_cost_in_what_is_no_currency_is_refused_when_rules_are_set(tmp_path: Any) -> None:
    rules = MappingRules(("who",), default_event_type="x", cost=CostRule(("n",), "v", (), "ABC"))

    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/f.db", clock=Clock()) as engine:
            error = await refusal(engine.set_ingestion_rules("litellm", rules))
            assert list(error.problem.errors) == ["cost.currency"]
            assert (await engine.get_ingestion_rules("litellm")).is_default

    tell(story())


SAMPLE = b"""[
  {"specversion": "1.0", "id": "1", "source": "s", "type": "llm", "subject": "ada",
   "data": {"n": 3}},
  {"specversion": "1.0", "id": "2", "source": "s", "type": "llm", "subject": "bob",
   "data": {"n": 3}},
  {"specversion": "1.0", "id": "3", "source": "s", "type": "llm", "subject": "ada",
   "data": {"n": "x"}},
  {"specversion": "1.0", "id": "4", "source": "s", "type": "llm", "subject": "ada",
   "data": {"n": 4}},
  {"id": "5"}
]"""


def test_a_preview_says_what_would_be_charged_and_changes_nothing(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_called(engine, "ada")
            before = await engine.get_wallet(ada)
            found = await engine.preview_ingestion("cloudevents", SAMPLE)
            assert [one.status for one in found] == [
                "event",
                "refused",
                "refused",
                "event",
                "refused",
            ]
            assert [sum(fee.units for fee in one.fees) for one in found] == [
                3 * 10**9,
                0,
                0,
                4 * 10**9,
                0,
            ]
            assert [one.customer_id for one in found] == [ada, None, ada, ada, None]
            rules = MappingRules(
                ("subject",), event_type=("type",), unknown_customer="create", data_below="data."
            )
            found = await engine.preview_ingestion("cloudevents", SAMPLE, rules=rules)
            assert (found[1].status, found[1].customer_id) == ("event", None)
            assert (await engine.get_ingestion_rules("cloudevents")).is_default
            assert await engine.get_wallet(ada) == before
            assert (await engine.list_events()).total_count == 0
            assert not engine.lately_ingested("cloudevents").counts
            # What it says is what comes of it.
            done = await engine.ingest("cloudevents", read(SAMPLE))
            assert statuses(done) == ["booked", "refused", "refused", "booked", "refused"]
            assert await available(engine, ada) == 93
            again = await engine.preview_ingestion("cloudevents", SAMPLE)
            assert [one.status for one in again][::3] == ["repeat", "repeat"]
            await assert_clean(engine)

    tell(story())


def test_a_preview_counts_with_what_limits_have_counted(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_called(engine, "ada")
            most = LimitRequest(Number(10), "day", asset="USD", rejects_events=True)
            await engine.create_customer_limit(ada, most)
            assert [one.status for one in await engine.preview_ingestion("cloudevents", SAMPLE)][
                ::3
            ] == ["event", "event"]
            await engine.ingest("cloudevents", read(SAMPLE.replace(b'"n": 4', b'"n": 6')))
            told = SAMPLE.replace(b'"id": "4"', b'"id": "later"')
            later = (await engine.preview_ingestion("cloudevents", told))[3]
            assert later.status == "refused"
            assert later.problem is not None
            assert "limit" in later.problem.detail

    tell(story())


def read(body: bytes) -> list[Any]:
    return list(read_cloudevents(Sent({}, body, NOON)))


def test_events_that_nothing_prices_are_not_free_in_silence(tmp_path: Any) -> None:
    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/f.db", clock=Clock()) as engine:
            await make_called_simply(engine, "ada")
            items = [told(str(n), "ada") for n in range(3)]
            for _ in range(2):
                await ingest(engine, *items)
            rules = MappingRules(("who",), event_type=("kind",), data={})
            for n in range(70):
                fields = {"who": "ada", "kind": f"kind{n}"}
                await ingest(engine, Observed(f"k{n}", NOON, "t", fields, ""), rules=rules)
                if n == 5:
                    said = engine.lately_ingested("cloudevents").warnings
                    warned = said["no price for event_type=llm: no fee"]
                    assert (warned.count, warned.at) == (3, NOON)
            said = engine.lately_ingested("cloudevents").warnings
            assert len(said) == 50
            assert list(said)[-1] == "no price for event_type=kind69: no fee"

    tell(story())


def test_what_is_remembered_of_refusals_is_bounded(tmp_path: Any) -> None:
    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/f.db", clock=Clock()) as engine:
            await ingest(engine, *[told(str(n), f"nobody {n}") for n in range(200)])
            refusals = engine.lately_ingested("cloudevents").refusals
            assert len(refusals) == 50
            assert "'nobody 199'" in refusals[0].detail

    tell(story())
