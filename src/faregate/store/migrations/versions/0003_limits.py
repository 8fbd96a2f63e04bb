"""Limits, what holds for single customers, and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables; put the metadata of the customers that are there where the lanes see it."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "customer_rules",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("rules", text, nullable=False),
        sa.PrimaryKeyConstraint("lane", "customer_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "limit_counters",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("limit_id", text, nullable=False),
        sa.Column("subject", text, nullable=False),
        sa.Column("counter", text, nullable=False),
        sa.PrimaryKeyConstraint("lane", "customer_id", "limit_id", "subject"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outbox",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("environment_id", sa.BigInteger(), nullable=False),
        sa.Column("topic", text, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("data", text, nullable=False),
        sa.PrimaryKeyConstraint("lane", "seq"),
        sqlite_with_rowid=False,
    )
    # An account's limits for all of its customers belong to the catalog.
    op.create_table(
        "account_limits",
        sa.Column("environment_id", sa.BigInteger(), nullable=False),
        sa.Column("limit_id", text, nullable=False),
        sa.Column("terms", text, nullable=False),
        sa.PrimaryKeyConstraint("environment_id", "limit_id"),
    )
    op.add_column("environments", sa.Column("timezone", text, nullable=False, server_default="UTC"))
    op.execute(
        "INSERT INTO customer_rules (lane, customer_id, rules) "
        "SELECT lane, id, '{\"metadata\":' || metadata || '}' FROM customers "
        "WHERE metadata IS NOT NULL"
    )
