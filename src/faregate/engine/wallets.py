"""Operations on wallets: credit, charges, balances."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import cast

import msgspec
from msgspec import UNSET, UnsetType

from faregate.core.accounts import Account, open_account
from faregate.core.alerts import check_threshold
from faregate.core.amounts import AmountError, Number, to_decimal, to_units
from faregate.core.codec import checked
from faregate.core.decision import Command, SetLowBalance, SetOverdraft, Transaction
from faregate.core.events import (
    Fee,
)
from faregate.core.grants import Grant
from faregate.core.prices import ACCOUNT_NAME
from faregate.core.problems import (
    NOT_FOUND,
    FaregateError,
    Problem,
    invalid,
)
from faregate.core.transactions import (
    Adjust,
    AdjustmentRequest,
    BookedTransaction,
    Charge,
    ChargeRequest,
)
from faregate.customers.types import (
    Overdraft,
    ShownGrant,
    Wallet,
    WalletAccount,
)
from faregate.engine.base import EngineBase, Page, page_of
from faregate.ledger import reading
from faregate.platform.environments import AccountContext


class BookedFee(msgspec.Struct, frozen=True):
    """A fee of an event, and when it was booked."""

    fee: Fee
    created_at: datetime


class WalletOperations(EngineBase):
    """Credit, charges, balances."""

    async def adjust(
        self,
        customer_id: str,
        request: AdjustmentRequest,
        *,
        context: AccountContext | None = None,
    ) -> BookedTransaction:
        """Credit or debit a wallet."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        return cast(
            BookedTransaction, await lane.submit(Adjust(customer_id, checked(request)), environment)
        )

    async def charge(
        self, customer_id: str, request: ChargeRequest, *, context: AccountContext | None = None
    ) -> BookedTransaction:
        """Charge a wallet an ad-hoc fee."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        return cast(
            BookedTransaction, await lane.submit(Charge(customer_id, checked(request)), environment)
        )

    async def get_transaction(
        self, customer_id: str, identifier: str, *, context: AccountContext | None = None
    ) -> Transaction | BookedFee:
        """Find an adjustment, a charge, what was captured, or an event's fee, by its id or the
        caller's own."""
        lane = await self._lane_of(await self._look(context), customer_id)
        if identifier.startswith("fee_"):
            fee = await reading.read_fee(self._store, lane.number, customer_id, identifier)
            if fee is not None:
                return BookedFee(*fee)
        booked = await reading.read_transaction(self._store, lane.number, customer_id, identifier)
        if booked is None:
            raise FaregateError(Problem(NOT_FOUND, f"there is no transaction {identifier!r}"))
        return booked

    async def set_overdraft(
        self,
        customer_id: str,
        account: str,
        request: Overdraft,
        *,
        context: AccountContext | None = None,
    ) -> WalletAccount:
        """Say how far an account may go below zero. Raises 404, 422."""
        return await self.update_account(customer_id, account, request, context=context)

    async def update_account(
        self,
        customer_id: str,
        account: str,
        overdraft: Overdraft | UnsetType = UNSET,
        low_balance_threshold: Number | UnsetType | None = UNSET,
        *,
        context: AccountContext | None = None,
    ) -> WalletAccount:
        """Say how far an account may go below zero, and below what it is low (0: never, None: as
        its asset says). What is not given stays. Raises 404, 422."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        scale = self._scale(environment, account)
        if not ACCOUNT_NAME.fullmatch(account.rpartition(":")[0]):
            remedy = "has 1 to 64 letters, digits, '_', '.' or '-': use another name"
            raise FaregateError(invalid("account_id", f"{account[:100]!r}: the name {remedy}"))
        commands: list[Command] = []
        if not isinstance(overdraft, UnsetType):
            commands.append(_overdraft(customer_id, account, checked(overdraft), scale))
        if not isinstance(low_balance_threshold, UnsetType):
            units = None
            if low_balance_threshold is not None:
                field = "low_balance_threshold"
                problem = check_threshold(field, low_balance_threshold, scale)
                if problem is not None:
                    raise FaregateError(problem)
                units = to_units(low_balance_threshold, scale)
            commands.append(SetLowBalance(customer_id, account, units))
        if not commands:
            detail = "or low_balance_threshold is missing: say what changes"
            raise FaregateError(invalid("overdraft", detail))
        # All that can be wrong has been looked at: both happen, and to send them again is harmless.
        changed = [cast(Account, await lane.submit(command, environment)) for command in commands]
        return show_account(changed[-1], scale)

    async def get_wallet(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> Wallet:
        """Return every account of a customer, with its balance now."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        accounts = (await self._present(environment, lane, customer_id)).accounts
        return Wallet([show_account(a, self._scale(environment, a.id)) for a in accounts.values()])

    async def get_account(
        self, customer_id: str, account: str, *, context: AccountContext | None = None
    ) -> WalletAccount:
        """Return one account's balance now; an account that was never used has 0."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        scale = self._scale(environment, account)
        accounts = (await self._present(environment, lane, customer_id)).accounts
        return show_account(accounts.get(account) or open_account(account), scale)

    async def list_grants(
        self,
        customer_id: str,
        account: str,
        limit: int = 20,
        offset: int = 0,
        keep: Callable[[Grant, datetime], bool] = lambda _grant, _now: True,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List an account's grants, the newest first, that `keep` says yes to."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        scale = self._scale(environment, account)
        present = await self._present(environment, lane, customer_id)
        found = await reading.list_grants(self._store, lane.number, customer_id, account, present)
        shown = [show_grant(grant, scale) for grant in found if keep(grant, present.now)]
        return page_of(shown, limit, offset)


def _overdraft(customer_id: str, account: str, request: Overdraft, scale: int) -> SetOverdraft:
    limit = request.limit
    if (request.policy == "limit") != (limit is not None):
        raise FaregateError(invalid("limit", "belongs to the policy 'limit', and only to it"))
    try:
        units = 0 if limit is None else to_units(limit, scale)
    except AmountError as error:
        raise FaregateError(invalid("limit", f"{limit} {error}")) from None
    return SetOverdraft(customer_id, account, request.policy, units)


def show_grant(grant: Grant, scale: int) -> ShownGrant:
    """Return a grant as the API shows it."""
    return ShownGrant(
        grant.id,
        to_decimal(grant.remaining_units, scale),
        grant.effective_at,
        grant.expires_at,
        grant.purpose,
        grant.created_at,
        to_decimal(grant.amount_units, scale),
        grant.priority,
        *(() if grant.terms is None else msgspec.structs.astuple(grant.terms)),
    )


def show_account(account: Account, scale: int) -> WalletAccount:
    """Return an account's balance as the API shows it."""
    limit = to_decimal(account.overdraft_limit_units, scale)
    is_limited = account.overdraft_policy == "limit"
    low = account.watch.low_units
    return WalletAccount(
        account.id,
        account.name,
        account.asset,
        to_decimal(account.available_units, scale),
        to_decimal(0, scale),
        to_decimal(account.pending_out_units, scale),
        msgspec.convert(
            {"policy": account.overdraft_policy, **({"limit": limit} if is_limited else {})},
            Overdraft,
            dec_hook=lambda kind, value: kind(value),
        ),
        None if low is None else to_decimal(low, scale),
    )
