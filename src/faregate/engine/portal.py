"""Operations on the way into the customers' portal: an account makes a link, whoever has it
exchanges it once for a session, and the session says whose data there is to see.

To look at a link changes nothing: programs that open links to show what is behind them would use
it up otherwise. Time is the machine's here, also for customers on a test clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from faregate.core.codec import checked
from faregate.core.given import Id
from faregate.core.portal import Link, Locale
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.engine.base import EngineBase
from faregate.payments.sealing import is_sealed, seal
from faregate.platform import environments, portal
from faregate.platform.environments import AccountContext
from faregate.platform.portal import PortalLink, PortalRow

_LINK = "portal link"
_FORM = "portal form"
LinkState = Literal["open", "used", "expired", "unknown"]


class CreatePortalSession(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """Let a customer into their portal. From there they are led back to `return_url`, and to
    `failure_url` if a payment fails. `locale` is their language, if it is known."""

    customer_id: Id
    return_url: Link
    failure_url: Link
    locale: Locale | None = None


class PortalSessionCreated(msgspec.Struct, frozen=True):
    """Where to send the customer: the link works once, until `expires_at`."""

    redirect_url: str
    expires_at: datetime


class SeenLink(msgspec.Struct, frozen=True):
    """A link as it stands. One that nobody has made is `unknown`, and belongs to nobody."""

    state: LinkState
    context: AccountContext | None = None
    customer_id: str | None = None
    return_url: str | None = None
    locale: Locale | None = None


class PortalSession(msgspec.Struct, frozen=True):
    """Who is in the portal. Everything is looked up for `customer_id` in `context`, and for nobody
    else. `csrf` is what each form must carry; `expires_at` is when the session is over if nothing
    more happens in it."""

    context: AccountContext
    customer_id: str
    return_url: str
    failure_url: str
    locale: Locale | None
    is_embedded: bool
    csrf: str
    expires_at: datetime


class PortalOperations(EngineBase):
    """The portal's door."""

    async def create_portal_session(
        self,
        request: CreatePortalSession,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> PortalSessionCreated:
        """Make a link that lets a customer into their portal, once. Each call makes another one.
        `base_url` is where our pages are. Raises 404, 422."""
        request = checked(request)
        environment = self._environment(context)
        await self._lane_of(environment, request.customer_id)
        now = self._clock()
        link = PortalLink(
            environment,
            request.customer_id,
            request.return_url,
            request.failure_url,
            request.locale,
            now,
            now + portal.LINK_LIFE,
        )
        secret = portal.new_secret()
        async with self._store.transaction() as transaction:
            await portal.insert_link(transaction, secret, link)
        token = f"{secret}.{seal(self._secret, _LINK, secret)}"
        return PortalSessionCreated(f"{base_url}/portal/enter?link={token}", link.expires_at)

    async def look_at_portal_link(self, token: str) -> SeenLink:
        """Tell how a link stands, and whose it is; it works afterwards as before."""
        secret = self._secret_of(token)
        link = None if secret is None else await portal.find_link(self._store, secret)
        if link is None:
            return SeenLink("unknown")
        state: LinkState = "open"
        if link.used_at is not None:
            state = "used"
        elif link.expires_at <= self._clock():
            state = "expired"
        context = await self._known(link.environment_id)
        return SeenLink(state, context, link.customer_id, link.return_url, link.locale)

    async def enter_portal(
        self, token: str, *, is_embedded: bool = False, leaving: str | None = None
    ) -> tuple[str, PortalSession]:
        """Exchange a link for a new session; returns its secret as well, which only the browser
        keeps. `leaving` is the secret of the session that the browser has had, if any: it ends.
        Raises 404 for a link that does not work, or no longer."""
        secret, now = self._secret_of(token), self._clock()
        refused = FaregateError(Problem(NOT_FOUND, "this link does not work: ask for a new one"))
        if secret is None:
            raise refused
        # A secret of ours, always: one that a browser brings along might be known to others.
        session = portal.new_secret()
        async with self._store.transaction() as transaction:
            if not await portal.use_link(transaction, secret, now):
                raise refused
            link = await portal.find_link(transaction, secret)
            if link is None:
                raise AssertionError("a link that was used up is there")
            row = PortalRow(
                link.environment_id,
                link.customer_id,
                link.return_url,
                link.failure_url,
                link.locale,
                is_embedded,
                now,
                now,
                now + portal.SESSION_LIFE,
            )
            await portal.insert_session(transaction, session, row)
            if leaving is not None:
                await portal.end_session(transaction, leaving)
        return session, await self._session(session, row)

    async def find_portal_session(self, secret: str) -> PortalSession | None:
        """Return who is in the portal with this secret; None: nobody, or no longer. What happens
        keeps the session alive."""
        row, now = await portal.find_session(self._store, secret), self._clock()
        if row is None or row.ends_at <= now:
            return None
        if now - row.seen_at >= portal.SEEN_EVERY:
            async with self._store.transaction() as transaction:
                await portal.note_seen(transaction, secret, now)
            row = msgspec.structs.replace(row, seen_at=now)
        return await self._session(secret, row)

    async def account_of_portal_session(self, secret: str) -> AccountContext | None:
        """Return whose customer was in the portal with this secret, also if that is over by now."""
        row = await portal.find_session(self._store, secret)
        return None if row is None else await self._known(row.environment_id)

    async def choose_portal_locale(self, secret: str, locale: Locale | None) -> None:
        """Say in which language a session is from now on; None: as the browser asks."""
        async with self._store.transaction() as transaction:
            await portal.set_locale(transaction, secret, locale)

    async def leave_portal(self, secret: str) -> None:
        """End a session."""
        async with self._store.transaction() as transaction:
            await portal.end_session(transaction, secret)

    async def end_portal_sessions(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> None:
        """End a customer's sessions, and the links to their portal that nobody has opened. Raises
        404."""
        environment = self._environment(context)
        await self._lane_of(environment, customer_id)
        async with self._store.transaction() as transaction:
            await portal.end_all(transaction, environment, customer_id)

    def _secret_of(self, token: str) -> str | None:
        """Return the secret in a link's token; None if we have not made it."""
        secret, _, shown = token.partition(".")
        return secret if is_sealed(self._secret, _LINK, secret, shown) else None

    async def _session(self, secret: str, row: PortalRow) -> PortalSession:
        return PortalSession(
            await self._known(row.environment_id),
            row.customer_id,
            row.return_url,
            row.failure_url,
            row.locale,
            row.is_embedded,
            seal(self._secret, _FORM, portal.hash_secret(secret)),
            row.ends_at,
        )

    async def _known(self, environment_id: int) -> AccountContext:
        """Return an account in one of its modes; one that another process has made is looked up."""
        for known in self._contexts.values():
            if known.environment_id == environment_id:
                return known
        for context in await environments.list_contexts(self._store):
            self._contexts.setdefault((context.account_id, context.environment), context)
        await self._catalog.refresh()
        return next(c for c in self._contexts.values() if c.environment_id == environment_id)
