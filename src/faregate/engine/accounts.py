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
        """Make a connected account. Raises 403 for one that is connected itself, 409, 422."""
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
        self._contexts = await environments.list_contexts(self._store)
        return made

    async def get_account_details(
        self, account_id: str, *, context: AccountContext | None = None
    ) -> ConnectedAccount:
        """Return a connected account. Raises 403, 404."""
        self._needs_platform(context)
        return await accounts.find_account(self._store, account_id)

    async def list_accounts(
        self, limit: int = 20, offset: int = 0, *, context: AccountContext | None = None
    ) -> Page:
        """List connected accounts, the newest first. Raises 403."""
        self._needs_platform(context)
        items, total = await accounts.list_accounts(self._store, limit, offset)
        return Page(items, total, limit, offset)

    async def acting_for(self, account_id: str, mode: Mode) -> AccountContext:
        """Return an account in a mode, for the platform to act in. Raises 404."""
        for _ in range(2):
            for context in self._contexts:
                if (context.account_id, context.environment) == (account_id, mode):
                    return context
            # Another process may have made it.
            self._contexts = await environments.list_contexts(self._store)
            await self._catalog.refresh()
        detail = f"X-Credyt-Account: there is no account {account_id[:100]!r}"
        raise FaregateError(Problem(NOT_FOUND, detail))

    def _needs_platform(self, context: AccountContext | None) -> None:
        if not (context or self.context).is_platform:
            detail = "a connected account has no accounts of its own: use the platform's key"
            raise FaregateError(Problem(FORBIDDEN, detail))
