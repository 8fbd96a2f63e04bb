"""What takes newer tables, columns and indexes out of a database, for tests that make an older
one."""

from __future__ import annotations

from typing import Final

_TABLES: Final = (
    "payments payment_returns payment_methods sandbox_payments collections top_up_bonuses "
    "payment_key external_payments external_refunds webhook_deletions webhook_deliveries "
    "webhook_events webhook_cursors webhook_destinations operators operator_links "
    "operator_sessions audit_head audit_entries audit_outcomes portal_links portal_sessions "
    "portal_settings jobs hour_sums customer_sums summary_cursors summed_outcomes overdrafts"
)
WITHOUT_SEARCH: Final = (
    "DROP TABLE ingestion_rules",
    "DROP TABLE confirmations",
    "DROP TABLE oauth_tokens",
    "DROP TABLE oauth_codes",
    "DROP TABLE oauth_grants",
    "DROP TABLE oauth_clients",
    "DROP TABLE model_prices",
    "ALTER TABLE environments DROP COLUMN attaches_costs",
    "DROP INDEX transactions_by_customer",
    "ALTER TABLE customers DROP COLUMN search_text",
)
WITHOUT_NEWER: Final = (
    *(f"DROP TABLE {name}" for name in _TABLES.split()),
    "ALTER TABLE environments DROP COLUMN payments",
    *WITHOUT_SEARCH,
)
