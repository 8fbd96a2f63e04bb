"""`faregate migrate`: bring a database to the schema of this version."""

from __future__ import annotations

import uvloop

from faregate.cli.settings import Database, open_database


def migrate(database: Database) -> None:
    """Bring the database to this version's schema. Stop the server first."""

    async def run() -> None:
        async with open_database(database, serves=False, migrate=True):
            print("The database has the schema of this version.")

    uvloop.run(run())
