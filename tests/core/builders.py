"""Small factories for the tests of the rules: assets, prices, a catalog of one product, events,
and a `Book` that remembers what was decided, as the store would. Nothing here reads a clock.
"""

from __future__ import annotations

import collections
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from faregate.core.accounts import REVENUE, Transfer
from faregate.core.amounts import Number
from faregate.core.assets import CURRENCIES, Asset, custom_asset
from faregate.core.compiled import CompiledPrice, compile_price
from faregate.core.customers import CustomerState
from faregate.core.decide import decide
from faregate.core.decision import Command, Decision, Known, Transaction
from faregate.core.events import BookedEvent, EventResult, EventsBooked, RecordEvents, UsageEvent
from faregate.core.gate import Authorize, Authorized, Capture, HoldView, UpdateHold
from faregate.core.grants import DEFAULT_PRIORITY, Grant
from faregate.core.hold_requests import (
    CaptureRequest,
    HoldRequest,
    UpdateRequest,
    Used,
    Want,
)
from faregate.core.holds import Hold
from faregate.core.ids import IdSource
from faregate.core.limiting import Notice
from faregate.core.limits import NOTHING_COUNTED, Counter, CounterKey
from faregate.core.outcomes import (
    NO_STANDING,
    EventOutcome,
    OutcomeRequest,
    SettleOutcome,
    Standing,
)
from faregate.core.prices import (
    AssetPricing,
    BalanceCollection,
    PriceValue,
    RealTimeBilling,
    Tiering,
    UsageBasedPrice,
    UsageCalculation,
)
from faregate.core.problems import Problem
from faregate.core.refunds import payments_of
from faregate.core.subscriptions import (
    Binding,
    CatalogView,
    CompiledProduct,
    CompiledVersion,
    Stretch,
    Subscription,
    Terms,
)
from faregate.core.tiers import Counted, TierKey
from faregate.core.transactions import (
    Adjust,
    AdjustmentRequest,
    Charge,
    ChargeRequest,
)

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ONE_USD = 10**9
CUSTOMER = "cust_one"
PRODUCT = "prp_one"
ASSETS: dict[str, Asset] = {
    "USD": CURRENCIES["USD"],
    "EUR": CURRENCIES["EUR"],
    "CREDITS": custom_asset("CREDITS", "Credits", 2),
    "POINTS": custom_asset("POINTS", "Points", 0),
}


def id_source(seed: int = 1, now: datetime = T0) -> IdSource:
    """Make an id source whose randomness is the same in every run."""
    source = IdSource(Random(seed).getrandbits)
    source.tick(now)
    return source


def value(**numbers: str) -> PriceValue:
    """Make one value of a price: `value(unit_price="0.1")`."""
    exact: dict[str, Any] = {field: Number(text) for field, text in numbers.items()}
    return PriceValue(**exact)


def dimensional(dimensions: dict[str, str], **numbers: str) -> PriceValue:
    """Make a value that applies where the event's data has these dimensions."""
    return PriceValue(dimensions=dimensions, values=(value(**numbers),))


def price(
    *values: PriceValue,
    usage_type: str = "unit",
    event_type: str = "call",
    volume_field: str | None = None,
    dimensions: tuple[str, ...] | None = None,
    model: str | None = None,
    asset: str = "USD",
    address: str | None = None,
    name: str = "Calls",
    id: str = "prc_one",
    basis: str | None = None,
    period: str | None = None,
) -> UsageBasedPrice:
    """Make a usage price in one asset; by default it counts events of type `call`."""
    if volume_field is None and usage_type != "unit":
        volume_field = "volume"
    calculation = UsageCalculation(
        event_type=event_type,
        usage_type=usage_type,  # type: ignore[arg-type]
        volume_field=volume_field,
        billable_dimensions=dimensions,
    )
    return UsageBasedPrice(
        name=name,
        usage_calculation=calculation,
        billing_model=RealTimeBilling(),
        pricing=(AssetPricing(asset, values),),
        id=id,
        pricing_model=model,  # type: ignore[arg-type]
        tiering=Tiering(basis, period) if basis else None,  # type: ignore[arg-type]
        collection=BalanceCollection(address=address) if address else None,
    )


def volume_price(rate: str, **options: Any) -> UsageBasedPrice:
    """Make a price per unit of `data.volume`."""
    return price(value(volume_rate=rate), usage_type="volume", **options)


def compiled(source: UsageBasedPrice, product_id: str = PRODUCT, version: int = 1) -> CompiledPrice:
    """Compile a price as part of a product's version."""
    return compile_price(source, ASSETS, product_id, product_id.removeprefix("prp_"), version)


