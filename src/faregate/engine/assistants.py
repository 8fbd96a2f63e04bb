"""Operations on assistants that operators let in: registering a client, consent, tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from faregate.core.problems import (
    FORBIDDEN,
    NOT_FOUND,
    OVERLOADED,
    FaregateError,
    Problem,
    invalid,
)
from faregate.engine.accounts import AccountOperations
from faregate.platform import oauth_clients, oauth_grants
from faregate.platform.oauth_clients import OauthClient
from faregate.platform.oauth_grants import ROLES_OF, Code, Consent, Grant, TokenPair
from faregate.platform.operators import Operator
from faregate.platform.throttling import Throttle


class AssistantOperations(AccountOperations):
    """Assistants that act in an operator's name."""

    @cached_property
    def _registrations(self) -> Throttle:
        return Throttle()

    async def register_oauth_client(
        self, name: str, redirect_uris: Sequence[str], address: str
    ) -> OauthClient:
        """Write down a client that anybody may have sent. Raises 422, 429 after too many from one
        network."""
        wait = self._registrations.begin_from(address, self._clock().timestamp())
        if wait > 0:
            detail = f"too many programs have registered from here: wait {math.ceil(wait)} s"
            raise FaregateError(Problem(OVERLOADED, detail, {}, math.ceil(wait)))
        async with self._store.transaction() as transaction:
            return await oauth_clients.register(
                transaction, name, redirect_uris, self._ticked(), self._clock()
            )

    async def find_oauth_client(self, client_id: str) -> OauthClient | None:
        """Find a client; None if there is none."""
        return await oauth_clients.find(self._store, client_id)

    async def allow_assistant(self, consent: Consent, operator: Operator) -> str:
        """Let a client act in an operator's name; returns the code for it, which is good for a
        minute. Raises 403 if the role is more than the operator's own, 404, 422."""
        client = await oauth_clients.find(self._store, consent.client_id)
        if client is None:
            detail = "this program is not known (any more): begin again in the assistant"
            raise FaregateError(Problem(NOT_FOUND, detail))
        if not client.may_redirect(consent.redirect_uri):
            detail = f"{consent.redirect_uri[:100]!r} is not an address of this program"
            raise FaregateError(invalid("redirect_uri", detail))
        if consent.role not in ROLES_OF[operator.role]:
            detail = (
                f"your role is {operator.role}, so you cannot allow {consent.role!r}: allow one of "
                f"{', '.join(ROLES_OF[operator.role])}"
            )
            raise FaregateError(Problem(FORBIDDEN, detail))
        async with self._store.transaction() as transaction:
            return await oauth_grants.make_code(transaction, consent, self._ticked(), self._clock())

    async def find_oauth_code(self, code: str, client_id: str) -> Code | None:
        """Find a code that this client can exchange; one that was exchanged ends its grant."""
        async with self._store.transaction() as transaction:
            return await oauth_grants.find_code(transaction, code, client_id, self._clock())

    async def exchange_oauth_code(self, code: str, client_name: str) -> TokenPair | None:
        """Make tokens of a code, once."""
        async with self._store.transaction() as transaction:
            return await oauth_grants.exchange_code(transaction, code, client_name, self._clock())

    async def find_assistant(self, token: str) -> Grant | None:
        """Find what a token of an assistant allows; None if it opens nothing (any more)."""
        grant = await oauth_grants.find_grant(self._store, token, "access", self._clock())
        if grant is not None:
            # Of an account that another process has made, this one hears here.
            await self.acting_for(grant.context.account_id, grant.context.environment)
        return grant

    async def find_refreshable(self, refresh: str) -> Grant | None:
        """Find the grant of a token that brings the next; one that was used ends its grant."""
        async with self._store.transaction() as transaction:
            return await oauth_grants.find_grant(transaction, refresh, "refresh", self._clock())

    async def refresh_assistant(self, refresh: str) -> TokenPair | None:
        """Make the next tokens, once."""
        async with self._store.transaction() as transaction:
            return await oauth_grants.next_pair(transaction, refresh, self._clock())

    async def list_assistants(self) -> list[Grant]:
        """List what operators have allowed and is in force, the newest first."""
        return await oauth_grants.list_grants(self._store, self._clock())

    async def list_ended_assistants(self) -> list[Grant]:
        """List those that were ended last, with why, the latest first, at most 20."""
        return await oauth_grants.list_ended(self._store)

    async def end_assistant(self, grant_id: str, because: str) -> None:
        """End what was allowed, at once. Raises 404."""
        async with self._store.transaction() as transaction:
            if not await oauth_grants.end_grant(transaction, grant_id, because, self._clock()):
                detail = f"there is no such assistant {grant_id[:100]!r}: it has ended already"
                raise FaregateError(Problem(NOT_FOUND, detail))
