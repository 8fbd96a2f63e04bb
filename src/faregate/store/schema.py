"""The hot tables: those that a lane writes, in one transaction per batch. Each has `lane` as the
first column of its key, so that a distributed database can keep a lane on one node, and a key
that rises with time, so that a B-tree is appended to and not scattered over.

Column types are `text` and `bigint` on both databases. Instants are microseconds
since 1970 UTC in a bigint, JSON is text, amounts are units of the asset's ledger scale.
The tables themselves are made by the migrations; a test holds the two together.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class HotTable(NamedTuple):
    """A hot table: its columns after `lane`, in the order of the tuples that are written.

    `key` and `update` are empty for tables that are only appended to; else a row with the same
    key replaces the columns named in `update`. Without `update` the row that is there stays.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...] = ()
    update: tuple[str, ...] = ()


EVENTS: Final = HotTable(
    "events",
    (
        ("event_id", "text"),
        ("customer_id", "text"),
        ("seq", "bigint"),
        ("environment_id", "bigint"),
        ("event_type", "text"),
        ("occurred_at", "bigint"),
        ("created_at", "bigint"),
        ("subject", "text"),
        ("description", "text"),
        ("data", "text"),
        ("costs", "text"),
        ("warnings", "text"),
        ("balances", "text"),
        ("first_fee_id", "text"),
        ("fee_count", "bigint"),
        ("fee_units", "bigint"),
        ("fee_asset", "text"),
        ("counted", "text"),
        ("outcome", "text"),
    ),
)
FEES: Final = HotTable(
    "fees",
    (
        ("fee_id", "text"),
        ("customer_id", "text"),
        ("event_id", "text"),
        ("price_id", "text"),
        ("value_index", "bigint"),
        ("asset", "text"),
        ("account_id", "text"),
        ("units", "bigint"),
        ("volume", "text"),
        ("created_at", "bigint"),
        ("counted", "text"),
        ("paid_units", "bigint"),
        ("exchange_rate", "text"),
        ("reduced", "text"),
    ),
)
COSTS: Final = HotTable(
    # Only for events that have any: `seq` is the event's, `number` counts its costs from 0.
    "costs",
    (
        ("seq", "bigint"),
        ("number", "bigint"),
        ("customer_id", "text"),
        ("event_id", "text"),
        ("environment_id", "bigint"),
        ("event_type", "text"),
        ("vendor_id", "text"),
        ("vendor_external_id", "text"),
        ("category", "text"),
        ("currency", "text"),
        ("units", "bigint"),
        ("occurred_at", "bigint"),
        ("created_at", "bigint"),
    ),
)
OUTCOMES: Final = HotTable(
    # Where events stand whose outcome was reported after they were booked.
    "outcomes",
    (
        ("customer_id", "text"),
        ("event_id", "text"),
        ("outcome", "text"),
        ("fee_count", "bigint"),
        ("fee_units", "bigint"),
        ("fee_asset", "text"),
        ("standing", "text"),
        ("updated_at", "bigint"),
        ("seq", "bigint"),
    ),
    key=("customer_id", "event_id"),
    update=("outcome", "fee_count", "fee_units", "fee_asset", "standing", "updated_at", "seq"),
)
TRANSFERS: Final = HotTable(
    "transfers",
    (
        ("seq", "bigint"),
        ("customer_id", "text"),
        ("asset", "text"),
        ("from_account", "text"),
        ("to_account", "text"),
        ("units", "bigint"),
        ("reference", "text"),
        ("at", "bigint"),
        ("hash", "text"),
    ),
)
CHAINS: Final = HotTable(
    # Read with a customer's state, but carried along by later commits.
    "chains",
    (
        ("customer_id", "text"),
        ("head", "text"),
        ("last_seq", "bigint"),
    ),
    key=("customer_id",),
    update=("head", "last_seq"),
)
TRANSACTIONS: Final = HotTable(
    "transactions",
    (
        ("transaction_id", "text"),
        ("customer_id", "text"),
        ("id", "text"),
        ("kind", "text"),
        ("account_id", "text"),
        ("units", "bigint"),
        ("request", "text"),
        ("created_at", "bigint"),
        ("answer", "text"),
    ),
)
HOLDS: Final = HotTable(
    "holds",
    (
        ("hold_id", "text"),
        ("customer_id", "text"),
        ("seq", "bigint"),
        ("transaction_id", "text"),
        ("account_id", "text"),
        ("status", "text"),
        ("is_open", "bigint"),
        ("subject", "text"),
        ("amount_units", "bigint"),
        ("captured_units", "bigint"),
        ("held_units", "bigint"),
        ("created_at", "bigint"),
        ("expires_at", "bigint"),
        ("request", "text"),
        ("hold", "text"),
    ),
    key=("hold_id",),
    update=(
        "status",
        "is_open",
        "amount_units",
        "captured_units",
        "held_units",
        "expires_at",
        "hold",
    ),
)
HOLD_CHANGES: Final = "hold_changes"
"""Rows of `holds`, whole, that are there already: only the columns that change are written."""
GRANTS: Final = HotTable(
    "grants",
    (
        ("customer_id", "text"),
        ("grant_id", "text"),
        ("account_id", "text"),
        ("purpose", "text"),
        ("priority", "bigint"),
        ("amount_units", "bigint"),
        ("remaining_units", "bigint"),
        ("is_used_up", "bigint"),
        ("effective_at", "bigint"),
        ("expires_at", "bigint"),
        ("created_at", "bigint"),
        ("terms", "text"),
    ),
    key=("customer_id", "grant_id"),
    update=("remaining_units", "is_used_up"),
)
GRANT_USES: Final = "grant_uses"
"""Rows of `grants`, whole, of which only `remaining_units` has changed. They are a list of their
own because SQLite writes every index that a statement might change, `grants_in_use` too."""
ACCOUNTS: Final = HotTable(
    "wallet_accounts",
    (
        ("customer_id", "text"),
        ("account_id", "text"),
        ("overdraft_units", "bigint"),
        ("overdraft_policy", "text"),
        ("overdraft_limit_units", "bigint"),
        ("watch", "text"),
    ),
    key=("customer_id", "account_id"),
    update=("overdraft_units", "overdraft_policy", "overdraft_limit_units", "watch"),
)
CARRIES: Final = HotTable(
    "carries",
    (
        ("customer_id", "text"),
        ("price_id", "text"),
        ("asset", "text"),
        ("numerator", "text"),
    ),
    key=("customer_id", "price_id", "asset"),
    update=("numerator",),
)
SUBSCRIPTIONS: Final = HotTable(
    "subscriptions",
    (
        ("customer_id", "text"),
        ("subscription_id", "text"),
        ("created_at", "bigint"),
        ("renews_at", "bigint"),
        ("bindings", "text"),
        ("stretches", "text"),
        ("active_from", "bigint"),
        ("active_to", "bigint"),
        ("terms", "text"),
        ("cycles", "text"),
    ),
    key=("customer_id", "subscription_id"),
    update=(
        "renews_at",
        "bindings",
        "stretches",
        "active_from",
        "active_to",
        "terms",
        "cycles",
    ),
)
PRODUCT_SUBSCRIBERS: Final = HotTable(
    # `version` 0 follows the default; `ends_at` None: nobody knows when it ends.
    "product_subscribers",
    (
        ("product_id", "text"),
        ("customer_id", "text"),
        ("subscription_id", "text"),
        ("version", "bigint"),
        ("next_version", "bigint"),
        ("ends_at", "bigint"),
    ),
    key=("product_id", "customer_id", "subscription_id"),
    update=("version", "next_version", "ends_at"),
)
DUE_WORK: Final = HotTable(
    # When a customer's subscriptions, or grants that expire or begin later, bring something next;
    # what else it says is the workers'.
    "due_work",
    (
        ("customer_id", "text"),
        ("environment_id", "bigint"),
        ("due_at", "bigint"),
        ("claimed_until", "bigint"),
        ("attempts", "bigint"),
        ("problem", "text"),
    ),
    key=("customer_id",),
    update=("due_at", "claimed_until", "attempts", "problem"),
)
CUSTOMER_RULES: Final = HotTable(
    "customer_rules",
    (("customer_id", "text"), ("rules", "text")),
    key=("customer_id",),
    update=("rules",),
)
LIMIT_COUNTERS: Final = HotTable(
    "limit_counters",
    (
        ("customer_id", "text"),
        ("limit_id", "text"),
        ("subject", "text"),
        ("counter", "text"),
    ),
    key=("customer_id", "limit_id", "subject"),
    update=("counter",),
)
TIER_COUNTERS: Final = HotTable(
    "tier_counters",
    (
        ("customer_id", "text"),
        ("price_id", "text"),
        ("from_us", "bigint"),
        ("asset", "text"),
        ("entry", "bigint"),
        ("quantity", "text"),
    ),
    key=("customer_id", "price_id", "from_us", "asset", "entry"),
    update=("quantity",),
)
OUTBOX: Final = HotTable(
    "outbox",
    (
        ("seq", "bigint"),
        ("customer_id", "text"),
        ("environment_id", "bigint"),
        ("topic", "text"),
        ("created_at", "bigint"),
        ("data", "text"),
    ),
)

