"""The two clients. They make the same calls, the ones of `calls`; `Client` waits for the answer and
`AsyncClient` returns an awaitable of it.
"""

from __future__ import annotations

import asyncio
import functools
import random as chance
import time
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, overload

from faregate.client import calls
from faregate.client.address import find_address
from faregate.client.asked import AskedHold, HoldTerms
from faregate.client.backlog import EventsUndelivered, Undelivered
from faregate.client.batcher import AsyncBatcher, Batcher, telling
from faregate.client.calls import Request
from faregate.client.holding import AsyncHeldWork, Background, HeldWork
from faregate.client.metering import Customer, Estimate, Metering, Usage, async_meter, meter
from faregate.client.outbox import Batching, BatchingOptions, Outbox
from faregate.client.retrying import RetryPolicy
from faregate.client.transport import AsyncTransport, Route, Transport
from faregate.client.use import Use

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Call(Generic[P, T]):
    """A call as a method of a client: builds the request and sends it."""

    def __init__(self, build: Callable[P, Request[T]]) -> None:
        self._build = build

    @overload
    def __get__(self, client: None, owner: type) -> Callable[P, Request[T]]: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Client | AsyncClient | None, owner: type) -> Any:
        build = self._build
        if client is None:
            return build

        @functools.wraps(build)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client._transport.send(build(*args, **kwargs))

        return call


class Calls:
    """The calls of the API. What each takes and means is said in `calls`."""

    record_events = Call(calls.record_events)
    settle_outcome = Call(calls.settle_outcome)
    create_customer = Call(calls.create_customer)
    get_wallet = Call(calls.get_wallet)
    get_account = Call(calls.get_account)
    adjust = Call(calls.adjust)
    charge = Call(calls.charge)
    authorize = Call(calls.authorize)
    authorize_batch = Call(calls.authorize_batch)
    capture = Call(calls.capture)
    update_hold = Call(calls.update_hold)
    extend = Call(calls.extend)
    void = Call(calls.void)
    get_hold = Call(calls.get_hold)
    list_holds = Call(calls.list_holds)


class Client(Calls):
    """Speaks to a Faregate server. Threads may share it, and share its connections then.

        with Client("http://127.0.0.1:8080", "fg_test_…") as client:
            client.record_events("cust_…", [new_event("llm", {"tokens": 12})])

    Without arguments the address and the key come from FAREGATE_URL and FAREGATE_API_KEY. Every
    call raises `FaregateClientError`; what may be sent again is, see `RetryPolicy`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 30,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = chance.random,
    ) -> None:
        address = find_address(base_url, api_key)
        self._route = Route(address, retry or RetryPolicy(), timeout_seconds, random)
        self._transport = Transport(self._route, sleep)
        self._batchers: list[Batcher] = []

    def __repr__(self) -> str:
        return f"Client({self._route.address.url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with telling(error):
            self.close()

    def close(self) -> None:
        """Send the events that its batchers still have, and close the connections."""
        undelivered: list[Undelivered] = []
        try:
            for batcher in self._batchers:
                try:
                    batcher.close()
                except EventsUndelivered as lost:
                    undelivered += lost.events
        finally:
            self._transport.close()
        if undelivered:
            raise EventsUndelivered(undelivered)

    def hold(self, customer_id: str, **asked: Unpack[AskedHold]) -> HeldWork:
        """Hold an amount while a `with` block runs, and charge what it used (see `holding`)."""
        return HeldWork(Use(customer_id, asked), self._transport)

    def metered(
        self,
        *,
        event_type: str,
        customer: Customer,
        estimate: Estimate | None = None,
        usage: Usage | None = None,
        **terms: Unpack[HoldTerms],
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Make each call of a function run under a hold and be charged for what it used.

        `customer` names the argument that has the customer's id, or finds it from the arguments;
        `estimate` is the hold's `data`, or makes it; `usage` finds the event's data in the result
        or in each item that a generator yields. Raises `Declined` before the function begins.
        """

        def metered(function: Callable[P, R]) -> Callable[P, R]:
            metering = Metering(function, customer, event_type, estimate, usage, terms)
            return meter(function, metering, lambda payer, asked: self.hold(payer, **asked))

        return metered

    def events(self, **options: Unpack[BatchingOptions]) -> Batcher:
        """Send events in batches, in the background (see `batcher`, and `Batching` for options)."""
        batcher = Batcher(Outbox(self._transport, Batching(**options)))
        self._batchers = [open for open in self._batchers if not open.is_closed]
        self._batchers.append(batcher)
        return batcher


class AsyncClient(Calls):
    """Speaks to a Faregate server without blocking the loop.

        async with AsyncClient("http://127.0.0.1:8080", "fg_test_…") as client:
            await client.record_events("cust_…", [new_event("llm", {"tokens": 12})])

    Without arguments the address and the key come from FAREGATE_URL and FAREGATE_API_KEY. Every
    call raises `FaregateClientError`; what may be sent again is, see `RetryPolicy`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 30,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = chance.random,
    ) -> None:
        address = find_address(base_url, api_key)
        self._route = Route(address, retry or RetryPolicy(), timeout_seconds, random)
        self._transport = AsyncTransport(self._route, sleep)
        self._blocking: Transport | None = None
        self._batchers: list[AsyncBatcher] = []
        self._background = Background()

    def __repr__(self) -> str:
        return f"AsyncClient({self._route.address.url!r})"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with telling(error):
            await self.close()

    async def close(self) -> None:
        """Finish what is still being settled or sent, and close the connections."""
        undelivered: list[Undelivered] = []
        try:
            await self._background.finish()
            for batcher in self._batchers:
                try:
                    await batcher.close()
                except EventsUndelivered as lost:
                    undelivered += lost.events
        finally:
            await self._transport.close()
            if self._blocking is not None:
                self._blocking.close()
        if undelivered:
            raise EventsUndelivered(undelivered)

    def hold(self, customer_id: str, **asked: Unpack[AskedHold]) -> AsyncHeldWork:
        """Hold an amount while an `async with` block runs, and charge what it used (see
        `holding`)."""
        return AsyncHeldWork(Use(customer_id, asked), self._transport, self._background)

    def metered(
        self,
        *,
        event_type: str,
        customer: Customer,
        estimate: Estimate | None = None,
        usage: Usage | None = None,
        **terms: Unpack[HoldTerms],
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Make each call of an async function run under a hold and be charged for what it used: as
        `Client.metered` does."""

        def metered(function: Callable[P, R]) -> Callable[P, R]:
            metering = Metering(function, customer, event_type, estimate, usage, terms)
            return async_meter(function, metering, lambda payer, asked: self.hold(payer, **asked))

        return metered

    def events(self, **options: Unpack[BatchingOptions]) -> AsyncBatcher:
        """Send events in batches, in the background (see `batcher`, and `Batching` for options)."""
        if self._blocking is None:
            self._blocking = Transport(self._route, time.sleep)
        batcher = AsyncBatcher(Outbox(self._blocking, Batching(**options)))
        self._batchers = [open for open in self._batchers if not open.is_closed]
        self._batchers.append(batcher)
        return batcher
