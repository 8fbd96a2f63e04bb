"""Accounts beside the platform's own."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make room for what a platform says of its connected accounts; there are none yet."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("environments", sa.Column("external_id", text, nullable=True))
    op.add_column("environments", sa.Column("metadata", text, nullable=True))
    op.create_index("accounts_by_external_id", "environments", ["external_id", "mode"], unique=True)
