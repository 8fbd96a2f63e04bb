"""Money that a customer has paid, as credit: a payment becomes one grant (and, where the seller
promises more for it, a second one beside it), and what goes back of it is taken back.

A payment is booked under a key of its own (`credit_key`), a refund or a dispute under theirs, so
each counts once, however often and in whatever order payment providers tell of it. Where what goes
back is taken from is in `returning`.

What does not live here: who collects the money, and where a payment stands (`payments`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from msgspec import structs

from faregate.core.accounts import BREAKAGE, Transfer
from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset
from faregate.core.bonuses import Bonus
from faregate.core.customers import Changes, CustomerState
from faregate.core.grants import DEFAULT_PRIORITY, Grant
from faregate.core.ids import IdSource
from faregate.core.limiting import Notice
from faregate.core.problems import Problem, conflict, invalid
from faregate.core.refunds import GRANTED_ANEW_FOR
from faregate.core.returning import BONUS_SOURCE, Part, Taking
from faregate.core.rules import CustomerRules, with_dispute, without_dispute
from faregate.core.wallet import check_credit, credit

MAX_HAD: Final = 500
"""Bonuses that count once of which it is remembered that a customer had them: the newest."""
RESERVED: Final = "payment:"
"""Begins the keys of payments, which no caller's transaction id may begin with."""
ReturnReason = Literal["refund", "dispute"]


def credit_key(payment_id: str) -> str:
    """Return the key under which a payment's credit is booked."""
    return f"{RESERVED}{payment_id}"


def return_key(return_id: str) -> str:
    """Return the key under which a refund, or what a dispute takes, is booked."""
    return f"{RESERVED}{return_id}"


def restored_key(return_id: str) -> str:
    """Return the key under which what a dispute took is given again, once it is won."""
    return f"{RESERVED}{return_id}:won"


class PaymentCredit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Credit for money that has come in: `units` (> 0) of an account for `paid_units` of a
    currency, out of the ledger account `source`. `is_restored`: a dispute that was won, or a refund
    that came to nothing (`restores` says which), gives again what it took: to the customer, and to
    the seller what had expired (`broken_units`, `bonus_broken_units`). Then `units` may be 0."""

    transaction_id: str
    payment_id: str
    account_id: str
    units: int
    source: str
    paid_asset: str
    paid_units: int
    expires_at: datetime | None = None
    bonus: Bonus | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    is_restored: bool = False
    return_id: str | None = None
    restores: ReturnReason | None = None
    broken_units: int = 0
    bonus_broken_units: int = 0


class PaymentReturn(msgspec.Struct, frozen=True, omit_defaults=True):
    """Money that has gone back: `units` (> 0) of what the payment brought, and `bonus_units` of
    what came beside it. `grant_id` and `bonus_grant_id` name the payment's grants; `expired_units`
    and `bonus_expired_units` are what of those has expired and was not taken back yet. `again` and
    `bonus_again` are grants that came in place of those, once a dispute was won. `paid_units` of
    `paid_asset` are the money."""

    transaction_id: str
    payment_id: str
    account_id: str
    units: int
    source: str
    reason: ReturnReason
    grant_id: str
    expired_units: int = 0
    bonus_units: int = 0
    bonus_grant_id: str | None = None
    bonus_expired_units: int = 0
    again: tuple[str, ...] = ()
    bonus_again: tuple[str, ...] = ()
    return_id: str = ""
    paid_asset: str = ""
    paid_units: int = 0


class ReturnSettled(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refund has reached the customer, or a dispute is lost: what was taken for it stays taken.
    It moves nothing."""

    transaction_id: str
    payment_id: str
    account_id: str
    return_id: str
    reason: ReturnReason
    paid_asset: str
    paid_units: int


class CreditPayment(msgspec.Struct, frozen=True):
    """Book what a payment brings."""

    customer_id: str
    request: PaymentCredit


class ReturnPayment(msgspec.Struct, frozen=True):
    """Book what goes back of a payment."""

    customer_id: str
    request: PaymentReturn


class PaymentFailed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A payment came to nothing: `problem` says why."""

    transaction_id: str
    payment_id: str
    account_id: str
    paid_asset: str
    paid_units: int
    problem: str | None = None


class TellPayment(msgspec.Struct, frozen=True):
    """Let others be told, once, that a payment has failed, or that what was taken of it stays
    taken. It moves nothing."""

    customer_id: str
    request: PaymentFailed | ReturnSettled


PaymentCommand = CreditPayment | ReturnPayment | TellPayment


class PaymentEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which grants a payment made, or what a return took: `taken_units` from the payment's own
    grants, `broken_units` and `bonus_broken_units` of what of them had
    expired, `owed_units` from elsewhere in the account."""

    grant_id: str | None = None
    bonus_grant_id: str | None = None
    bonus_units: int = 0
    taken_units: int = 0
    broken_units: int = 0
    bonus_broken_units: int = 0
    owed_units: int = 0


