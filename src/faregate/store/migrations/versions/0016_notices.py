"""What others are told of: what accounts remember of it, when holds and grants expire, and what
happens to a whole account."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add what is missing; let customers whose grants expire be looked at soon."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()
    op.add_column("wallet_accounts", sa.Column("watch", text, nullable=True))
    op.add_column("environments", sa.Column("alerts", text, nullable=True))
    op.create_table(
        "account_notices",
        sa.Column("environment_id", number, nullable=False, autoincrement=False),
        sa.Column("seq", number, nullable=False, autoincrement=False),
        sa.Column("topic", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.Column("data", text, nullable=False),
        sa.PrimaryKeyConstraint("environment_id", "seq"),
        sqlite_with_rowid=False,
    )
    is_open = sa.text("is_open = 1")
    op.create_index(
        "holds_by_expiry",
        "holds",
        ["lane", "expires_at"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    if op.get_bind().dialect.name == "sqlite":
        # As for the other indexes: a lane is not a handful of rows.
        op.execute(
            "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES "
            "('holds', 'holds_by_expiry', '10000 10000 1')"
        )
    op.execute(
        "INSERT INTO due_work "
        "(lane, customer_id, environment_id, due_at, claimed_until, attempts, problem) "
        "SELECT g.lane, g.customer_id, c.environment_id, MIN(g.created_at), 0, 0, NULL "
        "FROM grants g JOIN customers c ON c.id = g.customer_id "
        "WHERE g.is_used_up = 0 AND g.expires_at IS NOT NULL "
        "GROUP BY g.lane, g.customer_id, c.environment_id "
        "ON CONFLICT (lane, customer_id) DO UPDATE SET due_at = excluded.due_at"
    )
