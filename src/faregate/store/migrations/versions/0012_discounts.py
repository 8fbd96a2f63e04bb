"""Coupons, commitments, and what was taken off fees."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the table of coupons, and room for the rest; of fees that are there nothing was taken
    off."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "coupons",
        sa.Column("environment_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("code", text, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        # A code is never used twice: who has its discount keeps it.
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("terms", text, nullable=False),
        sa.PrimaryKeyConstraint("environment_id", "code"),
    )
    op.add_column("product_versions", sa.Column("commitments", text, nullable=True))
    op.add_column("fees", sa.Column("reduced", text, nullable=True))
