"""What is wrong with fixed prices and entitlements, before any of it is stored."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import structs

from faregate.core.amounts import MAX_UNITS, AmountError, Number, shown, to_units
from faregate.core.assets import Asset
from faregate.core.checks import Finding, check_address, check_number
from faregate.core.plans import MAX_QUANTITY, MAX_SERVICE_YEARS, check_duration, compile_fixed
from faregate.core.prices import (
    BalanceCollection,
    Entitlement,
    FixedPrice,
    RecurringBilling,
)


def check_fixed_price(price: FixedPrice, assets: dict[str, Asset]) -> Iterator[Finding]:
    """Find what is wrong with a fixed price, beside what all prices have."""
    if price.pricing_model not in (None, "flat"):
        yield "pricing_model", f"{price.pricing_model!r} does not fit a fixed price: use 'flat'"
    if price.tiering is not None:
        yield "tiering", "does not fit a fixed price: leave it out"
    collection, billing = price.collection, price.billing_model
    if isinstance(collection, BalanceCollection) and collection.address is not None:
        yield from check_address(collection.address, price)
    if not isinstance(billing, RecurringBilling):
        if collection is not None and collection.timing == "in_arrears":
            yield "collection.timing", "does not fit a price that is asked once: leave it out"
        period = billing.one_time.service_period
        if period is not None and not check_duration(period):
            yield (
                "billing_model.one_time.service_period",
                f"{period!r:.60} is no duration of years, months, weeks or days, of at most "
                f"{MAX_SERVICE_YEARS} years: write e.g. P3M",
            )
    is_sound = True
    for finding in _check_amounts(price):
        is_sound = False
        yield finding
    if is_sound and all(pricing.asset in assets for pricing in price.pricing):
        # Who pays it is checked elsewhere, and may be wrong.
        compiled = compile_fixed(
            structs.replace(price, funding_destination=None), assets, "", "", 0
        )
        for index, amount in enumerate(compiled.amounts):
            if amount.units(1 if compiled.seats is None else compiled.seats) > MAX_UNITS:
                yield f"pricing[{index}].values", "come to more than the ledger can hold: ask less"


def _check_amounts(price: FixedPrice) -> Iterator[Finding]:
    quantities: set[Number] = set()
    for p, pricing in enumerate(price.pricing):
        for v, value in enumerate(pricing.values):
            path = f"pricing[{p}].values[{v}]"
            yield from check_number(f"{path}.unit_price", value.unit_price)
            quantity = value.quantity
            if quantity is None:
                continue
            quantities.add(quantity)
            if quantity != quantity.to_integral_value() or not 0 <= quantity <= MAX_QUANTITY:
                remedy = f"send a whole number from 0 to {MAX_QUANTITY}"
                yield f"{path}.quantity", f"is {shown(quantity)}: {remedy}"
    if len(quantities) > 1:
        listed = ", ".join(str(quantity) for quantity in sorted(quantities))
        yield "pricing", f"has values for {listed} seats: a price has one quantity; make two prices"


def validate_entitlements(
    entitlements: tuple[Entitlement, ...] | None, assets: dict[str, Asset]
) -> dict[str, list[str]]:
    """Return what is wrong with a product's entitlements, by field path; empty if nothing is."""
    errors: dict[str, list[str]] = {}
    for index, entitlement in enumerate(entitlements or ()):
        for path, message in _check_entitlement(entitlement, assets):
            errors.setdefault(f"entitlements[{index}].{path}", []).append(message)
    return errors


def _check_entitlement(entitlement: Entitlement, assets: dict[str, Asset]) -> Iterator[Finding]:
    if entitlement.id is not None:
        yield "id", "is chosen by Faregate: leave it out"
    asset = assets.get(entitlement.asset)
    if asset is None:
        yield "asset", f"{entitlement.asset!r} is unknown: create the asset first"
        return
    yield from _check_credit("amount", entitlement.amount, asset, least=1)
    refresh = entitlement.lifecycle.refresh
    if refresh is not None and refresh.strategy != "rollover":
        for field in ("max_amount", "max_periods"):
            if getattr(refresh, field) is not None:
                yield f"lifecycle.refresh.{field}", "belongs to the strategy rollover: leave it out"
    elif refresh is not None and refresh.max_amount is not None:
        yield from _check_credit("lifecycle.refresh.max_amount", refresh.max_amount, asset, least=0)
    accounting = entitlement.accounting
    if accounting is not None:
        yield from check_number("accounting.revenue_basis", accounting.revenue_basis)
        currency = assets.get(accounting.currency)
        if currency is None or not currency.is_currency:
            wrong = f"{accounting.currency!r} is not an ISO 4217 currency"
            yield "accounting.currency", f"{wrong}: send one, e.g. USD"


def _check_credit(path: str, amount: Number, asset: Asset, *, least: int) -> Iterator[Finding]:
    try:
        units = to_units(amount, asset.scale)
    except AmountError as error:
        yield path, f"{shown(amount)} {error}"
        return
    if units < least:
        yield path, f"is {shown(amount)}: send {'more than 0' if least else '0 or more'}"
