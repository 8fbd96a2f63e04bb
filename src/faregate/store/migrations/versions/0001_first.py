"""The first schema: directories and catalog, lanes, and the hot tables of the ledger."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT, BIG = sa.Text(), sa.BigInteger()


def _text(name: str, *, is_null: bool = False) -> sa.Column[Any]:
    # PostgreSQL: byte order is what keeps the time-ordered ids ordered, and compares fastest.
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=is_null)


def _big(name: str, *, is_null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, BIG, nullable=is_null, autoincrement=False)


def _hot(name: str, *columns: sa.Column[Any], key: tuple[str, ...], has_rowid: bool) -> None:
    op.create_table(
        name,
        _big("lane"),
        *columns,
        sa.PrimaryKeyConstraint("lane", *key),
        sqlite_with_rowid=has_rowid,
    )


def _seq() -> sa.Column[Any]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("seq", kind, nullable=False, autoincrement=False)


def _journal_table(name: str, *columns: sa.Column[Any]) -> None:
    """Make a table of numbered rows, which are only ever added, in the order of `seq`.

    On SQLite `seq` is the row's own id: one tree, at whose end a commit writes. (Numbers of
    lanes do not overlap, see `schema.first_seq`.)
    """
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    key = ["seq"] if is_sqlite else ["lane", "seq"]
    op.create_table(name, _big("lane"), *columns, sa.PrimaryKeyConstraint(*key))


def upgrade() -> None:
    """Make everything."""
    _directories()
    _catalog()
    _lanes()
    _journal()
    _wallets()


def _directories() -> None:
    op.create_table(
        "environments",
        sa.Column("id", sa.Integer(), primary_key=True),
        _text("account_id"),
        _text("mode"),
        _text("account_name"),
        _big("created_at"),
        sa.UniqueConstraint("account_id", "mode"),
    )
    op.create_table(
        "api_keys",
        _text("id"),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        _text("key_hash"),
        _text("hint"),
        _text("role"),
        _text("name"),
        _big("created_at"),
        _big("revoked_at", is_null=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash"),
    )
    op.create_table(
        "customers",
        _text("id"),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        _big("lane"),
        _text("external_id", is_null=True),
        _text("name"),
        _text("email", is_null=True),
        _text("metadata", is_null=True),
        _text("external_accounts", is_null=True),
        _big("created_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("environment_id", "external_id"),
    )
    op.create_index("customers_by_age", "customers", ["environment_id", "id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("environment_id", sa.Integer(), nullable=False),
        _text("idempotency_key"),
        _text("operation"),
        _text("request"),
        _text("answer"),
        _big("created_at"),
        sa.PrimaryKeyConstraint("environment_id", "idempotency_key"),
    )


def _catalog() -> None:
    op.create_table("catalog_epoch", sa.Column("id", sa.Integer(), primary_key=True), _big("epoch"))
    op.execute("INSERT INTO catalog_epoch (id, epoch) VALUES (1, 1)")
    op.create_table(
        "assets",
        sa.Column("environment_id", sa.Integer(), nullable=False),
        _text("code"),
        _text("name"),
        _big("decimals"),
        _text("label", is_null=True),
        _text("symbol", is_null=True),
        _big("created_at"),
        sa.PrimaryKeyConstraint("environment_id", "code"),
    )
    op.create_table(
        "asset_rates",
        sa.Column("environment_id", sa.Integer(), nullable=False),
        _text("asset"),
        _text("source"),
        _big("valid_from"),
        _big("valid_to", is_null=True),
        _text("rate"),
        _text("inverse_rate", is_null=True),
        sa.PrimaryKeyConstraint("environment_id", "asset", "source", "valid_from"),
    )
    op.create_table(
        "products",
        _text("id"),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        _text("code"),
        _text("name"),
        _big("created_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("environment_id", "code"),
    )
    op.create_table(
        "product_versions",
        _text("product_id"),
        _big("version"),
        _text("status"),
        _text("prices"),
        _text("entitlements"),
        _big("created_at"),
        sa.PrimaryKeyConstraint("product_id", "version"),
    )
    op.create_table(
        "product_defaults",
        _text("product_id"),
        _big("from_at"),
        _big("version"),
        sa.PrimaryKeyConstraint("product_id", "from_at"),
    )


def _lanes() -> None:
    op.create_table(
        "lanes",
        _big("lane"),
        _big("epoch"),
        _text("holder"),
        _big("lease_until_us"),
        _big("last_seq"),
        _big("clock_us"),
        _big("indexed_seq"),
        sa.PrimaryKeyConstraint("lane"),
    )
    op.execute(
        "INSERT INTO lanes (lane, epoch, holder, lease_until_us, last_seq, clock_us, indexed_seq) "
        "VALUES (0, 0, '', 0, 0, 0, 0)"
    )


def _journal() -> None:
    _journal_table(
        "events",
        _text("event_id"),
        _text("customer_id"),
        _seq(),
        _big("environment_id"),
        _text("event_type"),
        _big("occurred_at"),
        _big("created_at"),
        _text("subject", is_null=True),
        _text("description", is_null=True),
        _text("data", is_null=True),
        _text("costs", is_null=True),
        _text("warnings", is_null=True),
        _text("balances"),
        _text("first_fee_id", is_null=True),
        _big("fee_count"),
        _big("fee_units"),
        _text("fee_asset", is_null=True),
    )
    op.create_index("events_by_id", "events", ["lane", "event_id", "customer_id"], unique=True)
    if op.get_bind().dialect.name == "sqlite":
        # Rows of the table, rows per lane, rows per lane and event, rows per whole key. Without
        # being told, SQLite takes a lane for a handful of rows, and reads all events of the lane
        # by this index where a range of `seq` was asked for (sqlite.org/fileformat2.html#stat1tab).
        op.execute("ANALYZE")
        op.execute(
            "INSERT INTO sqlite_stat1 (tbl, idx, stat) "
            "VALUES ('events', 'events_by_id', '10000000 10000000 1 1')"
        )
    _hot(
        "fees",
        _text("fee_id"),
        _text("customer_id"),
        _text("event_id"),
        _text("price_id"),
        _big("value_index"),
        _text("asset"),
        _text("account_id"),
        _big("units"),
        _text("volume", is_null=True),
        _big("created_at"),
        key=("fee_id",),
        has_rowid=False,
    )
    _journal_table(
        "transfers",
        _seq(),
        _text("customer_id"),
        _text("asset"),
        _text("from_account"),
        _text("to_account"),
        _big("units"),
        _text("reference"),
        _big("at"),
    )
    _hot(
        "transactions",
        _text("transaction_id"),
        _text("customer_id"),
        _text("id"),
        _text("kind"),
        _text("account_id"),
        _big("units"),
        _text("request"),
        _big("created_at"),
        key=("transaction_id", "customer_id"),
        has_rowid=True,
    )
    op.create_index("transactions_by_id", "transactions", ["lane", "id"], unique=True)
    # Which events a customer has. Carried along by later commits, not by their own: one row
    # per event at a random customer's place would be what a commit costs most.
    _hot(
        "customer_events",
        _text("customer_id"),
        _big("seq"),
        key=("customer_id", "seq"),
        has_rowid=False,
    )


def _wallets() -> None:
    _hot(
        "grants",
        _text("customer_id"),
        _text("grant_id"),
        _text("account_id"),
        _text("purpose"),
        _big("priority"),
        _big("amount_units"),
        _big("remaining_units"),
        _big("is_used_up"),
        _big("effective_at"),
        _big("expires_at", is_null=True),
        _big("created_at"),
        key=("customer_id", "grant_id"),
        has_rowid=False,
    )
    unused = sa.text("is_used_up = 0")
    op.create_index(
        "grants_in_use",
        "grants",
        ["lane", "customer_id"],
        sqlite_where=unused,
        postgresql_where=unused,
    )
    _hot(
        "wallet_accounts",
        _text("customer_id"),
        _text("account_id"),
        _big("overdraft_units"),
        _text("overdraft_policy"),
        _big("overdraft_limit_units"),
        key=("customer_id", "account_id"),
        has_rowid=False,
    )
    _hot(
        "carries",
        _text("customer_id"),
        _text("price_id"),
        _text("asset"),
        _text("numerator"),
        key=("customer_id", "price_id", "asset"),
        has_rowid=False,
    )
    _hot(
        "subscriptions",
        _text("customer_id"),
        _text("subscription_id"),
        _big("created_at"),
        _big("renews_at", is_null=True),
        _text("bindings"),
        _text("stretches"),
        _big("active_from", is_null=True),
        _big("active_to", is_null=True),
        key=("customer_id", "subscription_id"),
        has_rowid=False,
    )