def product(
    versions: dict[int, tuple[UsageBasedPrice, ...]],
    defaults: tuple[tuple[datetime, int], ...] = ((T0 - 365 * DAY, 1),),
    id: str = PRODUCT,
) -> CompiledProduct:
    """Make a product; `defaults` says from when on which version was the default."""
    made = {}
    for number, prices in versions.items():
        by_type: dict[str, tuple[CompiledPrice, ...]] = {}
        for one in (compiled(p, id, number) for p in prices):
            by_type[one.event_type] = (*by_type.get(one.event_type, ()), one)
        made[number] = CompiledVersion(number, by_type)
    return CompiledProduct(
        id,
        id.removeprefix("prp_"),
        id,
        made,
        tuple(at for at, _ in defaults),
        tuple(number for _, number in defaults),
    )


def catalog_of(*products: CompiledProduct) -> CatalogView:
    """Make a catalog of these products and every asset of `ASSETS`."""
    prices = {
        one.id: one
        for p in products
        for version in p.versions.values()
        for several in version.prices.values()
        for one in several
    }
    return CatalogView(1, ASSETS, {p.id: p for p in products}, prices)


def catalog(*prices: UsageBasedPrice) -> CatalogView:
    """Make a catalog of one product with one version of these prices."""
    return catalog_of(product({1: prices}))


def subscription(
    product_id: str = PRODUCT,
    version: int | None = None,
    from_at: datetime = T0 - 100 * DAY,
    to_at: datetime | None = None,
    id: str = "sub_one",
) -> Subscription:
    """Make a subscription to one product; version None follows the default."""
    binding = Binding(product_id, version, from_at)
    terms = Terms(is_begun=True)
    return Subscription(id, from_at, None, (binding,), (Stretch(from_at, to_at),), terms)


def customer(*subscriptions: Subscription) -> CustomerState:
    """Make a customer with an empty wallet, by default subscribed to the product."""
    return CustomerState(CUSTOMER, subscriptions or (subscription(),))


def grant(
    units: int = 100,
    id: str = "grt_one",
    purpose: str = "paid",
    priority: int = DEFAULT_PRIORITY,
    effective_at: datetime = T0,
    expires_at: datetime | None = None,
    created_at: datetime = T0,
) -> Grant:
    """Make a grant of which nothing is used yet."""
    return Grant(id, purpose, priority, units, units, effective_at, expires_at, created_at)


def event(
    id: str = "e1", at: datetime = T0, event_type: str = "call", **data: object
) -> UsageEvent:
    """Make an event; further keywords are its data."""
    return UsageEvent(id, event_type, at, data=data or None)


def record(*events: UsageEvent, lenient: bool = False) -> RecordEvents:
    """Make the command that books these events."""
    return RecordEvents(CUSTOMER, events, lenient)


def adjust(
    amount: str, transaction_id: str = "t1", asset: str = "USD", reason: str = "other", **more: Any
) -> Adjust:
    """Make an adjustment in whole assets."""
    request = AdjustmentRequest(transaction_id, asset, Number(amount), reason, **more)  # type: ignore[arg-type]
    return Adjust(CUSTOMER, request)


def charge(amount: str, transaction_id: str = "t1", asset: str = "USD", **more: Any) -> Charge:
    """Make a charge in whole assets."""
    return Charge(CUSTOMER, ChargeRequest(transaction_id, asset, Number(amount), **more))


def authorize(
    amount: str | None = None, transaction_id: str = "h1", asset: str = "USD", **more: Any
) -> Authorize:
    """Ask for a hold of this many whole assets, or of what `event_type` and `data` come to."""
    if amount is not None:
        more = {"max_amount": Number(amount), "asset": asset, **more}
    return Authorize(CUSTOMER, (HoldRequest(transaction_id, **more),))


def capture(
    hold_id: str,
    amount: str | None = None,
    *events: UsageEvent,
    final: bool = True,
    transaction_id: str = "c1",
) -> Capture:
    """Capture an amount of whole assets, or events."""
    number = None if amount is None else Number(amount)
    request = CaptureRequest(transaction_id, number, list(events) or None, final)
    return Capture(CUSTOMER, hold_id, request)


def update(
    hold_id: str,
    *events: UsageEvent,
    want: str | dict[str, object],
    used: str | None = None,
    transaction_id: str = "u1",
) -> UpdateHold:
    """Settle events or an amount, and want so much, or what this data comes to."""
    number = None if used is None else Number(used)
    wanted = Want(Number(want)) if isinstance(want, str) else Want(data=want)
    request = UpdateRequest(transaction_id, wanted, Used(number, list(events) or None))
    return UpdateHold(CUSTOMER, hold_id, request)


def outcome(
    event_id: str, said: str, transaction_id: str | None = None, **data: object
) -> SettleOutcome:
    """Say what became of an event; further keywords are its data."""
    name = transaction_id or f"{event_id} {said} {data}"
    return SettleOutcome(CUSTOMER, event_id, OutcomeRequest(name, said, data or None))  # type: ignore[arg-type]


