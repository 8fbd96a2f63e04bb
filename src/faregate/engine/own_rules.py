"""Operations by which customers look after their own spending: limits that they set for themselves,
and the balance below which they want to be warned."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

import msgspec

from faregate.core.alerts import check_threshold
from faregate.core.amounts import Number, to_decimal, to_units
from faregate.core.codec import checked
from faregate.core.decision import SetLowBalance
from faregate.core.limits import Limit, changed_limit, limits_for
from faregate.core.own_limits import OwnLimit, OwnLimitChange, check_own_limit, own
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.core.rules import ChangeLimit, RemoveLimit, SetLimit
from faregate.engine.limits import LimitOperations
from faregate.ledger import reading
from faregate.platform.environments import AccountContext


class OwnAlert(msgspec.Struct, frozen=True):
    """An account, and below which balance its customer wants to be warned (None: never); `is_low`
    says that it is below that now."""

    account_id: str
    asset: str
    available: Decimal
    threshold: Decimal | None
    is_low: bool


class OwnRuleOperations(LimitOperations):
    """What customers set for themselves."""

    async def set_own_limit(
        self, customer_id: str, request: OwnLimit, *, context: AccountContext | None = None
    ) -> Limit:
        """Set a limit in the customer's own name. Raises 404; 422, also for one that is above the
        seller's for the same; 409 if there are too many."""
        request = checked(request)
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        limit = own(self._new_limit(request.request(), environment))
        await self._check_own(environment, customer_id, limit)
        await lane.submit(SetLimit(customer_id, limit), environment)
        return limit

    async def change_own_limit(
        self,
        customer_id: str,
        limit_id: str,
        change: OwnLimitChange,
        *,
        context: AccountContext | None = None,
    ) -> Limit:
        """Change a limit that the customer has set; what was counted stays. Raises 404, also for
        one that the seller has set, and 422 as `set_own_limit`."""
        wanted = checked(change).change()
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        for state in await self.customer_limits(customer_id, context=context):
            if state.limit.id == limit_id and state.limit.set_by == "customer":
                changed = changed_limit(state.limit, wanted)
                if isinstance(changed, Problem):
                    raise FaregateError(changed)
                await self._check_own(environment, customer_id, changed)
        command = ChangeLimit(customer_id, limit_id, wanted, "customer")
        return cast(Limit, await lane.submit(command, environment))

    async def remove_own_limit(
        self, customer_id: str, limit_id: str, *, context: AccountContext | None = None
    ) -> None:
        """Take a limit away that the customer has set. Raises 404, also for one of the seller's."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        await lane.submit(RemoveLimit(customer_id, limit_id, "customer"), environment)

    async def set_own_alert(
        self,
        customer_id: str,
        account: str,
        threshold: Number | None,
        *,
        context: AccountContext | None = None,
    ) -> OwnAlert:
        """Warn the customer when an account falls below so much (None or 0: no longer): in their
        portal, and by `wallet.balance_low`. What the seller says stays. Raises 404, 422."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        scale, units = self._scale(environment, account), None
        if account not in (await self._present(environment, lane, customer_id)).accounts:
            # Customers open no accounts: which there are is the seller's to say.
            detail = f"the customer has no account {account[:100]!r}"
            raise FaregateError(Problem(NOT_FOUND, detail))
        if threshold is not None:
            problem = check_threshold("threshold", threshold, scale)
            if problem is not None:
                raise FaregateError(problem)
            units = to_units(threshold, scale)
        await lane.submit(SetLowBalance(customer_id, account, units, "customer"), environment)
        found = await self.list_own_alerts(customer_id, context=context)
        return next(alert for alert in found if alert.account_id == account)

    async def list_own_alerts(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> list[OwnAlert]:
        """Return a customer's accounts with the balance below which they want to be warned. Raises
        404."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        accounts = (await self._present(environment, lane, customer_id)).accounts
        shown = []
        for account in accounts.values():
            scale, low = self._scale(environment, account.id), account.watch.own_units
            left = account.available_units + account.pending_out_units
            shown.append(
                OwnAlert(
                    account.id,
                    account.asset,
                    to_decimal(account.available_units, scale),
                    None if low is None else to_decimal(low, scale),
                    low is not None and left < low,
                )
            )
        return shown

    async def _check_own(self, environment: int, customer_id: str, limit: Limit) -> None:
        lane = await self._lane_of(environment, customer_id)
        state = await reading.read_customer(self._store, lane.number, customer_id)
        general, rules = self._catalog.view(environment).limits, state.rules
        problem = check_own_limit(limit, limits_for(rules.limits, general, rules.metadata))
        if problem is not None:
            raise FaregateError(problem)
