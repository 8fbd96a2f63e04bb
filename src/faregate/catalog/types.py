"""The shapes of the catalog's requests and answers, as the REST API has them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from faregate.core.amounts import Number
from faregate.core.assets import MAX_PRECISION
from faregate.core.bonuses import TopUpBonus, TopUpBonuses
from faregate.core.given import Instant
from faregate.core.prices import MAX_PRICES, Commitment, Entitlement, Key, Price, Text

Status = Literal["draft", "published", "archived"]
Prices = Annotated[tuple[Price, ...], Meta(max_length=MAX_PRICES)]
Entitlements = Annotated[tuple[Entitlement, ...], Meta(max_length=100)]
Commitments = Annotated[tuple[Commitment, ...], Meta(max_length=20)]

ProductCode = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}\Z",
        description="1 to 100 letters, digits, '_', '.', ':' or '-', beginning with a letter or a "
        "digit",
    ),
]


class StartingRate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A custom asset's first price in a currency: `rate` per unit, or units per one of it."""

    source: Key
    rate: Number | None = None
    inverse_rate: Number | None = None


class AddAssetRate(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What an asset costs in `source` from an instant on (default: now), and until when: the price
    of one unit (`rate`), or the units that one of the source buys (`inverse_rate`)."""

    source: Key
    rate: Number | None = None
    inverse_rate: Number | None = None
    valid_from: Instant | None = None
    valid_to: Instant | None = None


class QuoteAsset(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """How much would `amount` of the source buy at an instant (default: now)?"""

    source: Key
    amount: Number
    exchange_at: Instant | None = None


class AssetQuote(msgspec.Struct, omit_defaults=True, frozen=True):
    """What an amount buys; `is_rounded_down` says that it would be a little more."""

    source: str
    source_amount: Decimal
    destination: str
    destination_amount: Decimal
    rate: Decimal
    inverse_rate: Decimal | None = None
    is_rounded_down: bool = False


class CreateAsset(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new custom credit."""

    code: Key
    name: Text
    precision: Annotated[int, Meta(ge=0, le=MAX_PRECISION)] | None = None
    label: Text | None = None
    symbol: Annotated[str, Meta(min_length=1, max_length=8)] | None = None
    rates: Annotated[list[StartingRate], Meta(max_length=20)] | None = None


class AssetCreated(msgspec.Struct, frozen=True):
    """The answer to `CreateAsset`."""

    code: str
    created_at: datetime


class AssetItem(msgspec.Struct, frozen=True):
    """An asset in a list."""

    code: str
    name: str


class AssetRate(msgspec.Struct, omit_defaults=True, frozen=True):
    """A rate and when it is valid."""

    valid_from: datetime
    rate: Decimal
    valid_to: datetime | None = None
    inverse_rate: Decimal | None = None


class AssetRates(msgspec.Struct, frozen=True):
    """The rates from one source currency."""

    source: str
    schedule: list[AssetRate]


class AssetDetails(msgspec.Struct, omit_defaults=True, frozen=True):
    """An asset, whole."""

    code: str
    name: str
    created_at: datetime
    precision: int | None = None
    label: str | None = None
    symbol: str | None = None
    rates: list[AssetRates] | None = None
    top_up_bonus: list[TopUpBonus] | None = None


class UpdateAsset(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What top-ups of an asset bring beside them, in place of what was said before: `[]` for
    nothing."""

    top_up_bonus: TopUpBonuses


class CreateProduct(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new product with its first version."""

    name: Text
    code: ProductCode
    prices: Prices
    entitlements: Entitlements | None = None
    publish: bool | None = None
    commitments: Commitments | None = None


class CreateVersion(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """The next version of a product."""

    prices: Prices
    entitlements: Entitlements | None = None
    publish: bool | None = None
    commitments: Commitments | None = None


class UpdateVersion(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Publish a draft, make a published version the default, or both."""

    publish: bool | None = None
    make_default: bool | None = None


class VersionCreated(msgspec.Struct, frozen=True):
    """The answer to `CreateProduct` and `CreateVersion`."""

    id: str
    code: str
    version: int
    status: Status
    is_default: bool


class ProductItem(msgspec.Struct, frozen=True):
    """A product in a list."""

    id: str
    code: str
    name: str


class VersionReference(msgspec.Struct, frozen=True):
    """A version in a product's list."""

    version: int
    created_at: datetime
    status: Status


class VersionDiff(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """What version `to` has changed of version `from_`, in sentences; nothing if they are equal."""

    from_: int
    to: int
    changes: list[str]


class DefaultVersion(msgspec.Struct, frozen=True):
    """A product's default version; of a product without one, its newest draft."""

    version: int
    entitlements: tuple[Entitlement, ...]
    prices: tuple[Price, ...]
    commitments: tuple[Commitment, ...] = ()


class Product(msgspec.Struct, frozen=True):
    """A product with its versions, the newest first."""

    id: str
    code: str
    name: str
    default_version: DefaultVersion
    versions: list[VersionReference]


class ProductVersion(msgspec.Struct, frozen=True):
    """One version of a product."""

    id: str
    version: int
    code: str
    name: str
    prices: tuple[Price, ...]
    entitlements: tuple[Entitlement, ...]
    status: Status
    is_default: bool
    commitments: tuple[Commitment, ...] = ()
