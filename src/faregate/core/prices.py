"""What a seller may ask: the shape of prices, as they are written, stored and published.

A *usage price* matches events by `event_type` and measures each one (`unit`: 1 per event;
`volume`: a number in the event's data; `unit_and_volume`: both, added; `custom`: an expression;
`cost`: what the event costs the seller). A *fixed price* is due
by itself, once or each period. Values are JSON numbers with up to 18 decimals, per asset, and
may differ by *dimension* (values of named keys in the event's data, `"*"` for any).

An *entitlement* is credit that comes with a product. The shapes leave room for what is not sold yet
(invoices): `price_checks` refuses it by name, so nothing is stored that would not be collected. How
an event is priced lives in `pricing`, what is due by itself in `plans`.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from faregate.core.amounts import Number
from faregate.core.periods import Interval

RATE_DECIMALS: Final = 18
"""Decimals that a price or rate may have."""
MAX_PRICES: Final = 100
MAX_VALUES: Final = 1_000
MAX_DIMENSIONS: Final = 10
MAX_TIERS: Final = 100
MAX_UP_TO: Final = 10**18
"""Where the last but one tier may end."""
MAX_PACKAGE_SIZE: Final = 10**12
MAX_PACKAGE_LCM: Final = 10**18
"""Least common multiple of a price's package sizes: it is part of the denominator in which the
remainder of rounding is carried, so it must stay bounded."""
WILDCARD: Final = "*"

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Key = Annotated[str, Meta(min_length=1, max_length=100)]
ACCOUNT_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Names of wallet accounts: they stand in URLs, before the colon of `name:ASSET`."""


