"""What products bring by themselves: fixed prices, entitlements, and when they are due; and clocks
by which customers of tests live."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the tables, and room for what was agreed; what is there brings nothing by itself."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()
    op.create_table(
        "due_work",
        sa.Column("lane", number, nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("due_at", number, nullable=False),
        sa.Column("claimed_until", number, nullable=False),
        sa.Column("attempts", number, nullable=False),
        sa.Column("problem", text, nullable=True),
        sa.PrimaryKeyConstraint("lane", "customer_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("due_work_by_time", "due_work", ["lane", "due_at"])
    op.add_column("subscriptions", sa.Column("terms", text, nullable=True))
    op.add_column("subscriptions", sa.Column("cycles", text, nullable=True))
    op.add_column("grants", sa.Column("terms", text, nullable=True))
    op.create_table(
        "test_clocks",
        sa.Column("id", text, primary_key=True),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("name", text, nullable=True),
        sa.Column("now_us", number, nullable=False),
        sa.Column("created_at", number, nullable=False),
    )
    op.create_index("test_clocks_by_environment", "test_clocks", ["environment_id", "id"])
    op.add_column("customers", sa.Column("test_clock_id", text, nullable=True))
    op.create_index("customers_by_clock", "customers", ["test_clock_id", "id"])
    # Few transfers are of these: the others are not in the index.
    op.execute(
        "CREATE INDEX transfers_unused ON transfers (lane, from_account) WHERE to_account IN "
        "('breakage', 'entitlements:bundled', 'entitlements:promotion')"
    )
    op.add_column("environments", sa.Column("renewals", text, nullable=True))
