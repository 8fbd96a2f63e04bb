"""From a version to the fields of a form. Each part is written, read again and compared: one that
would not come back as it was (prices in two currencies, credit for some products only) is written
as JSON, which the form shows as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import structs

from faregate.core.amounts import plain
from faregate.core.codec import encode
from faregate.core.prices import (
    WILDCARD,
    BalanceCollection,
    Commitment,
    CostFilter,
    Entitlement,
    FixedPrice,
    InvoiceCollection,
    OneTimeBilling,
    Price,
    PriceValue,
    RecurringBilling,
    Tiering,
    UsageBasedPrice,
    UsageCalculation,
)
from faregate.core.wording import digits
from faregate.web.product_form.branches import Branch, flat, grow
from faregate.web.product_form.reading import read_part

MAX_SHOWN_FIELDS: Final = 1_500
"""How many fields a form is written with: what has more is shown as JSON, the longest first. A
browser may send some more (`forms.MAX_FIELDS`)."""
_JSON_FIELDS: Final = 2
_BREAKS: Final = "\r\n\x00"


def write_form(
    prices: Sequence[Price],
    entitlements: Sequence[Entitlement] = (),
    commitments: Sequence[Commitment] = (),
    name: str = "",
    code: str = "",
) -> Branch:
    """Write a version as a form."""
    root = Branch({"name": name, "code": code})
    root.all("price").extend(write_price(price) for price in prices)
    root.all("entitlement").extend(write_entitlement(item) for item in entitlements)
    root.all("commitment").extend(write_commitment(item) for item in commitments)
    written = root.all("price")
    sizes = [len(flat(branch)) for branch in written]
    while len(flat(root)) > MAX_SHOWN_FIELDS and max(sizes, default=0) > _JSON_FIELDS:
        longest = sizes.index(max(sizes))
        written[longest] = json_branch(structs.replace(prices[longest], id=None))
        sizes[longest] = _JSON_FIELDS
    return root


def write_price(price: Price) -> Branch:
    """Write a price."""
    branch = _fixed(price) if isinstance(price, FixedPrice) else _usage(price)
    return _exact(Price, price, branch)


def write_entitlement(item: Entitlement) -> Branch:
    """Write an entitlement."""
    return _exact(Entitlement, item, _entitlement(item))


def write_commitment(item: Commitment) -> Branch:
    """Write a commitment."""
    return _exact(Commitment, item, _commitment(item))


def json_branch(content: object) -> Branch:
    """Show something as JSON."""
    text = msgspec.json.format(encode(content), indent=2).decode()
    return Branch({"model": "json", "json": text})


def _exact(kind: Any, part: Any, branch: Branch) -> Branch:
    """Return the branch if it comes back as the part that it was made of; else JSON."""
    if _survives(branch):
        # A branch without any field is none when it comes back.
        again = read_part(kind, grow(flat(branch)))
        if again is not None and plainly(again) == plainly(part):
            return branch
    return json_branch(structs.replace(part, id=None))


def _survives(branch: Branch) -> bool:
    """Tell whether a browser sends each field back as it is: without spaces at its ends, in one
    line."""
    for value in branch.fields.values():
        if value != value.strip() or any(mark in value for mark in _BREAKS):
            return False
    return all(_survives(inner) for branches in branch.lists.values() for inner in branches)


def plainly(part: Any) -> Any:
    """Return a part with everything left out that says what is so anyway, so that two ways to say
    the same are equal."""
    part = structs.replace(part, id=None)
    if isinstance(part, Commitment):
        count = part.recurring.interval_count
        recurring = structs.replace(part.recurring, interval_count=None if count == 1 else count)
        return structs.replace(part, recurring=recurring)
    if isinstance(part, Entitlement):
        life = part.lifecycle
        count = None if life.duration_count == 1 else life.duration_count
        return structs.replace(part, lifecycle=structs.replace(life, duration_count=count))
    model = None if part.pricing_model == "flat" else part.pricing_model
    part = structs.replace(part, pricing_model=model, collection=_collection(part))
    billing = part.billing_model
    if isinstance(billing, RecurringBilling):
        count = billing.recurring.interval_count
        every = structs.replace(billing.recurring, interval_count=None if count == 1 else count)
        part = structs.replace(part, billing_model=RecurringBilling(every))
    if isinstance(part, FixedPrice):
        return part
    tiering = part.tiering
    if tiering is not None:
        tiering = structs.replace(tiering, period=tiering.period or "lifetime")
    return structs.replace(
        part,
        tiering=tiering,
        usage_calculation=_calculation(part.usage_calculation),
        pricing=tuple(
            structs.replace(pricing, values=tuple(map(_value, pricing.values)))
            for pricing in part.pricing
        ),
    )


def _collection(price: Price) -> Any:
    collection = price.collection
    if isinstance(collection, BalanceCollection) and collection.timing == "in_advance":
        collection = structs.replace(collection, timing=None)
    return None if collection == BalanceCollection() else collection


def _calculation(calculation: UsageCalculation) -> UsageCalculation:
    aggregation = calculation.volume_aggregation
    return structs.replace(
        calculation,
        unit_aggregation=None,
        volume_aggregation=None if aggregation == "sum" else aggregation,
        billable_dimensions=calculation.billable_dimensions or None,
        costs=None if calculation.costs == CostFilter() else calculation.costs,
    )


def _value(value: PriceValue) -> PriceValue:
    if value.dimensions is None:
        return value
    wanted = {name: text for name, text in value.dimensions.items() if text != WILDCARD}
    return structs.replace(value, dimensions=wanted)


def _text(value: object) -> str:
    """Write a value of a field; empty if there is none."""
    if isinstance(value, Decimal):
        return digits(value) if value >= 0 else plain(value)
    return "" if value is None else str(value)


def _branch(**fields: object) -> Branch:
    """Make a branch of the fields that have a value."""
    texts = {name: _text(value) for name, value in fields.items()}
    return Branch({name: text for name, text in texts.items() if text})


def _paid(price: Price) -> dict[str, object]:
    collection = price.collection
    timing = None if collection is None else collection.timing
    return {
        "collected": "invoice" if isinstance(collection, InvoiceCollection) else None,
        "account": getattr(collection, "address", None),
        "timing": "in_arrears" if timing == "in_arrears" else None,
    }


def _fixed(price: FixedPrice) -> Branch:
    billing, pricing = price.billing_model, price.pricing[0]
    once = [value for value in pricing.values if value.quantity is None]
    seats = [value for value in pricing.values if value.quantity is not None]
    fields: dict[str, object] = {}
    if isinstance(billing, OneTimeBilling):
        fields = {"charged": "one_time", "service_period": billing.one_time.service_period}
    else:
        every = billing.recurring
        fields = {"interval": every.interval, "interval_count": every.interval_count}
    return _branch(
        model="fixed",
        name=price.name,
        asset=pricing.asset,
        amount=once[0].unit_price if once else None,
        seat_price=seats[0].unit_price if seats else None,
        seats=seats[0].quantity if seats else None,
        **fields,
        **_paid(price),
    )


def _usage(price: UsageBasedPrice) -> Branch:
    calculation, pricing = price.usage_calculation, price.pricing[0]
    tiering = price.tiering or Tiering()
    costs = calculation.costs or CostFilter()
    names = calculation.billable_dimensions or ()
    leaves = [leaf for value in pricing.values for leaf in value.values or (value,)]
    is_custom = calculation.usage_type == "custom"
    branch = _branch(
        model=price.pricing_model or "flat",
        name=price.name,
        event_type=calculation.event_type,
        measure=calculation.usage_type,
        volume_field=calculation.volume_field,
        expression=calculation.volume_aggregation if is_custom else None,
        vendor=costs.vendor_external_id,
        category=costs.category,
        dimensions=", ".join(names),
        asset=pricing.asset,
        package_size=leaves[0].package_size,
        basis=tiering.basis,
        period=(tiering.period or "lifetime") if price.tiering is not None else None,
        **_paid(price),
    )
    if not any(value.dimensions is not None for value in pricing.values):
        branch.all("entry").append(_entry(pricing.values))
        return branch
    for value in pricing.values:
        entry = _entry(value.values or ())
        for number, name in enumerate(names, 1):
            text = (value.dimensions or {}).get(name, WILDCARD)
            if text != WILDCARD:
                entry.fields[f"dimension-{number}"] = text
        branch.all("entry").append(entry)
    return branch


def _entry(tiers: Sequence[PriceValue]) -> Branch:
    entry = Branch()
    for tier in tiers:
        numbers = ("up_to", "unit_price", "volume_rate", "min_amount", "max_amount")
        entry.all("tier").append(_branch(**{name: getattr(tier, name) for name in numbers}))
    return entry


def _entitlement(item: Entitlement) -> Branch:
    life, accounting, scope = item.lifecycle, item.accounting, item.limited_to
    refresh = life.refresh
    return _branch(
        name=item.name,
        asset=item.asset,
        amount=item.amount,
        purpose=item.purpose,
        duration=life.duration,
        duration_count=life.duration_count,
        refresh="once" if refresh is None else refresh.strategy,
        max_amount=None if refresh is None else refresh.max_amount,
        max_periods=None if refresh is None else refresh.max_periods,
        revenue_basis=None if accounting is None else accounting.revenue_basis,
        currency=None if accounting is None else accounting.currency,
        priority=item.priority,
        event_types=None if scope is None else ", ".join(scope.event_types or ()),
    )


def _commitment(item: Commitment) -> Branch:
    return _branch(
        name=item.name,
        asset=item.asset,
        interval=item.recurring.interval,
        interval_count=item.recurring.interval_count,
        minimum=item.minimum,
        maximum=item.maximum,
        event_types=", ".join(item.event_types or ()),
    )
