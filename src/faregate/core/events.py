"""The first command: a customer's usage events, in order.

An event is booked once per id. A repeat that is equal gets the first answer; one that differs is
a conflict that names the differing fields. A new event is priced under every price that was in
force when it occurred, its fees are debited, and what rounding left over is carried. An event
that nothing prices is booked all the same, with a warning, because a customer's product must not
break. A batch is all or nothing unless the caller asks for `lenient` handling.

An event may be reported as pending: it is booked without a fee, and priced when its outcome is
known (`outcomes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, structs

from faregate.core.accounts import REVENUE
from faregate.core.amounts import MAX_UNITS
from faregate.core.codec import same_json
from faregate.core.compiled import CompiledPrice, PricedAsset
from faregate.core.conversion import (
    carry_key,
    funding_rate,
    in_currency,
    no_rate,
    paid_units,
    shown_rate,
)
from faregate.core.costs import Cost, check_costs
from faregate.core.customers import Changes
from faregate.core.given import FreeData, Id, Instant, ShortText, check_free
from faregate.core.grants import Purpose
from faregate.core.ids import IdSource
from faregate.core.limiting import NOTHING_FREE, Counts, FreeShare, Use
from faregate.core.model_prices import Attach, Costing
from faregate.core.prices import Key
from faregate.core.pricing import Match, fee_units, price_event
from faregate.core.problems import Problem, conflict, invalid
from faregate.core.reducing import NO_EARLIER, NOTHING_TAKEN, EarlierFees, Reduced, Reducing
from faregate.core.slices import Slices
from faregate.core.subscriptions import CLOCK_SKEW, CatalogView
from faregate.core.tiers import NOTHING_COUNTED, Counted, TierCount
from faregate.core.wallet import debit, debit_hold, paid_out_of

GRACE_PERIOD: Final = timedelta(days=34)
"""How old an event may be."""
MAX_EVENTS: Final = 1_000
PENDING_WARNING: Final = "pending: no fee until its outcome is known"


class UsageEvent(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True, gc=False
):
    """One use, as reported. `id` is the sender's, unique per customer."""

    id: Id
    event_type: Key
    occurred_at: Instant
    subject: Annotated[str, Meta(max_length=200)] | None = None
    description: ShortText | None = None
    data: FreeData | None = None
    costs: Annotated[list[Cost], Meta(max_length=100)] | None = None
    outcome: Literal["pending"] | None = None


