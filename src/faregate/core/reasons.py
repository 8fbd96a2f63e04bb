"""Why a fee is what it is, in a sentence, beside its parts.

    1,840 output tokens × $0.60 per 1M (tier 2), for model=large = $0.001104, from a promotion grant

Amounts are exact. What can no longer be told is said (`untold`), and left out of the sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset
from faregate.core.compiled import CompiledPrice
from faregate.core.events import BookedEvent, Fee
from faregate.core.grants import Grant
from faregate.core.itemizing import FeePart, Itemized, Payer, itemize, payers_of
from faregate.core.prices import WILDCARD
from faregate.core.refunds import Payment
from faregate.core.subscriptions import CatalogView
from faregate.core.volumes import dimension_text
from faregate.core.wording import digits, listed

_REDUCE: Final = ("discount", "commitment")
_MILLION: Final = Decimal(1_000_000)
_GONE: Final = "its price is no longer in the catalog, so what it is made of cannot be told"


class FeeReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a fee is what it is. `amount` was taken off the wallet, after discounts and commitments;
    `parts` come to it, unless something is `untold`. `dimensions` are what the price looked at
    in the event, `paid_by` who paid, in order. All amounts are in whole assets."""

    fee_id: str
    sentence: str
    asset: str
    amount: Decimal
    parts: tuple[FeePart, ...] = ()
    paid_by: tuple[Payer, ...] = ()
    untold: tuple[str, ...] = ()
    product_id: str | None = None
    product_code: str | None = None
    product_version: int | None = None
    price_id: str | None = None
    price_name: str | None = None
    dimensions: dict[str, str] = {}
    account_id: str = ""
    paid_asset: str | None = None
    paid_amount: Decimal | None = None
    exchange_rate: Decimal | None = None


class EventReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an event costs what it costs: a sentence over all, and one for each of its fees."""

    event_id: str
    customer_id: str
    sentence: str
    fees: tuple[FeeReason, ...]
    warnings: tuple[str, ...] = ()
    outcome: str | None = None


def explain_event(
    customer_id: str,
    booked: BookedEvent,
    payments: Mapping[str, Sequence[Payment]],
    grants: Mapping[str, Grant],
    catalog: CatalogView,
) -> EventReason:
    """Explain an event as it stands. `payments` say who paid which fee (those that were paid out of
    a hold say it themselves); `grants` has who did."""
    fees = [
        explain_fee(fee, booked, payments.get(fee.id, ()), grants, catalog)
        for fee in booked.result.fees
    ]
    return EventReason(
        booked.event.id,
        customer_id,
        _in_all(booked, fees, catalog),
        tuple(fees),
        booked.result.warnings,
        booked.outcome,
    )


def explain_fee(
    fee: Fee,
    booked: BookedEvent,
    payments: Sequence[Payment],
    grants: Mapping[str, Grant],
    catalog: CatalogView,
) -> FeeReason:
    """Explain one fee of an event by the price that it names, and by who paid it."""
    asset = catalog.assets[fee.asset]
    paying = catalog.assets[fee.debited_asset]
    amount = to_decimal(fee.units, asset.scale)
    if fee.reduced is not None and fee.reduced.paid_by:
        payments = [Payment(account, units) for account, units in fee.reduced.paid_by]
    paid_by, unknown = payers_of(fee, payments, grants, paying)
    shared: dict[str, Any] = {
        "asset": fee.asset,
        "amount": amount,
        "paid_by": paid_by,
        "account_id": fee.account_id,
        "paid_asset": None if fee.paid_units is None else paying.code,
        "paid_amount": None if fee.paid_units is None else to_decimal(fee.paid_units, paying.scale),
        "exchange_rate": fee.exchange_rate,
    }
    compiled = catalog.prices.get(fee.price_id)
    if compiled is None:
        said = ", ".join([money(amount, asset), *_paid(fee, amount, asset, paying, paid_by)])
        return FeeReason(fee.id, said, untold=(_GONE, *unknown), price_id=fee.price_id, **shared)
    priced = next(p for p in compiled.assets if p.asset.code == fee.asset)
    made = itemize(fee, compiled, priced)
    dimensions = _dimensions(compiled, booked)
    said = _made_of(fee, made, compiled, booked, asset)
    matched = priced.values[fee.value_index].dimensions or {}
    looked_at = [
        f"{name}={text:.60}"
        for name, text in dimensions.items()
        if matched.get(name, WILDCARD) != WILDCARD
    ]
    if looked_at:
        said += f", for {listed(looked_at)}"
    said += "".join([f", {_reduction(part, asset)}" for part in made.parts if part.kind in _REDUCE])
    said += f" = {money(amount, asset)}"
    said = ", ".join([said, *_paid(fee, amount, asset, paying, paid_by)])
    return FeeReason(
        fee.id,
        said,
        parts=made.parts,
        untold=(*made.untold, *unknown),
        product_id=compiled.product_id,
        product_code=compiled.product_code,
        product_version=compiled.product_version,
        price_id=compiled.id,
        price_name=compiled.price.name,
        dimensions=dimensions,
        **shared,
    )


def money(amount: Decimal, asset: Asset) -> str:
    """Write an amount exactly: `$0.60`, `12 GEMS`, `−$1.00`."""
    shown = digits(abs(amount), asset.code)
    sign = "−" if amount < 0 else ""
    if asset.is_currency and asset.symbol:
        return f"{sign}{asset.symbol}{shown}"
    return f"{sign}{shown} {asset.code}"


def _dimensions(compiled: CompiledPrice, booked: BookedEvent) -> dict[str, str]:
    data = booked.event.data or {}
    texts = {name: dimension_text(data.get(name)) for name in compiled.dimension_names}
    return {name: text for name, text in texts.items() if text is not None}


def _made_of(
    fee: Fee, made: Itemized, compiled: CompiledPrice, booked: BookedEvent, asset: Asset
) -> str:
    what = _measured_by(compiled)
    used = "1 use" if fee.volume is None else f"{digits(Decimal(fee.volume))} {what}"
    if made.is_free:
        return f"{used}, all of it free by a limit"
    if fee.reduced is not None and fee.reduced.is_slice:
        return f"{used}, as a part of a longer use"
    said = [_part(part, what, asset) for part in made.parts if part.kind in ("use", "volume")]
    text = " + ".join(said) or compiled.price.name
    free = _left_free(fee, compiled, booked)
    if free:
        text += f", after {digits(free)} that a limit left free"
    for part in made.parts:
        if part.kind in ("minimum", "maximum") and part.rate is not None:
            bound = "at least" if part.kind == "minimum" else "at most"
            text += f", {bound} {money(part.rate, asset)}"
    return text


def _left_free(fee: Fee, compiled: CompiledPrice, booked: BookedEvent) -> Decimal:
    """Return how much of an event's volume was not charged at all."""
    sent = (booked.event.data or {}).get(compiled.volume_field or "")
    if fee.volume is None or not isinstance(sent, (int, Decimal)):
        return Decimal(0)
    return max(Decimal(0), Decimal(sent) - Decimal(fee.volume))


