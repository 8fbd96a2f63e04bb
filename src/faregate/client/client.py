"""The client for programs that wait: one call, one answer. It may be used from many threads, which
share its connections.
"""

from __future__ import annotations

import random as chance
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Literal, ParamSpec, TypeVar, Unpack

import httpx

from faregate.client import requests
from faregate.client.address import find_address
from faregate.client.answers import (
    BookedResult,
    CustomerCreated,
    Hold,
    HoldCaptured,
    HoldPage,
    HoldUpdated,
    TransactionCreated,
    Wallet,
    WalletAccount,
)
from faregate.client.asked import (
    AskedAdjustment,
    AskedCharge,
    AskedCustomer,
    AskedHold,
    HoldTerms,
    UsedSoFar,
    Wanted,
)
from faregate.client.backlog import EventsUndelivered, Undelivered
from faregate.client.batcher import Batcher
from faregate.client.batching import Batching, BatchingOptions
from faregate.client.holding import HeldWork
from faregate.client.metering import Customer, Estimate, Metering, Usage, meter
from faregate.client.retrying import RetryPolicy
from faregate.client.transport import Transport
from faregate.client.using import Use
from faregate.core.events import UsageEvent

P = ParamSpec("P")
R = TypeVar("R")


class Client:
    """Speaks to a Faregate server.

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
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = chance.random,
    ) -> None:
        address = find_address(base_url, api_key)
        http = httpx.Client(
            base_url=address.url, headers=address.headers(), timeout=timeout_seconds
        )
        self._url = address.url
        self._transport = Transport(address.url, http, retry or RetryPolicy(), sleep, random)
        self._batchers: list[Batcher] = []

    def __repr__(self) -> str:
        return f"Client({self._url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except EventsUndelivered as undelivered:
            if error is None:
                raise
            undelivered.tell(error)

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

    def record_events(
        self,
        customer_id: str | None,
        events: Sequence[UsageEvent],
        *,
        external_id: str | None = None,
        is_lenient: bool = False,
    ) -> list[BookedResult]:
        """Book usage events of one customer, named by id or by external id: all or none.

        With `is_lenient` each event stands alone: one that is refused has its `problem` and takes
        no other with it.
        """
        request = requests.record_events(customer_id, events, external_id, is_lenient=is_lenient)
        return self._transport.send(request).events

    def create_customer(
        self, name: str, *, idempotency_key: str | None = None, **more: Unpack[AskedCustomer]
    ) -> CustomerCreated:
        """Make a customer, once per idempotency key (made if you give none)."""
        return self._transport.send(requests.create_customer(name, idempotency_key, more))

    def get_wallet(self, customer_id: str) -> Wallet:
        """Read a customer's accounts with their balances."""
        return self._transport.send(requests.get_wallet(customer_id))

    def get_account(self, customer_id: str, account_id: str) -> WalletAccount:
        """Read one account, e.g. `default:USD`."""
        return self._transport.send(requests.get_account(customer_id, account_id))

    def adjust(
        self,
        customer_id: str,
        amount: Decimal | int,
        asset: str,
        reason: Literal["gift", "external_topup", "external_refund", "other"] = "other",
        **more: Unpack[AskedAdjustment],
    ) -> TransactionCreated:
        """Credit a wallet (a positive amount) or debit it (a negative one), once per id."""
        return self._transport.send(requests.adjust(customer_id, amount, asset, reason, more))

    def charge(
        self, customer_id: str, amount: Decimal | int, asset: str, **more: Unpack[AskedCharge]
    ) -> TransactionCreated:
        """Charge a fee without an event, once per id."""
        return self._transport.send(requests.charge(customer_id, amount, asset, more))

    def authorize(self, customer_id: str, **asked: Unpack[AskedHold]) -> Hold:
        """Ask for a hold. A decline is an answer here: look at its `status`. (`hold` raises it.)"""
        return self._transport.send(requests.authorize(customer_id, asked))

    def authorize_batch(self, customer_id: str, holds: Sequence[AskedHold]) -> list[Hold]:
        """Ask for up to 100 holds, each for itself, in order; if one is wrong, none is made."""
        answer = self._transport.send(requests.authorize_batch(customer_id, holds))
        return answer.holds

    def capture(
        self,
        customer_id: str,
        hold_id: str,
        *,
        amount: Decimal | int | None = None,
        events: Sequence[UsageEvent] | None = None,
        final: bool = True,
        transaction_id: str | None = None,
    ) -> HoldCaptured:
        """Charge what was used, as `events` or as an `amount`; `final` lets the rest go back."""
        request = requests.capture(customer_id, hold_id, amount, events, final, transaction_id)
        return self._transport.send(request)

    def update_hold(
        self,
        customer_id: str,
        hold_id: str,
        *,
        want: Wanted,
        used: UsedSoFar | None = None,
        transaction_id: str | None = None,
    ) -> HoldUpdated:
        """Settle what was `used` of a slice and set aside what the next one will `want`."""
        request = requests.update_hold(customer_id, hold_id, want, used, transaction_id)
        return self._transport.send(request)

    def extend(self, customer_id: str, hold_id: str, expires_in_seconds: int) -> Hold:
        """Let a hold expire so many seconds from now, if that is later than it would."""
        return self._transport.send(requests.extend(customer_id, hold_id, expires_in_seconds))

    def void(self, customer_id: str, hold_id: str) -> Hold:
        """Let go of a hold. A repeat is harmless."""
        return self._transport.send(requests.void(customer_id, hold_id))

    def get_hold(self, customer_id: str, hold_id: str) -> Hold:
        """Read a hold as it is now."""
        return self._transport.send(requests.get_hold(customer_id, hold_id))

    def list_holds(
        self,
        customer_id: str,
        *,
        status: str | None = None,
        subject: str | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> HoldPage:
        """Read a page of a customer's holds, the newest first."""
        request = requests.list_holds(customer_id, status, subject, limit, offset)
        return self._transport.send(request)

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
        batcher = Batcher(self._transport, Batching(**options))
        self._batchers = [open for open in self._batchers if not open.is_closed]
        self._batchers.append(batcher)
        return batcher
