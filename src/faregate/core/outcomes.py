"""What a use costs once its outcome is known ("pay per resolved case"). An event that was reported
as pending costs nothing until it is confirmed; then it is priced by what was in force when it
occurred. One that is withdrawn never costs, or is given back whole. One that is changed costs what
its new data come to: the old fees are given back and the new ones charged, in one commit, with the
discounts that the old ones had.

    pending   -> confirmed | changed | withdrawn
    confirmed -> changed | withdrawn        (so is an event that was charged as it came)
    changed   -> changed | withdrawn
    withdrawn    is final

How money goes back is in `refunds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from msgspec import structs

from faregate.core.codec import same_json
from faregate.core.customers import Changes
from faregate.core.events import BookedEvent, Fee, charge_event
from faregate.core.given import MAX_FREE_KEYS, FreeData, Id, ShortText, check_free
from faregate.core.grants import Grant
from faregate.core.ids import IdSource
from faregate.core.limiting import Counts
from faregate.core.model_prices import Attach
from faregate.core.problems import NOT_FOUND, Problem, conflict, invalid
from faregate.core.reducing import NO_EARLIER
from faregate.core.refunds import ChargedFee, Payment, earlier_fees, give_back, payments_of
from faregate.core.subscriptions import CatalogView

SETTLE_WITHIN: Final = timedelta(days=90)
"""How long after it occurred the outcome of an event may be reported."""

COSTS_STAY: Final = (
    "the event's costs stay those of the data that it was recorded with: record what costs "
    "otherwise as an event of its own"
)

Outcome = Literal["confirmed", "withdrawn", "changed"]


class OutcomeRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What became of a use. `data` replaces the keys of the event's own that it has."""

    transaction_id: Id
    outcome: Outcome
    data: FreeData | None = None
    description: ShortText | None = None


class SettleOutcome(msgspec.Struct, frozen=True):
    """Say what became of a customer's event."""

    customer_id: str
    event_id: str
    request: OutcomeRequest


