"""A shop whose customers reach one limit after another, which is told: event n of a customer tells
that limit n is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.doubles.receiver import Receiver
from tests.ledger.shop import Clock, book, make_customer, sell_tokens, use

from faregate import Engine
from faregate.client import verify_webhook
from faregate.core.amounts import Number
from faregate.core.limits import LimitRequest
from faregate.webhooks.types import CreateDestination, DestinationCreated, UpdateDestination

LOCAL = "127.0.0.0/8"
LIMIT = "limit.reached"


@asynccontextmanager
async def open_shop(url: str, clock: Clock, limits: int = 5) -> AsyncIterator[Engine]:
    """Open a shop that sells tokens at one each, with soft limits of 1, 2, 3 … for everybody."""
    async with Engine.open(url, clock=clock, webhook_allow=LOCAL) as engine:
        await sell_tokens(engine)
        for number in range(1, limits + 1):
            limit = LimitRequest(Number(number), "lifetime", mode="soft", asset="USD")
            await engine.create_limit(limit)
        yield engine


async def register(
    engine: Engine, receiver: Receiver, path: str = "/", *topics: str
) -> DestinationCreated:
    """Register the receiver."""
    request = CreateDestination(receiver.url + path, list(topics) or [LIMIT])
    return await engine.create_webhook_destination(request)


async def reach(engine: Engine, clock: Clock, customer_id: str, *numbers: int) -> None:
    """Use a token for each number."""
    for number in numbers:
        await book(engine, customer_id, use(f"e-{customer_id}-{number}", at=clock.now))


async def customers(engine: Engine, count: int) -> list[str]:
    return [await make_customer(engine) for _ in range(count)]


def told(receiver: Receiver, path: str = "/", topic: str | None = None) -> dict[str, list[int]]:
    """The limits that each customer was told to have reached, in the order of arrival."""
    found: dict[str, list[int]] = {}
    for one in receiver.arrived:
        if one.path == path and topic in (None, one.event["type"]):
            data = one.event["data"]
            found.setdefault(data["customer_id"], []).append(int(data["amount"]))
    return found


def verify_all(receiver: Receiver, secret: str, now: float) -> list[Any]:
    """Verify everything that has arrived, by both kinds of signatures."""
    events = []
    for one in receiver.arrived:
        standard = {k: v for k, v in one.headers.items() if k.startswith("webhook-")}
        ours = {"credyt-signature": one.headers["credyt-signature"]}
        event = verify_webhook(one.body, ours, secret, now=now)
        assert verify_webhook(one.body, standard, secret, now=now) == event
        assert one.headers["webhook-id"] == event.id
        events.append(event)
    return events


async def switch(engine: Engine, destination_id: str, *, enabled: bool) -> None:
    await engine.update_webhook_destination(destination_id, UpdateDestination(enabled=enabled))
