"""Operations that tell what happened to a customer, and what is left for what comes: their newest
events, their open holds, what moved their money, and their grants in the order in which they will
be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from faregate.core.accounts import Account, overdraft_held
from faregate.core.amounts import to_decimal
from faregate.core.decision import Transaction
from faregate.core.events import BookedEvent
from faregate.core.gate import HoldView, view
from faregate.core.order_in_words import places
from faregate.customers.types import ShownGrant, WalletAccount
from faregate.engine.base import EngineBase, Page
from faregate.engine.wallets import show_account, show_grant
from faregate.ledger import history
from faregate.platform.environments import AccountContext

MAX_LATEST = 100
"""Events that one look returns."""


class PlacedGrant(msgspec.Struct, frozen=True):
    """A grant in its place in the order of use, and why it is there. `held` is what of it holds
    have set aside, which is no longer part of what is left."""

    grant: ShownGrant
    held: Decimal
    why: str


class AccountInUse(msgspec.Struct, frozen=True):
    """An account with its grants in the order in which they are used; `scheduled` ones begin later,
    the first to begin first. `overdrawn` is what was used beyond them, `held` what all open holds
    have set aside; all in whole assets."""

    account: WalletAccount
    overdrawn: Decimal
    held: Decimal
    grants: list[PlacedGrant]
    scheduled: list[ShownGrant]

    @property
    def total(self) -> Decimal:
        """What is not used yet: what is available, and what holds have set aside."""
        return self.account.available + self.held


class HistoryOperations(EngineBase):
    """What happened to a customer, and what is left."""

    async def order_of_use(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> list[AccountInUse]:
        """Return a customer's accounts, each with its grants in the order in which they will be
        used, and why each comes where it does. Raises 404."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        accounts = (await self._present(environment, lane, customer_id)).accounts
        return [_in_use(a, self._scale(environment, a.id)) for a in accounts.values()]

    async def open_holds(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> list[HoldView]:
        """Return a customer's open holds as they are now, the newest first, without a look at those
        that have ended, of which there may be any number. Raises 404."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        accounts = (await self._present(environment, lane, customer_id)).accounts
        found = [view(hold, a) for a in accounts.values() for hold in a.holds.values()]
        return sorted(found, key=lambda hold: hold.id, reverse=True)

    async def latest_of_customer(
        self, customer_id: str, limit: int = 20, *, context: AccountContext | None = None
    ) -> list[BookedEvent]:
        """Return a customer's newest events (at most 100) as they stand, with their fees, the
        newest first. Raises 404."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        most = min(limit, MAX_LATEST)
        return await history.latest_events(self._store, lane.number, customer_id, most)

    async def list_transactions(
        self,
        customer_id: str,
        limit: int = 20,
        offset: int = 0,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List what moved a customer's money beside use, the newest first: adjustments, charges,
        payments and what went back of them, what subscriptions asked. Raises 404."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        found: list[Transaction]
        found, total = await history.list_transactions(
            self._store, lane.number, customer_id, limit, offset
        )
        return Page(found, total, limit, offset)


def _in_use(account: Account, scale: int) -> AccountInUse:
    held = _held_of_grants(account)
    beyond = account.overdraft_units - overdraft_held(account.holds.values())
    placed = [
        PlacedGrant(show_grant(grant, scale), to_decimal(held.get(grant.id, 0), scale), why)
        for grant, why in zip(account.grants, places(account.grants), strict=True)
    ]
    return AccountInUse(
        show_account(account, scale),
        to_decimal(max(0, beyond), scale),
        to_decimal(account.pending_out_units, scale),
        placed,
        [show_grant(grant, scale) for grant in account.scheduled],
    )


def _held_of_grants(account: Account) -> Mapping[str, int]:
    """Return how many units of each grant open holds have set aside."""
    held: dict[str, int] = {}
    for hold in account.holds.values():
        for part in hold.parts:
            if part.grant is not None:
                held[part.grant.id] = held.get(part.grant.id, 0) + part.units
    return held
