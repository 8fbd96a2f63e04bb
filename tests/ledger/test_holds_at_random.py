"""Many callers at once, who do at random what holds allow, most of it twice: no answer changes, and
the books balance after each round, on both databases and over restarts.
"""

import asyncio
from random import Random
from typing import Any, get_args

import pytest
from tests.ledger.shop import (
    Clock,
    assert_clean,
    available,
    book,
    give,
    make_customer,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.hold_requests import (
    CaptureRequest,
    HoldRequest,
    UpdateRequest,
    Used,
    Want,
)
from faregate.core.holds import HoldStatus
from faregate.core.problems import INTERNAL, FaregateError, Problem

ROUNDS = 6
CALLERS = 12
COMMANDS = 6


class Caller:
    """Somebody with ids of their own, who sends most commands twice."""

    def __init__(self, engine: Engine, customer_id: str, name: str, random: Random) -> None:
        self.engine = engine
        self.customer_id = customer_id
        self.name = name
        self.random = random
        self.made = 0

    def next(self) -> str:
        self.made += 1
        return f"{self.name}.{self.made}"

    async def answer(self, operation: str, *arguments: Any) -> Any:
        try:
            return await getattr(self.engine, operation)(self.customer_id, *arguments)
        except FaregateError as error:
            return error.problem

    async def send(self, operation: str, *arguments: Any) -> None:
        if self.random.random() < 0.3:
            self.is_no_fault(await self.answer(operation, *arguments))
            return
        one, other = await asyncio.gather(
            self.answer(operation, *arguments), self.answer(operation, *arguments)
        )
        self.is_no_fault(one)
        self.is_no_fault(other)
        # What was refused first may have become possible meanwhile.
        if operation not in ("void_hold", "extend_hold") and not isinstance(one, Problem):
            assert one == other

    def is_no_fault(self, answer: Any) -> None:
        assert not isinstance(answer, Problem) or answer.kind is not INTERNAL, answer

    async def act(self, holds: list[str], clock: Clock) -> None:
        random = self.random
        amount = Number(f"{random.randrange(400) / 100:.2f}")
        hold_id = random.choice(holds) if holds else "hld_none"
        event = use(self.next(), random.randrange(40), clock.now)
        kind = random.randrange(9)
        if kind <= 1:
            parent = hold_id if holds and random.random() < 0.4 else None
            seconds = random.choice([1, 60, 600])
            request = HoldRequest(
                self.next(),
                max_amount=amount,
                asset="USD",
                parent_id=parent,
                allow_partial=random.random() < 0.5,
                expires_in_seconds=seconds,
            )
            await self.send("authorize", request)
        elif kind == 2:
            asked = HoldRequest(self.next(), event_type="llm", data={"n": random.randrange(40)})
            await self.send("authorize", asked)
        elif kind == 3:
            final = random.random() < 0.6
            await self.send("capture", hold_id, CaptureRequest(self.next(), amount, final=final))
        elif kind == 4:
            await self.send("capture", hold_id, CaptureRequest(self.next(), events=[event]))
        elif kind == 5:
            slice_ = UpdateRequest(self.next(), Want(amount), Used(events=[event]))
            await self.send("update_hold", hold_id, slice_)
        elif kind == 6:
            await self.send("void_hold", hold_id)
        elif kind == 7:
            await self.send("extend_hold", hold_id, 60)
        else:
            await book(self.engine, self.customer_id, event)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_callers_do_at_once_the_books_balance(database_url: str, seed: int) -> None:
    async def story() -> None:
        random, clock = Random(seed), Clock()
        before: Any = None
        customers: list[str] = []
        for number in range(ROUNDS):
            async with Engine.open(database_url, clock=clock) as engine:
                if not customers:
                    await sell_tokens(engine, "0.03", 7)
                    customers = [await make_customer(engine, "20") for _ in range(2)]
                else:
                    assert before == [await seen(engine, c) for c in customers]
                for customer_id in customers:
                    life = {"expires_at": clock.now.replace(hour=23)} if number % 2 else {}
                    await give(engine, customer_id, "6", f"credit {number}", "gift", **life)
                known = {c: await some_holds(engine, c) for c in customers}
                callers = [
                    Caller(engine, customers[n % 2], f"{number}.{n}", Random(random.random()))
                    for n in range(CALLERS)
                ]
                for _ in range(COMMANDS):
                    await asyncio.gather(
                        *[one.act(known[one.customer_id], clock) for one in callers]
                    )
                    clock.move(seconds=random.choice([0, 1, 5]))
                    known = {c: await some_holds(engine, c) for c in customers}
                await assert_clean(engine)
                clock.move(seconds=random.choice([0, 55, 600]))
                before = [await seen(engine, customer_id) for customer_id in customers]
                await assert_clean(engine)

    tell(story())


async def some_holds(engine: Engine, customer_id: str) -> list[str]:
    """The holds that are open, and the last ones that the clock has ended."""
    page = await engine.list_holds(customer_id, 100, 0, "authorized")
    late = await engine.list_holds(customer_id, 4, 0, "expired")
    return [hold.id for hold in (*page.items, *late.items)]


async def seen(engine: Engine, customer_id: str) -> Any:
    """What a reader is shown of a customer: the wallet, and how many holds are in which state."""
    counts = {
        status: (await engine.list_holds(customer_id, 1, 0, status)).total_count
        for status in get_args(HoldStatus)
    }
    everything = await engine.list_holds(customer_id, 100)
    assert sum(counts.values()) == everything.total_count
    account = await engine.get_account(customer_id, "default:USD")
    return (counts, await available(engine, customer_id), account.pending_out, everything.items)
