"""What all checks of prices share: numbers, accounts, assets. Each finding names a field and what
is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from faregate.core.amounts import AmountError, Number, scaled, shown
from faregate.core.assets import Asset
from faregate.core.prices import ACCOUNT_NAME, RATE_DECIMALS, InvoiceCollection, Price

Finding = tuple[str, str]
"""A field's path and what is wrong with it."""

NOT_YET: Final = "is not available yet in this version of Faregate: {remedy}"


def check_common(price: Price, assets: dict[str, Asset]) -> Iterator[Finding]:
    """Find what is wrong with what all prices have."""
    if price.id is not None:
        yield "id", "is chosen by Faregate: leave it out"
    if isinstance(price.collection, InvoiceCollection):
        yield "collection.type", NOT_YET.format(remedy='use {"type": "balance"}')
    yield from _check_funding(price, assets)
    seen: set[str] = set()
    for index, asset in enumerate([pricing.asset for pricing in price.pricing]):
        if asset not in assets:
            yield f"pricing[{index}].asset", f"{asset!r} is unknown: create the asset first"
        if asset in seen:
            yield f"pricing[{index}].asset", f"{asset!r} is listed twice: merge the two"
        seen.add(asset)


def _check_funding(price: Price, assets: dict[str, Asset]) -> Iterator[Finding]:
    funding = price.funding_destination
    if funding is None:
        return
    name, colon, code = funding.address.partition(":")
    if not (ACCOUNT_NAME.fullmatch(name) and colon and code in assets):
        yield (
            "funding_destination.address",
            f"{funding.address!r} is not an account: write name:ASSET of an asset that is there, "
            "e.g. 'default:USD'",
        )
        return
    if funding.currency is not None and funding.currency != code:
        wrong = f"is {funding.currency!r}, the account is in {code}"
        yield "funding_destination.currency", f"{wrong}: leave it out, or send {code!r}"
    collection = price.collection
    if collection is not None and getattr(collection, "address", None) is not None:
        yield "funding_destination", "says who pays, as collection.address does: leave one out"
    if all(funding.address == f"default:{pricing.asset}" for pricing in price.pricing):
        wrong = f"is {funding.address!r}, which pays this price anyway"
        yield "funding_destination.address", f"{wrong}: leave funding_destination out"
    rate = funding.exchange_rate
    if rate is None:
        return
    if len(price.pricing) > 1:
        assets_named = ", ".join(pricing.asset for pricing in price.pricing)
        yield (
            "funding_destination.exchange_rate",
            f"cannot be one for {assets_named}: make a price for each, or leave it out",
        )
    if any(pricing.asset == code for pricing in price.pricing):
        yield "funding_destination.exchange_rate", f"has no use from {code} to {code}: leave it out"
    yield from check_number("funding_destination.exchange_rate", rate)
    if not rate:
        yield "funding_destination.exchange_rate", "is 0: send more than 0"


def check_address(address: str, price: Price) -> Iterator[Finding]:
    """Find what is wrong with the account that a price is charged to."""
    name, colon, asset = address.partition(":")
    if not (
        ACCOUNT_NAME.fullmatch(name) and colon and any(p.asset == asset for p in price.pricing)
    ):
        yield (
            "collection.address",
            f"{address!r} is not an account in an asset of this price: "
            f"write name:ASSET, e.g. 'default:{price.pricing[0].asset}' "
            "(a name has 1 to 64 letters, digits, '_', '.' or '-')",
        )


def check_number(path: str, number: Number) -> Iterator[Finding]:
    """Find what is wrong with a price or a rate."""
    try:
        whole = scaled(number, RATE_DECIMALS)
    except AmountError as error:
        yield path, f"{shown(number)} {error}"
        return
    if whole is None:
        yield (
            path,
            f"{shown(number)} has more than {RATE_DECIMALS} decimals: send at most {RATE_DECIMALS}",
        )
    elif not 0 <= whole <= 10**36:
        yield path, f"{shown(number)} is out of range: send a number from 0 to 1e18"
