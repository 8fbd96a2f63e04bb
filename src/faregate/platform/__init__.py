"""Who may ask: accounts, their test and live environments, and API keys."""
