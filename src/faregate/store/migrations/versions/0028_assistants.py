"""What people are asked to confirm before assistants do it, and which assistants they let in."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Make the tables. They are directories: a charge neither reads nor writes them."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()
    op.create_table(
        "confirmations",
        sa.Column("id", text, primary_key=True),
        sa.Column("environment_id", number, nullable=False),
        # An API key, or what an operator has allowed a client.
        sa.Column("asker_id", text, nullable=False),
        sa.Column("asker_name", text, nullable=False),
        sa.Column("fingerprint", text, nullable=False),
        sa.Column("tool", text, nullable=False),
        sa.Column("operation", text, nullable=False),
        sa.Column("arguments", text, nullable=False),
        sa.Column("asked_at", number, nullable=False),
        # `open`, `confirmed`, `refused` (by a person) or `used`.
        sa.Column("state", text, nullable=False),
        sa.Column("decided_at", number, nullable=True),
        sa.Column("decided_by", text, nullable=True),
        sa.Column("decided_name", text, nullable=True),
        # Of one that is used: until when whoever does it may take, and how it ended.
        sa.Column("claimed_until", number, nullable=True),
        sa.Column("ended_at", number, nullable=True),
        sa.Column("outcome", text, nullable=True),
        sa.Column("answer", text, nullable=True),
    )
    op.create_index(
        "confirmations_by_fingerprint", "confirmations", ["environment_id", "fingerprint", "id"]
    )
    op.create_index("confirmations_by_asker", "confirmations", ["asker_id", "state", "asked_at"])
    op.create_index("confirmations_by_time", "confirmations", ["asked_at"])
    op.create_table(
        "oauth_clients",
        sa.Column("id", text, primary_key=True),
        sa.Column("name", text, nullable=False),
        sa.Column("redirect_uris", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
    )
    op.create_index("oauth_clients_by_time", "oauth_clients", ["created_at"])
    op.create_table(
        "oauth_grants",
        sa.Column("id", text, primary_key=True),
        sa.Column("client_id", text, nullable=False),
        sa.Column("client_name", text, nullable=False),
        sa.Column("operator_id", text, nullable=False),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("role", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.Column("ended_at", number, nullable=True),
        sa.Column("ended_because", text, nullable=True),
    )
    op.create_index("oauth_grants_by_operator", "oauth_grants", ["operator_id", "id"])
    op.create_index("oauth_grants_by_client", "oauth_grants", ["client_id"])
    op.create_table(
        "oauth_codes",
        sa.Column("code_hash", text, primary_key=True),
        # The grant that it becomes.
        sa.Column("grant_id", text, nullable=False, unique=True),
        sa.Column("client_id", text, nullable=False),
        sa.Column("redirect_uri", text, nullable=False),
        sa.Column("challenge", text, nullable=False),
        sa.Column("operator_id", text, nullable=False),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("role", text, nullable=False),
        sa.Column("expires_at", number, nullable=False),
        sa.Column("used_at", number, nullable=True),
    )
    op.create_table(
        "oauth_tokens",
        sa.Column("token_hash", text, primary_key=True),
        # `access` or `refresh`.
        sa.Column("kind", text, nullable=False),
        sa.Column("grant_id", text, nullable=False),
        sa.Column("expires_at", number, nullable=False),
        # Of a refresh token: when another one took its place.
        sa.Column("used_at", number, nullable=True),
    )
    op.create_index("oauth_tokens_by_grant", "oauth_tokens", ["grant_id", "kind"])
