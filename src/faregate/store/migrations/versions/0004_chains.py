"""A chain of hashes over each customer's transfers."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from faregate.core.chain import beginning, link

revision = "0004"
down_revision = "0003"

PAGE = 10_000
COLUMNS = "lane, seq, customer_id, asset, from_account, to_account, units, reference, at"


def upgrade() -> None:
    """Write the transfers anew, each with its hash; make the table of where each chain stands.

    A transfer cannot be without a hash, so an older Faregate that still runs cannot add one.
    """
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    transfers = op.create_table(
        "chained_transfers",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("seq", number, nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("asset", text, nullable=False),
        sa.Column("from_account", text, nullable=False),
        sa.Column("to_account", text, nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("reference", text, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("hash", text, nullable=False),
        sa.PrimaryKeyConstraint(*(["seq"] if is_sqlite else ["lane", "seq"])),
    )
    chains = op.create_table(
        "chains",
        sa.Column("lane", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("head", text, nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "customer_id"),
        sqlite_with_rowid=False,
    )
    if not is_sqlite:
        # Whoever still writes must wait, and then fails.
        op.execute("LOCK TABLE transfers IN ACCESS EXCLUSIVE MODE")
    heads: dict[tuple[int, str], tuple[str, int]] = {}
    for page in _pages():
        op.bulk_insert(transfers, [_chained(row, heads) for row in page])
    op.bulk_insert(
        chains,
        [
            {"lane": lane, "customer_id": customer_id, "head": head, "last_seq": seq}
            for (lane, customer_id), (head, seq) in sorted(heads.items())
        ],
    )
    op.drop_table("transfers")
    op.rename_table("chained_transfers", "transfers")
    if not is_sqlite:
        op.execute("ALTER INDEX chained_transfers_pkey RENAME TO transfers_pkey")


def _pages() -> Iterator[list[Any]]:
    """Read the transfers in the order of their numbers, which no two lanes share."""
    after = -(2**63)
    sql = sa.text(f"SELECT {COLUMNS} FROM transfers WHERE seq > :after ORDER BY seq LIMIT {PAGE}")
    while rows := list(op.get_bind().execute(sql, {"after": after})):
        yield rows
        after = rows[-1][1]


def _chained(row: Any, heads: dict[tuple[int, str], tuple[str, int]]) -> dict[str, Any]:
    lane, seq, customer_id, *_ = row
    before = heads.get((lane, customer_id)) or (beginning(customer_id).hash, 0)
    newest = link(before[0], tuple(row[1:]))
    heads[lane, customer_id] = (newest, seq)
    return {**row._mapping, "hash": newest}
