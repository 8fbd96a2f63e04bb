"""A shop whose customer has left a card at a bank outside: what they agree to, what they use, what
the card is charged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.doubles.cards import Bank
from tests.ledger.shop import USD, Clock, assert_clean, book, make_customer, sell_tokens, use

from faregate import Engine
from faregate.core.codec import from_dict
from faregate.payments import methods
from faregate.payments.methods import PaymentMethod
from faregate.payments.provider import SavedCard
from faregate.payments.types import AutoTopUpTerms


class Shop:
    """An engine with one customer who has left a card at the bank, and some credit."""

    def __init__(self, engine: Engine, bank: Bank, clock: Clock, customer_id: str) -> None:
        self.engine, self.bank, self.clock, self.customer_id = engine, bank, clock, customer_id
        self.events = 0

    async def agree(self, **more: Any) -> Any:
        terms = {"enabled": True, "threshold": 10, "amount": 50, **more}
        return await self.engine.set_auto_top_up(
            self.customer_id, USD, from_dict(AutoTopUpTerms, terms)
        )

    async def standing(self) -> Any:
        return await self.engine.get_auto_top_up(self.customer_id, USD)

    async def spend(self, tokens: int) -> None:
        self.events += 1
        event = use(f"spent {self.events}", tokens, self.clock.now)
        await book(self.engine, self.customer_id, event)

    async def available(self) -> int:
        wallet = await self.engine.get_wallet(self.customer_id)
        return int(wallet.accounts[0].available)

    async def told(self) -> list[tuple[str, Any]]:
        """What others were told of auto top-ups: topics, and what was said."""
        rows = await self.engine._store.fetch("SELECT topic, data FROM outbox ORDER BY seq")
        return [(row[0], json.loads(row[1])) for row in rows if row[0].startswith("auto_top_up")]

    async def later(self, **by: float) -> None:
        self.clock.move(**by)
        await self.engine.work()
        await self.engine.take_up_collections()
        await self.engine.reconcile_payments()

    async def asked(self) -> None:
        """Let others go on until something is in flight."""
        while True:
            await asyncio.sleep(0)
            if (await self.standing()).in_flight is not None:
                return

    async def charges(self) -> list[int]:
        await self.engine.take_up_collections()
        return [asked.money.minor for asked in self.bank.charged.values()]


async def leave_card(
    engine: Engine, customer_id: str, provider: str = "bank", ref: str = "card_1"
) -> None:
    card = SavedCard(ref, None, "visa", "4242", 12, 2040)
    method = PaymentMethod(
        f"pm_{customer_id}",
        engine.context.environment_id,
        customer_id,
        provider,
        card,
        False,
        engine.now(),
    )
    async with engine._store.transaction() as transaction:
        await methods.keep_card(transaction, method)


@asynccontextmanager
async def shop(url: str, credit: str = "100") -> AsyncIterator[Shop]:
    clock, bank = Clock(), Bank()
    async with Engine.open(url, clock=clock, payments=[bank]) as engine:
        await sell_tokens(engine)
        customer_id = await make_customer(engine, credit)
        await leave_card(engine, customer_id)
        yield Shop(engine, bank, clock, customer_id)
        await assert_clean(engine)
