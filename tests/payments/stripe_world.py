"""A world in which Stripe's double collects, behind a way on which answers get lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

from tests.doubles.stripe import StripeDouble, stripe_double
from tests.doubles.unreliable import LOST_AFTER, LOST_BEFORE, UnreliableWay, unreliable_way
from tests.ledger.shop import Clock
from tests.payments.contract import Card, Fault, Saved, World

from faregate import Engine
from faregate.payments.stripe import StripeKeys, StripeProvider

KEY, SECRET = "sk_test_double", "whsec_double"
BODY = b'{"error": {"type": "api_error", "message": "Something went wrong."}}'
SERVER_ERROR = b"HTTP/1.1 500 No\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
FAULTS: dict[str | None, bytes | str | None] = {
    None: None,
    "answers 500": SERVER_ERROR,
    "times out after it was done": LOST_AFTER,
}


class StripeWorld(World):
    """Stripe's double, behind a way on which answers get lost."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        provider: StripeProvider,
        double: StripeDouble,
        way: UnreliableWay,
    ) -> None:
        super().__init__(engine, clock, provider)
        self.stripe = provider
        self.double = double
        self.way = way

    async def pay(self, payment_id: str, card: Card = "good") -> None:
        self.double.pay(payment_id, card)

    async def settle_dispute(self, payment_id: str, status: Literal["won", "lost"]) -> None:
        self.double.settle_dispute(payment_id, status)

    def saved(self, card: Saved) -> str:
        customer = self.double.make("customers", "cus", "")["id"]
        found = [
            m["id"]
            for m in self.double.kept["payment_methods"].values()
            if m["_card"] == card and m["customer"]
        ]
        return found[0] if found else str(self.double.method(card, customer)["id"])

    def message(
        self, payment_id: str, environment_id: int | None = None
    ) -> tuple[dict[str, str], bytes]:
        changed = {} if environment_id is None else {"faregate_environment": str(environment_id)}
        body = self.double.message(payment_id, **changed)
        return self.double.sign(body), body

    def forged(self, payment_id: str) -> tuple[dict[str, str], bytes]:
        body = self.double.message(payment_id)
        return self.double.sign(body, "whsec_guess"), body

    async def times_charged(self) -> int:
        return len(self.double.charged)

    def breaks(self, *faults: Fault | None) -> None:
        self.way.fails(*[FAULTS[fault] for fault in faults])

    def goes_down(self, *, is_down: bool = True) -> None:
        self.way.fails(*[LOST_BEFORE] * (1000 if is_down else 0))


@asynccontextmanager
async def stripe_world(
    database_url: str, accounts: Mapping[str, str] | None = None, key: str = KEY
) -> AsyncIterator[StripeWorld]:
    """Open an engine for which Stripe collects, also for these connected accounts."""
    clock = Clock()
    with stripe_double(clock, KEY, SECRET) as double, unreliable_way(double.url) as way:
        keys = StripeKeys(key, ["whsec_other", SECRET])
        provider = StripeProvider(clock, test=keys, accounts=accounts, api_base=way.url, retries=0)
        try:
            async with Engine.open(database_url, clock=clock, payments=[provider]) as engine:
                yield StripeWorld(engine, clock, provider, double, way)
        finally:
            await provider.close()
