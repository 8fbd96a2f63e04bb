"""Holds in the books: under load, over restarts, read at any instant, on both databases."""

import asyncio
from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from tests.ledger.shop import (
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    give,
    make_customer,
    other_connection,
    refusal,
    rows_of,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.gate import HoldView
from faregate.core.hold_requests import (
    CaptureRequest,
    HoldRequest,
    UpdateRequest,
    Used,
    Want,
)
from faregate.core.problems import CONFLICT

USD = "default:USD"


async def hold(
    engine: Engine, customer_id: str, name: str, amount: str, **more: object
) -> HoldView:
    request = HoldRequest(name, max_amount=Number(amount), asset="USD", **more)  # type: ignore[arg-type]
    return await engine.authorize(customer_id, request)


async def pending(engine: Engine, customer_id: str) -> Decimal:
    return (await engine.get_account(customer_id, USD)).pending_out


@pytest.mark.parametrize("wallets", [1, 8], ids=["one wallet", "many wallets"])
def test_64_callers_at_once_are_never_promised_more_than_there_is(database_url: str, wallets: int):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine, "10") for _ in range(wallets)]
            answers = await asyncio.gather(
                *[hold(engine, customers[n % wallets], f"hold {n}", "3") for n in range(64)]
            )
            for customer_id in customers:
                assert await available(engine, customer_id) == Decimal(1)
                assert await pending(engine, customer_id) == Decimal(9)
            counted = Counter(answer.status for answer in answers)
            assert counted == {"authorized": 3 * wallets, "declined": 64 - 3 * wallets}
            await assert_clean(engine)

    tell(story())


def test_pairs_under_load_cost_what_was_used(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine, "0.001")
            customer_id = await make_customer(engine, "1000")

            async def one(number: int) -> None:
                data = {"n": 100}
                request = HoldRequest(f"h{number}", event_type="llm", data=data)
                held = await engine.authorize(customer_id, request)
                assert held.status == "authorized"
                event = use(f"e{number}", 60)
                settle = CaptureRequest(f"c{number}", events=[event])
                first = await engine.capture(customer_id, held.id, settle)
                again = await engine.capture(customer_id, held.id, settle)
                assert first == again
                assert await engine.authorize(customer_id, request) == held

            await asyncio.gather(*[one(number) for number in range(100)])
            assert await available(engine, customer_id) == Decimal(1000 - 6)
            assert await pending(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())


def test_a_restart_changes_nothing_about_holds(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "10")
            await give(
                engine, customer_id, "5", "gift", "gift", expires_at=clock.now.replace(hour=13)
            )
            run = await hold(engine, customer_id, "run", "15", expires_in_seconds=7200)
            child = await hold(engine, customer_id, "child", "2", parent_id=run.id)
            assert (await available(engine, customer_id), await pending(engine, customer_id)) == (
                0,
                15,
            )
        # The gift, which the run has whole, ends at 13:00.
        clock.move(minutes=90)
        async with Engine.open(database_url, clock=clock) as engine:
            assert (await engine.get_hold(customer_id, child.id)).status == "expired"
            assert await pending(engine, customer_id) == 15
            done = await engine.capture(customer_id, run.id, CaptureRequest("c", Number("1")))
            assert done.released_units == 14 * 10**9
            assert await hold(engine, customer_id, "run", "15", expires_in_seconds=7200) == run
        async with Engine.open(database_url, clock=clock) as engine:
            # 1 of the gift was used, its other 4 broke; the 10 are whole again.
            assert await available(engine, customer_id) == 10
            assert (await engine.get_hold(customer_id, run.id)).captured_units == 10**9
            again = await engine.capture(customer_id, run.id, CaptureRequest("c", Number("1")))
            assert again == done
            await book(engine, customer_id, use("e", 10, clock.now))
            assert await available(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())


