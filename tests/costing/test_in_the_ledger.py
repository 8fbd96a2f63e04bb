"""Costs that are attached, from an event's coming in to margins and `verify`: both databases."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.types import ModelPrice as TablePrice
from msgspec import structs
from tests.databases import new_sqlite
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    make_customer,
    other_connection,
    refusal,
    row_counts,
    sell,
    sell_tokens,
    tell,
    usage_price,
)

from faregate import CaptureRequest, Engine, HoldRequest
from faregate.core.amounts import Number
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import UpdateRequest, Used, Want
from faregate.core.outcomes import COSTS_STAY, OutcomeRequest
from faregate.core.own_model_prices import CreateModelPrice
from faregate.core.problems import CONFLICT, NOT_FOUND
from faregate.costing.attaching import installed_table

# 1000 x 2.50/M + 100 x 10/M.
CALL = {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100, "n": 1}
CALL_COSTS = Decimal("0.0035")


def call(event_id: str, costs: list[Cost] | None = None, **data: Any) -> UsageEvent:
    """A call of GPT-4o that the shop charges as one token."""
    return UsageEvent(event_id, "llm", NOON, data={**CALL, **data}, costs=costs)


def markup(rate: str = "2") -> dict[str, Any]:
    """What was paid for it, so many times."""
    price = usage_price(rate)
    price["pricing"][0]["values"][0].pop("package_size")
    price["usage_calculation"] = {"event_type": "llm", "usage_type": "cost"}
    return price


async def attach(engine: Engine, *, on: bool = True) -> None:
    await engine.change_settings(attach_costs=on)


def told(events: list[UsageEvent]) -> list[Decimal]:
    return [Decimal(cost.amount) for event in events for cost in event.costs or ()]


@pytest.fixture
def newer_table() -> Iterator[Any]:
    """Makes GPT-4o dearer, as a newer package would."""

    def upgrade(dollars: str) -> None:
        providers = deepcopy(get_snapshot().providers)
        (openai,) = [one for one in providers if one.id == "openai"]
        (model,) = [one for one in openai.models if one.id == "gpt-4o"]
        price = Decimal(dollars)
        model.prices = TablePrice(input_mtok=price, output_mtok=price)
        set_custom_snapshot(DataSnapshot(providers, from_auto_update=False))
        installed_table.cache_clear()

    yield upgrade
    set_custom_snapshot(None)
    installed_table.cache_clear()


def test_nothing_is_attached_unless_the_account_says_so_and_then_in_its_mode_alone(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            assert (await book(engine, ada, call("off"))).warnings == ()
            await attach(engine)
            await book(engine, ada, call("on"))
            assert engine.catalog_view(engine.context_of("live")).costing is None
            await attach(engine, on=False)
            await book(engine, ada, call("off again"))
            kept = {name: (await engine.get_event(name))[1] for name in ("off", "on", "off again")}
            assert [told([booked.event]) for booked in kept.values()] == [[], [CALL_COSTS], []]
            sources = [booked.cost_source for booked in kept.values()]
            assert sources == [None, installed_table().version, None]
            await assert_clean(engine)

    tell(story())


def test_margins_count_what_was_attached(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            await attach(engine)
            ada = await make_customer(engine)
            await engine.record_events(ada, [call("a"), call("b", n=2), call("c", model="mine")])
            day = NOON.date()
            page = await engine.stats("vendor", period_from=day, period_to=day)
            assert [(item.vendor_external_id, item.total_costs) for item in page.items] == [
                ("openai", Decimal("0.007"))
            ]
            whole = page.summary
            # Four tokens at 1 USD; two calls at 0.0035: 3.993 of 4, 99.825%, half to even.
            assert (whole.gross_revenue, whole.total_costs) == (4, Decimal("0.007"))
            assert (whole.net_revenue, whole.margin) == (Decimal("3.993"), Decimal("99.82"))
            (one,) = await engine.event_stats([(await engine.get_event("b"))[1]])
            assert one is not None
            assert (one.net_revenue, one.margin) == (Decimal("1.9965"), Decimal("99.82"))
            await assert_clean(engine)

    tell(story())


def test_a_price_that_is_a_markup_charges_what_was_attached(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, markup("2"))
            await attach(engine)
            ada = await make_customer(engine)
            await book(engine, ada, call("a"))
            assert await available(engine, ada) == 100 - 2 * CALL_COSTS
            unknown = await book(engine, ada, call("b", model="mine"))
            assert unknown.fees == ()
            assert "model mine: no price is known" in unknown.warnings[-1]
            await assert_clean(engine)

    tell(story())


def test_events_with_costs_of_their_own_keep_them_and_so_do_those_with_none(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, markup("2"))
            await attach(engine)
            ada = await make_customer(engine)
            own = [Cost("mine", Number("0.5"), vendor_external_id="openai")]
            await book(engine, ada, call("a", own))
            await book(engine, ada, call("b", []))
            assert await available(engine, ada) == 99
            for name, amounts in (("a", [Decimal("0.5")]), ("b", [])):
                booked = (await engine.get_event(name))[1]
                assert (told([booked.event]), booked.cost_source) == (amounts, None)
            assert (await book(engine, ada, call("a", own))).status == "repeat"
            await assert_clean(engine)

    tell(story())


def test_a_repeat_is_one_whatever_has_become_of_prices_and_settings_since(
    database_url: str, newer_table: Any
) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, markup("2"))
            ada = await make_customer(engine)
            await book(engine, ada, call("before"))
            await attach(engine)
            first = await book(engine, ada, call("a"))
            warned = await book(engine, ada, call("w", model="mine"))
        newer_table("100")
        async with Engine.open(database_url, clock=clock) as engine:
            # From the rows, then from memory.
            for _ in range(2):
                again = await book(engine, ada, call("a"))
                assert again == structs.replace(first, status="repeat", balances=again.balances)
                assert (await book(engine, ada, call("before"))).status == "repeat"
            await engine.create_model_price(CreateModelPrice("*", per_request=Number(9)))
            assert (await book(engine, ada, call("a"))).fees == first.fees
            await attach(engine, on=False)
            assert (await book(engine, ada, call("a"))).fees == first.fees
            assert (await book(engine, ada, call("w", model="mine"))).warnings == warned.warnings
            # Another event under its id is one still, and so is one that now has costs.
            error = await refusal(book(engine, ada, call("a", input_tokens=1001)))
            assert (error.problem.kind, list(error.problem.errors)) == (
                CONFLICT,
                ["events[0].data"],
            )
            sent = [Cost("model", Number(CALL_COSTS), vendor_external_id="openai")]
            error = await refusal(book(engine, ada, call("a", sent)))
            assert list(error.problem.errors) == ["events[0].costs"]
            assert await available(engine, ada) == 100 - 2 * CALL_COSTS
            await assert_clean(engine)

    tell(story())


def test_a_newer_table_costs_new_events(database_url: str, newer_table: Any) -> None:
    async def story() -> None:
        clock = Clock()
        newer_table("100")
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            await attach(engine)
            ada = await make_customer(engine)
            await book(engine, ada, call("a"))
            # 1100 x 100/M.
            assert told([(await engine.get_event("a"))[1].event]) == [Decimal("0.11")]

    tell(story())


def test_the_sellers_own_price_counts_as_soon_as_it_is_there_and_no_longer_when_it_is_gone(
    database_url: str,
) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            await attach(engine)
            ada = await make_customer(engine)
            price = await engine.create_model_price(
                CreateModelPrice(
                    "gpt-4o",
                    per_request=Number("0.25"),
                    input_per_million=Number(0),
                    output_per_million=Number(0),
                )
            )
            await book(engine, ada, call("own"))
            await engine.delete_model_price(price.id)
            await engine.delete_model_price(price.id)
            await book(engine, ada, call("table"))
            own, table = [(await engine.get_event(name))[1] for name in ("own", "table")]
            assert (told([own.event]), own.cost_source) == ([Decimal("0.25")], price.id)
            assert told([table.event]) == [CALL_COSTS]
            assert (await engine.list_model_prices()).total_count == 0
            # Events name it: it stays to be looked at.
            assert (await engine.get_model_price(price.id)).deleted_at == NOON
            assert (await refusal(engine.get_model_price("mpr_x"))).problem.kind == NOT_FOUND
            live = engine.context_of("live")
            error = await refusal(engine.get_model_price(price.id, context=live))
            assert error.problem.kind == NOT_FOUND

    tell(story())


def test_captures_get_costs_and_holds_are_as_large_as_they_will_be(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, markup("2"))
            ada = await make_customer(engine)
            asked = HoldRequest("early", "llm", CALL)
            error = await refusal(engine.authorize(ada, asked))
            assert "which nobody knows yet" in error.problem.detail
            await attach(engine)
            # At most 1000 in and 500 out: 0.0025 + 0.005, twice.
            bound = {"model": "gpt-4o", "input_tokens": 1000, "max_output_tokens": 500}
            asked = HoldRequest("h", "llm", bound, estimate="upper_bound")
            hold = await engine.authorize(ada, asked)
            assert hold.status == "authorized"
            assert await available(engine, ada) == 100 - Decimal("0.015")
            settle = CaptureRequest("c", events=[call("e")])
            answer = await engine.capture(ada, hold.id, settle)
            assert await available(engine, ada) == 100 - 2 * CALL_COSTS
            assert told([(await engine.get_event("e"))[1].event]) == [CALL_COSTS]
            assert (await engine.capture(ada, hold.id, settle)) == answer
            unknown = HoldRequest("x", "llm", {**CALL, "model": "mine"})
            error = await refusal(engine.authorize(ada, unknown))
            assert "model mine: no price is known" in error.problem.detail
            await assert_clean(engine)

    tell(story())


@pytest.mark.parametrize(
    ("said", "held"), [({}, "0.003"), ({"max_cache_write_tokens": 1000}, "0.0035")]
)
def test_a_hold_is_large_enough_for_the_dearer_kinds_that_it_is_told_of(
    tmp_path: Path, said: dict[str, int], held: str
) -> None:
    call_data = {"model": "claude-haiku-4-5", "input_tokens": 1000}

    async def story() -> None:
        async with Engine.open(new_sqlite(tmp_path / "a.db"), clock=Clock()) as engine:
            await sell(engine, markup("2"))
            await attach(engine)
            ada = await make_customer(engine)
            bound = {**call_data, "max_output_tokens": 100, **said}
            asked = HoldRequest("h", "llm", bound, estimate="upper_bound")
            hold = await engine.authorize(ada, asked)
            assert await available(engine, ada) == 100 - Decimal(held)
            # Written to the cache: 1000 x 1.25/M, and 100 x 5/M, twice. It is charged either way.
            used = {**call_data, "output_tokens": 100, "cache_write_tokens": 1000}
            event = UsageEvent("e", "llm", NOON, data=used)
            await engine.capture(ada, hold.id, CaptureRequest("c", events=[event]))
            assert await available(engine, ada) == 100 - Decimal("0.0035")
            await assert_clean(engine)

    tell(story())


def test_slices_of_one_use_are_charged_by_the_costs_of_each(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, markup("2"))
            await attach(engine)
            ada = await make_customer(engine)
            asked = HoldRequest("h", max_amount=Number(1), asset="USD")
            hold = await engine.authorize(ada, asked)
            for slice_ in ("one", "two"):
                used = Used(events=[call(slice_)])
                update = UpdateRequest(f"next {slice_}", Want(amount=Number(1)), used)
                await engine.update_hold(ada, hold.id, update)
            await engine.capture(ada, hold.id, CaptureRequest("c", events=[call("three")]))
            assert await available(engine, ada) == 100 - 3 * 2 * CALL_COSTS
            kept = [(await engine.get_event(name))[1].event for name in ("one", "two", "three")]
            assert told(kept) == [CALL_COSTS] * 3
            await assert_clean(engine)

    tell(story())


def test_a_pending_event_is_charged_by_the_costs_that_it_was_recorded_with(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, markup("2"))
            await attach(engine)
            ada = await make_customer(engine)
            await book(engine, ada, structs.replace(call("p"), outcome="pending"))
            _, settled = await engine.settle_outcome("p", OutcomeRequest("t", "confirmed"))
            assert settled.warnings == ()
            assert await available(engine, ada) == 100 - 2 * CALL_COSTS
            more = OutcomeRequest("u", "changed", {"input_tokens": 2000})
            _, settled = await engine.settle_outcome("p", more)
            assert settled.warnings == (COSTS_STAY,)
            assert await available(engine, ada) == 100 - 2 * CALL_COSTS
            other = OutcomeRequest("v", "changed", {"note": "the same call"})
            # Its data still tells of another call than the one that its costs are of.
            assert COSTS_STAY in (await engine.settle_outcome("p", other))[1].warnings
            await assert_clean(engine)

    tell(story())


def test_what_is_refused_leaves_no_cost_and_the_rest_of_a_lenient_batch_has_its_own(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            await attach(engine)
            ada = await make_customer(engine)
            old = structs.replace(call("old"), occurred_at=NOON.replace(year=2025))
            async with other_connection(database_url) as store:
                before = await row_counts(store)
                await refusal(engine.record_events(ada, [call("a"), old]))
                assert await row_counts(store) == before
            answer = await engine.record_events(ada, [old, call("a")], is_lenient=True)
            assert [result.status for result in answer.results] == ["refused", "booked"]
            async with other_connection(database_url) as store:
                rows = await store.fetch("SELECT event_id, units FROM costs")
            assert [tuple(row) for row in rows] == [("a", 3_500_000)]

    tell(story())


def test_an_edited_cost_that_was_attached_is_found(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            await attach(engine)
            ada = await make_customer(engine)
            await book(engine, ada, call("a"))
            async with by_hand(database_url) as transaction:
                await transaction.fetch("UPDATE costs SET units = 1")
            report = await engine.verify()
            assert [(found.kind, found.name) for found in report.differences] == [("costs", "a")]

    tell(story())


def test_simulated_use_is_priced_by_what_would_be_attached(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, markup("2"))
            events = [call("a"), call("b", model="mine")]
            fees, warnings = await engine.simulate_usage("tokens", 1, events)
            assert (fees, len(warnings)) == ([], 2)
            await attach(engine)
            fees, warnings = await engine.simulate_usage("tokens", 1, events)
            assert [fee.units for fee in fees] == [7_000_000]
            assert "events[1]: no cost attached: model mine" in warnings[-1]

    tell(story())
