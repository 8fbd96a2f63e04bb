"""Holds, and the answers of what settles them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of holds; let transactions keep their answer."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("transactions", sa.Column("answer", text, nullable=True))
    op.create_table(
        "holds",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("hold_id", text, nullable=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("transaction_id", text, nullable=False),
        sa.Column("account_id", text, nullable=False),
        sa.Column("status", text, nullable=False),
        sa.Column("is_open", sa.BigInteger(), nullable=False),
        sa.Column("subject", text, nullable=True),
        sa.Column("amount_units", sa.BigInteger(), nullable=False),
        sa.Column("captured_units", sa.BigInteger(), nullable=False),
        sa.Column("held_units", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("request", text, nullable=False),
        sa.Column("hold", text, nullable=False),
        sa.PrimaryKeyConstraint("lane", "hold_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "holds_by_transaction", "holds", ["lane", "transaction_id", "customer_id"], unique=True
    )
    is_open = sa.text("is_open = 1")
    op.create_index(
        "holds_open",
        "holds",
        ["lane", "customer_id"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("holds_by_seq", "holds", ["lane", "seq"])
    # Which holds a customer has, carried along by later commits like `customer_events`.
    op.create_table(
        "customer_holds",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("hold_id", text, nullable=False),
        sa.PrimaryKeyConstraint("lane", "customer_id", "seq"),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        # As for events: a lane is not a handful of rows.
        op.execute(
            "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES "
            "('holds', 'holds', '10000000 10000000 1'), "
            "('holds', 'holds_by_seq', '10000000 10000000 1'), "
            "('holds', 'holds_by_transaction', '10000000 10000000 1 1'), "
            "('holds', 'holds_open', '10000 10000 2')"
        )
