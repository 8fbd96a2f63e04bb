"""Where what goes back of a payment is taken from: first what the payment's own grants have left,
then what of them has expired (which the seller has kept, and gives back), then any credit of the
account as any debit takes it, and at last below zero, whatever the account's overdraft policy says:
the money is gone.

What is set aside by a hold stays there: the hold was granted. It is missing below zero until the
hold lets go of it, or is charged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from msgspec import structs

from faregate.core.accounts import BREAKAGE, Account, Movement, Transfer
from faregate.core.amounts import MAX_UNITS
from faregate.core.customers import Changes
from faregate.core.grants import Grant, Use, burn, with_remaining
from faregate.core.problems import Problem, invalid

BONUS_SOURCE: Final = "adjustments:bonus"
"""Where bonuses come from, and go back to."""


class Part(NamedTuple):
    """Units to be taken of what one source brought: of these grants, of which so much has expired
    and was not taken back yet."""

    units: int
    target: str
    grant_ids: tuple[str, ...]
    expired_units: int = 0


class Taking:
    """Takes back what a payment brought, and keeps count of where it was: `taken_units` in its own
    grants, `owed_units` elsewhere in the account or below zero."""

    def __init__(self, changes: Changes, account_id: str, reference: str, now: datetime) -> None:
        self._changes = changes
        self._account_id = account_id
        self._reference = reference
        self._now = now
        self.taken_units = 0
        self.owed_units = 0

    @property
    def _account(self) -> Account:
        return self._changes.advanced(self._account_id, self._now)

    def own(self, part: Part) -> tuple[int, int]:
        """Take from the payment's own grants, and what has expired of them; returns the units that
        are missing, and those that had expired."""
        left = part.units
        for grant_id in part.grant_ids:
            left = self._from_grant(grant_id, left, part.target)
        broken = self._from_broken(part, left)
        return left - broken, broken

    def _from_grant(self, grant_id: str, units: int, target: str) -> int:
        account = self._account
        found = next((grant for grant in account.grants if grant.id == grant_id), None)
        if found is None or not units:
            return units
        taken = min(units, found.remaining_units)
        after = with_remaining(found, found.remaining_units - taken)
        kept = [after if grant is found else grant for grant in account.grants]
        grants = tuple([grant for grant in kept if grant.remaining_units])
        self._move(account, grants, [(after, taken)], 0, target)
        self.taken_units += taken
        return units - taken

    def _from_broken(self, part: Part, units: int) -> int:
        """Take what has expired, which is the seller's now, and is no longer in the account."""
        expired = part.expired_units
        for transfer in self._changes.transfers:
            is_own = transfer.from_account in part.grant_ids or transfer.reference in part.grant_ids
            if is_own and transfer.to_account == BREAKAGE:
                # It has expired just now, or a hold has let go of what had.
                expired += transfer.units
        broken = min(units, expired)
        if broken:
            asset = self._account.asset
            self._changes.transfers.append(
                Transfer(asset, BREAKAGE, part.target, broken, self._reference, self._now)
            )
        return broken

    def anywhere(self, units: int, target: str) -> Problem | None:
        """Take units as any debit does, and what is missing below zero, whatever the policy."""
        if not units:
            return None
        account = self._account
        grants, uses, missing = burn(account.grants, units)
        if account.overdraft_units + missing > MAX_UNITS:
            return invalid("amount", "would take the balance below what the ledger can hold")
        self._move(account, grants, uses, missing, target)
        self.owed_units += units
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
        self._changes.put(Movement(after, tuple(transfers), tuple([grant for grant, _ in uses])))