class BookedPayment(msgspec.Struct, frozen=True):
    """A payment, or what has gone back of one, that is in the ledger. `units` is signed: what the
    account gained."""

    id: str
    request: PaymentCredit | PaymentReturn | PaymentFailed | ReturnSettled
    account_id: str
    units: int
    created_at: datetime
    entry: PaymentEntry

    @property
    def kind(self) -> str:
        """Return `payment`, `payment_return`, `payment_failed` or `return_settled`."""
        return _KINDS[type(self.request)]


_KINDS: Final[Mapping[type, str]] = {
    PaymentCredit: "payment",
    PaymentReturn: "payment_return",
    PaymentFailed: "payment_failed",
    ReturnSettled: "return_settled",
}


class TopUpNotice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of a payment: what was asked for, and the credit that it brought, with what came
    beside it (`bonus`). Amounts as in the API."""

    customer_id: str
    top_up_id: str
    account_id: str
    amount: Decimal
    currency: str
    at: datetime
    credit: Decimal | None = None
    bonus: Decimal | None = None
    problem: str | None = None


class ReturnNotice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of money that goes back: so much of a currency, and the credit that the customer
    lost by that, or has again. Amounts as in the API."""

    customer_id: str
    top_up_id: str
    return_id: str
    account_id: str
    amount: Decimal
    currency: str
    at: datetime
    credit: Decimal | None = None


def notice_of(
    customer_id: str, booked: BookedPayment, assets: Mapping[str, Asset]
) -> Notice | None:
    """Return what is told of a payment that was booked just now; None: nothing."""
    request = booked.request
    if isinstance(request, (PaymentReturn, ReturnSettled)) or (
        isinstance(request, PaymentCredit) and request.is_restored
    ):
        return _notice_of_return(customer_id, booked, assets)
    told = TopUpNotice(
        customer_id,
        request.payment_id,
        booked.account_id,
        to_decimal(request.paid_units, assets[request.paid_asset].scale),
        request.paid_asset,
        booked.created_at,
    )
    if isinstance(request, PaymentFailed):
        return Notice("top_up.failed", structs.replace(told, problem=request.problem))
    scale, bonus = assets[booked.account_id.rpartition(":")[2]].scale, booked.entry.bonus_units
    told = structs.replace(
        told,
        credit=to_decimal(booked.units - bonus, scale),
        bonus=to_decimal(bonus, scale) if bonus else None,
    )
    return Notice("top_up.succeeded", told)


def _notice_of_return(
    customer_id: str, booked: BookedPayment, assets: Mapping[str, Asset]
) -> Notice | None:
    request = booked.request
    if isinstance(request, PaymentReturn):
        if request.reason == "refund":
            # That is told when the money has gone.
            return None
        topic = "payment.disputed"
    elif isinstance(request, ReturnSettled):
        topic = "payment.refunded" if request.reason == "refund" else "payment.dispute_lost"
    elif isinstance(request, PaymentCredit) and request.restores == "dispute":
        topic = "payment.dispute_won"
    else:
        topic = "payment.refund_failed"
    scale = assets[booked.account_id.rpartition(":")[2]].scale
    told = ReturnNotice(
        customer_id,
        request.payment_id,
        getattr(request, "return_id", None) or "",
        booked.account_id,
        to_decimal(request.paid_units, assets[request.paid_asset].scale),
        request.paid_asset,
        booked.created_at,
        to_decimal(abs(booked.units), scale) if booked.units else None,
    )
    return Notice(topic, told)


class PaymentDecided(msgspec.Struct, frozen=True):
    """What a command on a payment comes to. `is_new` False: it is a repeat, with no changes;
    `rules` are the customer's, where they have changed."""

    changes: Changes
    booked: BookedPayment
    is_new: bool
    rules: CustomerRules | None = None


def failed_key(payment_id: str) -> str:
    """Return the key under which it is told that a payment has failed."""
    return f"{RESERVED}{payment_id}:failed"


def settled_key(return_id: str) -> str:
    """Return the key under which it is told that a refund has arrived, or a dispute is lost."""
    return f"{RESERVED}{return_id}:done"


def check_transaction_id(transaction_id: str) -> Problem | None:
    """Refuse a caller's id that could be taken for a payment's."""
    if not transaction_id.startswith(RESERVED):
        return None
    remedy = f"begins with {RESERVED!r}, which is kept for payments: use another one"
    return invalid("transaction_id", f"{transaction_id!r} {remedy}")


def share(units: int, part: int, whole: int) -> int:
    """Return which units go with `part` of a `whole` payment, rounded down; all of them with all of
    it. Shares of growing parts never fall, so what is returned bit by bit adds up.

    >>> share(100, 1, 3), share(100, 2, 3), share(100, 3, 3)
    (33, 66, 100)
    """
    return units * part // whole


