"""Who may sign in, by which links and in which sessions; and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Make the tables. They are directories: a charge neither reads nor writes them."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()
    op.create_table(
        "operators",
        sa.Column("id", text, primary_key=True),
        sa.Column("email", text, nullable=False, unique=True),
        sa.Column("name", text, nullable=False),
        sa.Column("role", text, nullable=False),
        sa.Column("password_hash", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.Column("disabled_at", number, nullable=True),
    )
    op.create_table(
        "operator_links",
        sa.Column("secret_hash", text, primary_key=True),
        # `first`, `invitation`, `reset` or `sign_in`.
        sa.Column("kind", text, nullable=False),
        sa.Column("operator_id", text, nullable=True),
        sa.Column("email", text, nullable=False),
        sa.Column("role", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.Column("expires_at", number, nullable=False),
    )
    op.create_table(
        "operator_sessions",
        sa.Column("secret_hash", text, primary_key=True),
        sa.Column("id", text, nullable=False, unique=True),
        sa.Column("operator_id", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.Column("used_at", number, nullable=False),
        sa.Column("expires_at", number, nullable=False),
        sa.Column("address", text, nullable=False),
        sa.Column("agent", text, nullable=False),
    )
    op.create_index("operator_sessions_of", "operator_sessions", ["operator_id", "id"])
    op.create_table(
        "audit_head",
        sa.Column("id", number, primary_key=True, autoincrement=False),
        sa.Column("seq", number, nullable=False),
        sa.Column("hash", text, nullable=False),
    )
    op.execute("INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '')")
    op.create_table(
        "audit_entries",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("id", text, nullable=False, unique=True),
        sa.Column("at", number, nullable=False),
        sa.Column("actor_kind", text, nullable=False),
        sa.Column("actor_id", text, nullable=False),
        sa.Column("actor_name", text, nullable=False),
        sa.Column("action", text, nullable=False),
        sa.Column("object_id", text, nullable=False),
        sa.Column("account_id", text, nullable=False),
        sa.Column("mode", text, nullable=False),
        sa.Column("request", text, nullable=False),
        sa.Column("address", text, nullable=False),
        sa.Column("hash", text, nullable=False),
    )
    for name, columns in (
        ("audit_entries_by_actor", ["actor_id", "seq"]),
        ("audit_entries_by_action", ["action", "seq"]),
        ("audit_entries_by_object", ["object_id", "seq"]),
        ("audit_entries_by_time", ["at"]),
    ):
        op.create_index(name, "audit_entries", columns)
    op.create_table(
        "audit_outcomes",
        sa.Column("entry_id", text, primary_key=True),
        sa.Column("seq", number, nullable=False, unique=True),
        sa.Column("at", number, nullable=False),
        sa.Column("outcome", text, nullable=False),
        sa.Column("detail", text, nullable=False),
        sa.Column("object_id", text, nullable=False),
        sa.Column("hash", text, nullable=False),
    )
    op.create_index("audit_outcomes_by_object", "audit_outcomes", ["object_id"])
