"""What events cost the seller, in rows of its own."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from faregate.core.amounts import FIAT_SCALE, to_units
from faregate.core.codec import decode
from faregate.core.costs import DEFAULT_COST_CURRENCY, Cost

revision = "0010"
down_revision = "0009"

SLICE = 1_000
COLUMNS = "lane, seq, customer_id, event_id, environment_id, event_type, occurred_at, created_at"


def upgrade() -> None:
    """Make the table; fill it from the events that have costs."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    costs = op.create_table(
        "costs",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("event_id", text, nullable=False),
        sa.Column("environment_id", sa.BigInteger(), nullable=False),
        sa.Column("event_type", text, nullable=False),
        sa.Column("vendor_id", text, nullable=True),
        sa.Column("vendor_external_id", text, nullable=True),
        sa.Column("category", text, nullable=True),
        sa.Column("currency", text, nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "seq", "number"),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Whoever still writes must wait: events without their rows would be found by `verify`.
        op.execute("LOCK TABLE events IN EXCLUSIVE MODE")
    for page in _pages():
        rows = [row for event in page for row in _rows(event)]
        if rows:
            op.bulk_insert(costs, rows)


def _pages() -> Iterator[list[Any]]:
    """Read the events that have costs in the order of their numbers, which no two lanes share."""
    after = -(2**63)
    sql = sa.text(
        f"SELECT {COLUMNS}, costs FROM events WHERE seq > :after AND costs IS NOT NULL "
        f"ORDER BY seq LIMIT {SLICE}"
    )
    while page := list(op.get_bind().execute(sql, {"after": after})):
        yield page
        after = page[-1].seq


def _rows(event: Any) -> Iterator[dict[str, Any]]:
    names = {name: value for name, value in event._mapping.items() if name != "costs"}
    for number, cost in enumerate(decode(list[Cost], event.costs)):
        yield {
            **names,
            "number": number,
            "vendor_id": cost.vendor_id,
            "vendor_external_id": cost.vendor_external_id,
            "category": cost.category,
            "currency": cost.currency or DEFAULT_COST_CURRENCY,
            "units": to_units(cost.amount, FIAT_SCALE),
        }
