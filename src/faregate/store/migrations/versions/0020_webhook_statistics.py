"""Tell SQLite how deliveries of webhooks are spread, so that it reads lines by their indexes."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Write what it would take for granted otherwise: that a lane is a handful of rows."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute(
        "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES "
        "('webhook_deliveries', 'webhook_deliveries', '10000000 10000000 1'), "
        "('webhook_deliveries', 'webhook_deliveries_by_id', '10000000 1000000 1'), "
        "('webhook_deliveries', 'webhook_deliveries_by_destination', '10000000 100000 1'), "
        "('webhook_deliveries', 'webhook_deliveries_by_event', '10000000 5 1'), "
        "('webhook_deliveries', 'webhook_deliveries_by_age', '10000000 100'), "
        "('webhook_deliveries', 'webhook_deliveries_due', '10000 10000 100 1'), "
        "('webhook_deliveries', 'webhook_deliveries_ready', '10000 10000 5 1'), "
        "('webhook_deliveries', 'webhook_deliveries_waiting', '10000 10000 50 10 1')"
    )
