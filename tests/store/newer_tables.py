"""What takes newer tables out of a database again, for tests that make an older one."""

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
WITHOUT_SUMS: Final = (
    "DROP TABLE hour_sums",
    "DROP TABLE customer_sums",
    "DROP TABLE summary_cursors",
    "DROP TABLE summed_outcomes",
    "DROP TABLE overdrafts",
)
"""To before the sums that pages read; `payments` and `outcomes` are dropped themselves."""
WITHOUT_OPERATORS: Final = (
    "DROP TABLE operator_sessions",
    "DROP TABLE operator_links",
    "DROP TABLE operators",
    "DROP TABLE audit_outcomes",
    "DROP TABLE audit_entries",
    "DROP TABLE audit_head",
)
WITHOUT_PORTAL: Final = (
    "DROP TABLE portal_sessions",
    "DROP TABLE portal_links",
    "DROP TABLE portal_settings",
)
