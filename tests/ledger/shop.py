"""A small shop for the tests to tell their stories in: a clock that the test moves, a product of
one price per token, customers with credit, and what the ledger says about them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from faregate import Engine
from faregate.catalog.types import CreateProduct, CreateVersion, UpdateVersion
from faregate.core.amounts import Number
from faregate.core.codec import decode, encode
from faregate.core.events import EventResult, EventsBooked, Fee, UsageEvent
from faregate.core.problems import FaregateError
from faregate.core.transactions import AdjustmentRequest, BookedTransaction
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.store.open import open_store
from faregate.store.protocol import Queries, Row, Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
USD = "default:USD"


class Clock:
    """The engine's time, which stands still until the test moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


def usage_price(rate: str, package: int = 1) -> dict[str, Any]:
    """A price of `rate` USD per `package` tokens of an `llm` event."""
    return {
        "type": "usage_based",
        "name": "tokens",
        "usage_calculation": {"event_type": "llm", "usage_type": "volume", "volume_field": "n"},
        "billing_model": {"type": "real_time"},
        "pricing": [
            {
                "asset": "USD",
                "values": [{"volume_rate": msgspec.Raw(rate.encode()), "package_size": package}],
            }
        ],
    }


async def sell_tokens(engine: Engine, rate: str = "1", package: int = 1) -> None:
    """Publish the product `tokens`."""
    await sell(engine, usage_price(rate, package))


async def sell(engine: Engine, price: dict[str, Any]) -> None:
    """Publish the product `tokens` with this price."""
    product = {"name": "Tokens", "code": "tokens", "publish": True, "prices": [price]}
    await engine.create_product(decode(CreateProduct, encode(product)))


async def make_version(engine: Engine, rate: str, *, is_default: bool = True) -> int:
    """Publish the next version of `tokens`, and make it the default unless told otherwise."""
    version = {"publish": True, "prices": [usage_price(rate)]}
    created = await engine.create_version("tokens", decode(CreateVersion, encode(version)))
    if is_default:
        await engine.update_version("tokens", created.version, UpdateVersion(make_default=True))
    return created.version


async def make_customer(engine: Engine, credit: str | None = "100") -> str:
    """Make a customer who uses tokens and has this much paid credit; returns the id."""
    subscription = CreateSubscription([SubscribedProduct(code="tokens")])
    request = CreateCustomer(name="Ada", subscriptions=[subscription])
    customer_id = (await engine.create_customer(request)).id
    if credit is not None:
        await give(engine, customer_id, credit, "first credit")
    return customer_id


async def give(
    engine: Engine,
    customer_id: str,
    amount: str,
    transaction_id: str,
    reason: Any = "external_topup",
    **more: Any,
) -> BookedTransaction:
    """Adjust the wallet in USD."""
    request = AdjustmentRequest(transaction_id, "USD", Number(amount), reason, **more)
    return await engine.adjust(customer_id, request)


def use(event_id: str, tokens: int = 1, at: datetime = NOON, **more: Any) -> UsageEvent:
    """An event of this many tokens."""
    return UsageEvent(event_id, "llm", at, data={"n": tokens}, **more)


async def book(engine: Engine, customer_id: str, event: UsageEvent) -> EventResult:
    """Send one event; returns what became of it."""
    return (await engine.record_events(customer_id, [event])).results[0]


async def refusal(sent: Any) -> FaregateError:
    """Wait for something that must be refused; returns the refusal."""
    try:
        answer = await sent
    except FaregateError as error:
        return error
    raise AssertionError(f"it was not refused: {answer}")


async def available(engine: Engine, customer_id: str, account: str = USD) -> Decimal:
    """What the wallet shows now."""
    return (await engine.get_account(customer_id, account)).available


def fees_of(answer: EventsBooked) -> list[Fee]:
    """All fees of an answer."""
    return [fee for result in answer.results for fee in result.fees]


async def assert_clean(engine: Engine) -> None:
    """The books balance."""
    report = await engine.verify()
    assert report.differences == []
    assert report.breaks == []


@asynccontextmanager
async def other_connection(url: str) -> AsyncIterator[Store]:
    """The same database, opened by somebody else."""
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def by_hand(url: str) -> AsyncIterator[Queries]:
    """A transaction of somebody who edits the database directly."""
    async with other_connection(url) as store, store.transaction() as transaction:
        yield transaction


COUNTED = ("events", "fees", "transfers", "transactions", "grants")


async def row_counts(queries: Queries) -> dict[str, int]:
    """How many rows each of the ledger's tables has."""
    return {t: (await queries.fetch(f"SELECT count(*) FROM {t}"))[0][0] for t in COUNTED}


async def rows_of(queries: Queries, columns: str, table: str, customer_id: str) -> Sequence[Row]:
    """A customer's rows of a table, in the order of these columns."""
    sql = f"SELECT {columns} FROM {table} WHERE customer_id = $1 ORDER BY {columns}"
    return [tuple(row) for row in await queries.fetch(sql, customer_id)]


def tell(story: Any) -> Any:
    """Run a story to its end, or stop it when it hangs."""
    return asyncio.run(asyncio.wait_for(story, 30))
