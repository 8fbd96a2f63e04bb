"""The rules by which events are made of what other systems tell."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Make the table: few rows, one for each source of an account's mode that has rules."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "ingestion_rules",
        sa.Column("environment_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("source", text, primary_key=True),
        sa.Column("rules", text, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
    )
