"""What calls of models cost: the seller's own prices, and whether costs are attached to events."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Make the table of prices; nobody's events have costs attached unless they say so."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "model_prices",
        sa.Column("environment_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("id", text, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        # Events name the price that they were costed by: it stays to be looked at.
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("terms", text, nullable=False),
        sa.PrimaryKeyConstraint("environment_id", "id"),
    )
    op.add_column(
        "environments",
        sa.Column("attaches_costs", sa.Integer(), nullable=False, server_default="0"),
    )