class PriceValue(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Either the numbers of a price, or `dimensions` and, under them, the `values` that apply."""

    name: Text | None = None
    up_to: Number | None = None
    unit_price: Number | None = None
    volume_rate: Number | None = None
    package_size: Number | None = None
    max_amount: Number | None = None
    min_amount: Number | None = None
    dimensions: dict[Key, Text] | None = None
    values: Annotated[tuple[PriceValue, ...], Meta(max_length=100)] | None = None


class AssetPricing(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The values of a usage price in one asset."""

    asset: Key
    values: Annotated[tuple[PriceValue, ...], Meta(min_length=1, max_length=MAX_VALUES)]


class FixedValue(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A fixed amount. One that says a `quantity` is sold by the seat: so many come with a
    subscription that does not say how many it wants. One that says none is asked once."""

    unit_price: Number
    name: Text | None = None
    quantity: Number | None = None


class FixedAssetPricing(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The values of a fixed price in one asset."""

    asset: Key
    values: Annotated[tuple[FixedValue, ...], Meta(min_length=1, max_length=100)]


class CostFilter(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Which of an event's costs a price is about: those that fit all that is given."""

    vendor_id: Key | None = None
    vendor_external_id: Key | None = None
    category: Text | None = None


class UsageCalculation(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """How an event is measured."""

    event_type: Key
    usage_type: Literal["unit", "volume", "unit_and_volume", "custom", "cost"]
    unit_aggregation: Text | None = None
    volume_field: Key | None = None
    volume_aggregation: Text | None = None
    billable_dimensions: Annotated[tuple[Key, ...], Meta(max_length=MAX_DIMENSIONS)] | None = None
    source_reference_field: Key | None = None
    costs: CostFilter | None = None


TierBasis = Literal["unit", "volume", "package", "custom"]
TierPeriod = Literal["lifetime", "monthly", "quarterly", "yearly", "custom"]


class Tiering(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What the tiers of a price count (`unit`: events; `volume`; `package`: volume, in packages),
    and when the count begins anew: each UTC calendar month, quarter or year, or never."""

    basis: TierBasis | None = None
    period: TierPeriod | None = None


class RealTimeBilling(
    msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="real_time", frozen=True
):
    """Charged as it happens."""


class Recurrence(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Every `interval_count` intervals."""

    interval: Interval
    interval_count: Annotated[int, Meta(ge=1, le=1000)] | None = None


class RecurringBilling(
    msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="recurring", frozen=True
):
    """Charged each period."""

    recurring: Recurrence


class OneTime(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Charged once; `service_period` says in which time it is earned (ISO 8601: P3M, P90D)."""

    service_period: Text | None = None


class OneTimeBilling(
    msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="one_time", frozen=True
):
    """Charged at activation."""

    one_time: OneTime


class BalanceCollection(
    msgspec.Struct,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="balance",
    omit_defaults=True,
    frozen=True,
):
    """Debit the wallet as it happens; `address` is the account, e.g. `default:USD`."""

    timing: Literal["in_advance", "in_arrears"] | None = None
    address: Text | None = None


class InvoiceCollection(
    msgspec.Struct,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="invoice",
    omit_defaults=True,
    frozen=True,
):
    """Gather fees on the period's invoice."""

    timing: Literal["in_advance", "in_arrears"] | None = None


class FundingDestination(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """Where funds are collected."""

    address: Text
    currency: Key | None = None
    exchange_rate: Number | None = None


class UsageBasedPrice(
    msgspec.Struct,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="usage_based",
    omit_defaults=True,
    frozen=True,
):
    """A price per use."""

    name: Text
    usage_calculation: UsageCalculation
    billing_model: RealTimeBilling | RecurringBilling | OneTimeBilling
    pricing: Annotated[tuple[AssetPricing, ...], Meta(min_length=1, max_length=20)]
    id: str | None = None
    pricing_model: Literal["flat", "tiered", "bulk", "package"] | None = None
    tiering: Tiering | None = None
    collection: BalanceCollection | InvoiceCollection | None = None
    funding_destination: FundingDestination | None = None


class FixedPrice(
    msgspec.Struct,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="fixed",
    omit_defaults=True,
    frozen=True,
):
    """A price that is due by itself."""

    name: Text
    billing_model: RecurringBilling | OneTimeBilling
    pricing: Annotated[tuple[FixedAssetPricing, ...], Meta(min_length=1, max_length=20)]
    id: str | None = None
    pricing_model: Literal["flat", "tiered", "bulk", "package"] | None = None
    tiering: Tiering | None = None
    collection: BalanceCollection | InvoiceCollection | None = None
    funding_destination: FundingDestination | None = None


Price = UsageBasedPrice | FixedPrice


class EntitlementRefresh(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """What becomes of credits when their time is over: new ones replace them, or what is left is
    added to the new ones (`rollover`): at most `max_amount` of it, for at most `max_periods`."""

    strategy: Literal["expire_and_replace", "rollover"]
    max_amount: Number | None = None
    max_periods: Annotated[int, Meta(ge=1, le=1000)] | None = None


class EntitlementLifecycle(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """How long credits last: `duration_count` (default 1) times `duration`. Without `refresh` they
    are given once."""

    duration: Interval
    duration_count: Annotated[int, Meta(ge=1, le=1000)] | None = None
    refresh: EntitlementRefresh | None = None


class EntitlementAccounting(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the seller earns when one of the credits is used: `revenue_basis` of a currency
    (default USD)."""

    revenue_basis: Number
    cost_basis: Literal["auto"] = "auto"
    currency: Key = "USD"


class GrantScope(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a grant may be used for: events of one of these types, priced by one of these products
    (ids or codes), whose data has these values (as text). What is left out allows everything."""

    products: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=100)] | None = None
    event_types: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=100)] | None = None
    dimensions: Annotated[dict[Key, Text], Meta(min_length=1, max_length=MAX_DIMENSIONS)] | None = (
        None
    )


class Entitlement(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Credits that come with a product. `priority` is their place in the order of use, lower first
    (default 100); `limited_to` says for what they may be used."""

    name: Text
    asset: Key
    amount: Number
    purpose: Literal["bundled", "promotion"]
    lifecycle: EntitlementLifecycle
    accounting: EntitlementAccounting | None = None
    priority: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    id: str | None = None
    limited_to: GrantScope | None = None


class Commitment(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """How much a customer uses the product for in each period, at least (what is missing is charged
    when it is over) and at most (more is free): fees in an asset for events of these types."""

    name: Text
    asset: Key
    recurring: Recurrence
    minimum: Number | None = None
    maximum: Number | None = None
    event_types: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=100)] | None = None
    id: str | None = None
