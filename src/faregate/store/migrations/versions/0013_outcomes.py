"""Where events stand whose outcome is reported after they were booked, and what limits have counted
of an event."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the table; events that are there were charged as they came."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()
    op.create_table(
        "outcomes",
        sa.Column("lane", number, nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("event_id", text, nullable=False),
        sa.Column("outcome", text, nullable=False),
        sa.Column("fee_count", number, nullable=False),
        sa.Column("fee_units", number, nullable=False),
        sa.Column("fee_asset", text, nullable=True),
        sa.Column("standing", text, nullable=False),
        sa.Column("updated_at", number, nullable=False),
        sa.PrimaryKeyConstraint("lane", "customer_id", "event_id"),
        sqlite_with_rowid=False,
    )
    op.add_column("events", sa.Column("counted", text, nullable=True))
    op.add_column("events", sa.Column("outcome", text, nullable=True))
