"""Money that a customer has paid, as credit: a payment becomes one grant (and, where the seller
promises more for it, a second one beside it), and what goes back of it is taken back.

A payment is booked under a key of its own (`credit_key`), a refund or a dispute under theirs, so
each counts once, however often and in whatever order payment providers tell of it. What goes back
is taken from what the payment's own grant has left, then from what of it has expired, then as any
debit is, and at last below zero, whatever the account's overdraft policy says: the money is gone.

What does not live here: who collects the money, and where a payment stands (`payments`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from msgspec import structs

from faregate.core.accounts import BREAKAGE, Account, Movement, Transfer
from faregate.core.amounts import MAX_UNITS, to_decimal
from faregate.core.assets import Asset
from faregate.core.bonuses import Bonus
from faregate.core.customers import Changes, CustomerState
from faregate.core.grants import DEFAULT_PRIORITY, Grant, Use, burn, with_remaining
from faregate.core.ids import IdSource
from faregate.core.limiting import Notice
from faregate.core.problems import Problem, conflict, invalid
from faregate.core.refunds import GRANTED_ANEW_FOR
from faregate.core.rules import CustomerRules
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
    currency, out of the ledger account `source`. `is_restored`: a dispute that was won gives again
    what it took."""

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


class PaymentReturn(msgspec.Struct, frozen=True, omit_defaults=True):
    """Money that has gone back: `units` (> 0) of what the payment brought, and `bonus_units` of
    what came beside it. `grant_id` and `bonus_grant_id` name the payment's grants; `expired_units`
    and `bonus_expired_units` are what of those has expired and was not taken back yet."""

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
    """Let others be told, once, that a payment has failed. It moves nothing."""

    customer_id: str
    request: PaymentFailed


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
    request: PaymentCredit | PaymentReturn | PaymentFailed
    account_id: str
    units: int
    created_at: datetime
    entry: PaymentEntry

    @property
    def kind(self) -> str:
        """Return `payment`, `payment_return` or `payment_failed`."""
        if isinstance(self.request, PaymentFailed):
            return "payment_failed"
        return "payment" if isinstance(self.request, PaymentCredit) else "payment_return"


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


def notice_of(
    customer_id: str, booked: BookedPayment, assets: Mapping[str, Asset]
) -> Notice | None:
    """Return what is told of a payment that was booked just now; None: nothing."""
    request = booked.request
    if isinstance(request, PaymentReturn) or (
        isinstance(request, PaymentCredit) and request.is_restored
    ):
        return None
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
) -> PaymentDecided | Problem:
    """Decide a command on a payment."""
    changes = Changes(state)
    prior = known.get(command.request.transaction_id)
    if prior is not None:
        return _repeated(changes, prior, command)
    if isinstance(command, CreditPayment):
        return _credit(changes, command.request, now, ids)
    if isinstance(command, TellPayment):
        failed = command.request
        booked = BookedPayment(ids.next("pmt"), failed, failed.account_id, 0, now, PaymentEntry())
        return PaymentDecided(changes, booked, is_new=True)
    return _return(changes, command.request, now, ids)


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
    paid = _grant(ids, "paid", request.units, request.expires_at, now)
    changes.put(credit(account, paid, request.source, booked_id, now))
    entry = PaymentEntry(paid.id)
    if bonus is not None:
        given = _grant(ids, "promotion", bonus.units, bonus.expires_at, now)
        account = changes.advanced(request.account_id, now)
        changes.put(credit(account, given, "adjustments:bonus", booked_id, now))
        entry = PaymentEntry(paid.id, given.id, bonus.units)
    booked = BookedPayment(booked_id, request, account.id, request.units + extra, now, entry)
    if bonus is None or not bonus.is_once:
        return PaymentDecided(changes, booked, is_new=True)
    had = (*rules.bonuses, bonus.rule)[-MAX_HAD:]
    rules = structs.replace(rules, bonuses=had)
    return PaymentDecided(changes, booked, is_new=True, rules=rules)


def _grant(
    ids: IdSource, purpose: str, units: int, expires_at: datetime | None, now: datetime
) -> Grant:
    if expires_at is not None and expires_at <= now:
        # It was paid so late that it would be lost at once.
        expires_at = now + GRANTED_ANEW_FOR
    return Grant(ids.next("grt"), purpose, DEFAULT_PRIORITY, units, units, now, expires_at, now)


