"""What takes the tables of payments and webhooks out of a database, for tests that make an older
one."""

from __future__ import annotations

from typing import Final

WITHOUT_PAYMENTS: Final = (
    "DROP TABLE payments",
    "DROP TABLE payment_returns",
    "DROP TABLE payment_methods",
    "DROP TABLE sandbox_payments",
    "DROP TABLE collections",
    "DROP TABLE top_up_bonuses",
    "DROP TABLE payment_key",
    "DROP TABLE external_payments",
    "DROP TABLE external_refunds",
    "ALTER TABLE environments DROP COLUMN payments",
)
WITHOUT_WEBHOOKS: Final = (
    "DROP TABLE webhook_deletions",
    "DROP TABLE webhook_deliveries",
    "DROP TABLE webhook_events",
    "DROP TABLE webhook_cursors",
    "DROP TABLE webhook_destinations",
)
WITHOUT_SUMS = (
    "DROP TABLE hour_sums",
    "DROP TABLE customer_sums",
    "DROP TABLE summary_cursors",
    "DROP TABLE summed_outcomes",
    "DROP TABLE overdrafts",
)
"""To before the sums that pages read; `payments` and `outcomes` are dropped themselves."""
