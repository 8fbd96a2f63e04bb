"""Commands on a wallet that are not usage: an *adjustment* (a correction or gift by the operator,
or money that an outside payment system moved) and a *charge* (an ad-hoc fee without an event).
Both carry the caller's `transaction_id`, unique per customer over both kinds: a repeat that is
equal gets the first answer, one that differs is a conflict that names the differing fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from faregate.core.accounts import DEFAULT_ACCOUNT, REVENUE, Movement, account_id
from faregate.core.amounts import MAX_UNITS, AmountError, Number, power_of_ten, to_units
from faregate.core.checks import check_number
from faregate.core.conversion import no_rate, shown_rate, worth
from faregate.core.customers import Changes, CustomerState
from faregate.core.given import MAX_FREE_KEYS, Id, Instant, ShortText, check_free
from faregate.core.grants import DEFAULT_PRIORITY, Grant, GrantTerms
from faregate.core.ids import IdSource
from faregate.core.instants import is_in_range
from faregate.core.prices import ACCOUNT_NAME, GrantScope, Key
from faregate.core.problems import Problem, conflict, invalid
from faregate.core.subscriptions import CatalogView
from faregate.core.wallet import check_credit, credit, debit

AccountName = Annotated[
    str,
    Meta(
        pattern=rf"^{ACCOUNT_NAME.pattern}\Z",
        description="1 to 64 letters, digits, '_', '.' or '-'",
    ),
]
Metadata = Annotated[dict[str, str], Meta(max_length=MAX_FREE_KEYS)]

_PURPOSE_BY_REASON: Final = {"gift": "promotion"}


class ConvertTo(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Which asset a payment becomes, in which account (default: `default`), and at which rate (how
    many one of the paid asset buys), if not at the one that is valid now."""

    asset: Key
    account_name: AccountName | None = None
    exchange_rate: Number | None = None


class Converted(msgspec.Struct, frozen=True):
    """What a payment became: `units` of an asset, at `rate` for one of the paid asset; whether it
    was rounded down."""

    asset: str
    units: int
    rate: Decimal
    is_rounded_down: bool


