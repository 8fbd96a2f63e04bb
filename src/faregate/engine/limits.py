"""Operations on limits: an account's for all of its customers, and single customers' own."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import msgspec

from faregate.catalog import limits as account_limits
from faregate.core.codec import checked
from faregate.core.given import check_free
from faregate.core.limiting import held_units
from faregate.core.limits import (
    Limit,
    LimitChange,
    LimitRequest,
    changed_limit,
    limits_for,
    new_limit,
)
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, invalid
from faregate.core.rules import ChangeLimit, RemoveLimit, SetLimit
from faregate.engine.base import EngineBase, Key
from faregate.ledger import reading
from faregate.platform.environments import AccountContext


class LimitState(msgspec.Struct, frozen=True):
    """A limit, and what of it is used and held now, in its own units. `is_own`: it is the
    customer's own, not one of the account's for all."""

    limit: Limit
    used_units: int
    held_units: int
    is_own: bool
    began_at: datetime | None
    resets_at: datetime | None


class LimitOperations(EngineBase):
    """Limits and free tiers."""

    def _new_limit(self, request: LimitRequest, environment: int) -> Limit:
        refusal = check_free("customer_metadata", request.customer_metadata)
        if refusal is not None:
            raise FaregateError(refusal)
        view, identifier = self._catalog.view(environment), self._ticked().next("lim")
        limit = new_limit(request, view.assets, view.timezone, identifier, self._clock())
        if isinstance(limit, Problem):
            raise FaregateError(limit)
        return limit

    async def create_limit(
        self,
        request: LimitRequest,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> Limit:
        """Set a limit for all customers, or for those with the metadata that it names; each of them
        is counted by itself. Raises 409 if there are too many."""
        request = checked(request)
        environment = self._environment(context)
        limit = self._new_limit(request, environment)
        async with self._catalog_change() as change:
            return await self._once(
                Key("limits", idempotency_key, environment),
                change,
                request,
                Limit,
                lambda: account_limits.insert_limit(change, environment, limit),
            )

    async def list_limits(self, *, context: AccountContext | None = None) -> list[Limit]:
        """Return the account's limits, the oldest first; there are few."""
        return list(self._catalog.view(await self._look(context)).limits)

    async def get_limit(self, limit_id: str, *, context: AccountContext | None = None) -> Limit:
        """Return one of the account's limits. Raises 404."""
        return account_limits.find_limit(self._catalog.view(await self._look(context)), limit_id)

    async def change_limit(
        self, limit_id: str, change: LimitChange, *, context: AccountContext | None = None
    ) -> Limit:
        """Change one of the account's limits; what was counted stays. Raises 404."""
        change = checked(change)
        environment = self._environment(context)
        async with self._catalog_change() as queries:
            found = await account_limits.read_limit(queries, environment, limit_id)
            changed = changed_limit(found, change)
            if isinstance(changed, Problem):
                raise FaregateError(changed)
            await account_limits.update_limit(queries, environment, changed)
        return changed

    async def delete_limit(self, limit_id: str, *, context: AccountContext | None = None) -> None:
        """Take one of the account's limits away. Raises 404."""
        environment = self._environment(context)
        async with self._catalog_change() as queries:
            await account_limits.read_limit(queries, environment, limit_id)
            await account_limits.delete_limit(queries, environment, limit_id)

    async def create_customer_limit(
        self,
        customer_id: str,
        request: LimitRequest,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> Limit:
        """Set a limit for one customer. Raises 404; 409 if there are too many."""
        request = checked(request)
        if request.customer_metadata is not None:
            detail = "has no meaning on one customer's limit: leave it out, or use /v1/limits"
            raise FaregateError(invalid("customer_metadata", detail))
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        key = Key(f"limits of {customer_id}", idempotency_key, environment)

        async def make() -> Limit:
            return self._new_limit(request, environment)

        if idempotency_key is None:
            limit = await make()
        else:
            # As for subscriptions: what is to be written is kept first.
            async with self._store.transaction() as transaction:
                limit = await self._once(key, transaction, request, Limit, make)
        await lane.submit(SetLimit(customer_id, limit), environment)
        return limit

    async def customer_limits(
        self,
        customer_id: str,
        subject: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> list[LimitState]:
        """Return what holds for a customer, their own limits first, with what is used and held now.

        A limit of each subject by itself shows what `subject` has used; without one, nothing.
        Raises 404.
        """
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        state = await reading.read_customer(self._store, lane.number, customer_id)
        view = self._catalog.view(environment)
        general = view.limits
        limits = limits_for(state.rules.limits, general, state.rules.metadata)
        keys = [limit.counter_key(subject) for limit in limits]
        counters = await reading.read_counters(self._store, lane.number, customer_id, keys)
        present = reading.as_of(state, view, lane.now())
        now, accounts = present.now, present.accounts
        states = []
        for limit, key in zip(limits, keys, strict=True):
            counter = counters[key]
            begins_us, ends_at = limit.window_at(now)
            held = held_units(key, accounts.values(), None)
            states.append(
                LimitState(
                    limit,
                    counter.used_units(begins_us),
                    held,
                    limit in state.rules.limits,
                    reading.instant(begins_us),
                    ends_at,
                )
            )
        return states

    async def change_customer_limit(
        self,
        customer_id: str,
        limit_id: str,
        change: LimitChange,
        *,
        context: AccountContext | None = None,
    ) -> Limit:
        """Change one of a customer's own limits; what was counted stays. Raises 404."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        command = ChangeLimit(customer_id, limit_id, checked(change))
        return cast(Limit, await lane.submit(command, environment))

    async def delete_customer_limit(
        self, customer_id: str, limit_id: str, *, context: AccountContext | None = None
    ) -> None:
        """Take one of a customer's own limits away. Raises 404."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        await lane.submit(RemoveLimit(customer_id, limit_id), environment)

    async def get_customer_limit(
        self,
        customer_id: str,
        limit_id: str,
        subject: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> LimitState:
        """Return one limit that holds for a customer, as `customer_limits` shows it. Raises 404."""
        for state in await self.customer_limits(customer_id, subject, context=context):
            if state.limit.id == limit_id:
                return state
        detail = f"the customer has no limit {limit_id[:100]!r}"
        raise FaregateError(Problem(NOT_FOUND, detail))
