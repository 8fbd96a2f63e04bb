"""Where rows live: schema, migrations, and the same few operations on SQLite and PostgreSQL.
Nothing here knows what a row means; the rules are in `core`, the order of work in `ledger`.
"""
