"""What an event costs the seller, as vendors charge it: reported with the event, and the base of
prices that are a markup on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from faregate.core.amounts import AmountError, Number, scaled, shown, to_units
from faregate.core.assets import Asset
from faregate.core.codec import decode, encode
from faregate.core.given import MAX_FREE_BYTES, FreeData, Id, ShortText, check_free
from faregate.core.prices import CostFilter, Key
from faregate.core.problems import Problem, invalid
from faregate.core.volumes import MAX_VOLUME, VOLUME_DECIMALS, VOLUME_ONE

DEFAULT_COST_CURRENCY: Final = "USD"


class Cost(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a vendor charges the operator for an event: `amount` in `currency` (default USD)."""

    id: Id
    amount: Number
    vendor_id: Id | None = None
    vendor_external_id: Id | None = None
    category: ShortText | None = None
    description: ShortText | None = None
    metadata: FreeData | None = None
    units: Number | None = None
    unit_price: Number | None = None
    input_volume: Number | None = None
    volume_rate: Number | None = None
    package_size: Number | None = None
    currency: Key | None = None


class AttachedCosts(msgspec.Struct, frozen=True, gc=False):
    """Costs that were attached to an event and not sent with it, as they are kept: `source` says
    from where they are. What was sent is kept as a list."""

    source: str
    costs: list[Cost]


KeptCosts = list[Cost] | AttachedCosts


def read_costs(text: str | None) -> tuple[list[Cost] | None, str | None]:
    """Read the costs that are kept with an event: (costs, from where they are if they were
    attached)."""
    if text is None:
        return None, None
    kept: KeptCosts = decode(KeptCosts, text)  # type: ignore[arg-type]
    return (kept.costs, kept.source) if isinstance(kept, AttachedCosts) else (kept, None)


def write_costs(costs: list[Cost] | None, source: str | None) -> str | None:
    """Write costs as they are kept with an event."""
    if costs is None:
        return None
    return encode(costs if source is None else AttachedCosts(source, costs)).decode()


def check_costs(costs: list[Cost], assets: Mapping[str, Asset]) -> Problem | None:
    """Refuse costs that could not be added up, or that name no vendor."""
    for index, cost in enumerate(costs):
        path = f"costs[{index}]"
        if cost.vendor_id is None and cost.vendor_external_id is None:
            return invalid(f"{path}.vendor_id", "or vendor_external_id is missing: name the vendor")
        code = cost.currency or DEFAULT_COST_CURRENCY
        asset = assets.get(code)
        if asset is None or not asset.is_currency:
            return invalid(
                f"{path}.currency", f"{code!r} is not an ISO 4217 currency: send one, e.g. USD"
            )
        try:
            units = to_units(cost.amount, asset.scale)
        except AmountError as error:
            return invalid(f"{path}.amount", f"{shown(cost.amount)} {error}")
        if units < 0:
            return invalid(f"{path}.amount", f"is {shown(cost.amount)}: send 0 or more")
        refusal = check_free(f"{path}.metadata", cost.metadata)
        if refusal is not None:
            return refusal
    size = len(encode(costs))
    if size <= MAX_FREE_BYTES:
        return None
    return invalid("costs", f"have {size} bytes as JSON: send at most {MAX_FREE_BYTES}")


def measure_costs(wanted: CostFilter | None, costs: Sequence[Cost], currency: str) -> int | str:
    """Return what the costs come to that a price is about, in parts of `VOLUME_ONE` of its
    currency; or in words why that cannot be said."""
    total = 0
    is_any = False
    for cost in costs:
        if wanted is not None and not _is_meant(wanted, cost):
            continue
        code = cost.currency or DEFAULT_COST_CURRENCY
        if code != currency:
            return f"cost {cost.id} is in {code}, the price in {currency}"
        is_any = True
        total += scaled(cost.amount, VOLUME_DECIMALS) or 0
    if not is_any:
        return "the event has no such costs"
    if total > MAX_VOLUME * VOLUME_ONE:
        return f"its costs are above {MAX_VOLUME}"
    return total


def _is_meant(wanted: CostFilter, cost: Cost) -> bool:
    pairs: list[tuple[Any, Any]] = [
        (wanted.vendor_id, cost.vendor_id),
        (wanted.vendor_external_id, cost.vendor_external_id),
        (wanted.category, cost.category),
    ]
    return all(want is None or want == has for want, has in pairs)