def test_what_the_clock_has_ended_is_seen_before_anybody_writes_it_down(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "10")
            held = await hold(engine, customer_id, "h", "4", subject="ada", expires_in_seconds=60)
            kept = await hold(engine, customer_id, "k", "1", expires_in_seconds=600)
            clock.move(seconds=60)
            assert (await engine.get_hold(customer_id, held.id)).status == "expired"
            assert (await available(engine, customer_id), await pending(engine, customer_id)) == (
                9,
                1,
            )
            listed = {
                status: [h.id for h in (await engine.list_holds(customer_id, status=status)).items]  # type: ignore[arg-type]
                for status in ("authorized", "expired", "captured", None)
            }
            assert listed == {
                "authorized": [kept.id],
                "expired": [held.id],
                "captured": [],
                None: [kept.id, held.id],
            }
            mine = await engine.list_holds(customer_id, subject="ada")
            assert [h.status for h in mine.items] == ["expired"]
            await assert_clean(engine)
            # The next command writes it down, at the instant at which it happened.
            await book(engine, customer_id, use("e", 1, clock.now))
            async with other_connection(database_url) as store:
                stored = await rows_of(store, "hold_id, status, is_open", "holds", customer_id)
                assert stored == [(held.id, "expired", 0), (kept.id, "authorized", 1)]
            await assert_clean(engine)

    tell(story())


def test_a_session_survives_a_restart_between_any_two_slices(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine, "0.1", 7)
            customer_id = await make_customer(engine)
            whole_id = await make_customer(engine)
            await book(engine, whole_id, use("all", 50))
            request = HoldRequest("s", event_type="llm", data={"n": 10})
            held = await engine.authorize(customer_id, request)
        for number in range(4):
            async with Engine.open(database_url, clock=clock) as engine:
                update = UpdateRequest(
                    f"u{number}", Want(data={"n": 10}), Used(events=[use(f"e{number}", 10)])
                )
                first = await engine.update_hold(customer_id, held.id, update)
                assert not first.is_final
        async with Engine.open(database_url, clock=clock) as engine:
            assert await engine.update_hold(customer_id, held.id, update) == first
            done = CaptureRequest("end", events=[use("last", 10)])
            await engine.capture(customer_id, held.id, done)
            assert await available(engine, customer_id) == await available(engine, whole_id)
            async with other_connection(database_url) as store:
                one, two = [
                    await rows_of(store, "price_id, numerator", "carries", c)
                    for c in (customer_id, whole_id)
                ]
                assert one == two
            await assert_clean(engine)

    tell(story())


def test_a_hold_that_another_process_has_settled_is_settled(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            held = await hold(engine, customer_id, "h", "4")
            await engine.capture(customer_id, held.id, CaptureRequest("c", Number("1")))
        async with Engine.open(database_url, clock=clock) as engine:
            # Nothing is in memory: what is known of the hold is read.
            error = await refusal(
                engine.capture(customer_id, held.id, CaptureRequest("d", Number("1")))
            )
            assert error.problem.kind is CONFLICT
            error = await refusal(hold(engine, customer_id, "h", "5"))
            assert error.problem.kind is CONFLICT
            error = await refusal(
                engine.capture(customer_id, held.id, CaptureRequest("c", Number("2")))
            )
            assert list(error.problem.errors) == ["amount"]
            await assert_clean(engine)

    tell(story())


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("UPDATE holds SET held_units = held_units - 1", "hold"),
        ("UPDATE holds SET amount_units = 1", "hold out of bounds"),
        ("UPDATE holds SET is_open = 0", "hold out of bounds"),
        ("DELETE FROM holds", "hold without a row"),
    ],
)
def test_verify_finds_what_somebody_did_to_a_hold(database_url: str, change: str, kind: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            held = await hold(engine, customer_id, "h", "4")
            await assert_clean(engine)
            async with by_hand(database_url) as queries:
                await queries.fetch(change)
            report = await engine.verify()
            found = {(difference.kind, difference.name) for difference in report.differences}
            assert (kind, held.id) in found

    tell(story())


def test_a_request_is_checked_when_a_program_makes_it(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            wrong = HoldRequest("h", max_amount=Number("1"), asset="USD", expires_in_seconds=0)
            error = await refusal(engine.authorize(customer_id, wrong))
            assert list(error.problem.errors) == ["expires_in_seconds"]
            long = msgspec.structs.replace(wrong, transaction_id="x" * 201, expires_in_seconds=60)
            error = await refusal(engine.authorize(customer_id, long))
            assert list(error.problem.errors) == ["transaction_id"]

    tell(story())
