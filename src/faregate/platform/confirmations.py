"""What a person has to confirm before it is done: in live mode, whatever an assistant asks that
moves money or changes what is charged. A confirmation is for exactly these arguments of this tool,
asked by this key for this account, and for one execution.

    open → confirmed → used        `used` is written before anything is done, with until when
         → refused                 whoever does it may take; how it ended is written after

A repeat of the same call finds the newest confirmation with its fingerprint. If that was begun and
never ended (the process died), it is done again under the same idempotency key, so what had
happened already does not happen twice. If it was done, and the call has an id of its own, the
repeat gets the answer again; a call without one may be meant a second time (pause, go on, pause),
so a person is asked, and told.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from faregate.core.codec import encode
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.problems import NOT_FOUND, OVERLOADED, FaregateError, Problem, conflict, invalid
from faregate.platform.environments import Mode
from faregate.store.protocol import Queries, Row

State = Literal["open", "confirmed", "refused", "used", "expired"]
Outcome = Literal["done", "refused"]
TO_CONFIRM: Final = timedelta(minutes=15)
TO_USE: Final = timedelta(minutes=15)
CLAIMED: Final = timedelta(seconds=60)
KEPT: Final = timedelta(days=30)
MAX_OPEN: Final = 10
"""Of one key: an assistant in a loop shall not bury what a person has to read."""
MAX_LISTED: Final = 100
_LOOKED_AT: Final = 20
MAX_ARGUMENTS: Final = 64 * 1024
MAX_DEPTH: Final = 40
"""A person has to read them."""


class Asked(msgspec.Struct, frozen=True):
    """What is asked: `arguments` is JSON as it was sent, `asker` a key's id and what it is called,
    `operation` the operation's method and path. `has_id`: two calls that are equal are one and the
    same, because an id in them says so."""

    environment_id: int
    account_id: str
    mode: Mode
    asker_id: str
    asker_name: str
    tool: str
    operation: str
    arguments: str
    has_id: bool = False

    @property
    def canonical(self) -> str:
        """The arguments with their names in order, each once: the last value of a name is the one
        that counts, and the one that is shown. Raises 422 for what nobody could read."""
        if len(self.arguments) > MAX_ARGUMENTS:
            detail = (
                f"have {len(self.arguments):,} characters: a person has to read them, so send at "
                f"most {MAX_ARGUMENTS:,} at once, or send them over REST"
            )
            raise FaregateError(invalid("arguments", detail))
        return _canonical(self.arguments)

    @property
    def fingerprint(self) -> str:
        """What stands for exactly this: another value, order of a list, account or key is another
        one; spaces and the order of names are not. Raises 422 for what nobody could read."""
        same = (
            self.environment_id, self.account_id, self.mode, self.asker_id, self.tool,
            self.operation, self.canonical,
        )  # fmt: skip
        return sha256(msgspec.json.encode(same)).hexdigest()


def _canonical(arguments: str) -> str:
    """Return JSON with its names in order, numbers digit by digit as they were sent."""
    return encode(_sorted(msgspec.Raw(arguments.encode()), MAX_DEPTH)).decode()


def _sorted(raw: msgspec.Raw, depth: int) -> Any:
    text = bytes(raw).strip()
    if depth < 0:
        detail = f"are nested more than {MAX_DEPTH} deep: a person has to read them"
        raise FaregateError(invalid("arguments", detail))
    if text[:1] == b"{":
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return {name: _sorted(members[name], depth - 1) for name in sorted(members)}
    if text[:1] == b"[":
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
        return [_sorted(one, depth - 1) for one in items]
    if text[:1] == b'"':
        return msgspec.json.decode(text, type=str)
    return msgspec.Raw(text)


class Confirmation(msgspec.Struct, frozen=True):
    """One that was asked for. `state` as of when it was read; `decided_name` is who confirmed or
    refused it; `outcome` how it ended once it was used (None: not yet, or it was cut short) and
    `answer` what the tool answered."""

    id: str
    environment_id: int
    account_id: str
    account_name: str
    mode: Mode
    asker_id: str
    asker_name: str
    tool: str
    operation: str
    arguments: str
    asked_at: datetime
    state: State
    decided_at: datetime | None
    decided_name: str
    claimed_until: datetime | None
    ended_at: datetime | None
    outcome: Outcome | None
    answer: str

    @property
    def until(self) -> datetime:
        """Until when it can be confirmed; of one that is, until when it can be used."""
        return (self.decided_at or self.asked_at) + (TO_USE if self.decided_at else TO_CONFIRM)


_COLUMNS: Final = (
    "c.id, c.environment_id, e.account_id, e.account_name, e.mode, c.asker_id, c.asker_name, "
    "c.tool, c.operation, c.arguments, c.asked_at, c.state, c.decided_at, c.decided_name, "
    "c.claimed_until, c.ended_at, c.outcome, c.answer"
)
_SELECT: Final = (
    f"SELECT {_COLUMNS} FROM confirmations c JOIN environments e ON e.id = c.environment_id"
)


def _read(row: Row, now: datetime) -> Confirmation:
    (
        identifier, environment, account, account_name, mode, asker, asker_name, tool,
        operation, arguments, asked, state, decided, name, claimed, ended, outcome, answer,
    ) = row  # fmt: skip
    read = Confirmation(
        identifier, environment, account, account_name, mode, asker, asker_name, tool,
        operation, arguments, from_us(asked), state, _instant(decided), name or "",
        _instant(claimed), _instant(ended), outcome, answer or "",
    )  # fmt: skip
    if state in ("open", "confirmed") and now >= read.until:
        return msgspec.structs.replace(read, state="expired")
    return read


def _instant(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


async def find_or_ask(
    queries: Queries, asked: Asked, ids: IdSource, now: datetime
) -> tuple[Confirmation, bool]:
    """Return the newest confirmation of exactly this that still counts, else a new open one, and
    whether it is new. Raises 429 if the asker has `MAX_OPEN` open ones.

    To be called in a transaction: of two at once, the second waits here for the first.
    """
    fingerprint = asked.fingerprint
    await queries.fetch("UPDATE environments SET mode = mode WHERE id = $1", asked.environment_id)
    rows = await queries.fetch(
        f"{_SELECT} WHERE c.environment_id = $1 AND c.fingerprint = $2 "
        f"ORDER BY c.id DESC LIMIT {_LOOKED_AT}",
        asked.environment_id,
        fingerprint,
    )
    for row in rows:
        # Not only the last: after a clock went back, that is not the one with the highest id.
        known = _read(row, now)
        if _counts(known, asked, now):
            return known, False
    await _check_bound(queries, asked.asker_id, now)
    await queries.fetch("DELETE FROM confirmations WHERE asked_at < $1", to_us(now - KEPT))
    made = ids.next("cnf")
    await queries.fetch(
        "INSERT INTO confirmations (id, environment_id, asker_id, asker_name, fingerprint, tool, "
        "operation, arguments, asked_at, state) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'open')",
        made,
        asked.environment_id,
        asked.asker_id,
        asked.asker_name,
        fingerprint,
        asked.tool,
        asked.operation,
        asked.canonical,
        to_us(now),
    )
    return await find(queries, made, asked.mode, now), True


def _counts(one: Confirmation, asked: Asked, now: datetime) -> bool:
    """Tell whether a repeat of the same call is about this one, and not about a new one."""
    if one.state in ("open", "confirmed"):
        return True
    if one.state == "expired" or one.decided_at is None:
        return False
    if one.outcome == "refused" or (one.outcome == "done" and not (asked.has_id and one.answer)):
        # Nothing was changed, and what was in the way may be gone; or it may be meant once more.
        return False
    since = one.ended_at or one.decided_at
    return now < since + TO_USE


async def _check_bound(queries: Queries, asker_id: str, now: datetime) -> None:
    rows = await queries.fetch(
        "SELECT count(*) FROM confirmations WHERE asker_id = $1 AND state = 'open' "
        "AND asked_at > $2",
        asker_id,
        to_us(now - TO_CONFIRM),
    )
    if rows[0][0] >= MAX_OPEN:
        detail = (
            f"{MAX_OPEN} calls of this key wait for a person already: ask for those to be "
            "confirmed or refused first"
        )
        raise FaregateError(Problem(OVERLOADED, detail, {}, int(TO_CONFIRM.total_seconds())))


async def find(queries: Queries, confirmation_id: str, mode: str, now: datetime) -> Confirmation:
    """Find one in a mode. Raises 404."""
    sql = f"{_SELECT} WHERE c.id = $1 AND e.mode = $2"
    rows = await queries.fetch(sql, confirmation_id.replace("\0", ""), mode)
    if not rows:
        detail = f"there is no confirmation {confirmation_id[:100]!r}; 30 days are kept"
        raise FaregateError(Problem(NOT_FOUND, detail))
    return _read(rows[0], now)


async def find_same_before(
    queries: Queries, one: Confirmation, now: datetime
) -> Confirmation | None:
    """Find the last one before this of exactly the same call that was used; None if none was."""
    rows = await queries.fetch(
        f"{_SELECT} WHERE c.environment_id = $1 AND c.fingerprint = "
        "(SELECT fingerprint FROM confirmations WHERE id = $2) "
        "AND c.id < $2 AND c.state = 'used' ORDER BY c.id DESC LIMIT 1",
        one.environment_id,
        one.id,
    )
    return _read(rows[0], now) if rows else None


async def list_newest(queries: Queries, mode: str, now: datetime) -> list[Confirmation]:
    """Return the newest ones of all accounts in a mode, the newest first."""
    rows = await queries.fetch(
        f"{_SELECT} WHERE e.mode = $1 ORDER BY c.asked_at DESC, c.id DESC LIMIT {MAX_LISTED}", mode
    )
    return [_read(row, now) for row in rows]


async def count_open(queries: Queries, mode: str, now: datetime) -> int:
    """Return how many of a mode wait for a person."""
    rows = await queries.fetch(
        "SELECT count(*) FROM confirmations c JOIN environments e ON e.id = c.environment_id "
        "WHERE e.mode = $1 AND c.state = 'open' AND c.asked_at > $2",
        mode,
        to_us(now - TO_CONFIRM),
    )
    return int(rows[0][0])


async def decide(
    queries: Queries,
    confirmation_id: str,
    mode: Mode,
    state: Literal["confirmed", "refused"],
    operator_id: str,
    name: str,
    now: datetime,
) -> Confirmation:
    """Confirm or refuse an open one, once. Raises 404, 409 if it is not open any more."""
    await find(queries, confirmation_id, mode, now)
    rows = await queries.fetch(
        "UPDATE confirmations SET state = $2, decided_at = $3, decided_by = $4, decided_name = $5 "
        "WHERE id = $1 AND state = 'open' AND asked_at > $6 RETURNING id",
        confirmation_id,
        state,
        to_us(now),
        operator_id,
        name,
        to_us(now - TO_CONFIRM),
    )
    found = await find(queries, confirmation_id, mode, now)
    if not rows:
        by = f" by {found.decided_name}" if found.decided_name else ""
        detail = f"it is {found.state}{by}, and not open any more: nothing was changed"
        raise FaregateError(conflict("state", detail))
    return found


async def claim(queries: Queries, confirmation_id: str, now: datetime) -> bool:
    """Take one that is confirmed, to do what it says; or one that was taken and not ended in time.
    Of several at once, one gets it."""
    rows = await queries.fetch(
        "UPDATE confirmations SET state = 'used', claimed_until = $2 WHERE id = $1 AND ("
        "state = 'confirmed' AND decided_at > $3 OR "
        "state = 'used' AND outcome IS NULL AND claimed_until <= $4) RETURNING id",
        confirmation_id,
        to_us(now + CLAIMED),
        to_us(now - TO_USE),
        to_us(now),
    )
    return bool(rows)


async def end(
    queries: Queries, confirmation_id: str, outcome: Outcome, answer: str, now: datetime
) -> None:
    """Write how one that was claimed has ended."""
    await queries.fetch(
        "UPDATE confirmations SET outcome = $2, answer = $3, ended_at = $4 "
        "WHERE id = $1 AND state = 'used' AND outcome IS NULL",
        confirmation_id,
        outcome,
        answer,
        to_us(now),
    )


async def release(queries: Queries, confirmation_id: str, now: datetime) -> None:
    """Let one that was claimed be done again at once: it is not known to have been done."""
    await queries.fetch(
        "UPDATE confirmations SET claimed_until = $2 "
        "WHERE id = $1 AND state = 'used' AND outcome IS NULL",
        confirmation_id,
        to_us(now),
    )
