"""A payment provider that fails in the ways that networks fail: it charges and does not say so,
or breaks down before. What it has charged it knows under our own id, as they do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from faregate.payments.provider import (
    BadMessage,
    Begun,
    CheckoutAsked,
    Merchant,
    Message,
    Money,
    PaymentState,
    ProviderDown,
    RefundAsked,
    Returned,
    SavedCard,
    SavedCharge,
    SetupAsked,
    Sought,
)


class Bank:
    """What cards were charged, by our id, and what the next charges and look-ups come to: `"ok"`,
    `"declined"`, `"silent"` (charged, and not said), `"down"` (nothing happened, and not said),
    `"slow"` (it is charged when it is no longer among the `slow` ones)."""

    name = "bank"

    def __init__(self) -> None:
        self.charged: dict[str, SavedCharge] = {}
        self.declined: set[str] = set()
        self.slow: set[str] = set()
        self.paid: dict[str, tuple[Money, SavedCard | None]] = {}
        self.asked: list[str] = []
        self.next: list[str] = []
        self.is_down = False
        self.before_charge: Callable[[SavedCharge], object] = lambda _asked: None

    def serves(self, merchant: Merchant) -> bool:
        return not merchant.is_live

    async def begin_checkout(self, asked: CheckoutAsked) -> Begun:
        return Begun(f"page_{asked.payment_id}", "https://bank.example", asked.expires_at)

    async def begin_setup(self, asked: SetupAsked) -> Begun:
        return Begun(f"page_{asked.setup_id}", "https://bank.example", asked.expires_at)

    def pay(self, payment_id: str, money: Money, card: SavedCard | None = None) -> None:
        """Let a customer pay on the page, and leave the card."""
        self.paid[payment_id] = (money, card)

    async def charge(self, asked: SavedCharge) -> PaymentState:
        self.asked.append(asked.payment_id)
        self.before_charge(asked)
        outcome = self.next.pop(0) if self.next else "ok"
        if self.is_down or outcome == "down":
            raise ProviderDown("the line is dead")
        if outcome == "declined":
            self.declined.add(asked.payment_id)
        else:
            self.charged.setdefault(asked.payment_id, asked)
        if outcome == "slow":
            self.slow.add(asked.payment_id)
        if outcome == "silent":
            raise ProviderDown("it took too long")
        return self._state(asked.payment_id)

    async def refund(self, asked: RefundAsked) -> Returned:
        raise ProviderDown("this bank does not give money back")

    async def look_up(self, sought: Sought) -> PaymentState | None:
        if self.is_down:
            raise ProviderDown("the line is dead")
        name = sought.payment_id
        is_known = name in self.charged or name in self.declined or name in self.paid
        return self._state(name) if is_known else None

    def read_message(
        self, headers: Mapping[str, str], body: bytes, merchant: Merchant, now: datetime
    ) -> Message:
        raise BadMessage("this bank tells nothing")

    def _state(self, payment_id: str) -> PaymentState:
        if payment_id in self.paid:
            money, card = self.paid[payment_id]
            ref = f"bank_{payment_id}"
            return PaymentState("succeeded", ref, money.minor, money.currency, card=card)
        if payment_id in self.slow:
            return PaymentState("processing", f"bank_{payment_id}")
        if payment_id in self.charged:
            money, name = self.charged[payment_id].money, self.charged[payment_id].method_ref
            card = SavedCard(name, None, "visa", "4242", 12, 2040)
            ref = f"bank_{payment_id}"
            return PaymentState("succeeded", ref, money.minor, money.currency, card=card)
        return PaymentState("failed", code="card_declined", text="The card was declined.")
