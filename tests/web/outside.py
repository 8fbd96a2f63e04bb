"""Whoever collects the money of a story, with their customers in a browser and their books: the
sandbox, whose pages are the server's own, and Stripe's double, which is another machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any, Literal, NamedTuple, Protocol

from playwright.async_api import Page, expect
from tests.doubles.stripe import StripeDouble, stripe_double

from faregate.core.codec import decode
from faregate.engine import system_clock
from faregate.payments.sandbox import SandboxPayment
from faregate.store.open import open_store

Card = Literal["good", "declined", "declined later"]
End = Literal["won", "lost"]
NUMBERS = {
    "good": "4242 4242 4242 4242",
    "declined": "4000 0000 0000 0002",
    "declined later": "4000 0000 0000 0341",
    "disputed": "4000 0000 0000 0259",
}


class Booked(NamedTuple):
    """What a provider's own books have of a payment, in minor units: what came in, and what has
    gone back for good (refunds, disputes that the seller lost)."""

    paid: int
    back: int


class Outside(Protocol):
    """A provider, and everybody who deals with it."""

    name: str
    settings: dict[str, str]
    secrets: list[str]

    def told_at(self, door: str) -> None:
        """Say where our server wants to be told what happens."""
        ...

    async def pay(self, page: Page, payment: Any, card: Card) -> None:
        """Let the customer pay on the page that was made for a payment, and be led back."""
        ...

    async def pay_and_dispute(self, page: Page, payment: Any) -> None:
        """Let the customer pay, and tell their bank that it was not them."""
        ...

    async def decide(self, page: Page, payment: Any, end: End) -> None:
        """Let the bank decide the dispute of a payment: the seller has won or lost it."""
        ...

    async def books(self) -> dict[str, Booked]:
        """Return what was taken, by our ids."""
        ...


class Sandbox:
    """The sandbox: its books are in the server's database."""

    name = "sandbox"

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self.settings: dict[str, str] = {}
        self.secrets = [*NUMBERS.values(), *[n.replace(" ", "") for n in NUMBERS.values()]]

    def told_at(self, door: str) -> None:
        """It knows."""

    async def pay(self, page: Page, payment: Any, card: Card | Literal["disputed"]) -> None:
        await page.goto(payment["redirect_url"])
        await page.get_by_role("button", name=NUMBERS[card]).click()
        await page.get_by_role("button", name="Pay $").click()
        await _has_answered(page, card)

    async def pay_and_dispute(self, page: Page, payment: Any) -> None:
        await self.pay(page, payment, "disputed")

    async def decide(self, page: Page, payment: Any, end: End) -> None:
        await page.goto(payment["redirect_url"])
        name = {"won": "The shop wins", "lost": "The shop loses"}[end]
        await page.get_by_role("button", name=name).click()
        await expect(page.get_by_text(f"has {end} the dispute")).to_be_visible()

    async def books(self) -> dict[str, Booked]:
        store = await open_store(self._database_url)
        try:
            rows = await store.fetch("SELECT id, state FROM sandbox_payments")
        finally:
            await store.close()
        found = {identifier: decode(SandboxPayment, state) for identifier, state in rows}
        return {
            identifier: Booked(
                one.money.minor, sum(r.minor for r in one.returns if r.status in BACK)
            )
            for identifier, one in found.items()
            if one.stage == "succeeded" and one.money is not None
        }


class Stripe:
    """Stripe's double: its books are its objects."""

    name = "stripe"

    def __init__(self, double: StripeDouble) -> None:
        self.double = double
        self.settings = {
            "FAREGATE_STRIPE_TEST_SECRET_KEY": double.key,
            "FAREGATE_STRIPE_TEST_WEBHOOK_SECRET": double.secret,
            "FAREGATE_STRIPE_API_BASE": double.url,
        }
        self.secrets = [double.key, double.secret, "evt_", double.url + "/c/"]

    def told_at(self, door: str) -> None:
        self.double.door = door

    async def pay(self, page: Page, payment: Any, card: Card) -> None:
        await page.goto(payment["redirect_url"])
        await page.get_by_role("button", name=card, exact=True).click()
        await _has_answered(page, card)

    async def pay_and_dispute(self, page: Page, payment: Any) -> None:
        await self.pay(page, payment, "good")
        self.double.dispute(payment["id"])

    async def decide(self, page: Page, payment: Any, end: End) -> None:
        self.double.settle_dispute(payment["id"], end)

    async def books(self) -> dict[str, Booked]:
        assert set(self.double.answered) == {200}, "every message was taken"
        kept = self.double.kept
        back: Counter[str] = Counter()
        for one in (*kept["refunds"].values(), *kept["disputes"].values()):
            back[one["payment_intent"]] += one["amount"] if one["status"] in BACK else 0
        return {
            one["metadata"]["faregate_payment"]: Booked(one["amount_received"], back[one["id"]])
            for one in self.double.charged
        }


BACK = ("succeeded", "lost")


async def _has_answered(page: Page, card: str) -> None:
    """Wait until the page says that a card was declined, or has led the customer back."""
    if card == "declined":
        await expect(page.get_by_role("alert")).to_contain_text("declined")
    else:
        await page.wait_for_url("**/healthz?paid")


@contextmanager
def outside(name: str, database_url: str) -> Iterator[Outside]:
    """Let a provider be there until the block ends."""
    if name == "sandbox":
        yield Sandbox(database_url)
        return
    key, secret = f"sk_test_{token_hex(12)}", f"whsec_{token_hex(12)}"
    with stripe_double(system_clock, key, secret) as double:
        yield Stripe(double)
