"""What happens to a whole account is told to webhooks where it happens; what was on its way to a
destination that is deleted is taken away bit by bit."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Take away the table of what was noted for the time when it would be told; make the other."""
    op.drop_table("account_notices")
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table("webhook_deletions", sa.Column("destination_id", text, primary_key=True))
