"""How a fee is given back: every unit to where it came from. A grant that is in force has it again
in its old place, also where it was used up; what a grant has paid that has expired meanwhile is
granted anew for `GRANTED_ANEW_FOR`; what was paid beyond the grants repays the overdraft. What was
paid out of a hold goes back to where the hold had it from, not to the hold.

Exactly what was charged comes back, and nothing counts it any more: neither tiers, nor discounts
and commitments (`reducing`), nor what rounding carries: the fees that stand come to what they are
worth together, as soon as another one follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from faregate.core.accounts import REVENUE, Transfer, overdraft_held
from faregate.core.amounts import plain, to_decimal
from faregate.core.conversion import paid_carry_key
from faregate.core.customers import Changes
from faregate.core.events import Fee
from faregate.core.grants import DEFAULT_PRIORITY, Grant, GrantTerms
from faregate.core.ids import IdSource
from faregate.core.problems import Problem, conflict
from faregate.core.reducing import NOTHING_TAKEN, Earlier, EarlierFees, count_back
from faregate.core.timeline import Draft
from faregate.core.wallet import check_credit

GRANTED_ANEW_FOR: Final = timedelta(days=30)
"""How long credit lives that comes in place of a grant that has expired."""


class Payment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Units (> 0) of a fee, and the ledger account that paid them: a grant, or the overdraft. As
    JSON an array: new fields come last."""

    account: str
    units: int


