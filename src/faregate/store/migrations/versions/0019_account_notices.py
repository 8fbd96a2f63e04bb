"""What happens to a whole account is told to webhooks where it happens."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Take away the table of what was noted for the time when it would be told."""
    op.drop_table("account_notices")
