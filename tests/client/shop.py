"""What the client's tests share: waiting without time, and what a wallet shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, TypeVar

from tests.api.caller import USD, Caller
from tests.api.conftest import TEST_KEY

from faregate.client import AsyncClient, RetryPolicy, UsageEvent, new_event

T = TypeVar("T")


class Delays:
    """Sleeps that are only written down."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.seconds.append(float(seconds))

    async def async_sleep(self, seconds: float) -> None:
        self.sleep(seconds)


def tokens(count: int, id: str | None = None) -> UsageEvent:
    """An event of this many tokens."""
    return new_event("llm", {"tokens": count}, id=id)


def balance(me: Caller, customer: str) -> tuple[Decimal, Decimal]:
    """What is available and what is held."""
    account = me.get(f"customers/{customer}/wallet/{USD}").body
    return Decimal(account["available"]), Decimal(account["pending_out"])


def charged(me: Caller, customer: str) -> list[Decimal]:
    """The fees of a customer's events, the newest first."""
    events = me.get(f"events?customer_id={customer}&limit=100").body["items"]
    return [Decimal(event.get("total_fees", 0)) for event in events]


def run(
    url: str, story: Callable[[AsyncClient], Coroutine[Any, Any, T]], delays: Delays | None = None
) -> T:
    """Run a story with an asynchronous client of this address."""

    async def main() -> T:
        waits = delays or Delays()
        retry = RetryPolicy(first_delay_seconds=0)
        async with AsyncClient(url, TEST_KEY, retry=retry, sleep=waits.async_sleep) as client:
            return await story(client)

    return asyncio.run(main())
