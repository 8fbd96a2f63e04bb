"""What was earned and what it cost, summed up by hour, and by day and customer."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

COUNTS = (
    "events",
    "price_events",
    "product_events",
    "vendor_events",
    "category_events",
    "cost_events",
)


def upgrade() -> None:
    """Make the tables; they are filled from the rows that are there, bit by bit, by the worker."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()

    def column(name: str, kind: sa.types.TypeEngine[str] | sa.BigInteger) -> sa.Column[object]:
        return sa.Column(name, kind, nullable=False, autoincrement=False)

    units = [f"{of}_{part}" for of in ("revenue", "costs") for part in ("billions", "rest")]
    ends = ("first_at", "last_at")
    hour = ["lane", "environment_id", "hour", "event_type", "price_id", "model", "vendor_id"]
    hour += ["vendor_external_id", "category", "asset", "rate_at"]
    day = ["lane", "environment_id", "day", "customer_id", "asset", "rate_at"]
    numbers = {"lane", "environment_id", "hour", "day", "rate_at"}
    for name, key, counts in (("hour_sums", hour, COUNTS), ("customer_sums", day, COUNTS[:1])):
        op.create_table(
            name,
            *[column(one, number if one in numbers else text) for one in key],
            *[column(one, number) for one in (*units, *counts, *ends)],
            sa.PrimaryKeyConstraint(*key),
            sqlite_with_rowid=False,
        )
    op.create_index("customer_sums_by_customer", "customer_sums", ["lane", "customer_id", "day"])
    op.create_table(
        "summary_cursors",
        sa.Column("lane", number, primary_key=True, autoincrement=False),
        sa.Column("seq", number, nullable=False),
        sa.Column("version", number, nullable=False),
    )
    op.execute(
        "INSERT INTO summary_cursors (lane, seq, version) "
        "SELECT lane, lane * 281474976710656, 0 FROM lanes"
    )
    op.create_table(
        "summed_outcomes",
        sa.Column("lane", number, nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("event_id", text, nullable=False),
        sa.Column("standing", text, nullable=False),
        sa.PrimaryKeyConstraint("lane", "customer_id", "event_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "overdrafts",
        sa.Column("lane", number, nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("account_id", text, nullable=False),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("asset", text, nullable=False),
        sa.Column("units", number, nullable=False),
        sa.PrimaryKeyConstraint("lane", "customer_id", "account_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("overdrafts_by_units", "overdrafts", ["environment_id", "asset", "units"])
    op.create_index("overdrafts_by_customer", "overdrafts", ["environment_id", "customer_id"])
    failed = sa.text("status = 'failed'")
    op.create_index(
        "payments_failed",
        "payments",
        ["environment_id", "updated_at"],
        sqlite_where=failed,
        postgresql_where=failed,
    )
    # After which number an outcome was reported: of those that are there, the lane's last one.
    op.add_column("outcomes", sa.Column("seq", number, nullable=False, server_default="0"))
    op.execute(
        "UPDATE outcomes SET seq = (SELECT l.last_seq FROM lanes l WHERE l.lane = outcomes.lane)"
    )
    op.create_index("outcomes_by_seq", "outcomes", ["lane", "seq", "customer_id", "event_id"])