def _return(
    changes: Changes, request: PaymentReturn, now: datetime, ids: IdSource
) -> PaymentDecided | Problem:
    changes.advanced_accounts(now)
    booked_id = ids.next("pmt")
    taking = _Taking(changes, request.account_id, booked_id, now)
    left = taking.from_grant(request.grant_id, request.units, request.source)
    left = taking.from_broken(request.grant_id, request.expired_units, left, request.source)
    broken, taking.broken = taking.broken, 0
    bonus_left = 0
    if request.bonus_grant_id is not None and request.bonus_units:
        bonus = request.bonus_grant_id
        bonus_left = taking.from_grant(bonus, request.bonus_units, "adjustments:bonus")
        bonus_left = taking.from_broken(
            bonus, request.bonus_expired_units, bonus_left, "adjustments:bonus"
        )
    for units, target in ((left, request.source), (bonus_left, "adjustments:bonus")):
        refusal = taking.from_anywhere(units, target)
        if refusal is not None:
            return refusal
    entry = PaymentEntry(
        taken_units=taking.taken,
        broken_units=broken,
        bonus_broken_units=taking.broken,
        owed_units=taking.owed,
    )
    units = -(taking.taken + taking.owed)
    booked = BookedPayment(booked_id, request, request.account_id, units, now, entry)
    return PaymentDecided(changes, booked, is_new=True)


class _Taking:
    """Takes back what a payment brought, and keeps count of where it was."""

    def __init__(self, changes: Changes, account_id: str, reference: str, now: datetime) -> None:
        self._changes = changes
        self._account_id = account_id
        self._reference = reference
        self._now = now
        self.taken = 0
        self.broken = 0
        self.owed = 0

    @property
    def _account(self) -> Account:
        return self._changes.advanced(self._account_id, self._now)

    def from_grant(self, grant_id: str, units: int, target: str) -> int:
        """Take what one grant has left; returns the units that it does not have."""
        account = self._account
        found = next((g for g in account.grants if g.id == grant_id), None)
        if found is None or not units:
            return units
        taken = min(units, found.remaining_units)
        after = with_remaining(found, found.remaining_units - taken)
        kept = [after if g is found else g for g in account.grants]
        grants = tuple([g for g in kept if g.remaining_units])
        self._move(account, grants, [(after, taken)], 0, target)
        self.taken += taken
        return units - taken

    def from_broken(self, grant_id: str, expired_units: int, units: int, target: str) -> int:
        """Take what has expired of a grant, which is the seller's now; returns what is missing."""
        for transfer in self._changes.transfers:
            if transfer.from_account == grant_id and transfer.to_account == BREAKAGE:
                # It has expired just now.
                expired_units += transfer.units
        broken = min(units, expired_units)
        if broken:
            asset = self._account.asset
            self._changes.transfers.append(
                Transfer(asset, BREAKAGE, target, broken, self._reference, self._now)
            )
            self.broken += broken
        return units - broken

    def from_anywhere(self, units: int, target: str) -> Problem | None:
        """Take units as any debit does, and what is missing below zero, whatever the policy."""
        if not units:
            return None
        account = self._account
        grants, uses, missing = burn(account.grants, units)
        if account.overdraft_units + missing > MAX_UNITS:
            return invalid("amount", "would take the balance below what the ledger can hold")
        self._move(account, grants, uses, missing, target)
        self.owed += units
        return None

    def _move(
        self,
        account: Account,
        grants: tuple[Grant, ...],
        uses: list[Use],
        missing: int,
        target: str,
    ) -> None:
        def move(source: str, units: int) -> Transfer:
            return Transfer(account.asset, source, target, units, self._reference, self._now)

        transfers = [move(grant.id, taken) for grant, taken in uses]
        if missing:
            transfers.append(move(account.overdraft_account, missing))
        after = structs.replace(
            account,
            grants=grants,
            overdraft_units=account.overdraft_units + missing,
            available_units=account.available_units - sum(t.units for t in transfers),
        )
        self._changes.put(Movement(after, tuple(transfers), tuple([g for g, _ in uses])))
