"""Costs that events had before costs had rows are filled in by the upgrade."""

import asyncio

from tests.ledger.shop import (
    Clock,
    assert_clean,
    by_hand,
    make_customer,
    other_connection,
    sell_tokens,
    use,
)
from tests.store.newer_tables import (
    WITHOUT_OPERATORS,
    WITHOUT_PAYMENTS,
    WITHOUT_PORTAL,
    WITHOUT_SUMS,
    WITHOUT_WEBHOOKS,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.costs import Cost
from faregate.store.schema import COSTS, names

BEFORE = (
    *WITHOUT_PAYMENTS,
    *WITHOUT_WEBHOOKS,
    *WITHOUT_SUMS,
    *WITHOUT_OPERATORS,
    *WITHOUT_PORTAL,
    "DROP TABLE outcomes",
    "ALTER TABLE events DROP COLUMN counted",
    "ALTER TABLE events DROP COLUMN outcome",
    "DROP TABLE costs",
    "ALTER TABLE wallet_accounts DROP COLUMN watch",
    "ALTER TABLE environments DROP COLUMN alerts",
    "DROP INDEX holds_by_expiry",
    "ALTER TABLE fees DROP COLUMN paid_units",
    "ALTER TABLE fees DROP COLUMN exchange_rate",
    "ALTER TABLE fees DROP COLUMN reduced",
    "ALTER TABLE product_versions DROP COLUMN commitments",
    "DROP TABLE coupons",
    "UPDATE alembic_version SET version_num = '0009'",
)
ROWS = f"SELECT lane, {names(COSTS)} FROM costs ORDER BY lane, seq, number"
BATCHES, EVENTS = 5, 300
"""Of the events three quarters have costs: more than the upgrade takes at a time."""


def test_every_cost_that_was_there_gets_its_row(empty_url: str):
    async def story() -> None:
        costs = [
            Cost("a", Number("0.000000001"), vendor_id="ven_1"),
            Cost("b", Number("2"), vendor_external_id="acme", category="gpu", currency="EUR"),
            Cost("c", Number("0"), vendor_external_id="acme"),
        ]
        async with Engine.open(empty_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine), await make_customer(engine)]
            for batch in range(BATCHES):
                events = [
                    use(f"{batch} {number}", costs=costs[: number % 4] or None)
                    for number in range(EVENTS)
                ]
                events.append(use(f"{batch} none", costs=[]))
                await engine.record_events(customers[batch % 2], events)
        async with other_connection(empty_url) as store:
            written = [tuple(row) for row in await store.fetch(ROWS)]
        # Of four events 0 + 1 + 2 + 3.
        assert len(written) == BATCHES * EVENTS // 4 * 6
        async with by_hand(empty_url) as database:
            for sql in BEFORE:
                await database.fetch(sql)
        async with Engine.open(empty_url, clock=Clock(), migrate=True) as engine:
            await assert_clean(engine)
            await engine.record_events(customers[0], [use("new", costs=costs)])
            await assert_clean(engine)
        async with other_connection(empty_url) as store:
            filled = [tuple(row) for row in await store.fetch(ROWS)]
        assert filled[:-3] == written

    asyncio.run(story())