class Fee(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one event costs under one price: `units` of the asset's scale, debited from
    `account_id`, after what was taken off (`reduced`). `value_index` says which of the price's
    values applied (of tiers, the one in which it ended), `counted` what the tiers counted of it.
    Where the account is in another asset, `paid_units` of that were debited, at `exchange_rate`."""

    id: str
    price_id: str
    value_index: int
    asset: str
    account_id: str
    units: int
    volume: int | Decimal | None
    counted: TierCount | None = None
    paid_units: int | None = None
    exchange_rate: Decimal | None = None
    reduced: Reduced | None = None

    @property
    def debited_units(self) -> int:
        """What was taken from the account."""
        return self.units if self.paid_units is None else self.paid_units

    @property
    def debited_asset(self) -> str:
        """The asset that it was taken in."""
        return self.asset if self.paid_units is None else self.account_id.rpartition(":")[2]

    @property
    def gross_units(self) -> int:
        """What the price asks."""
        return self.units if self.reduced is None else self.units + self.reduced.units


class EventResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of one event. `balances` has the units available per account after it. As JSON,
    which is kept with each settlement, an array, like its fees: new fields come last."""

    event_id: str
    status: Literal["booked", "repeat", "refused"]
    fees: tuple[Fee, ...] = ()
    warnings: tuple[str, ...] = ()
    balances: Mapping[str, int] = {}
    problem: Problem | None = None


class BookedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that is in the ledger, with its first answer, and what limits have counted of it.

    `cost_source` says from where the event's costs are if they were attached, and not sent.
    Where it is looked at, `outcome` says what became of it since (None: it was charged as it came),
    and event and result are as they stand.
    """

    event: UsageEvent
    result: EventResult
    created_at: datetime
    counts: Counts = ()
    outcome: str | None = None
    cost_source: str | None = None


class RecordEvents(msgspec.Struct, frozen=True, gc=False):
    """Book these events of one customer, in order.

    `received_at` is what the clock said when they came in, by which it is judged whether they are
    too old. (The ledger's own time never goes back, so after a clock was wrong it may be ahead.)
    """

    customer_id: str
    events: tuple[UsageEvent, ...]
    is_lenient: bool = False
    received_at: datetime | None = None


class EventsBooked(msgspec.Struct, frozen=True, gc=False):
    """The answer to `RecordEvents`: one result per event, in order."""

    results: tuple[EventResult, ...]


def decide_events(
    changes: Changes,
    known: Mapping[str, BookedEvent],
    command: RecordEvents,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> tuple[Changes, EventsBooked, list[BookedEvent]] | Problem:
    """Decide a batch of events. `known` has those of its ids that are booked already.

    Returns the changes, the answer and the events that are new; or the problem of the first
    event that is refused, unless the command is lenient.
    """
    outcome = book_events(changes, known, command, catalog, now, ids)
    return outcome if isinstance(outcome, Problem) else (changes, *outcome)


def book_events(
    changes: Changes,
    known: Mapping[str, BookedEvent],
    command: RecordEvents,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> tuple[EventsBooked, list[BookedEvent]] | Problem:
    """Book a batch of events among the changes of a command, as `decide_events` says."""
    received_at = command.received_at or now
    results: list[EventResult] = []
    booked: dict[str, BookedEvent] = {}
    for index, event in enumerate(command.events):
        prior = known.get(event.id) or booked.get(event.id)
        costing: Costing | None = None
        if prior is None and catalog.costing is not None:
            event, costing = with_costs(event, catalog.costing)
        if prior is not None:
            outcome = repeated(prior, event)
        elif command.is_lenient:
            outcome = _book_alone(changes, event, received_at, catalog, now, ids)
        else:
            outcome = _book(changes, event, received_at, catalog, now, ids)
        counts = () if changes.limits is None else changes.limits.take_counts()
        if isinstance(outcome, Problem):
            outcome = outcome.under(f"events[{index}]")
            if not command.is_lenient:
                return outcome
            results.append(EventResult(event.id, "refused", problem=outcome))
            continue
        source: str | None = None
        if costing is not None:
            source = costing.source
            if costing.warning is not None:
                said = (*outcome.warnings, costing.warning)
                outcome = structs.replace(outcome, warnings=said)
        results.append(outcome)
        if prior is None:
            booked[event.id] = BookedEvent(event, outcome, now, counts, cost_source=source)
    return EventsBooked(tuple(results)), list(booked.values())


def with_costs(event: UsageEvent, attach: Attach) -> tuple[UsageEvent, Costing | None]:
    """Return an event with the costs that are attached to it, and what is to be said of them. One
    that was sent with costs (with none: an empty list) keeps its own."""
    if event.costs is not None or event.data is None:
        return event, None
    costing = attach(event.data, event.occurred_at)
    if costing is None or costing.costs is None:
        return event, costing
    return structs.replace(event, costs=costing.costs), costing


def repeated(prior: BookedEvent, event: UsageEvent) -> EventResult | Problem:
    """Return the first answer to an event that is booked, or the conflict where it differs from
    what was sent then; what was attached to that is not compared."""
    first = prior.event
    if prior.cost_source is not None:
        first = structs.replace(first, costs=None)
    differing = [
        field
        for field in UsageEvent.__struct_fields__
        if not same_json(getattr(first, field), getattr(event, field))
    ]
    if differing:
        detail = (
            f"event id {event.id!r} was booked before with another "
            f"{', '.join(differing)}: use a new id for a new event"
        )
        return conflict(differing[0], detail, *differing[1:])
    result = prior.result
    return EventResult(event.id, "repeat", result.fees, result.warnings, result.balances)


def _book_alone(
    changes: Changes,
    event: UsageEvent,
    received_at: datetime,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> EventResult | Problem:
    """Book one event so that its refusal leaves nothing of it among the changes."""
    before = changes.snapshot()
    outcome = _book(changes, event, received_at, catalog, now, ids)
    if isinstance(outcome, Problem):
        changes.restore(before)
    return outcome


def _book(
    changes: Changes,
    event: UsageEvent,
    received_at: datetime,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> EventResult | Problem:
    """Price one new event and debit its fees, unless its outcome is pending."""
    at = event.occurred_at
    if at < received_at - GRACE_PERIOD:
        return invalid(
            "occurred_at",
            f"{at.isoformat()} is more than {GRACE_PERIOD.days} days ago: "
            "it is too late to book it; use an adjustment or a charge",
        )
    if at > now + CLOCK_SKEW:
        return invalid(
            "occurred_at", f"{at.isoformat()} lies in the future: check the sender's clock"
        )
    refusal = check_free("data", event.data)
    if refusal is None and event.costs:
        refusal = check_costs(event.costs, catalog.assets)
    if refusal is not None:
        return refusal
    if event.outcome is not None:
        balances = changes.balances(now)
        return EventResult(event.id, "booked", (), (PENDING_WARNING,), balances)
    return charge_event(changes, event, catalog, now, ids)


def charge_event(
    changes: Changes,
    event: UsageEvent,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
    earlier: EarlierFees = NO_EARLIER,
) -> EventResult | Problem:
    """Price an event by what was in force when it occurred, debit its fees and count it. `earlier`
    has fees of it that were given back, in whose place those come."""
    at = event.occurred_at
    fees: list[Fee] = []
    warnings: list[str] = []
    data = event.data or {}
    costs = event.costs or ()
    prices = catalog.prices_for(changes.state.subscriptions, event.event_type, at)
    if not prices:
        # Uses from before a subscription began look like a price that is missing, and are not.
        has_now = catalog.prices_for(changes.state.subscriptions, event.event_type, now)
        when = " when it occurred" if has_now else ""
        warnings.append(f"no price for event_type={event.event_type}{when}: no fee")
    limits = changes.limits
    free = NOTHING_FREE
    if limits is not None:
        use = Use(event.event_type, event.subject or limits.subject, data)
        own = None if changes.hold is None else changes.hold.id
        if prices and limits.has_free:
            free = limits.free_share(use, changes.advanced_accounts(now), own)
    measured: set[str | None] = set()
    reducing: Reducing | None = None
    if catalog.has_reductions or earlier:
        reducing = Reducing(changes, catalog, at, now, earlier)
    slices = changes.slices
    if slices is not None and slices.event_type != event.event_type:
        slices = None
    for compiled in prices:
        priced = choose_asset(compiled, changes, catalog, at)
        funding = priced.funding
        rate: Fraction | None = None
        if funding is not None:
            rate = funding_rate(funding, priced.asset.code, catalog.rates, at)
        is_payable = funding is None or rate is not None
        from_us, counted = 0, NOTHING_COUNTED
        if compiled.tiering is not None:
            from_us = catalog.tier_period_from_us(compiled, changes.state.subscriptions, at)
            counted = changes.counted(compiled, from_us)
        meant: Sequence[Cost] = costs
        if compiled.counts_costs and costs:
            meant = in_currency(costs, priced.asset.code, catalog.rates, at)
        match = price_charged(
            compiled, priced, data, meant, counted, free, slices, keeps=is_payable
        )
        if isinstance(match, Problem):
            return match
        if funding is not None and rate is None and isinstance(match, Match):
            missing = no_rate(priced.asset.code, funding.asset.code, at)
            match = f"no fee under {compiled.price.name!r}: {missing}"
        if isinstance(match, str):
            warnings.append(match)
            continue
        measured.add(compiled.volume_field)
        fee = _collect(changes, compiled, priced, match, event, from_us, now, ids, rate, reducing)
        if isinstance(fee, Problem):
            return fee
        if slices is not None:
            slices.charged(compiled, priced.asset.code, match, fee.gross_units)
        fees.append(fee)
    if len(fees) > 1 and sum(fee.units for fee in fees) > MAX_UNITS:
        return invalid("data", "costs more than the ledger can hold: check the prices")
    if limits is not None:
        if free is not NOTHING_FREE:
            limits.book_free(free.taken(measured))
        said = limits.book(
            use,
            [(fee.debited_asset, fee.debited_units) for fee in fees],
            changes.advanced_accounts(now) if limits.may_reject else (),
        )
        if isinstance(said, Problem):
            return said
        warnings += said
    if reducing is not None:
        reducing.keep()
        warnings += reducing.warnings
    return EventResult(event.id, "booked", tuple(fees), tuple(warnings), changes.balances(now))


def price_charged(
    compiled: CompiledPrice,
    priced: PricedAsset,
    data: Mapping[str, Any],
    costs: Sequence[Cost],
    counted: Counted,
    free: FreeShare,
    slices: Slices | None,
    *,
    keeps: bool,
) -> Match | str | Problem:
    """Price what of a use is not free, as a slice of one use where there are `slices`. What is free
    does not count in tiers."""
    charged: Mapping[str, Any] | None = data
    if free is not NOTHING_FREE:
        charged = free.charged(data, compiled.volume_field)
    if charged is None:
        match = price_event(compiled, priced, data, counted, costs)
        if isinstance(match, Match):
            return structs.replace(match, numerator=0, quantity=0)
        return match
    if slices is None:
        return price_event(compiled, priced, charged, counted, costs)
    return slices.price(compiled, priced, charged, costs, counted, keeps=keeps)


def choose_asset(
    compiled: CompiledPrice, changes: Changes, catalog: CatalogView, at: datetime
) -> PricedAsset:
    """Choose the asset that the subscription names, else the first listed one in which the customer
    has an account, else the first."""
    if len(compiled.assets) > 1:
        named = catalog.asset_named(changes.state.subscriptions, compiled.product_id, at)
        for priced in compiled.assets:
            if priced.asset.code == named:
                return priced
        for priced in compiled.assets:
            if priced.account_id in changes.accounts:
                return priced
    return compiled.assets[0]


def _collect(
    changes: Changes,
    compiled: CompiledPrice,
    priced: PricedAsset,
    match: Match,
    event: UsageEvent,
    from_us: int,
    now: datetime,
    ids: IdSource,
    rate: Fraction | None,
    reducing: Reducing | None,
) -> Fee | Problem:
    """Bring the exact cost to the ledger scale and debit what is left of it after reductions;
    `from_us` is when the period began in which tiers count."""
    key = (compiled.id, priced.asset.code)
    carried = changes.carry(key)
    units, carry = fee_units(match.numerator, priced.denominator, carried, match.before_units)
    reduced: Reduced | None = None
    if reducing is not None:
        reduced = reducing.reduce(compiled, priced.asset.code, units)
        if reduced is not None:
            units -= reduced.units
    fee_id = ids.next("fee")
    account = changes.advanced(priced.account_id, now)
    hold, scale = changes.hold, priced.asset.scale
    debited, funding, paid_carry = units, priced.funding, 0
    if funding is not None and rate is not None:
        if units > MAX_UNITS:
            return invalid("data", "costs more than the ledger can hold: check the prices")
        paid_key = carry_key(compiled.id, funding)
        before, scale = changes.carry(paid_key), funding.asset.scale
        debited, after = paid_units(units, priced.asset, funding.asset, rate, before)
        if after != before:
            changes.carries[paid_key] = after
            paid_carry = after - before
    wanted: Purpose | None = None
    for grant in account.grants:
        if grant.terms is not None:
            products = frozenset((compiled.product_id, compiled.product_code))
            wanted = Purpose(event.event_type, event.data or {}, products)
            break
    if hold is None or hold.account_id != account.id:
        moved = debit(account, debited, REVENUE, fee_id, now, scale, wanted)
    else:
        moved = debit_hold(account, hold.id, debited, REVENUE, fee_id, now, scale, wanted)
    if isinstance(moved, Problem):
        return moved
    slices = changes.slices
    is_slice = slices is not None and slices.event_type == event.event_type
    if is_slice or (hold is not None and hold.account_id == account.id):
        paid_by = paid_out_of(account, moved.transfers)
        reduced = structs.replace(reduced or NOTHING_TAKEN, paid_by=paid_by, is_slice=is_slice)
    changes.put(moved)
    if carry != carried:
        changes.carries[key] = carry
    if paid_carry or carry != carried:
        left_over = (str(carry - carried), str(paid_carry))
        if reduced is None:
            reduced = Reduced((), 0, None, left_over)
        else:
            reduced = structs.replace(reduced, left_over=left_over)
    return Fee(
        fee_id,
        compiled.id,
        match.value.index,
        priced.asset.code,
        priced.account_id,
        units,
        match.volume,
        changes.count(compiled, priced, match, from_us) if match.quantity else None,
        None if rate is None else debited,
        None if rate is None else shown_rate(rate),
        reduced,
    )
