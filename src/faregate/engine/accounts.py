"""Operations on connected accounts: the platform makes them and acts for them; nobody else may."""

from __future__ import annotations

from faregate.core.codec import checked
from faregate.core.given import check_free
from faregate.core.problems import FORBIDDEN, FaregateError, Problem
from faregate.engine.base import EngineBase, Key, Page
from faregate.platform import accounts, environments
from faregate.platform.accounts import AccountCreated, ConnectedAccount, CreateAccount
from faregate.platform.environments import AccountContext


class AccountOperations(EngineBase):
    """Connected accounts."""

    async def create_connected_account(
        self,
        request: CreateAccount,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> AccountCreated:
        """Make a connected account, with a test and a live mode.

        Raises 403 if it is not the platform that asks, 409 if the external id is taken, 422.
        """
        request = checked(request)
        platform = self._platform(context)
        too_large = check_free("metadata", request.metadata)
        if too_large is not None:
            raise FaregateError(too_large)
        async with self._catalog_change() as change:
            made = await self._once(
                Key("accounts", idempotency_key, platform.environment_id),
                change,
                request,
                AccountCreated,
                lambda: accounts.insert_account(
                    change, platform.account_id, request, self._ticked(), self._clock()
                ),
            )
        await self.account_context(made.id, platform.environment)
        return made

    async def get_connected_account(
        self, account_id: str, *, context: AccountContext | None = None
    ) -> ConnectedAccount:
        """Return a connected account. Raises 403 if it is not the platform that asks, 404."""
        platform = self._platform(context)
        return await accounts.get_account(self._store, platform.account_id, account_id)

    async def list_connected_accounts(
        self,
        limit: int = 20,
        offset: int = 0,
        external_id: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List connected accounts, the newest first. Raises 403 if it is not the platform."""
        platform = self._platform(context)
        items, count = await accounts.list_accounts(
            self._store, platform.account_id, limit, offset, external_id
        )
        return Page(items, count, limit, offset)

    def acting_for(self, own: AccountContext, account_id: str) -> AccountContext | None:
        """Return the account that whoever has `own` wants to act for, in the same mode; None if it
        is to be looked up (`act_for`). Raises 403 if they may not."""
        if account_id == own.account_id:
            return own
        if not own.is_platform:
            detail = (
                f"the key is of {own.account_id}, a connected account, which acts for itself "
                "alone: use a key of the platform"
            )
            raise FaregateError(Problem(FORBIDDEN, detail))
        return self._contexts.get((account_id, own.environment))

    async def act_for(self, own: AccountContext, account_id: str) -> AccountContext:
        """Return the account that whoever has `own` wants to act for, in the same mode. Raises 403
        if they may not, 404 if there is no such account."""
        found = self.acting_for(own, account_id)
        if found is None:
            found = await self.account_context(account_id, own.environment)
        return found

    async def context_of_customer(self, customer_id: str) -> AccountContext | None:
        """Return the account and mode of a customer, whoever's it is (None: nobody's): for links to
        a customer's own page, which carry no key."""
        return await environments.context_of_customer(self._store, customer_id)

    def _platform(self, context: AccountContext | None) -> AccountContext:
        context = context or self.context
        if not context.is_platform:
            detail = (
                f"{context.account_id} is a connected account, which has no connected accounts: "
                "use a key of the platform, without acting for another account"
            )
            raise FaregateError(Problem(FORBIDDEN, detail))
        return context
