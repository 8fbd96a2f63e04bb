"""Accounts that belong to another one: who made them, and what that one calls them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make room for it; the account that is there belongs to nobody: it is the platform."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    for name in ("parent_id", "external_id", "metadata"):
        op.add_column("environments", sa.Column(name, text, nullable=True))
    # An account has one row per mode.
    op.create_index(
        "environments_by_external_id", "environments", ["mode", "external_id"], unique=True
    )
