"""Payments: top-ups and what else customers pay, what goes back of it, saved cards, and what the
sandbox knows of them."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the tables. They are directories: few rows beside the events, each looked up by id."""
    # PostgreSQL: byte order, as everywhere.
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger()
    op.create_table(
        "payments",
        sa.Column("id", text, primary_key=True),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("customer_id", text, nullable=False),
        # Who wants the money: `top_up` (the customer), `auto` or `subscription` (we do).
        sa.Column("kind", text, nullable=False),
        sa.Column("status", text, nullable=False),
        sa.Column("provider", text, nullable=False),
        sa.Column("checkout_ref", text, nullable=True),
        sa.Column("payment_ref", text, nullable=True),
        sa.Column("currency", text, nullable=False),
        sa.Column("amount_units", number, nullable=False),
        sa.Column("account_id", text, nullable=False),
        sa.Column("units", number, nullable=False),
        sa.Column("terms", text, nullable=False),
        sa.Column("problem", text, nullable=True),
        sa.Column("created_at", number, nullable=False),
        sa.Column("expires_at", number, nullable=False),
        sa.Column("updated_at", number, nullable=False),
        # When the provider is asked next, if nobody says anything before; never: null.
        sa.Column("check_at", number, nullable=True),
        sa.Column("checks", number, nullable=False, server_default="0"),
    )
    op.create_index("payments_due", "payments", ["check_at"])
    op.create_index("payments_by_customer", "payments", ["environment_id", "customer_id", "id"])
    op.create_index("payments_by_checkout", "payments", ["provider", "checkout_ref"])
    op.create_index("payments_by_ref", "payments", ["provider", "payment_ref"])
    op.create_table(
        "payment_returns",
        sa.Column("id", text, primary_key=True),
        sa.Column("payment_id", text, nullable=False),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("reason", text, nullable=False),
        sa.Column("status", text, nullable=False),
        sa.Column("ref", text, nullable=True),
        sa.Column("amount_units", number, nullable=False),
        sa.Column("terms", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.Column("updated_at", number, nullable=False),
    )
    op.create_index("payment_returns_of", "payment_returns", ["payment_id", "id"])
    op.create_table(
        "payment_methods",
        sa.Column("id", text, primary_key=True),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("provider", text, nullable=False),
        sa.Column("method_ref", text, nullable=False),
        sa.Column("card", text, nullable=False),
        sa.Column("is_default", number, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.UniqueConstraint("environment_id", "customer_id", "provider", "method_ref"),
    )
    op.create_table(
        "sandbox_payments",
        sa.Column("id", text, primary_key=True),
        sa.Column("environment_id", number, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
        sa.Column("updated_at", number, nullable=False),
    )
    # What sellers' own systems have told, under their own ids.
    op.create_table(
        "external_payments",
        sa.Column("environment_id", number, primary_key=True, autoincrement=False),
        sa.Column("ref", text, primary_key=True),
        sa.Column("payment_id", text, nullable=False, unique=True),
        sa.Column("minor", number, nullable=False),
        sa.Column("currency", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
    )
    op.create_table(
        "external_refunds",
        sa.Column("environment_id", number, primary_key=True, autoincrement=False),
        sa.Column("ref", text, primary_key=True),
        sa.Column("refund_ref", text, primary_key=True),
        sa.Column("minor", number, nullable=False),
        sa.Column("currency", text, nullable=False),
        sa.Column("created_at", number, nullable=False),
    )
    op.create_table(
        # What top-ups of an asset bring beside them: a list of rules.
        "top_up_bonuses",
        sa.Column("environment_id", number, primary_key=True),
        sa.Column("asset", text, primary_key=True),
        sa.Column("terms", text, nullable=False),
    )
    op.create_table(
        # With what our own pages and the sandbox's messages are sealed: one row.
        "payment_key",
        sa.Column("id", number, primary_key=True),
        sa.Column("secret", text, nullable=False),
    )
    op.add_column("environments", sa.Column("payments", text, nullable=True))
