"""Operations on connected accounts, and acting for them."""

from __future__ import annotations

from faregate.core.codec import checked
from faregate.core.given import check_free
from faregate.core.problems import FORBIDDEN, NOT_FOUND, FaregateError, Problem
from faregate.engine.base import EngineBase, Key, Page
from faregate.platform import accounts, environments
from faregate.platform.accounts import AccountCreated, ConnectedAccount, CreateAccount
from faregate.platform.environments import AccountContext, Mode


class AccountOperations(EngineBase):
    """Connected accounts."""

    async def create_account(
        self,
        request: CreateAccount,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> AccountCreated:
        """Make a connected account, with a test and a live mode. Raises 403 for one that is
        connected itself, 409 if the external id is taken, 422."""
        request = checked(request)
        self._needs_platform(context)
        too_large = check_free("metadata", request.metadata)
        if too_large is not None:
            raise FaregateError(too_large)
        async with self._catalog_change() as change:
            made = await self._once(
                Key("accounts", idempotency_key, self._environment(context)),
                change,
                request,
                AccountCreated,
                lambda: accounts.create_account(change, request, self._ticked(), self._clock()),
            )
        await self.acting_for(made.id, "test")
        return made

    async def get_account_details(
        self, account_id: str, *, context: AccountContext | None = None
    ) -> ConnectedAccount:
        """Return a connected account. Raises 403, 404."""
        self._needs_platform(context)
        return await accounts.find_account(self._store, account_id)

    async def list_accounts(
        self,
        limit: int = 20,
        offset: int = 0,
        external_id: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List connected accounts, the newest first. Raises 403."""
        self._needs_platform(context)
        items, total = await accounts.list_accounts(self._store, limit, offset, external_id)
        return Page(items, total, limit, offset)

    async def acting_for(self, account_id: str, mode: Mode) -> AccountContext:
        """Return an account in a mode, for the platform to act in. Raises 404.

        One that this process does not know is looked up, and the catalog with it: another process
        may have made both.
        """
        if (account_id, mode) not in self._contexts:
            for context in await environments.contexts_of(self._store, account_id):
                self._contexts[account_id, context.environment] = context
            if (account_id, mode) not in self._contexts:
                shown = f"there is no account {account_id[:100]!r}"
                detail = f"{shown}: GET /v1/accounts lists those there are"
                raise FaregateError(Problem(NOT_FOUND, detail))
            await self._catalog.refresh()
        return self._contexts[account_id, mode]

    def known_account(self, account_id: str, mode: Mode) -> AccountContext | None:
        """Return an account in a mode without waiting; None if it is to be looked up."""
        return self._contexts.get((account_id, mode))

    async def context_of_customer(self, customer_id: str) -> AccountContext | None:
        """Return the account and mode of a customer, whoever's it is (None: nobody's): for links to
        a customer's own page, which carry no key."""
        return await environments.context_of_customer(self._store, customer_id)

    def _needs_platform(self, context: AccountContext | None) -> None:
        if not (context or self.context).is_platform:
            detail = (
                "a connected account has no accounts of its own: use the platform's key, without "
                "acting for another account"
            )
            raise FaregateError(Problem(FORBIDDEN, detail))
