"""What fees that are paid in another asset came to in it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make room for it; fees that are there were paid in their own asset."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("fees", sa.Column("paid_units", sa.BigInteger(), nullable=True))
    op.add_column("fees", sa.Column("exchange_rate", text, nullable=True))
