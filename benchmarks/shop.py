"""The shop that every measurement uses: one price per token, and customers with three grants, who
never run dry.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from faregate import Engine
from faregate.catalog.types import CreateProduct
from faregate.core.amounts import Number
from faregate.core.codec import from_dict
from faregate.core.events import UsageEvent
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CreateCustomer

GRANTS: Final = 3
GRANT: Final = Number("1000000")
EVENT_TYPE: Final = "completion"
PRODUCT: Final = {
    "name": "Tokens",
    "code": "tokens",
    "publish": True,
    "prices": [
        {
            "type": "usage_based",
            "name": "Output tokens",
            "billing_model": {"type": "real_time"},
            "usage_calculation": {
                "event_type": EVENT_TYPE,
                "usage_type": "volume",
                "volume_field": "output_tokens",
            },
            "pricing": [
                {"asset": "USD", "values": [{"volume_rate": 2, "package_size": 1_000_000}]}
            ],
        }
    ],
}
CUSTOMER: Final = {"name": "Ada", "subscriptions": [{"products": [{"code": "tokens"}]}]}


async def open_shop(engine: Engine, customers: int, *, has_product: bool = False) -> list[str]:
    """Make the product, unless the shop has it, and so many customers; returns their ids."""
    if not has_product:
        await engine.create_product(from_dict(CreateProduct, PRODUCT))
    room = asyncio.Semaphore(32)

    async def make(_: int) -> str:
        async with room:
            created = await engine.create_customer(from_dict(CreateCustomer, CUSTOMER))
            for number in range(GRANTS):
                request = AdjustmentRequest(f"grant-{number}", "USD", GRANT, "gift")
                await engine.adjust(created.id, request)
            return created.id

    return list(await asyncio.gather(*(make(number) for number in range(customers))))


def usage(run: str, number: int) -> UsageEvent:
    """Make an event whose id rises with time, as a UUIDv7 does."""
    return UsageEvent(
        f"{run}-{number:024d}",
        EVENT_TYPE,
        datetime.now(UTC),
        data={"model": "large", "output_tokens": 1000 + number % 7},
    )


async def verify(url: str) -> int:
    """Return how many charges the ledger has, after proving that it adds up."""
    async with Engine.open(url) as engine:
        report = await engine.verify()
    if not report.is_clean:
        raise SystemExit(f"verify found differences: {report.differences[:3]} {report.breaks[:3]}")
    return report.fees