def _measured_by(compiled: CompiledPrice) -> str:
    """Name what a price counts."""
    if compiled.volume_field is not None:
        return compiled.volume_field.replace("_", " ")
    if compiled.counts_costs:
        return "of costs"
    if compiled.expression is not None:
        return f"({compiled.price.usage_calculation.volume_aggregation})"
    return "uses"


def _part(part: FeePart, what: str, asset: Asset) -> str:
    rate = money(part.rate or Decimal(0), asset)
    tier = "" if part.tier is None else f" (tier {part.tier})"
    if part.kind == "use":
        return f"1 use × {rate}{tier}"
    quantity = digits(part.quantity or Decimal(0))
    if what == "of costs":
        spent = money(part.quantity or Decimal(0), asset)
        return f"{spent} {what} × {digits(part.rate or Decimal(0))}{tier}"
    return f"{quantity} {what} × {rate}{_per(part.package_size)}{tier}"


def _per(size: Decimal | None) -> str:
    if size is None or size == 1:
        return ""
    if size % _MILLION == 0:
        return f" per {digits(size / _MILLION)}M"
    return f" per {digits(size)}"


def _reduction(part: FeePart, asset: Asset) -> str:
    off = money(-part.amount, asset)
    if part.kind == "commitment":
        return f"{off} less because a cap is reached"
    percent = "" if part.percent is None else f" ({digits(part.percent)}%)"
    return f"{off} less by coupon {part.code}{percent}"


def _paid(
    fee: Fee, amount: Decimal, asset: Asset, paying: Asset, paid_by: Sequence[Payer]
) -> list[str]:
    said = []
    if fee.paid_units is not None:
        paid = money(to_decimal(fee.paid_units, paying.scale), paying)
        rate = digits(fee.exchange_rate or Decimal(0))
        said.append(f"paid as {paid} at {rate} {paying.code} for 1 {asset.code}")
    shares = [(_payer(one), one.amount) for one in paid_by]
    if len(shares) == 1:
        said.append(f"from {shares[0][0]}")
    elif shares:
        said.append("from " + listed([f"{who} ({money(a, paying)})" for who, a in shares]))
    return said


def _payer(payer: Payer) -> str:
    if payer.kind == "overdraft":
        return "beyond the balance (overdraft)"
    if payer.kind == "hold":
        return f"hold {payer.name}"
    return f"{payer.purpose} grant" if payer.purpose else f"grant {payer.name}"


def _in_all(booked: BookedEvent, fees: Sequence[FeeReason], catalog: CatalogView) -> str:
    """Say what an event costs as a whole."""
    if booked.outcome == "pending":
        return "No fee yet: its outcome is pending."
    if booked.outcome == "withdrawn":
        return "No fee: it was withdrawn, and what it had cost was given back."
    if not fees:
        return f"No fee: {listed(booked.result.warnings, '; ') or 'nothing priced it'}."
    sums: dict[str, Decimal] = {}
    for fee in fees:
        sums[fee.asset] = sums.get(fee.asset, Decimal(0)) + fee.amount
    total = " and ".join([money(units, catalog.assets[code]) for code, units in sums.items()])
    if len(fees) == 1:
        return f"{fees[0].sentence}."
    return f"{total} in {len(fees)} fees: " + "; ".join([fee.sentence for fee in fees]) + "."
