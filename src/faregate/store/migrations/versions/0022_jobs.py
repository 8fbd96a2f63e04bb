"""Long work that can be left and found again."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Make the table, with an index of an account's jobs, and one of those that are not done."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()
    op.create_table(
        "jobs",
        sa.Column("id", text, nullable=False),
        sa.Column("environment_id", number, nullable=False, autoincrement=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("asked_by", text, nullable=False),
        sa.Column("request", text, nullable=False),
        sa.Column("status", text, nullable=False),
        sa.Column("is_cancelled", number, nullable=False),
        sa.Column("done", number, nullable=False),
        sa.Column("total", number, nullable=True),
        sa.Column("words", text, nullable=False),
        sa.Column("result", text, nullable=True),
        sa.Column("problem", text, nullable=True),
        sa.Column("created_at", number, nullable=False),
        sa.Column("started_at", number, nullable=True),
        sa.Column("finished_at", number, nullable=True),
        sa.Column("file_name", text, nullable=True),
        sa.Column("file_bytes", number, nullable=True),
        sa.Column("file_until", number, nullable=True),
        sa.Column("claimed_by", text, nullable=False),
        sa.Column("claimed_until", number, nullable=False),
        sa.Column("attempts", number, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("jobs_by_age", "jobs", ["environment_id", "id"])
    is_open = sa.text("status IN ('queued', 'running')")
    op.create_index("jobs_open", "jobs", ["id"], sqlite_where=is_open, postgresql_where=is_open)
