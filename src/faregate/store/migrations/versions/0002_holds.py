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
    op.create_index("holds_by_customer", "holds", ["lane", "customer_id", "hold_id"])