COLLECTIONS: Final = HotTable(
    # What saved cards are asked for; whoever takes one up takes its row away.
    "collections",
    (
        ("payment_id", "text"),
        ("customer_id", "text"),
        ("environment_id", "bigint"),
        ("account_id", "text"),
        ("currency", "text"),
        ("units", "bigint"),
        ("asked_at", "bigint"),
        ("subscription_id", "text"),
    ),
)

CUSTOMER_EVENTS: Final = HotTable(
    "customer_events",
    (("customer_id", "text"), ("seq", "bigint")),
    key=("customer_id", "seq"),
)
CUSTOMER_HOLDS: Final = HotTable(
    "customer_holds",
    (("customer_id", "text"), ("seq", "bigint"), ("hold_id", "text")),
    key=("customer_id", "seq"),
)

CUSTOMER_STATE: Final = (
    (GRANTS, " AND is_used_up = 0"),
    (ACCOUNTS, ""),
    (CARRIES, ""),
    (SUBSCRIPTIONS, ""),
    (HOLDS, " AND is_open = 1"),
    (CUSTOMER_RULES, ""),
    (CHAINS, ""),
)
"""What makes up a customer's state: tables, each with what else its rows must fulfil."""

HOT_TABLES: Final[tuple[HotTable, ...]] = (
    EVENTS,
    FEES,
    COSTS,
    OUTCOMES,
    TRANSFERS,
    TRANSACTIONS,
    GRANTS,
    ACCOUNTS,
    CARRIES,
    SUBSCRIPTIONS,
    HOLDS,
    CUSTOMER_RULES,
    LIMIT_COUNTERS,
    TIER_COUNTERS,
    PRODUCT_SUBSCRIBERS,
    DUE_WORK,
    OUTBOX,
    COLLECTIONS,
    CHAINS,
    CUSTOMER_EVENTS,
    CUSTOMER_HOLDS,
)


def first_seq(lane: int) -> int:
    """Return the number before a lane's first: no two lanes give a row the same number."""
    return lane << 48


BY_NAME: Final = {table.name: table for table in HOT_TABLES}
CHANGES: Final = {GRANT_USES: (GRANTS, ("remaining_units",)), HOLD_CHANGES: (HOLDS, HOLDS.update)}
"""Lists of rows that are there already: their tables, and the columns that are written."""


def on_conflict(table: HotTable) -> str:
    """Return what an insert says of a row that is there: nothing, or that it is replaced."""
    if not table.key:
        return ""
    sets = ", ".join(f"{column} = excluded.{column}" for column in table.update)
    does = f"UPDATE SET {sets}" if sets else "NOTHING"
    return f" ON CONFLICT (lane, {', '.join(table.key)}) DO {does}"


def names(table: HotTable) -> str:
    """Return the columns after `lane` as SQL text."""
    return ", ".join(name for name, _ in table.columns)
