"""The customers' portal: links that open it once, sessions, and how an account wants it to look."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0021"


def upgrade() -> None:
    """Make the tables. Of links and sessions only the hash of their secret is kept."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "portal_links",
        sa.Column("token_hash", text, primary_key=True),
        sa.Column("environment_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("return_url", text, nullable=False),
        sa.Column("failure_url", text, nullable=False),
        sa.Column("locale", text),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
    )
    # By it old ones are found, to be taken away.
    op.create_index("portal_links_ended", "portal_links", ["expires_at"])
    op.create_table(
        "portal_sessions",
        sa.Column("token_hash", text, primary_key=True),
        sa.Column("environment_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("return_url", text, nullable=False),
        sa.Column("failure_url", text, nullable=False),
        sa.Column("locale", text),
        sa.Column("is_embedded", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("portal_sessions_ended", "portal_sessions", ["expires_at"])
    op.create_index("portal_sessions_customer", "portal_sessions", ["customer_id"])
    op.create_table(
        "portal_settings",
        sa.Column("account_id", text, primary_key=True),
        sa.Column("settings", text, nullable=False),
        # A picture, in base64, with its content type and the beginning of its SHA-256.
        sa.Column("logo", text),
        sa.Column("logo_type", text),
        sa.Column("logo_digest", text),
    )
