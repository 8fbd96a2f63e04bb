"""Who pays: customers, their subscriptions, and what their wallets show."""
