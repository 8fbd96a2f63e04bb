"""Operations on operators: who may sign in, by what link, in what role; and signing in and out.

Every refusal of a sign-in is the same, whoever it is for, and takes the same time.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Final

from faregate.core.passwords import MAX_PASSWORD, check_password
from faregate.core.problems import (
    FORBIDDEN,
    INVALID,
    NOT_FOUND,
    OVERLOADED,
    FaregateError,
    Problem,
    invalid,
)
from faregate.engine.base import EngineBase
from faregate.platform import links, oauth_grants, operators, sessions
from faregate.platform.hashing import Passwords
from faregate.platform.links import Invitation, Link
from faregate.platform.operators import Operator, OperatorRole
from faregate.platform.sessions import OperatorSession, SessionSummary
from faregate.platform.throttling import Throttle

_WRONG: Final = "e-mail or password is wrong: check both, or ask an admin for a new password"
_LINK: Final = (
    "this link was used already, was replaced by a newer one, or is too old: ask an admin for "
    "another one, or run `faregate operators invite` on the server"
)


class OperatorOperations(EngineBase):
    """Operators, their links and their sessions."""

    @cached_property
    def _passwords(self) -> Passwords:
        return Passwords()

    @cached_property
    def _throttle(self) -> Throttle:
        return Throttle()

    # Links

    async def first_invitation(self) -> Invitation | None:
        """Make the link by which the first admin comes in; an earlier one opens nothing any more.
        None once there is an operator."""
        async with self._store.transaction() as transaction:
            if await operators.has_operators(transaction):
                return None
            now = self._clock()
            return await links.make_link(transaction, "first", None, "", "admin", now)

    async def invite_operator(self, email: str, role: str, *, by: str | None) -> Invitation:
        """Make a link by which somebody becomes an operator, for 24 hours; an earlier one for the
        same address opens nothing any more. `by` is the admin who invites (None: the command line).
        Raises 403, 409 if the address is an operator's, 422."""
        email, checked = operators.normal_email(email), operators.checked_role(role)
        async with self._store.transaction() as transaction:
            if by is not None:
                who = await operators.find_operator(transaction, by)
                if who.role != "admin" or who.disabled_at is not None:
                    detail = f"{who.email} is no admin: ask one to invite {email}"
                    raise FaregateError(Problem(FORBIDDEN, detail))
            if await operators.find_by_email(transaction, email) is not None:
                raise FaregateError(operators.email_is_taken(email))
            now = self._clock()
            return await links.make_link(transaction, "invitation", None, email, checked, now)

    async def list_invitations(self) -> list[Link]:
        """List invitations that nobody has accepted yet, the newest first."""
        return await links.list_invitations(self._store, self._clock())

    async def withdraw_invitation(self, email: str) -> None:
        """Let an invitation open nothing any more; a repeat is harmless."""
        async with self._store.transaction() as transaction:
            await links.withdraw_links(transaction, email)

    async def find_link(self, secret: str) -> Link | None:
        """Find a link that is still good, without using it."""
        link = await links.find_link(self._store, secret, self._clock())
        if link is not None and link.kind == "first":
            return None if await operators.has_operators(self._store) else link
        return link

    async def accept_invitation(
        self,
        secret: str,
        name: str,
        email: str,
        password: str,
        *,
        address: str = "",
        agent: str = "",
    ) -> str:
        """Become an operator by an invitation, or the first admin; returns a new session's secret.
        Raises 404 if the link is not good, 409, 422 naming `name`, `email` or `password`; then the
        link is still good."""
        link = await self._good_link(secret, "first", "invitation")
        name, email = operators.checked_name(name), operators.normal_email(email)
        if link.kind == "invitation" and email != link.email:
            message = f"is {email!r}, and {link.email} was invited: use that address"
            raise FaregateError(invalid("email", message))
        hashed = await self._hashed(password, email)
        async with self._store.transaction() as transaction:
            now = self._clock()
            used = await links.use_link(transaction, secret, now)
            is_late = link.kind == "first" and await operators.has_operators(transaction)
            if used is None or is_late:
                raise FaregateError(Problem(NOT_FOUND, _LINK))
            made = await operators.add_operator(
                transaction, email, name, link.role, hashed, self._ticked(), now
            )
            return await sessions.begin_session(
                transaction, made.id, address, agent, self._ticked(), now
            )

    async def create_operator(self, email: str, name: str, role: str, password: str) -> Operator:
        """Make an operator without a link, for programs that set Faregate up. Raises 409, 422."""
        name, email = operators.checked_name(name), operators.normal_email(email)
        checked = operators.checked_role(role)
        hashed = await self._hashed(password, email)
        async with self._store.transaction() as transaction:
            return await operators.add_operator(
                transaction, email, name, checked, hashed, self._ticked(), self._clock()
            )

    async def reset_link(self, email: str) -> Invitation:
        """Make a link by which an operator takes a new password, for 24 hours. Raises 404, 422."""
        email = operators.normal_email(email)
        async with self._store.transaction() as transaction:
            found = await operators.find_by_email(transaction, email)
            if found is None:
                raise FaregateError(Problem(NOT_FOUND, f"there is no operator {email}"))
            who, now = found[0], self._clock()
            made = await links.make_link(transaction, "reset", who.id, email, who.role, now)
        self._throttle.forget(email)
        return made

    async def use_reset_link(
        self, secret: str, password: str, *, address: str = "", agent: str = ""
    ) -> str:
        """Take a new password by a link; ends all sessions and returns a new one's secret. Raises
        404 if the link is not good, 422 naming `password`; then the link is still good."""
        link = await self._good_link(secret, "reset")
        hashed = await self._hashed(password, link.email)
        async with self._store.transaction() as transaction:
            who = await self._whose(await links.use_link(transaction, secret, self._clock()))
            await operators.set_password(transaction, who.id, hashed)
            await sessions.end_all(transaction, who.id)
            made = await sessions.begin_session(
                transaction, who.id, address, agent, self._ticked(), self._clock()
            )
        self._throttle.forget(who.email)
        return made

    async def sign_in_link(self, operator_id: str) -> str:
        """Make a secret that signs an operator in once, within an hour, without a password. Raises
        404."""
        async with self._store.transaction() as transaction:
            who = await operators.find_operator(transaction, operator_id)
            now = self._clock()
            made = await links.make_link(transaction, "sign_in", who.id, who.email, who.role, now)
        return made.secret

    async def use_sign_in_link(self, secret: str, *, address: str = "", agent: str = "") -> str:
        """Sign in by such a link; returns a new session's secret. Raises 404 if it is not good."""
        await self._good_link(secret, "sign_in")
        async with self._store.transaction() as transaction:
            who = await self._whose(await links.use_link(transaction, secret, self._clock()))
            return await sessions.begin_session(
                transaction, who.id, address, agent, self._ticked(), self._clock()
            )

    async def _good_link(self, secret: str, *kinds: str) -> Link:
        link = await self.find_link(secret)
        if link is None or link.kind not in kinds:
            raise FaregateError(Problem(NOT_FOUND, _LINK))
        return link

    async def _whose(self, link: Link | None) -> Operator:
        """Return whose link was used. Raises 404 if it is nobody's who may sign in."""
        if link is None or link.operator_id is None:
            raise FaregateError(Problem(NOT_FOUND, _LINK))
        who = await operators.find_operator(self._store, link.operator_id)
        if who.disabled_at is not None:
            raise FaregateError(Problem(NOT_FOUND, _LINK))
        return who

    async def _hashed(self, password: str, email: str) -> str:
        problem = check_password(password, email)
        if problem is not None:
            raise FaregateError(problem)
        return await self._passwords.hash(password)

    # Sessions

    async def sign_in(self, email: str, password: str, *, address: str, agent: str = "") -> str:
        """Sign in; returns a new session's secret. Raises 422, the same for a wrong password, an
        unknown address and a disabled operator; 429 after too many tries in vain, with how long to
        wait."""
        address_given = email.strip().lower()[: operators.MAX_EMAIL]
        wait = self._throttle.begin(address_given, address, self._seconds())
        if wait > 0:
            seconds = math.ceil(wait)
            detail = (
                f"too many sign-ins failed for this e-mail, or from your network: try again in "
                f"{_spoken(seconds)}, or ask an admin for a new password"
            )
            raise FaregateError(Problem(OVERLOADED, detail, {}, seconds))
        found = None
        if address_given.isprintable():
            found = await operators.find_by_email(self._store, address_given)
        stored = None if found is None or found[0].disabled_at is not None else found[1]
        is_right = await self._passwords.is_right(password[: MAX_PASSWORD + 1], stored)
        if not is_right or found is None or stored is None:
            raise FaregateError(Problem(INVALID, _WRONG, {"password": [_WRONG]}))
        self._throttle.succeed(address_given, address)
        who = found[0]
        again = None
        if self._passwords.is_outdated(stored):
            again = await self._passwords.hash(password)
        async with self._store.transaction() as transaction:
            if again is not None:
                await operators.set_password(transaction, who.id, again)
            return await sessions.begin_session(
                transaction, who.id, address, agent, self._ticked(), self._clock()
            )

    async def find_session(self, secret: str, *, is_use: bool = True) -> OperatorSession | None:
        """Find a session in force, with its operator; None if there is none (any more). Without
        `is_use` nobody is known to sit there: it is a page that looks again by itself."""
        if not secret or len(secret) > links.MAX_SECRET:
            return None
        now = self._clock()
        found = await sessions.find_session(self._store, secret, now)
        if found is None:
            return None
        session, used_at = found
        if is_use and now - used_at >= sessions.NOTED_EVERY:
            async with self._store.transaction() as transaction:
                await sessions.note_use(transaction, secret, now)
        return session

    async def sign_out(self, secret: str) -> None:
        """End a session; a repeat is harmless."""
        async with self._store.transaction() as transaction:
            await sessions.end_by_secret(transaction, secret)

    async def list_operator_sessions(self, operator_id: str) -> list[SessionSummary]:
        """List an operator's sessions in force, the newest first."""
        return await sessions.list_sessions(self._store, operator_id, self._clock())

    async def end_operator_session(self, operator_id: str, session_id: str) -> None:
        """End a session of this operator. Raises 404."""
        async with self._store.transaction() as transaction:
            if not await sessions.end_session(transaction, operator_id, session_id):
                detail = f"there is no session {session_id[:100]!r}: it has ended already"
                raise FaregateError(Problem(NOT_FOUND, detail))

    async def end_other_sessions(self, session: OperatorSession) -> None:
        """End all sessions of an operator but the one at hand."""
        async with self._store.transaction() as transaction:
            await sessions.end_all(transaction, session.operator.id, session.id)

    # People

    async def has_operators(self) -> bool:
        """Tell whether there is anybody who may sign in, or might again."""
        return await operators.has_operators(self._store)

    async def list_operators(self) -> list[Operator]:
        """List all operators, disabled ones too, the oldest first."""
        return await operators.list_operators(self._store)

    async def get_operator(self, operator_id: str) -> Operator:
        """Find an operator. Raises 404."""
        return await operators.find_operator(self._store, operator_id)

    async def rename_operator(self, operator_id: str, name: str) -> None:
        """Change what an operator is called. Raises 404, 422."""
        name = operators.checked_name(name)
        async with self._store.transaction() as transaction:
            await operators.find_operator(transaction, operator_id)
            await operators.rename(transaction, operator_id, name)

    async def set_operator_role(self, operator_id: str, role: str) -> None:
        """Change what an operator may do. Raises 404, 409 for the last admin, 422."""
        checked: OperatorRole = operators.checked_role(role)
        async with self._store.transaction() as transaction:
            await operators.find_operator(transaction, operator_id)
            await operators.set_role(transaction, operator_id, checked)
            if checked != "admin":
                because = f"the operator's role became {checked}"
                await oauth_grants.end_grants_of(
                    transaction, operator_id, because, self._clock(), but_readers=True
                )

    async def disable_operator(self, operator_id: str) -> None:
        """Let an operator sign in no more, and end all sessions. Raises 404, 409 for the last
        admin."""
        async with self._store.transaction() as transaction:
            who = await operators.find_operator(transaction, operator_id)
            await operators.disable(transaction, operator_id, self._clock())
            because = "the operator was disabled"
            await oauth_grants.end_grants_of(transaction, operator_id, because, self._clock())
            await sessions.end_all(transaction, operator_id)
            await links.withdraw_links(transaction, who.email)

    async def enable_operator(self, operator_id: str) -> None:
        """Let an operator sign in again. Raises 404."""
        async with self._store.transaction() as transaction:
            await operators.find_operator(transaction, operator_id)
            await operators.enable(transaction, operator_id)

    async def change_password(
        self, session: OperatorSession, current: str, new: str, *, address: str = ""
    ) -> None:
        """Change one's own password, and end one's other sessions. Raises 422 naming
        `current_password` or `password`, 429 after too many tries in vain."""
        email = session.operator.email
        wait = self._throttle.begin(email, address, self._seconds())
        if wait > 0:
            seconds = math.ceil(wait)
            detail = f"too many tries with a wrong password: try again in {_spoken(seconds)}"
            raise FaregateError(Problem(OVERLOADED, detail, {}, seconds))
        found = await operators.find_by_email(self._store, email)
        stored = None if found is None else found[1]
        if not await self._passwords.is_right(current[: MAX_PASSWORD + 1], stored):
            raise FaregateError(invalid("current_password", "is not your password: type it again"))
        self._throttle.succeed(email, address)
        hashed = await self._hashed(new, email)
        async with self._store.transaction() as transaction:
            await operators.set_password(transaction, session.operator.id, hashed)
            await sessions.end_all(transaction, session.operator.id, session.id)

    def _seconds(self) -> float:
        return self._clock().timestamp()


def _spoken(seconds: int) -> str:
    if seconds < 120:
        return "a second" if seconds == 1 else f"{seconds} seconds"
    return f"{math.ceil(seconds / 60)} minutes"
