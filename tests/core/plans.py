"""A life with a subscription, for the tests of the rules: products that bring something by
themselves, and a `Life` that lets time pass and says what is there then."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.core.builders import (
    ASSETS,
    CUSTOMER,
    Book,
    adjust,
    event,
    price,
    product,
    record,
    value,
    volume_price,
)

from faregate.core.amounts import Number, plain, to_decimal
from faregate.core.collecting import Collection
from faregate.core.commitments import compile_commitment
from faregate.core.customers import CustomerState
from faregate.core.decision import CatchUp, Command
from faregate.core.discounts import WHOLE, Coupon, Discount
from faregate.core.events import EventResult
from faregate.core.plan_fees import BookedPlanFee
from faregate.core.plans import compile_credit, compile_fixed
from faregate.core.prices import (
    BalanceCollection,
    Commitment,
    Entitlement,
    EntitlementAccounting,
    EntitlementLifecycle,
    EntitlementRefresh,
    FixedAssetPricing,
    FixedPrice,
    FixedValue,
    GrantScope,
    OneTime,
    OneTimeBilling,
    Recurrence,
    RecurringBilling,
)
from faregate.core.problems import Problem
from faregate.core.subscribing import (
    CancelSubscription,
    ChangeSubscription,
    PauseSubscription,
    ReactivateSubscription,
    ResumeSubscription,
    Subscribe,
    SubscriptionsChanged,
)
from faregate.core.subscriptions import (
    RENEWALS,
    Binding,
    CatalogView,
    CompiledProduct,
    CompiledVersion,
    RenewalRules,
    Stretch,
    Subscription,
    Terms,
)
from faregate.core.timeline import advance

SUB = "sub_one"
PLAN = "prp_plan"


def at(text: str) -> datetime:
    """Read an instant in UTC: `2026-03-01` or `2026-03-01 12:30:00.000001`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fee(
    amount: str,
    every: str = "month",
    count: int = 1,
    *,
    seats: int | None = None,
    arrears: bool = False,
    asset: str = "USD",
    id: str = "prc_fee",
    more: tuple[FixedAssetPricing, ...] = (),
) -> FixedPrice:
    """Make a recurring price; `once` as the interval makes one that is asked once."""
    billing: Any = RecurringBilling(Recurrence(every, count))  # type: ignore[arg-type]
    if every.startswith("once"):
        billing = OneTimeBilling(OneTime(every.partition(" ")[2] or None))
    quantity = None if seats is None else Number(seats)
    values = (FixedValue(Number(amount), quantity=quantity),)
    collection = BalanceCollection("in_arrears") if arrears else None
    pricing = (FixedAssetPricing(asset, values), *more)
    return FixedPrice(id, billing, pricing, id, collection=collection)


def credits(
    amount: str,
    every: str = "month",
    count: int = 1,
    *,
    refresh: str | None = "expire_and_replace",
    most: str | None = None,
    periods: int | None = None,
    purpose: str = "bundled",
    asset: str = "POINTS",
    basis: str | None = None,
    priority: int | None = None,
    limited_to: GrantScope | None = None,
    id: str = "ent_one",
) -> Entitlement:
    """Make an entitlement; without `refresh` it is given once."""
    again = None
    if refresh is not None:
        again = EntitlementRefresh(
            refresh,  # type: ignore[arg-type]
            None if most is None else Number(most),
            periods,
        )
    accounting = None if basis is None else EntitlementAccounting(Number(basis))
    return Entitlement(
        id,
        asset,
        Number(amount),
        purpose,  # type: ignore[arg-type]
        EntitlementLifecycle(every, count, again),  # type: ignore[arg-type]
        accounting,
        priority,
        id,
        limited_to,
    )


def commitment(
    least: str | None = None,
    most: str | None = None,
    every: str = "month",
    *,
    types: tuple[str, ...] | None = None,
    asset: str = "USD",
    id: str = "cmt_one",
) -> Commitment:
    """Make a commitment."""
    numbers = [None if amount is None else Number(amount) for amount in (least, most)]
    return Commitment(id, asset, Recurrence(every), *numbers, types, id)  # type: ignore[arg-type]


def coupon(
    percent: str | None = None,
    amount: str | None = None,
    periods: int | None = None,
    *,
    code: str = "ONE",
    asset: str = "USD",
    products: tuple[str, ...] | None = None,
) -> Coupon:
    """Make a coupon of a percentage, or of an amount per period."""
    if percent is not None:
        part = int(Number(percent) * WHOLE / 100)
        return Coupon(code, None, part, periods=periods, products=products)
    scale = ASSETS[asset].scale
    units = int(Number(amount or "0") * 10**scale)
    return Coupon(code, None, 0, units, asset, scale, periods, products)


def given(*coupons: Coupon, since: str) -> tuple[Discount, ...]:
    """Return the discounts of a subscription that begins with these coupons."""
    return tuple([Discount(one, at(since)) for one in coupons])


def version(
    number: int, *items: FixedPrice | Entitlement | Commitment, id: str = PLAN
) -> CompiledVersion:
    """Compile a version of the plan; it also has usage prices of one POINT a call, and of one USD
    for each unit of volume of `tokens` and of `images`."""
    of = (ASSETS, id, id.removeprefix("prp_"), number)
    calls = price(value(unit_price="1"), asset="POINTS", id=f"prc_use{number}")
    by_volume = [
        volume_price("1", event_type=name, id=f"prc_{name}{number}")
        for name in ("tokens", "images")
    ]
    usage = product({number: (calls, *by_volume)}, id=id)
    return CompiledVersion(
        number,
        usage.versions[number].prices,
        tuple([compile_fixed(i, *of) for i in items if isinstance(i, FixedPrice)]),
        tuple([compile_credit(i, *of) for i in items if isinstance(i, Entitlement)]),
        tuple([compile_commitment(i, *of) for i in items if isinstance(i, Commitment)]),
    )


