"""What happens to some of the demo's customers in its month: a card that fails, a dispute, a limit
that is reached, a price that is mended, webhooks that arrive and some that do not. Each is there so
that somebody who looks around finds it.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Final

from faregate.catalog.types import UpdateVersion
from faregate.cli import shop
from faregate.cli.crowd import Buyer
from faregate.cli.demo_size import EVENTS
from faregate.cli.month import Month
from faregate.cli.purse import DECLINED, DECLINED_LATER, DISPUTED, MASTERCARD, USD_ACCOUNT
from faregate.core.amounts import Number
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.limits import LimitRequest
from faregate.core.transactions import AdjustmentRequest, ChargeRequest
from faregate.customers.types import CancelSubscription, UpdateSubscribedProduct
from faregate.payments.types import CreateRefund
from faregate.platform.clocks import CreateTestClock
from faregate.webhooks.types import CreateDestination

HOLD_OPEN_SECONDS: Final = 20 * 3_600
_MONEY_TOPICS: Final = ["top_up.succeeded", "top_up.failed", "payment.refunded", "payment.disputed"]
_PLAN_TOPICS: Final = ["subscription.activated", "subscription.renewed", "subscription.deactivated"]
_ALERT_TOPICS: Final = ["wallet.depleted", "limit.reached", "auto_top_up.disabled"]
_GIFTS: Final = (
    ("Nimbus Tutors", 6.4, 10, "Sorry for Tuesday's outage"),
    ("Atlas Realty", 13.2, 5, "For reporting a bug"),
    ("Rowan University", 20.6, 50, "Research grant"),
)
_BUDGET: Final = 60
_IN_THE_RED: Final = Decimal(-8)
_GATE_HOURS: Final = 5
"""So often some customers ask before they run."""


def set_scenes(month: Month, hooks: str) -> None:
    """Say what happens in the month, and when. `hooks` is where webhooks are received, without a
    slash at its end: `/billing` and `/crm` take them, `/broken` and `/chat` do not."""
    _Scenes(month, hooks).set()


class _Scenes:
    def __init__(self, month: Month, hooks: str) -> None:
        self._month = month
        self._engine = month.engine
        self._purse = month.purse
        self._hooks = hooks
        self._twice = ""
        self._runs = 0

    def set(self) -> None:
        at = self._month.at
        at(0.1, lambda: self._hear("billing", _MONEY_TOPICS))
        at(0.1, lambda: self._hear("crm", _PLAN_TOPICS))
        at(8.0, lambda: self._hear("broken", _ALERT_TOPICS))
        at(28.6, lambda: self._hear("chat", [*_MONEY_TOPICS, *_ALERT_TOPICS]))
        at(0.5, self._agree_auto_top_ups)
        at(1.0, self._set_limits)
        at(4.2, self._dispute)
        at(5.1, self._block)
        at(7.5, self._win_a_dispute)
        at(9.3, self._pay_twice)
        at(9.8, self._refund)
        at(11.5, self._add_seats)
        at(16.4, lambda: self._fail_once("Velvet Poster"))
        at(18.1, self._mend_the_price)
        at(19.4, self._leave)
        at(20.2, self._refund_a_part)
        at(24.5, self._break_a_card)
        at(27.3, lambda: self._fail_once("Wren Recruiting"))
        at(28.2, self._leave_open)
        at(29.2, self._think_of_pictures)
        at(29.4, self._make_a_clock)
        at(29.5, self._use_what_has_no_price)
        for name, day, usd, why in _GIFTS:
            at(day, partial(self._give, name, usd, why))
        at(14.0, self._hold_a_workshop)
        at(28.8, self._go_into_the_red)
        for hours in range(_GATE_HOURS, 24 * 30 - 3, _GATE_HOURS):
            at(hours / 24, self._ask_first)
        for before in (2.8, 2.1, 1.4, 0.9, 0.5, 0.2):
            at(30 - before / 24, self._ask_first)
        for before in (2.6, 1.8, 0.8, 0.6, 0.3):
            at(30 - before / 24, self._be_declined)
        at(30 - 0.4 / 24, self._hold)

    def _named(self, name: str) -> Buyer:
        return next(buyer for buyer in self._month.buyers if buyer.name == name)

    async def _hear(self, path: str, topics: list[str]) -> None:
        request = CreateDestination(f"{self._hooks}/{path}", topics)
        await self._engine.create_webhook_destination(request)

    async def _agree_auto_top_ups(self) -> None:
        for buyer in self._month.buyers:
            if buyer.role == "auto_top_up":
                await self._purse.leave_card(buyer)
                usd = 250 if buyer.product == shop.AGENTS else 100
                await self._purse.agree_auto_top_up(buyer, usd // 5, usd)

    async def _set_limits(self) -> None:
        budget = max(1, _BUDGET * self._month.size // EVENTS)
        capped = LimitRequest(
            Number(budget), "month", asset="USD", window="rolling", name="Monthly budget"
        )
        await self._engine.create_customer_limit(self._month.buyer("limit_reached").id, capped)
        each = LimitRequest(
            Number(25), "day", mode="soft", asset="USD", subject="*", name="Each user, each day"
        )
        await self._engine.create_customer_limit(self._month.buyer("auto_top_up").id, each)

    async def _dispute(self) -> None:
        buyer = self._month.buyer("blocked")
        await self._purse.top_up(buyer, 100, DISPUTED)

    async def _block(self) -> None:
        buyer = self._month.buyer("blocked")
        await self._engine.block_customer(buyer.id, "A disputed payment: looks like a stolen card")
        buyer.is_gone = True

    async def _win_a_dispute(self) -> None:
        top_up = await self._purse.top_up(self._named("Granite Payroll"), 50, DISPUTED)
        await self._engine.decide_dispute(top_up, is_won=True)

    async def _pay_twice(self) -> None:
        buyer = self._month.buyer("refunded")
        await self._purse.top_up(buyer, 100, MASTERCARD)
        self._twice = await self._purse.top_up(buyer, 100, MASTERCARD)

    async def _refund(self) -> None:
        asked = CreateRefund(description="Paid twice by mistake")
        await self._engine.refund_top_up(self._twice, asked)
        await self._purse.look(self._month.buyer("refunded"))

    async def _refund_a_part(self) -> None:
        buyer = self._named("Foxglove Fashion")
        top_up = await self._purse.top_up(buyer, 50)
        asked = CreateRefund(Number(20), "They meant to pay 30 USD")
        await self._engine.refund_top_up(top_up, asked)
        await self._purse.look(buyer)

    async def _fail_once(self, name: str) -> None:
        buyer = self._named(name)
        await self._purse.top_up(buyer, 50, DECLINED)
        await self._purse.top_up(buyer, 50)

    async def _go_into_the_red(self) -> None:
        """Charge what was agreed by phone, if they are not in the red by then."""
        buyer = self._month.buyer("in_the_red")
        left = buyer.left[USD_ACCOUNT]
        if left > _IN_THE_RED:
            usd = int(left - _IN_THE_RED) + 9
            await self._charge(buyer, usd, "Fine-tuning, agreed by phone")

    async def _leave_open(self) -> None:
        await self._purse.top_up(self._named("Tern Mobility"), 100, None)

    async def _add_seats(self) -> None:
        buyer = self._named("Northbank Clinics")
        await self._purse.top_up(buyer, 250)
        (subscription,) = await self._engine.list_subscriptions(buyer.id)
        product = subscription.products[0].id or ""
        seats = (subscription.products[0].quantity or 1) + 4
        request = UpdateSubscribedProduct(quantity=seats)
        await self._engine.move_subscription(buyer.id, subscription.id, product, request)

    async def _mend_the_price(self) -> None:
        made = await self._engine.create_version(shop.AGENTS, shop.second_agents())
        await self._engine.update_version(
            shop.AGENTS, made.version, UpdateVersion(make_default=True)
        )

    async def _think_of_pictures(self) -> None:
        await self._engine.create_version(shop.PICTURES, shop.draft_pictures())

    async def _leave(self) -> None:
        buyer = self._month.buyer("leaves")
        (subscription,) = await self._engine.list_subscriptions(buyer.id)
        request = CancelSubscription()
        await self._engine.cancel_subscription(buyer.id, subscription.id, request)
        buyer.is_gone = True

    async def _break_a_card(self) -> None:
        buyer = self._month.buyer("card_fails")
        await self._purse.leave_card(buyer, DECLINED_LATER)
        # More than there is: the card is asked at once, and again, and then no more.
        await self._purse.agree_auto_top_up(buyer, 900, 250)

    async def _make_a_clock(self) -> None:
        now = self._engine.now()
        await self._engine.create_test_clock(CreateTestClock(now, "What a year would bring"))

    async def _use_what_has_no_price(self) -> None:
        buyer, now = self._named("Quarry Data"), self._engine.now()
        events = [
            UsageEvent(f"embed-{n}", "embedding", now - timedelta(minutes=n), data={"tokens": 800})
            for n in range(4)
        ]
        await self._engine.record_events(buyer.id, events)

    async def _give(self, name: str, usd: int, why: str) -> None:
        buyer = self._named(name)
        request = AdjustmentRequest(
            f"gift-{buyer.external_id}", "USD", Number(usd), "gift", description=why
        )
        await self._engine.adjust(buyer.id, request)

    async def _hold_a_workshop(self) -> None:
        buyer = self._named("Aster Biotech")
        await self._purse.top_up(buyer, 250)
        await self._charge(buyer, 120, "Onboarding workshop")

    async def _charge(self, buyer: Buyer, usd: int, why: str) -> None:
        request = ChargeRequest(f"charge-{buyer.external_id}", "USD", Number(usd), description=why)
        await self._engine.charge(buyer.id, request)
        await self._purse.look(buyer)

    async def _ask_first(self) -> None:
        """Let a customer ask before a run, and settle it after."""
        luck, now = self._month.uses.luck, self._engine.now()
        agents = [
            b for b in self._month.buyers if b.product == shop.AGENTS and b.uses and not b.role
        ]
        buyer = luck.choice(agents)
        event = self._month.uses.event(buyer, now)
        self._runs += 1
        asked = HoldRequest(f"run-{self._runs}", "agent_run", event.data, subject=event.subject)
        hold = await self._engine.authorize(buyer.id, asked)
        if hold.status == "authorized":
            settled = CaptureRequest(f"run-{self._runs}", events=[event])
            await self._engine.capture(buyer.id, hold.id, settled)

    async def _be_declined(self) -> None:
        for role in ("blocked", "limit_reached", "in_the_red"):
            self._runs += 1
            asked = HoldRequest(f"run-{self._runs}", max_amount=Number(2), asset="USD")
            await self._engine.authorize(self._month.buyer(role).id, asked)

    async def _hold(self) -> None:
        buyer = self._month.buyer("hold_open")
        if buyer.left.get(USD_ACCOUNT, 0) < 30:
            await self._purse.top_up(buyer, 50)
        asked = HoldRequest(
            "night-batch",
            max_amount=Number(12),
            asset="USD",
            subject=buyer.subjects[0],
            expires_in_seconds=HOLD_OPEN_SECONDS,
            metadata={"job": "nightly routes"},
        )
        await self._engine.authorize(buyer.id, asked)
