"""Who the seller pays for what is used."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "vendors",
        sa.Column("id", text, primary_key=True),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("external_id", text, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("environment_id", "external_id"),
    )
    op.create_index("vendors_by_environment", "vendors", ["environment_id", "id"])