def decide_payment(
    state: CustomerState,
    known: Mapping[str, Any],
    command: PaymentCommand,
    now: datetime,
    ids: IdSource,
    *,
    blocks_on_dispute: bool = False,
) -> PaymentDecided | Problem:
    """Decide a command on a payment; `blocks_on_dispute`: one that is disputed blocks its
    customer."""
    changes = Changes(state)
    prior = known.get(command.request.transaction_id)
    if prior is not None:
        return _repeated(changes, prior, command)
    if isinstance(command, CreditPayment):
        return _credit(changes, command.request, now, ids)
    if isinstance(command, TellPayment):
        told = command.request
        booked = BookedPayment(ids.next("pmt"), told, told.account_id, 0, now, PaymentEntry())
        return PaymentDecided(changes, booked, is_new=True)
    return _return(changes, command.request, now, ids, blocks_on_dispute=blocks_on_dispute)


def _repeated(changes: Changes, prior: Any, command: PaymentCommand) -> PaymentDecided | Problem:
    request = command.request
    if isinstance(prior, BookedPayment) and type(prior.request) is type(request):
        # What is the same payment may be told with other words; what it brought stands.
        return PaymentDecided(changes, prior, is_new=False)
    detail = f"{request.transaction_id!r} was used for the {prior.kind} {prior.id}"
    return conflict("transaction_id", detail)


def _credit(
    changes: Changes, request: PaymentCredit, now: datetime, ids: IdSource
) -> PaymentDecided | Problem:
    rules = changes.state.rules
    bonus = request.bonus
    if bonus is not None and bonus.is_once and bonus.rule in rules.bonuses:
        bonus = None
    account = changes.advanced(request.account_id, now)
    extra = 0 if bonus is None else bonus.units
    refusal = check_credit(account, request.units + extra)
    if refusal is not None:
        return refusal
    booked_id = ids.next("pmt")
    entry = PaymentEntry()
    if request.units:
        paid = _grant(ids, "paid", request.units, request.expires_at, now)
        changes.put(credit(account, paid, request.source, booked_id, now))
        entry = PaymentEntry(paid.id)
    if bonus is not None:
        given = _grant(ids, "promotion", bonus.units, bonus.expires_at, now)
        account = changes.advanced(request.account_id, now)
        changes.put(credit(account, given, BONUS_SOURCE, booked_id, now))
        entry = PaymentEntry(entry.grant_id, given.id, bonus.units)
    for broken, source in (
        (request.broken_units, request.source),
        (request.bonus_broken_units, BONUS_SOURCE),
    ):
        if broken:
            moved = Transfer(account.asset, source, BREAKAGE, broken, booked_id, now)
            changes.transfers.append(moved)
    booked = BookedPayment(booked_id, request, account.id, request.units + extra, now, entry)
    if request.restores == "dispute":
        rules = without_dispute(rules, request.payment_id)
    elif bonus is not None and bonus.is_once:
        had = (*rules.bonuses, bonus.rule)[-MAX_HAD:]
        rules = structs.replace(rules, bonuses=had)
    changed = None if rules == changes.state.rules else rules
    return PaymentDecided(changes, booked, is_new=True, rules=changed)


def _grant(
    ids: IdSource, purpose: str, units: int, expires_at: datetime | None, now: datetime
) -> Grant:
    if expires_at is not None and expires_at <= now:
        # It was paid so late that it would be lost at once.
        expires_at = now + GRANTED_ANEW_FOR
    return Grant(ids.next("grt"), purpose, DEFAULT_PRIORITY, units, units, now, expires_at, now)


def _return(
    changes: Changes,
    request: PaymentReturn,
    now: datetime,
    ids: IdSource,
    *,
    blocks_on_dispute: bool,
) -> PaymentDecided | Problem:
    changes.advanced_accounts(now)
    booked_id = ids.next("pmt")
    taking = Taking(changes, request.account_id, booked_id, now)
    own = (request.grant_id, *request.again)
    paid = Part(request.units, request.source, own, request.expired_units)
    left, broken = taking.own(paid)
    bonus_left = bonus_broken = 0
    if request.bonus_grant_id is not None and request.bonus_units:
        own = (request.bonus_grant_id, *request.bonus_again)
        bonus = Part(request.bonus_units, BONUS_SOURCE, own, request.bonus_expired_units)
        bonus_left, bonus_broken = taking.own(bonus)
    for units, target in ((left, request.source), (bonus_left, BONUS_SOURCE)):
        refusal = taking.anywhere(units, target)
        if refusal is not None:
            return refusal
    entry = PaymentEntry(
        taken_units=taking.taken_units,
        broken_units=broken,
        bonus_broken_units=bonus_broken,
        owed_units=taking.owed_units,
    )
    units = -(taking.taken_units + taking.owed_units)
    booked = BookedPayment(booked_id, request, request.account_id, units, now, entry)
    rules = None
    if blocks_on_dispute and request.reason == "dispute":
        rules = with_dispute(changes.state.rules, request.payment_id)
    return PaymentDecided(changes, booked, is_new=True, rules=rules)
