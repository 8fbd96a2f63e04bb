"""Operations on confirmations: asking a person, their answer, and doing once what was confirmed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog

from faregate.core.problems import OVERLOADED, UNAVAILABLE, FaregateError, Problem
from faregate.engine.audit import AuditOperations
from faregate.platform import confirmations
from faregate.platform.audit import Actor, Change
from faregate.platform.confirmations import Asked, Confirmation
from faregate.platform.environments import Mode
from faregate.platform.operators import Operator
from faregate.store.protocol import StoreUnavailable

log = structlog.get_logger(__name__)

_MAY_PASS: Final = (OVERLOADED, UNAVAILABLE)
"""Refusals of the moment: the same call may succeed later, and its confirmation still counts."""


class ConfirmationOperations(AuditOperations):
    """What people have to confirm before assistants do it."""

    async def find_or_ask_confirmation(
        self, asked: Asked, actor: Actor, address: str = ""
    ) -> Confirmation:
        """Return the confirmation of exactly this call, asking for one if there is none that still
        counts. Raises 422 for arguments that nobody could read, 429 if too many are open."""
        async with self._store.transaction() as transaction:
            found, is_new = await confirmations.find_or_ask(
                transaction, asked, self._ticked(), self._clock()
            )
        if is_new:
            async with self.audited(actor, _change("ask for confirmation", found, asked, address)):
                pass
        return found

    async def do_confirmed(
        self,
        found: Confirmation,
        asked: Asked,
        actor: Actor,
        work: Callable[[], Awaitable[bytes]],
        *,
        is_answer_kept: bool = True,
        address: str = "",
    ) -> bytes | None:
        """Do what was confirmed, and return what `work` answers; None if somebody else is doing it
        at this moment, or it cannot be used any more. An answer that is a secret is not kept.

        `work` must be harmless to repeat (its own ids, or the confirmation's id as its idempotency
        key): if the process dies in the middle, the same call does it again.
        """
        async with self._store.transaction() as transaction:
            if not await confirmations.claim(transaction, found.id, self._clock()):
                return None
        change = _change("do what was confirmed", found, asked, address)
        async with self.audited(actor, change):
            try:
                answer = await work()
            except FaregateError as error:
                await self._note_refusal(found.id, error.problem)
                raise
            await self._end_confirmation(found.id, answer if is_answer_kept else b"")
        return answer

    async def _note_refusal(self, confirmation_id: str, problem: Problem) -> None:
        try:
            async with self._store.transaction() as transaction:
                now = self._clock()
                if problem.kind in _MAY_PASS:
                    await confirmations.release(transaction, confirmation_id, now)
                else:
                    await confirmations.end(
                        transaction, confirmation_id, "refused", problem.detail, now
                    )
        except StoreUnavailable as error:
            log.warning("how a confirmed call ended is not noted", id=confirmation_id, why=error)

    async def _end_confirmation(self, confirmation_id: str, answer: bytes) -> None:
        try:
            async with self._store.transaction() as transaction:
                await confirmations.end(
                    transaction, confirmation_id, "done", answer.decode(), self._clock()
                )
        except StoreUnavailable as error:
            # It is done all the same; a repeat finds that out by the operation's own ids.
            log.warning("how a confirmed call ended is not noted", id=confirmation_id, why=error)

    async def get_confirmation(self, confirmation_id: str, mode: Mode) -> Confirmation:
        """Find one, of any account, in a mode. Raises 404."""
        return await confirmations.find(self._store, confirmation_id, mode, self._clock())

    async def same_confirmed_before(self, found: Confirmation) -> Confirmation | None:
        """Find the last one of exactly the same call that was used before; None if none was."""
        return await confirmations.find_same_before(self._store, found, self._clock())

    async def list_confirmations(self, mode: Mode) -> list[Confirmation]:
        """List the newest ones of all accounts in a mode, the newest first, at most 100."""
        return await confirmations.list_newest(self._store, mode, self._clock())

    async def count_open_confirmations(self, mode: Mode) -> int:
        """Return how many wait for a person in a mode."""
        return await confirmations.count_open(self._store, mode, self._clock())

    async def decide_confirmation(
        self, confirmation_id: str, mode: Mode, operator: Operator, *, is_confirmed: bool
    ) -> Confirmation:
        """Confirm or refuse what is open, in an operator's name. Raises 404, 409 if it is not open
        any more."""
        async with self._store.transaction() as transaction:
            return await confirmations.decide(
                transaction,
                confirmation_id,
                mode,
                "confirmed" if is_confirmed else "refused",
                operator.id,
                operator.name,
                self._clock(),
            )


def _change(action: str, found: Confirmation, asked: Asked, address: str) -> Change:
    request: dict[str, Any] = {
        "tool": asked.tool,
        "operation": asked.operation,
        # As it was sent, so that the log hides by name what is secret.
        "arguments": msgspec.Raw(asked.arguments.encode()),
    }
    if found.decided_name:
        request["confirmed_by"] = found.decided_name
    return Change(action, found.id, asked.account_id, asked.mode, request, address)
