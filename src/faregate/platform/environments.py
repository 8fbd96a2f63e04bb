"""Accounts and their two environments, test and live. Everything else belongs to one environment,
and nothing is ever looked up without it, so test and live data cannot mix, nor can accounts.

The first account is the *platform*; others are *connected* to it: it makes them, and may act for
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

import msgspec

from faregate.core.alerts import Alerts
from faregate.core.codec import encode
from faregate.core.ids import IdSource
from faregate.core.instants import to_us
from faregate.core.payment_rules import PaymentRules
from faregate.core.subscriptions import RenewalRules
from faregate.store.protocol import Queries, Row, Store

Mode = Literal["test", "live"]
MODES: Final[tuple[Mode, ...]] = ("test", "live")


class AccountContext(msgspec.Struct, frozen=True):
    """In whose name something is done: an account, in one mode."""

    environment_id: int
    account_id: str
    environment: Mode
    name: str

    @property
    def is_platform(self) -> bool:
        """Tell whether it is the account that came with the database."""
        return self.environment_id <= len(MODES)


_COLUMNS: Final = "e.id, e.account_id, e.mode, e.account_name"


def _read(rows: Iterable[Row]) -> list[AccountContext]:
    return [AccountContext(*row) for row in rows]


async def list_contexts(queries: Queries) -> list[AccountContext]:
    """Return every account's environments, the oldest account first."""
    return _read(await queries.fetch(f"SELECT {_COLUMNS} FROM environments e ORDER BY e.id"))


async def contexts_of(queries: Queries, account_id: str) -> list[AccountContext]:
    """Return an account's environments; none if there is no such account."""
    sql = f"SELECT {_COLUMNS} FROM environments e WHERE e.account_id = $1 ORDER BY e.id"
    return _read(await queries.fetch(sql, account_id))


async def context_of_customer(queries: Queries, customer_id: str) -> AccountContext | None:
    """Return the account and mode that a customer belongs to: for links that name nothing else."""
    sql = (
        f"SELECT {_COLUMNS} FROM customers c JOIN environments e ON e.id = c.environment_id "
        "WHERE c.id = $1"
    )
    found = _read(await queries.fetch(sql, customer_id))
    return found[0] if found else None


async def set_timezone(queries: Queries, account_id: str, timezone: str) -> None:
    """Say in which timezone an account's days begin, in both of its modes (inside a transaction
    that also raises the catalog's epoch)."""
    await queries.fetch(
        "UPDATE environments SET timezone = $2 WHERE account_id = $1", account_id, timezone
    )


async def set_renewals(queries: Queries, account_id: str, renewals: RenewalRules) -> None:
    """Say what happens to renewals that a balance does not cover, in both of an account's modes
    (inside a transaction that also raises the catalog's epoch)."""
    await queries.fetch(
        "UPDATE environments SET renewals = $2 WHERE account_id = $1",
        account_id,
        encode(renewals).decode(),
    )


async def set_payments(queries: Queries, environment_id: int, rules: PaymentRules) -> None:
    """Say how an account takes payments in one of its modes (inside a transaction that also raises
    the catalog's epoch)."""
    await queries.fetch(
        "UPDATE environments SET payments = $2 WHERE id = $1",
        environment_id,
        encode(rules).decode(),
    )


async def set_alerts(queries: Queries, account_id: str, alerts: Alerts) -> None:
    """Say when an account wants to be warned, in both of its modes (inside a transaction that also
    raises the catalog's epoch)."""
    await queries.fetch(
        "UPDATE environments SET alerts = $2 WHERE account_id = $1",
        account_id,
        encode(alerts).decode(),
    )


async def set_attaches_costs(
    queries: Queries, environment_id: int, *, attaches_costs: bool
) -> None:
    """Say whether events of one of an account's modes get what calls of models cost (inside a
    transaction that also raises the catalog's epoch)."""
    await queries.fetch(
        "UPDATE environments SET attaches_costs = $2 WHERE id = $1",
        environment_id,
        int(attaches_costs),
    )


async def ensure_first_account(store: Store, ids: IdSource, now: datetime) -> None:
    """Make the platform's own account in a database that has none."""
    if await store.fetch("SELECT id FROM environments LIMIT 1"):
        return
    account_id = ids.next("acc")
    async with store.transaction() as transaction:
        if await transaction.fetch("SELECT id FROM environments LIMIT 1"):
            return
        for number, mode in enumerate(MODES, 1):
            await transaction.fetch(
                "INSERT INTO environments (id, account_id, mode, account_name, created_at) "
                "VALUES ($1, $2, $3, $4, $5)",
                number,
                account_id,
                mode,
                "Default account",
                to_us(now),
            )
