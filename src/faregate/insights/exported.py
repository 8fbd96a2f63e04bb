"""Events as rows of a table, for spreadsheets and data frames: one row for each fee, and one for an
event without any. Amounts are exact, in whole assets. What an event has but once (its costs) is in
its first row, so that a column can be added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from faregate.core.amounts import to_decimal
from faregate.core.codec import encode
from faregate.core.events import BookedEvent, Fee
from faregate.core.subscriptions import CatalogView

Kind = Literal["text", "sent", "json", "count", "instant", "amount", "volume", "rate"]
"""What a column has. `sent` is text that came from outside."""
COLUMNS: Final[tuple[tuple[str, Kind], ...]] = (
    ("event_id", "sent"),
    ("customer_id", "text"),
    ("customer_external_id", "sent"),
    ("customer_name", "sent"),
    ("event_type", "sent"),
    ("subject", "sent"),
    ("description", "sent"),
    ("occurred_at", "instant"),
    ("booked_at", "instant"),
    ("outcome", "text"),
    ("fee_number", "count"),
    ("fee_id", "text"),
    ("product", "sent"),
    ("product_version", "count"),
    ("price", "sent"),
    ("asset", "text"),
    ("amount", "amount"),
    ("discount", "amount"),
    ("capped", "amount"),
    ("volume", "volume"),
    ("account", "sent"),
    ("paid_asset", "text"),
    ("paid_amount", "amount"),
    ("exchange_rate", "rate"),
    ("warnings", "sent"),
    ("costs", "json"),
    ("data", "json"),
)
"""The columns, in their order."""
DECIMALS: Final[Mapping[str, int]] = {"amount": 9, "volume": 12, "rate": 18}

Value = str | int | Decimal | datetime | None
Row = tuple[Value, ...]


class Owner(NamedTuple):
    """Whose events: name and the seller's own id."""

    name: str
    external_id: str | None


def rows_of(
    customer_id: str, owner: Owner, booked: BookedEvent, catalog: CatalogView
) -> Iterator[Row]:
    """Return the rows of an event as it stands."""
    event = booked.event
    shared: tuple[Value, ...] = (
        event.id,
        customer_id,
        owner.external_id,
        owner.name,
        event.event_type,
        event.subject,
        event.description,
        event.occurred_at,
        booked.created_at,
        booked.outcome,
    )
    fees: Sequence[Fee | None] = booked.result.fees or (None,)
    warnings = "; ".join(booked.result.warnings) or None
    for number, fee in enumerate(fees, 1):
        is_first = number == 1
        yield (
            *shared,
            *_of_fee(number, fee, catalog),
            warnings if is_first else None,
            _json(event.costs) if is_first else None,
            _json(event.data),
        )


_NO_FEE: Final[tuple[Value, ...]] = (0, *[None] * 13)


def _of_fee(number: int, fee: Fee | None, catalog: CatalogView) -> tuple[Value, ...]:
    if fee is None:
        return _NO_FEE
    compiled = catalog.prices.get(fee.price_id)
    scale = catalog.assets[fee.asset].scale
    reduced, paid = fee.reduced, fee.paid_units
    return (
        number,
        fee.id,
        None if compiled is None else compiled.product_code,
        None if compiled is None else compiled.product_version,
        None if compiled is None else compiled.price.name,
        fee.asset,
        to_decimal(fee.units, scale),
        None if reduced is None else to_decimal(reduced.discount_units, scale),
        None if reduced is None else to_decimal(reduced.capped_units, scale),
        None if fee.volume is None else Decimal(fee.volume),
        fee.account_id,
        None if paid is None else fee.debited_asset,
        None if paid is None else to_decimal(paid, catalog.assets[fee.debited_asset].scale),
        fee.exchange_rate,
    )


def _json(value: Any) -> str | None:
    return None if not value else encode(value).decode()
