"""Where webhooks go, what they say, and how far each has come."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the tables; what was told before there were destinations is told to nobody."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()
    op.create_table(
        "webhook_destinations",
        sa.Column("id", text, primary_key=True),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("url", text, nullable=False),
        sa.Column("topics", text, nullable=False),
        sa.Column("connect", number, nullable=False),
        sa.Column("enabled", number, nullable=False),
        sa.Column("secret", text, nullable=False),
        sa.Column("old_secret", text, nullable=True),
        sa.Column("old_secret_until", number, nullable=True),
        sa.Column("disabled_reason", text, nullable=True),
        sa.Column("failing_since", number, nullable=True),
        sa.Column("since", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.Column("updated_at", number, nullable=False),
    )
    op.create_index(
        "webhook_destinations_by_environment", "webhook_destinations", ["environment_id", "id"]
    )
    op.create_table(
        "webhook_cursors",
        sa.Column("lane", number, primary_key=True, autoincrement=False),
        sa.Column("outbox_seq", number, nullable=False),
        sa.Column("position", number, nullable=False),
        sa.Column("version", number, nullable=False),
        sa.Column("emptied_seq", number, nullable=False),
    )
    op.execute(
        "INSERT INTO webhook_cursors (lane, outbox_seq, position, version, emptied_seq) "
        "SELECT lane, last_seq, 0, 0, 0 FROM lanes"
    )
    op.create_table(
        "webhook_events",
        sa.Column("id", text, primary_key=True),
        sa.Column("created_at", number, nullable=False),
        sa.Column("body", text, nullable=False),
    )
    op.create_index("webhook_events_by_age", "webhook_events", ["created_at"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("lane", number, nullable=False, autoincrement=False),
        sa.Column("position", number, nullable=False, autoincrement=False),
        sa.Column("id", text, nullable=False),
        sa.Column("destination_id", text, nullable=False),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("customer_id", text, nullable=True),
        sa.Column("line", text, nullable=False),
        sa.Column("event_id", text, nullable=False),
        sa.Column("topic", text, nullable=False),
        sa.Column("happened_at", number, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("attempts", number, nullable=False),
        sa.Column("due_at", number, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.Column("successful_at", number, nullable=True),
        sa.Column("failed_at", number, nullable=True),
        sa.Column("response_status", number, nullable=True),
        sa.Column("problem", text, nullable=True),
        sa.PrimaryKeyConstraint("lane", "position"),
        sqlite_with_rowid=False,
    )
    for name, columns, where in (
        ("webhook_deliveries_by_id", ["environment_id", "id"], None),
        ("webhook_deliveries_by_destination", ["destination_id", "id"], None),
        ("webhook_deliveries_by_event", ["event_id", "destination_id"], None),
        ("webhook_deliveries_by_age", ["created_at"], "state IN ('delivered', 'failed')"),
        ("webhook_deliveries_due", ["lane", "destination_id", "due_at"], "state = 'ready'"),
        ("webhook_deliveries_ready", ["lane", "line", "destination_id"], "state = 'ready'"),
        (
            "webhook_deliveries_waiting",
            ["lane", "line", "destination_id", "position"],
            "state = 'waiting'",
        ),
    ):
        condition = None if where is None else sa.text(where)
        op.create_index(
            name,
            "webhook_deliveries",
            columns,
            sqlite_where=condition,
            postgresql_where=condition,
        )