class ChargedFee(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fee, and who paid it, as far as that is known. As JSON an array."""

    fee: Fee
    payments: tuple[Payment, ...] = ()


def payments_of(fees: Sequence[Fee], transfers: Sequence[Transfer]) -> tuple[ChargedFee, ...]:
    """Find out who paid fees from the transfers that charged them."""
    paid: dict[str, list[Payment]] = {fee.id: [] for fee in fees}
    for transfer in transfers:
        if transfer.reference in paid:
            paid[transfer.reference].append(Payment(transfer.from_account, transfer.units))
    return tuple([ChargedFee(fee, tuple(paid[fee.id])) for fee in fees])


def give_back(
    changes: Changes,
    charged: Sequence[ChargedFee],
    grants: Mapping[str, Grant],
    now: datetime,
    ids: IdSource,
    scales: Mapping[str, int],
) -> list[str] | Problem:
    """Give fees back whole. `grants` has those that paid and are no longer part of the state,
    `scales` the decimals of their assets. Returns what is to be said about it; refuses what is not
    known to the last unit, rather than guess.
    """
    by_account: dict[str, list[ChargedFee]] = {}
    for one in charged:
        problem = _check_paid(one, grants, changes)
        if problem is not None:
            return problem
        if one.fee.debited_units:
            by_account.setdefault(one.fee.account_id, []).append(one)
    said: list[str] = []
    for identifier, several in by_account.items():
        account = changes.advanced(identifier, now)
        refusal = check_credit(account, sum([one.fee.debited_units for one in several]))
        if refusal is not None:
            return refusal
        returning = _Returning(Draft(account), grants, now, ids)
        # The overdraft first: a grant that has something again would repay it.
        for one in several:
            returning.repay(one)
        for one in several:
            returning.restore(one)
        said += returning.grant_anew(scales[account.asset])
        changes.put(returning.draft.movement())
    for one in charged:
        _count_back(changes, one.fee, now)
    return said


def earlier_fees(charged: Sequence[ChargedFee]) -> EarlierFees:
    """Return fees that are given back as `reducing` has them, for those in their place. What cost
    nothing from the beginning could not be reduced, and did not count."""
    return {
        (one.fee.price_id, one.fee.asset): Earlier(one.fee.reduced or NOTHING_TAKEN, one.fee.units)
        for one in charged
        if one.fee.gross_units
    }


def _count_back(changes: Changes, fee: Fee, now: datetime) -> None:
    """Let tiers, discounts, commitments and what rounding carries count a fee no longer."""
    if fee.counted is not None:
        changes.uncount(fee.price_id, fee.asset, fee.counted)
    reduced = fee.reduced
    if reduced is None:
        return
    of_price, of_payment = reduced.left_over
    if of_price != "0":
        key = (fee.price_id, fee.asset)
        changes.carries[key] = changes.carry(key) - int(of_price)
    if of_payment != "0":
        key = paid_carry_key(fee.price_id, fee.debited_asset)
        changes.carries[key] = changes.carry(key) - int(of_payment)
    count_back(changes, Earlier(reduced, fee.units), fee.asset, now)


def _check_paid(one: ChargedFee, grants: Mapping[str, Grant], changes: Changes) -> Problem | None:
    """Refuse a fee of which it is not known who paid it."""
    fee, remedy = one.fee, "give it back with an adjustment"
    account = changes.accounts.get(fee.account_id)
    present = {grant.id for grant in account.grants} if account is not None else set()
    for payment in one.payments:
        name = payment.account
        if name.startswith("hld_"):
            detail = f"fee {fee.id} was paid out of the hold {name}: {remedy}"
            return conflict("outcome", detail)
        if name.startswith("grt_") and name not in present and name not in grants:
            detail = f"fee {fee.id} was paid by {name}, which is not found: {remedy}"
            return conflict("outcome", detail)
    found = sum([payment.units for payment in one.payments])
    if found != fee.debited_units:
        detail = (
            f"who paid fee {fee.id} is not known to the last unit "
            f"({found} of {fee.debited_units} units are found): {remedy}"
        )
        return conflict("outcome", detail)
    return None


class _Returning:
    """Fees of one account on their way back. `_lapsed` has what cannot go back to its place, by the
    grant that it came from (None: from an overdraft that was repaid meanwhile), by fee."""

    def __init__(
        self, draft: Draft, grants: Mapping[str, Grant], now: datetime, ids: IdSource
    ) -> None:
        self.draft = draft
        self._known = {**grants, **{grant.id: grant for grant in draft.grants}}
        self._now = now
        self._ids = ids
        self._lapsed: dict[str | None, list[tuple[str, int]]] = {}

    def repay(self, one: ChargedFee) -> None:
        """Repay the overdraft what it has paid of a fee, as far as it is still used."""
        draft = self.draft
        for payment in one.payments:
            if payment.account.startswith("grt_"):
                continue
            used = draft.overdraft_units - overdraft_held(draft.holds.values())
            back = min(used, payment.units)
            if back:
                draft.overdraft_units -= back
                target = draft.account.overdraft_account
                draft.move(REVENUE, target, back, one.fee.id, self._now)
            if payment.units > back:
                rest = (one.fee.id, payment.units - back)
                self._lapsed.setdefault(None, []).append(rest)

    def restore(self, one: ChargedFee) -> None:
        """Let grants that are in force have again what they have paid of a fee."""
        for payment in one.payments:
            if not payment.account.startswith("grt_"):
                continue
            grant = self._known[payment.account]
            if grant.expires_at is not None and grant.expires_at <= self._now:
                self._lapsed.setdefault(grant.id, []).append((one.fee.id, payment.units))
                continue
            self.draft.move(REVENUE, grant.id, payment.units, one.fee.id, self._now)
            left = next((g.remaining_units for g in self.draft.grants if g.id == grant.id), 0)
            if left + payment.units > grant.amount_units:
                raise AssertionError(f"{grant.id} would have more than was granted")
            self.draft.put_back(grant, payment.units, self._now)

    def grant_anew(self, scale: int) -> list[str]:
        """Grant anew what cannot go back to its place; returns what is to be said about it."""
        said = []
        draft, now = self.draft, self._now
        for name, parts in self._lapsed.items():
            units = sum([part for _, part in parts])
            grant = self._new_grant(self._known.get(name or ""), units)
            for fee_id, part in parts:
                draft.move(REVENUE, grant.id, part, fee_id, now)
            draft.step.grants[grant.id] = grant
            draft.step.made = (*draft.step.made, grant)
            draft.begin(grant, now)
            amount = f"{plain(to_decimal(units, scale))} {draft.account.asset}"
            if grant.expires_at is None:
                said.append(
                    f"{amount} was paid by an overdraft that has been repaid since: "
                    f"granted as {grant.id}"
                )
                continue
            until = grant.expires_at.isoformat()
            said.append(
                f"{amount} came from {name}, which has expired: granted anew as {grant.id}, "
                f"until {until}"
            )
        return said

    def _new_grant(self, old: Grant | None, units: int) -> Grant:
        now, identifier = self._now, self._ids.next("grt")
        if old is None:
            # Who repaid the overdraft is not known any more: it is the customer's own, for good.
            return Grant(identifier, "paid", DEFAULT_PRIORITY, units, units, now, None, now)
        terms = msgspec.structs.replace(old.terms or GrantTerms(), instead_of=old.id)
        ends_at = now + GRANTED_ANEW_FOR
        return Grant(identifier, old.purpose, old.priority, units, units, now, ends_at, now, terms)