class Book:
    """A customer's ledger in memory: every command is decided on what the ones before left."""

    def __init__(self, catalog: CatalogView, state: CustomerState | None = None) -> None:
        self.catalog = catalog
        self.state = customer() if state is None else state
        self.ids = id_source()
        self.events: dict[str, BookedEvent] = {}
        self.transactions: dict[str, Transaction] = {}
        self.holds: dict[str, Hold] = {}
        self.transfers: list[Transfer] = []
        self.counters: defaultdict[CounterKey, Counter] = defaultdict(lambda: NOTHING_COUNTED)
        self.notices: list[Notice] = []
        self.decided_at = T0
        self.tiers: defaultdict[TierKey, Counted] = defaultdict(dict)
        self.outcomes: dict[str, EventOutcome] = {}
        self.grants: dict[str, Grant] = {}

    def decide(self, command: Command, now: datetime = T0) -> Decision:
        """Decide a command and remember it."""
        # As a lane does: what is open is in the state, and is not read.
        holds = {name: one for name, one in self.holds.items() if one.status != "authorized"}
        if isinstance(command, Authorize):
            holds = {hold.transaction_id: hold for hold in self.holds.values()}
        known = Known(
            self.events,
            self.transactions,
            holds,
            self.counters,
            self.tiers,
            self._standing(command),
        )
        decision = decide(self.state, known, command, self.catalog, now, self.ids)
        self.state = decision.state
        self.decided_at = now
        self.transfers += decision.transfers
        self.holds |= decision.holds
        self.counters.update(decision.counters)
        self.notices += decision.notices
        self.tiers.update(decision.tiers)
        self.outcomes |= decision.outcomes
        self.grants |= {name: grant for name, (_, grant) in decision.grants.items()}
        self.events |= {one.event.id: one for one in decision.events}
        if decision.transaction is not None:
            booked = decision.transaction
            self.transactions[booked.request.transaction_id] = booked
        return decision

    def _standing(self, command: Command) -> Standing:
        """Return what a store would find of the event that a command settles."""
        if not isinstance(command, SettleOutcome) or command.event_id not in self.events:
            return NO_STANDING
        booked = self.events[command.event_id].result.fees
        paid = {
            one.fee.id: one.payments
            for one in payments_of(booked, [t for t in self.transfers if t.to_account == REVENUE])
        }
        return Standing(self.outcomes.get(command.event_id), paid, self.grants)

    def told(self, topics: str) -> list[Notice]:
        """Return the notices whose topics begin so."""
        return [notice for notice in self.notices if notice.topic.startswith(topics)]

    def do(self, command: Command, now: datetime = T0) -> Any:
        """Decide a command that must succeed, and return its answer."""
        answer = self.decide(command, now).answer
        assert not isinstance(answer, Problem), answer.detail
        return answer

    def refused(self, command: Command, now: datetime = T0) -> Problem:
        """Decide a command that must be refused without a trace, and return the problem."""
        before = self.state
        decision = self.decide(command, now)
        assert isinstance(decision.answer, Problem), decision.answer
        assert decision.state is before
        assert not decision.transfers
        assert not decision.grants
        assert not decision.events
        assert not decision.carries
        assert decision.transaction is None
        assert not decision.holds
        assert not decision.counters
        assert not decision.tiers
        assert not decision.notices
        assert not decision.outcomes
        assert not decision.fees
        assert decision.rules is None
        return decision.answer

    def book(
        self, *events: UsageEvent, lenient: bool = False, now: datetime = T0
    ) -> tuple[EventResult, ...]:
        """Book events that must be accepted, and return their results."""
        answer = self.do(record(*events, lenient=lenient), now)
        assert isinstance(answer, EventsBooked)
        return answer.results

    def hold(self, command: Authorize, now: datetime = T0) -> HoldView:
        """Ask for a hold; returns it, granted or declined."""
        answer = self.do(command, now)
        assert isinstance(answer, Authorized)
        return answer.holds[0]

    def pending_out(self, identifier: str = "default:USD") -> int:
        """Return the units that an account's open holds have set aside."""
        return self.state.account(identifier).pending_out_units

    def available(self, identifier: str = "default:USD") -> int:
        """Return an account's balance in units, as of the last command."""
        return self.state.account(identifier).available_units


def ledger(transfers: list[Transfer]) -> collections.Counter[tuple[str, str]]:
    """Add up transfers: the units that each asset's ledger accounts have gained or lost."""
    balances: collections.Counter[tuple[str, str]] = collections.Counter()
    for transfer in transfers:
        balances[transfer.asset, transfer.from_account] -= transfer.units
        balances[transfer.asset, transfer.to_account] += transfer.units
    return balances