def shop(
    *versions: CompiledVersion,
    renewals: RenewalRules = RENEWALS,
    defaults: tuple[tuple[str, int], ...] = (("2000-01-01", 1),),
    coupons: tuple[Coupon, ...] = (),
) -> CatalogView:
    """Make a catalog that sells the plan in these versions."""
    plan = CompiledProduct(
        PLAN,
        "plan",
        "Plan",
        {v.version: v for v in versions},
        tuple([at(since) for since, _ in defaults]),
        tuple([number for _, number in defaults]),
    )
    prices = {p.id: p for v in versions for found in v.prices.values() for p in found}
    offers = {one.code: one for one in coupons}
    products = {PLAN: plan}
    return CatalogView(
        1, ASSETS, products, prices, renewals=renewals, coupons=offers, has_reductions=True
    )


class Life:
    """A customer who subscribes to the plan at an instant, and lives."""

    def __init__(
        self,
        catalog: CatalogView,
        start: str,
        *,
        usd: str | None = "1000",
        number: int | None = 1,
        starts: str | None = None,
        **terms: Any,
    ) -> None:
        self.book = Book(catalog, CustomerState(CUSTOMER))
        self.fees: list[BookedPlanFee] = []
        self.asked: list[Collection] = []
        self._made = 0
        now = at(start)
        if usd is not None:
            self.pay(usd, start)
        begins = at(starts) if starts else now
        subscription = Subscription(
            SUB,
            now,
            None,
            (Binding(PLAN, number, begins),),
            (Stretch(begins),),
            Terms(**terms),
        )
        self.answer = self.do(Subscribe(CUSTOMER, (subscription,)), start)

    def do(self, command: Command, when: str) -> Any:
        """Decide a command that must succeed."""
        decision = self.book.decide(command, at(when))
        assert not isinstance(decision.answer, Problem), decision.answer.detail
        self.fees += decision.plan_fees
        self.asked += decision.collections
        return decision.answer

    def refused(self, command: Command, when: str) -> Problem:
        """Decide a command that must be refused."""
        decision = self.book.decide(command, at(when))
        assert isinstance(decision.answer, Problem), decision.answer
        self.fees += decision.plan_fees
        return decision.answer

    def on(self, when: str) -> Life:
        """Let time pass until then."""
        self.do(CatchUp(CUSTOMER), when)
        return self

    def pay(self, amount: str, when: str, asset: str = "USD", **options: Any) -> None:
        """Give credit (below 0: take it)."""
        self._made += 1
        command = adjust(amount, f"pay {self._made}", asset=asset, **options)
        self.do(command, when)

    def use(self, calls: int, when: str) -> None:
        """Use the plan's calls, one POINT each."""
        for _ in range(calls):
            self._made += 1
            self.do(record(event(f"use {self._made}", at(when))), when)

    def spend(self, volume: str, when: str, event_type: str = "tokens") -> EventResult:
        """Use a volume, one USD for each unit; returns what became of it."""
        self._made += 1
        one = event(f"use {self._made}", at(when), event_type, volume=Number(volume))
        booked: EventResult = self.do(record(one), when).results[0]
        return booked

    def move(self, number: int | None, when: str, **options: Any) -> SubscriptionsChanged:
        """Move to another version of the plan."""
        command = ChangeSubscription(
            CUSTOMER, SUB, None, PLAN, number, options.pop("moves", True), **options
        )
        answer: SubscriptionsChanged = self.do(command, when)
        return answer

    def seats(self, quantity: int, when: str, **options: Any) -> SubscriptionsChanged:
        """Change the seats."""
        return self.move(None, when, moves=False, quantity=quantity, **options)

    def pause(self, when: str, until: str | None = None) -> None:
        """Let the subscription rest."""
        self.do(PauseSubscription(CUSTOMER, SUB, None if until is None else at(until)), when)

    def resume(self, when: str) -> None:
        """Let it go on."""
        self.do(ResumeSubscription(CUSTOMER, SUB), when)

    def cancel(self, when: str, **options: Any) -> SubscriptionsChanged:
        """End it."""
        answer: SubscriptionsChanged = self.do(CancelSubscription(CUSTOMER, SUB, **options), when)
        return answer

    def reactivate(self, when: str, *, has_card: bool = False) -> None:
        """Let it begin again."""
        self.do(ReactivateSubscription(CUSTOMER, SUB, has_card), when)

    def balance(self, asset: str, when: str) -> str:
        """Return an account's balance at an instant."""
        account = advance(self.book.state.account(f"default:{asset}"), at(when)).account
        return plain(to_decimal(account.available_units, ASSETS[asset].scale))

    def usd(self, when: str) -> str:
        """Return the balance in USD at an instant, everything that is due by then done."""
        return self.on(when).balance("USD", when)

    def points(self, when: str) -> str:
        """Return the balance in POINTS at an instant, everything that is due by then done."""
        return self.on(when).balance("POINTS", when)

    @property
    def subscription(self) -> Subscription:
        """The subscription as it is."""
        return next(s for s in self.book.state.subscriptions if s.id == SUB)

    def charged(self) -> list[tuple[str, str]]:
        """Return what was charged: the days on which it was due, and the amounts."""
        return [
            (
                f"{booked.request.due_at:%Y-%m-%d}",
                plain(to_decimal(-booked.units, ASSETS[booked.request.asset].scale)),
            )
            for booked in self.fees
        ]
