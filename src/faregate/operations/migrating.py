"""Moving a product's subscribers to another version, over REST."""

from __future__ import annotations

from faregate.core.problems import FaregateError, invalid
from faregate.customers.migrating import MigrateSubscribers, Migration, MigrationPreview
from faregate.operations.operation import ADMIN, Call, Operation, PageQuery


async def _migrate(call: Call) -> MigrationPreview | Migration:
    for field in ("to_version", "from_version"):
        version = getattr(call.body, field)
        if isinstance(version, int) and version < 1:
            raise FaregateError(invalid(field, f"is {version}: versions begin at 1"))
    return await call.engine.migrate_subscribers(
        call.path["product_id"],
        call.body,
        call.query.limit,
        call.query.offset,
        context=call.context,
    )


OPERATIONS = (
    Operation(
        "POST",
        "/products/{product_id}/subscribers/migrate",
        _migrate,
        "Products",
        "Say what subscribers would pay under another version, or move them to it",
        ADMIN,
        query=PageQuery,
        body=MigrateSubscribers,
        answer=MigrationPreview | Migration,
        errors=(404,),
    ),
)
