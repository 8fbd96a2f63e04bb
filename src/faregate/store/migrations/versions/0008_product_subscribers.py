"""Who is subscribed to which product."""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

PAGE = 5_000


def upgrade() -> None:
    """Make the table, and fill it from the subscriptions."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()
    made = op.create_table(
        "product_subscribers",
        sa.Column("lane", number, nullable=False, autoincrement=False),
        sa.Column("product_id", text, nullable=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("subscription_id", text, nullable=False),
        sa.Column("version", number, nullable=False),
        sa.Column("next_version", number, nullable=True),
        sa.Column("ends_at", number, nullable=True),
        sa.PrimaryKeyConstraint("lane", "product_id", "customer_id", "subscription_id"),
        sqlite_with_rowid=False,
    )
    for page in _pages():
        rows = [row for subscription in page for row in _rows(subscription)]
        if rows:
            op.bulk_insert(made, rows)


def _pages() -> Iterator[list[Any]]:
    last: dict[str, Any] = {"lane": -1, "customer": "", "subscription": ""}
    sql = sa.text(
        "SELECT lane, customer_id, subscription_id, bindings, stretches, active_from, active_to "
        "FROM subscriptions WHERE (lane, customer_id, subscription_id) > "
        "(:lane, :customer, :subscription) ORDER BY lane, customer_id, subscription_id "
        f"LIMIT {PAGE}"
    )
    while rows := list(op.get_bind().execute(sql, last)):
        yield rows
        lane, customer, subscription, *_ = rows[-1]
        last = {"lane": lane, "customer": customer, "subscription": subscription}


def _rows(row: Any) -> list[dict[str, Any]]:
    lane, customer_id, subscription_id, bindings, stretches, _, active_to = row
    newest = {binding["product_id"]: binding["version"] for binding in json.loads(bindings)}
    return [
        {
            "lane": lane,
            "product_id": product_id,
            "customer_id": customer_id,
            "subscription_id": subscription_id,
            "version": version or 0,
            "next_version": None,
            "ends_at": active_to if json.loads(stretches) else 0,
        }
        for product_id, version in newest.items()
    ]
