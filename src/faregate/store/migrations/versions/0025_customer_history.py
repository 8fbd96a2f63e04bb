"""Find customers by what a person types, and what moved a customer's money beside use.

Captures are not in the index of transactions: they come with each use, and would pay for what
nobody asks of them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

PAGE = 5_000


def upgrade() -> None:
    """Make the index; write of each customer how they are searched."""
    wanted = sa.text("kind NOT IN ('capture', 'update', 'outcome')")
    op.create_index(
        "transactions_by_customer",
        "transactions",
        ["lane", "customer_id", "created_at", "id"],
        sqlite_where=wanted,
        postgresql_where=wanted,
    )
    if op.get_bind().dialect.name == "sqlite":
        # Without being told, SQLite takes a lane for a handful of rows, and reads all of them.
        op.execute(
            "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES "
            "('transactions', 'transactions_by_customer', '1000000 1000000 10 1 1')"
        )
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("customers", sa.Column("search_text", text, nullable=True))
    _write_search_texts()


def _write_search_texts() -> None:
    bind, last = op.get_bind(), ""
    known = sa.text(
        "SELECT id, name, external_id, email FROM customers WHERE id > :last ORDER BY id LIMIT :n"
    )
    write = sa.text("UPDATE customers SET search_text = :text WHERE id = :id")
    while True:
        page = bind.execute(known, {"last": last, "n": PAGE}).all()
        if not page:
            return
        last = page[-1][0]
        # As `customers.searching.folded` writes it.
        texts = ["\n".join([t.casefold() for t in row[1:] if t is not None]) for row in page]
        ids = [row[0] for row in page]
        bind.execute(write, [{"id": i, "text": t} for i, t in zip(ids, texts, strict=True)])