class AdjustmentRequest(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """A positive `amount` grants credit, a negative one takes it. In whole assets, exact. Of the
    credit, `priority` is its place in the order of use (lower first, default 100), and
    `limited_to` says for what it may be used (None: for everything)."""

    transaction_id: Id
    asset: Key
    amount: Number
    reason: Literal["gift", "external_topup", "external_refund", "other"]
    account_name: AccountName | None = None
    description: ShortText | None = None
    effective_at: Instant | None = None
    expires_at: Instant | None = None
    metadata: Metadata | None = None
    priority: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    limited_to: GrantScope | None = None
    convert_to: ConvertTo | None = None


class ChargeRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """An ad-hoc fee of `amount` (> 0) whole assets; the other numbers only explain it."""

    transaction_id: Id
    asset: Key
    amount: Number
    account_name: AccountName | None = None
    subject: Annotated[str, Meta(max_length=200)] | None = None
    description: ShortText | None = None
    metadata: Metadata | None = None
    input_units: Number | None = None
    input_volume: Number | None = None
    unit_price: Number | None = None
    volume_rate: Number | None = None
    package_size: Number | None = None


class Adjust(msgspec.Struct, frozen=True):
    """Apply an adjustment to a customer's wallet."""

    customer_id: str
    request: AdjustmentRequest


class Charge(msgspec.Struct, frozen=True):
    """Charge a customer's wallet."""

    customer_id: str
    request: ChargeRequest


class BookedTransaction(msgspec.Struct, frozen=True):
    """An adjustment or charge that is in the ledger. `units` is signed: what the account gained, in
    its asset, which is another one than was paid where that was `converted`."""

    id: str
    request: AdjustmentRequest | ChargeRequest
    account_id: str
    units: int
    created_at: datetime
    converted: Converted | None = None

    @property
    def kind(self) -> str:
        """Return `adjustment` or `charge`."""
        return "adjustment" if isinstance(self.request, AdjustmentRequest) else "charge"


def decide_transaction(
    state: CustomerState,
    known: Mapping[str, Any],
    command: Adjust | Charge,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> tuple[Changes, BookedTransaction, bool] | Problem:
    """Decide an adjustment or a charge.

    Returns the changes, what was booked, and whether it is new (False: a repeat, no changes).
    """
    request = command.request
    changes = Changes(state)
    prior = known.get(request.transaction_id)
    if prior is not None:
        problem = _conflict(prior, request)
        return problem or (changes, prior, False)
    refusal = check_free("metadata", request.metadata)
    if refusal is not None:
        return refusal
    asset = catalog.assets.get(request.asset)
    if asset is None:
        return invalid("asset", f"{request.asset!r} is unknown: create the asset first")
    try:
        units = to_units(request.amount, asset.scale)
    except AmountError as error:
        return invalid("amount", f"{request.amount} {error}")
    identifier = account_id(request.account_name or DEFAULT_ACCOUNT, asset.code)
    converted: Converted | None = None
    if isinstance(request, AdjustmentRequest):
        transaction_id = ids.next("adj")
        if request.convert_to is not None:
            outcome = convert_payment(request, request.convert_to, units, catalog, now)
            if isinstance(outcome, Problem):
                return outcome
            converted = outcome
            asset, units = catalog.assets[converted.asset], converted.units
            name = request.convert_to.account_name or DEFAULT_ACCOUNT
            identifier = account_id(name, asset.code)
        moved = _adjust(changes, identifier, request, units, asset.scale, transaction_id, now, ids)
    else:
        transaction_id = ids.next("chg")
        if units <= 0:
            return invalid("amount", f"is {request.amount}: a charge takes more than 0")
        account = changes.advanced(identifier, now)
        moved = debit(account, units, REVENUE, transaction_id, now, asset.scale)
        units = -units
    if isinstance(moved, Problem):
        return moved
    changes.put(moved)
    booked = BookedTransaction(transaction_id, request, identifier, units, now, converted)
    return changes, booked, True


def convert_payment(
    request: AdjustmentRequest,
    convert_to: ConvertTo,
    units: int,
    catalog: CatalogView,
    now: datetime,
) -> Converted | Problem:
    """Return what a payment becomes, rounded down to what people see of the asset."""
    target = catalog.assets.get(convert_to.asset)
    if target is None:
        shown = f"{convert_to.asset!r} is unknown"
        return invalid("convert_to.asset", f"{shown}: create the asset first")
    if target.code == request.asset:
        return invalid("convert_to.asset", f"is {target.code}, which was paid: leave it out")
    if units <= 0:
        return invalid("convert_to", "has no meaning for a debit: leave it out")
    if request.account_name is not None:
        remedy = "has no meaning beside convert_to, which has one: leave it out"
        return invalid("account_name", remedy)
    given = convert_to.exchange_rate
    if given is not None:
        wrong = [message for _, message in check_number("convert_to.exchange_rate", given)]
        if wrong or not given:
            remedy = wrong[0] if wrong else "is 0: send more than 0"
            return invalid("convert_to.exchange_rate", remedy)
    rate = worth(catalog.rates, request.asset, target.code, now)
    rate = rate if given is None else Fraction(given)
    if rate is None:
        return invalid("convert_to.asset", no_rate(request.asset, target.code, now))
    paid = Fraction(units, power_of_ten(catalog.assets[request.asset].scale))
    exact = paid * rate * 10**target.precision
    whole = exact.numerator // exact.denominator
    if not whole:
        return invalid("amount", f"is {request.amount}: it buys less than one unit; send more")
    bought = whole * 10 ** (target.scale - target.precision)
    if bought > MAX_UNITS:
        return invalid("amount", f"is {request.amount}: it buys more than the ledger can hold")
    return Converted(target.code, bought, shown_rate(rate), whole != exact)


def _conflict(prior: Any, request: AdjustmentRequest | ChargeRequest) -> Problem | None:
    first = prior.request
    if type(first) is not type(request):
        used = f"{request.transaction_id!r} was used for the {prior.kind} {prior.id}"
        return conflict("transaction_id", f"transaction_id {used}: use a new one")
    differing = [
        field
        for field in request.__struct_fields__
        if getattr(first, field) != getattr(request, field)
    ]
    if not differing:
        return None
    detail = (
        f"transaction_id {request.transaction_id!r} was used before with another "
        f"{', '.join(differing)}: use a new one for a new {prior.kind}"
    )
    return conflict(differing[0], detail, *differing[1:])


def _adjust(
    changes: Changes,
    identifier: str,
    request: AdjustmentRequest,
    units: int,
    scale: int,
    reference: str,
    now: datetime,
    ids: IdSource,
) -> Movement | Problem:
    counterpart = f"adjustments:{request.reason}"
    if units == 0:
        return invalid("amount", "is 0: send a positive amount to credit, a negative one to debit")
    account = changes.advanced(identifier, now)
    if units < 0:
        for field in ("effective_at", "expires_at", "priority", "limited_to"):
            if getattr(request, field) is not None:
                return invalid(field, "has no meaning for a debit: leave it out")
        return debit(account, -units, counterpart, reference, now, scale)
    for field, moment in (
        ("effective_at", request.effective_at),
        ("expires_at", request.expires_at),
    ):
        if moment is not None and not is_in_range(moment):
            return invalid(field, "lies outside the years 1970 to 8999: send another instant")
    effective_at = request.effective_at or now
    expires_at = request.expires_at
    if expires_at is not None and expires_at <= max(now, effective_at):
        return invalid(
            "expires_at",
            f"{expires_at.isoformat()} is not after the grant begins "
            f"({max(now, effective_at).isoformat()}): send a later instant",
        )
    refusal = check_credit(account, units)
    if refusal is not None:
        return refusal
    grant = Grant(
        id=ids.next("grt"),
        purpose=_PURPOSE_BY_REASON.get(request.reason, "paid"),
        priority=DEFAULT_PRIORITY if request.priority is None else request.priority,
        amount_units=units,
        remaining_units=units,
        effective_at=effective_at,
        expires_at=expires_at,
        created_at=now,
        terms=None if request.limited_to is None else GrantTerms(limited_to=request.limited_to),
    )
    return credit(account, grant, counterpart, reference, now)
