"""Who may do what, and in whose name: the rules that hold for an operation whichever face it came
by. A key is asked for its role and its account, and a change happens between its entry in the audit
log and the entry's outcome.
"""

from __future__ import annotations

import time
from typing import Any, Final

from faregate.core.problems import FORBIDDEN, FaregateError, Problem
from faregate.engine import Engine
from faregate.operations.auth import Authenticator
from faregate.operations.operation import Call, Operation
from faregate.platform.audit import Actor, Change
from faregate.platform.environments import AccountContext
from faregate.platform.keys import ApiKey

ACCOUNT: Final = "X-Credyt-Account"
"""Names the connected account that a platform's key acts for."""


class Acting:
    """Lets callers act on an engine, each by its key."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.authenticator = Authenticator(engine)

    async def caller(self, secret: bytes, operation: Operation) -> ApiKey:
        """Return the key with this secret. Raises `FaregateError`: 401, or 403 if its role may not
        do this."""
        key = await self.authenticator.authenticate(secret, time.monotonic())
        check_role(key, operation)
        return key

    def known_context(self, key: ApiKey, named: str | None) -> AccountContext | None:
        """Return in whose name a request acts: its key's account, or the one that it names; None
        if that one is to be looked up. Raises `FaregateError` (403)."""
        own = key.context
        if named is None or named == own.account_id:
            return own
        if not own.is_platform:
            detail = f"{ACCOUNT}: the key is not the platform's, but {own.account_id}'s"
            raise FaregateError(Problem(FORBIDDEN, f"{detail}: leave the header out"))
        return self.engine.known_account(named, own.environment)

    async def context_of(self, key: ApiKey, named: str | None) -> AccountContext:
        """Return in whose name a request acts: its key's account, or the one that it names. Raises
        `FaregateError` (403, 404)."""
        found = self.known_context(key, named)
        if found is not None:
            return found
        try:
            return await self.engine.acting_for(named or "", key.context.environment)
        except FaregateError as error:
            raise FaregateError(error.problem.under(ACCOUNT)) from None

    async def perform(
        self, operation: Operation, call: Call, path: str, client: str, actor: Actor | None = None
    ) -> Any:
        """Do what a call asks, and return the handler's answer. `path` is what was asked for,
        `client` who asked (an address; empty if unknown) and `actor` who does it (None: whoever has
        the key), as the audit log shows them."""
        if not operation.is_audited:
            return await operation.handler(call)
        key = call.key
        change = Change(
            f"{operation.method} {operation.path}",
            next(reversed(list(call.path.values())), ""),
            call.context.account_id,
            call.context.environment,
            {"path": path, "body": call.body},
            client,
        )
        async with self.engine.audited(actor or actor_of(key), change) as doing:
            answer = await operation.handler(call)
            made = getattr(answer, "id", None) or getattr(answer, "code", None)
            doing.made(made if isinstance(made, str) else "")
        return answer


def actor_of(key: ApiKey) -> Actor:
    """Return a key as the audit log names who does something."""
    return Actor("key", key.id, f"{key.name} ({key.hint})")


def check_role(key: ApiKey, operation: Operation) -> None:
    """Raise `FaregateError` (403) if a key's role may not do this."""
    if key.role not in operation.roles:
        allowed = ", ".join(sorted(operation.roles))
        detail = f"the key's role is {key.role!r}, this needs one of: {allowed}"
        raise FaregateError(Problem(FORBIDDEN, detail))
