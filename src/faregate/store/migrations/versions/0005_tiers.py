"""What the tiers of prices count, and what each fee counted in them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table of counts; fees that are there counted nothing."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "tier_counters",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("price_id", text, nullable=False),
        # When the period began; 0: the count never begins anew.
        sa.Column("from_us", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("asset", text, nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False, autoincrement=False),
        # Parts of a volume, which may have more digits than a column of numbers.
        sa.Column("quantity", text, nullable=False),
        sa.PrimaryKeyConstraint("lane", "customer_id", "price_id", "from_us", "asset", "entry"),
        sqlite_with_rowid=False,
    )
    op.add_column("fees", sa.Column("counted", text, nullable=True))
