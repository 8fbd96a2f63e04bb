"""The sandbox keeps to what every payment provider must."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal

from tests.ledger.shop import Clock, by_hand
from tests.payments.contract import Card, Contract, Saved, World

from faregate import Engine
from faregate.core.codec import decode
from faregate.payments.sandbox import SIGNATURE, SandboxPayment

NUMBERS: Final = {
    "good": "4242424242424242",
    "declined": "4000000000000002",
    "disputed": "4000000000000259",
    "confirms": "4000002760003184",
}


class SandboxWorld(World):
    """The sandbox, whose outside is in our own database."""

    def __init__(self, engine: Engine, clock: Clock, database_url: str) -> None:
        super().__init__(engine, clock, engine.sandbox)
        self._sandbox = engine.sandbox
        self._database_url = database_url

    async def pay(self, payment_id: str, card: Card = "good") -> None:
        await self._sandbox.pay(payment_id, NUMBERS[card])

    async def settle_dispute(self, payment_id: str, status: Literal["won", "lost"]) -> None:
        await self._sandbox.settle_dispute(payment_id, status)

    def saved(self, card: Saved) -> str:
        return f"card_{NUMBERS[card]}"

    def message(
        self, payment_id: str, environment_id: int | None = None
    ) -> tuple[dict[str, str], bytes]:
        environment = environment_id or self.engine.context.environment_id
        return self._sandbox.message(payment_id, environment)

    def forged(self, payment_id: str) -> tuple[dict[str, str], bytes]:
        headers, body = self.message(payment_id)
        stamp = headers[SIGNATURE].partition(",")[0]
        guessed = hmac.new(b"guess", stamp[2:].encode() + b"." + body, "sha256").hexdigest()
        return {SIGNATURE: f"{stamp},v1={guessed}"}, body

    async def times_charged(self) -> int:
        async with by_hand(self._database_url) as database:
            rows = await database.fetch("SELECT state FROM sandbox_payments")
        payments = [decode(SandboxPayment, row[0]) for row in rows]
        return sum(p.stage == "succeeded" and p.money is not None for p in payments)


class TestSandbox(Contract):
    @asynccontextmanager
    async def world(self, database_url: str) -> AsyncIterator[World]:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            yield SandboxWorld(engine, clock, database_url)
