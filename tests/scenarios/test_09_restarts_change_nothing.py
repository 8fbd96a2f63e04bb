"""How much each grant was used does not depend on restarts, caches or snapshots in between: the
same events with a restart after each one give the same rows.

Seen at openmeterio/openmeter#4846.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.ledger.shop import (
    NOON,
    USD,
    Clock,
    assert_clean,
    available,
    book,
    give,
    make_customer,
    make_version,
    other_connection,
    rows_of,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine

Step = Callable[[Engine, str, Clock], Awaitable[Any]]


def _gives(amount: str, name: str, reason: str = "external_topup", **days: float) -> Step:
    """Give credit; `effective_at` and `expires_at` in days from noon."""

    async def step(engine: Engine, customer_id: str, _clock: Clock) -> None:
        instants = {field: NOON + timedelta(days=day) for field, day in days.items()}
        await give(engine, customer_id, amount, name, reason, **instants)

    return step


def _uses(name: str, tokens: int, day: float) -> Step:
    """Send an event that occurred so many days after noon."""

    async def step(engine: Engine, customer_id: str, _clock: Clock) -> None:
        await book(engine, customer_id, use(name, tokens, NOON + timedelta(days=day)))

    return step


def _waits(**by: float) -> Step:
    async def step(_engine: Engine, _customer_id: str, clock: Clock) -> None:
        clock.move(**by)

    return step


def _looks() -> Step:
    async def step(engine: Engine, customer_id: str, _clock: Clock) -> None:
        await available(engine, customer_id)
        await engine.list_grants(customer_id, USD)
        await assert_clean(engine)

    return step


async def _raises_the_price(engine: Engine, _customer_id: str, _clock: Clock) -> None:
    await make_version(engine, "0.3")


STORY: list[Step] = [
    _gives("10", "paid"),
    _gives("5", "welcome", "gift", expires_at=1),
    _gives("3", "soon", "gift", expires_at=0.5),
    _gives("20", "bundle", effective_at=2, expires_at=9),
    _uses("a", 13, 0),
    _uses("a", 13, 0),
    _uses("b", 3, 0),
    _looks(),
    _waits(hours=12),
    _uses("c", 11, 0.5),
    _waits(hours=12),
    _looks(),
    _uses("d", 17, 1),
    _raises_the_price,
    _uses("e", 49, 1.001),
    _looks(),
    _waits(days=1),
    _uses("f", 7, 2),
    _gives("-2.5", "correction", "other"),
    _looks(),
    _waits(days=8),
    _uses("g", 1, 10),
    _gives("4", "last"),
    _uses("h", 2, 10),
]


@asynccontextmanager
async def _engines(url: str, clock: Clock, *, restarts: bool) -> AsyncIterator[Any]:
    """Yield a function that returns the engine for the next step: a new one, or always one."""
    async with AsyncExitStack() as stack:
        current: list[Engine] = []

        async def next_engine() -> Engine:
            if restarts or not current:
                await stack.aclose()
                current[:] = [await stack.enter_async_context(Engine.open(url, clock=clock))]
            return current[0]

        yield next_engine


async def _tell_all(url: str, *, restarts: bool) -> tuple[dict[str, Any], str]:
    """Play the story; returns what the ledger holds, without ids."""
    clock = Clock()
    async with _engines(url, clock, restarts=restarts) as next_engine:
        await sell_tokens(await next_engine(), "0.1", 7)
        customer_id = await make_customer(await next_engine(), None)
        for step in STORY:
            clock.move(seconds=1)
            await step(await next_engine(), customer_id, clock)
        engine = await next_engine()
        balance = await available(engine, customer_id)
        await assert_clean(engine)
    async with other_connection(url) as store:
        grants = await rows_of(
            store, "created_at, purpose, amount_units, remaining_units", "grants", customer_id
        )
        transfers = await rows_of(
            store, "seq, units, from_account, to_account, reference", "transfers", customer_id
        )
        accounts = await rows_of(
            store, "account_id, overdraft_units", "wallet_accounts", customer_id
        )
        carries = await rows_of(store, "asset, numerator", "carries", customer_id)
        fees = await rows_of(store, "event_id, units, volume", "fees", customer_id)
    kept = {
        "balance": balance,
        "grants": grants,
        "transfers": _without_ids(transfers),
        "accounts": accounts,
        "carries": sorted(carries),
        "fees": fees,
    }
    return kept, customer_id


def _without_ids(transfers: Any) -> list[tuple[Any, ...]]:
    """Name each id by the order in which it first appears."""
    names: dict[str, str] = {}

    def name(identifier: str) -> str:
        if identifier[:4] not in ("grt_", "adj_", "fee_"):
            return identifier
        return names.setdefault(identifier, f"{identifier[:3]} {len(names)}")

    return [(units, name(a), name(b), name(c)) for _, units, a, b, c in transfers]


def test_the_same_events_with_a_restart_after_each_give_the_same_rows(
    database_url: str, tmp_path: Path
):
    async def story() -> None:
        restarted, _ = await _tell_all(database_url, restarts=True)
        straight, _ = await _tell_all(f"sqlite:///{tmp_path}/straight.db", restarts=False)
        for part in straight:
            assert restarted[part] == straight[part], part
        assert len(straight["grants"]) == 5
        assert len(straight["fees"]) == 8
        to_accounts = {transfer[2] for transfer in straight["transfers"]}
        assert {"revenue", "breakage", "overdraft:default:USD", "adjustments:other"} <= to_accounts

    tell(story())