class EventOutcome(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where an event stands: its fees with who paid them, charged at `charged_at`, the data that
    they are for (None: none), and what limits have counted of it then."""

    outcome: Outcome
    fees: tuple[ChargedFee, ...] = ()
    data: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    counts: Counts = ()
    charged_at: datetime | None = None


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What is known of the event that a command settles: where it stands (None: nobody has said
    what became of it), who paid the fees that it was booked with, by fee, and grants that paid."""

    outcome: EventOutcome | None = None
    payments: Mapping[str, tuple[Payment, ...]] = {}
    grants: Mapping[str, Grant] = {}


NO_STANDING: Final = Standing()


class ReversedFee(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fee that was given back whole. As JSON an array."""

    id: str
    asset: str
    account_id: str
    units: int


class OutcomeSettled(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The answer: what the event costs now, what was given back, and by asset what both come to
    (above 0: charged, below: given back). `balances` has the units available per account."""

    event_id: str
    outcome: Outcome
    fees: tuple[Fee, ...]
    reversed: tuple[ReversedFee, ...]
    net_units: dict[str, int]
    balances: dict[str, int]
    warnings: tuple[str, ...] = ()


class AskedOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked for, as it is kept for repeats."""

    transaction_id: str
    event_id: str
    outcome: Outcome
    data: dict[str, Any] | None = None
    description: str | None = None


class SettledOutcome(msgspec.Struct, frozen=True):
    """An outcome that is in the ledger. `units` is 0: what moved, moved under the fees' own ids."""

    id: str
    request: AskedOutcome
    account_id: str
    units: int
    created_at: datetime
    answer: OutcomeSettled

    @property
    def kind(self) -> str:
        """Return `outcome`."""
        return "outcome"


class Settled(msgspec.Struct, frozen=True, gc=False):
    """What the command has come to. `booked` is None for a repeat."""

    changes: Changes
    answer: OutcomeSettled
    booked: SettledOutcome | None = None
    outcome: EventOutcome | None = None
    fees: tuple[Fee, ...] = ()


def settle_outcome(
    changes: Changes,
    prior: Any,
    booked: BookedEvent | None,
    standing: Standing,
    command: SettleOutcome,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Settled | Problem:
    """Let an event cost what its outcome says. `prior` is what was booked under the transaction
    id, `booked` the event."""
    request = command.request
    asked = AskedOutcome(
        request.transaction_id, command.event_id, request.outcome, request.data, request.description
    )
    if prior is not None:
        return _conflict(prior, asked) or Settled(changes, prior.answer)
    if booked is None:
        detail = f"the customer has no event {command.event_id[:100]!r}: record it first"
        return Problem(NOT_FOUND, detail)
    before = standing_of(booked, standing)
    refusal = _refuse(booked, before, request, now)
    if refusal is not None:
        return refusal
    if before is not None and is_as_it_was(before, request):
        after = structs.replace(before, outcome=request.outcome)
        was = "withdrawn" if before.outcome == "withdrawn" else "charged"
        said: tuple[str, ...] = (f"the event was {was} already: nothing has changed",)
        return _settled(changes, booked, asked, before, after, (), said, now, ids)
    warnings: list[str] = []
    if before is not None:
        scales = {code: asset.scale for code, asset in catalog.assets.items()}
        given = give_back(changes, before.fees, standing.grants, now, ids, scales)
        if isinstance(given, Problem):
            return given
        warnings += given
        if changes.limits is not None and before.charged_at is not None:
            changes.limits.give_back(before.counts, before.charged_at)
    data = booked.event.data if before is None else before.data
    if request.outcome == "withdrawn":
        after = EventOutcome("withdrawn", data=data)
        return _settled(changes, booked, asked, before, after, (), tuple(warnings), now, ids)
    if request.data is not None:
        data = {**(data or {}), **request.data}
    refusal = _check_data(data)
    if refusal is not None:
        return refusal
    start = len(changes.transfers)
    event = structs.replace(booked.event, data=data)
    earlier = NO_EARLIER if before is None else earlier_fees(before.fees)
    result = charge_event(changes, event, catalog, now, ids, earlier)
    if isinstance(result, Problem):
        return result
    counts = () if changes.limits is None else changes.limits.take_counts()
    charged = payments_of(result.fees, changes.transfers[start:])
    after = EventOutcome(request.outcome, charged, data, result.warnings, counts, now)
    said = (*warnings, *result.warnings)
    if catalog.costing is not None and _costs_otherwise(booked, data, catalog.costing):
        said = (*said, COSTS_STAY)
    return _settled(changes, booked, asked, before, after, result.fees, said, now, ids)


def _costs_otherwise(booked: BookedEvent, data: Mapping[str, Any] | None, attach: Attach) -> bool:
    """Tell whether other costs would have been attached to an event with this data."""
    if same_json(data, booked.event.data):
        return False
    if booked.event.costs is not None and booked.cost_source is None:
        return False
    costing = attach(data or {}, booked.event.occurred_at)
    costs = None if costing is None else costing.costs
    amounts = [[cost.amount for cost in one or ()] for one in (costs, booked.event.costs)]
    return amounts[0] != amounts[1]


def standing_of(booked: BookedEvent, standing: Standing) -> EventOutcome | None:
    """Return where an event stands; None: its outcome is pending."""
    if standing.outcome is not None:
        return standing.outcome
    if booked.event.outcome is not None:
        return None
    fees = [ChargedFee(fee, _who_paid(fee, standing)) for fee in booked.result.fees]
    return EventOutcome(
        "confirmed",
        tuple(fees),
        booked.event.data,
        booked.result.warnings,
        booked.counts,
        booked.created_at,
    )


def _who_paid(fee: Fee, standing: Standing) -> tuple[Payment, ...]:
    """Say who paid a fee: it says so itself where that was a hold."""
    if fee.reduced is not None and fee.reduced.paid_by:
        return tuple([Payment(account, units) for account, units in fee.reduced.paid_by])
    return standing.payments.get(fee.id, ())


def is_as_it_was(before: EventOutcome, request: OutcomeRequest) -> bool:
    """Tell whether an outcome says what is so already, of an event that is not refused."""
    if request.outcome == "withdrawn":
        return before.outcome == "withdrawn"
    return request.outcome == "confirmed"


def _refuse(
    booked: BookedEvent, before: EventOutcome | None, request: OutcomeRequest, now: datetime
) -> Problem | None:
    """Refuse what comes too late, or does not go together."""
    wanted = request.outcome
    if now > booked.event.occurred_at + SETTLE_WITHIN:
        return invalid(
            "outcome",
            f"comes more than {SETTLE_WITHIN.days} days after the event occurred "
            f"({booked.event.occurred_at.isoformat()}): use an adjustment or a charge",
        )
    if wanted == "changed" and request.data is None:
        return invalid("data", "is missing: say what is otherwise now")
    if wanted == "withdrawn" and request.data is not None:
        return invalid("data", "has no meaning where nothing is charged: leave it out")
    if before is None or wanted == before.outcome == "withdrawn":
        return None
    if before.outcome == "withdrawn":
        detail = "the event was withdrawn, which is final: record a new event"
        return conflict("outcome", detail)
    slices = [one.fee.reduced.is_slice for one in before.fees if one.fee.reduced is not None]
    if wanted == "changed" and any(slices):
        detail = "the event is a slice of a longer use: withdraw it, and record a new event"
        return conflict("outcome", detail)
    if wanted == "confirmed" and request.data is not None:
        detail = "the event is charged already: send the outcome 'changed' with this data"
        return conflict("outcome", detail)
    return None


def _check_data(data: Mapping[str, Any] | None) -> Problem | None:
    if data is not None and len(data) > MAX_FREE_KEYS:
        return invalid("data", f"would have {len(data)} keys with the event's: {MAX_FREE_KEYS} fit")
    return check_free("data", data)


def _paid_in(fee: Fee) -> str:
    """Return the asset of the account that a fee was taken from."""
    return fee.account_id.rpartition(":")[2]


def _reversed(fee: Fee) -> ReversedFee:
    return ReversedFee(fee.id, _paid_in(fee), fee.account_id, fee.debited_units)


def _settled(
    changes: Changes,
    booked: BookedEvent,
    asked: AskedOutcome,
    before: EventOutcome | None,
    after: EventOutcome,
    new: tuple[Fee, ...],
    warnings: tuple[str, ...],
    now: datetime,
    ids: IdSource,
) -> Settled:
    """Put the answer together. `new` are the fees that were charged now."""
    old = [one.fee for one in before.fees] if before is not None else []
    fees = tuple([one.fee for one in after.fees])
    remaining = {fee.id for fee in fees}
    gone = [fee for fee in old if fee.id not in remaining]
    net = dict.fromkeys([_paid_in(fee) for fee in (*old, *fees)], 0)
    for fee in gone:
        net[_paid_in(fee)] -= fee.debited_units
    for fee in new:
        net[_paid_in(fee)] += fee.debited_units
    answer = OutcomeSettled(
        booked.event.id,
        asked.outcome,
        fees,
        tuple([_reversed(fee) for fee in gone]),
        net,
        changes.balances(now),
        warnings,
    )
    account_id = next((fee.account_id for fee in (*fees, *gone)), "")
    settled = SettledOutcome(ids.next("out"), asked, account_id, 0, now, answer)
    return Settled(changes, answer, settled, after, new)


def _conflict(prior: Any, asked: AskedOutcome) -> Problem | None:
    """Tell a repeat from something else under the same transaction id."""
    if not isinstance(prior, SettledOutcome):
        detail = f"transaction_id {asked.transaction_id!r} was used for the {prior.kind} {prior.id}"
        return conflict("transaction_id", f"{detail}: use a new one")
    differing = [
        field
        for field in asked.__struct_fields__
        if not same_json(getattr(prior.request, field), getattr(asked, field))
    ]
    if not differing:
        return None
    detail = (
        f"transaction_id {asked.transaction_id!r} was used before with another "
        f"{', '.join(differing)}: use a new one for a new outcome"
    )
    return conflict(differing[0], detail, *differing[1:])
