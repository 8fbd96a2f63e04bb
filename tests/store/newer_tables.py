"""What takes newer tables, and what finds customers, out of a database, for tests that make an
older one."""

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
WITHOUT_SEARCH: Final = (
    "DROP INDEX transactions_by_customer",
    "ALTER TABLE customers DROP COLUMN search_text",
)
WITHOUT_PEOPLE: Final = (
    "DROP TABLE operators",
    "DROP TABLE operator_links",
    "DROP TABLE operator_sessions",
    "DROP TABLE audit_head",
    "DROP TABLE audit_entries",
    "DROP TABLE audit_outcomes",
    "DROP TABLE portal_links",
    "DROP TABLE portal_sessions",
    "DROP TABLE portal_settings",
)
