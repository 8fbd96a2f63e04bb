"""Collections that are asked of saved cards and that nobody has taken up yet."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Make the table: a queue, which is empty most of the time."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "collections",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("payment_id", text, nullable=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("environment_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", text, nullable=False),
        sa.Column("currency", text, nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "payment_id"),
        sqlite_with_rowid=False,
    )
