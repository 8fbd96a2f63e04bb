"""Which products customers may take by themselves, of those that are offered: none that they
have already, and none again so soon that they would have its included credit twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from faregate.core.problems import Problem, conflict
from faregate.core.subscriptions import CompiledProduct, Subscription, in_force

AGAIN_AFTER: Final = timedelta(days=31)
"""How long after they took it customers take a product again whose credit is included: else they
would have that credit as often as they like."""


def refuse_own_plan(
    subscriptions: Iterable[Subscription], product: CompiledProduct, now: datetime
) -> Problem | None:
    """Refuse a product to a customer who has these subscriptions; `now` is theirs."""
    version = product.versions.get(product.default_at(now) or 0)
    includes_credit = version is not None and bool(version.credits)
    for known in subscriptions:
        if product.id not in {binding.product_id for binding in in_force(known.bindings, now)}:
            continue
        if known.status(now) != "inactive":
            detail = f"there is a subscription to {product.name} already: change that one"
            return conflict("product", detail)
        began_at = known.stretches[0].from_at if known.stretches else None
        if includes_credit and began_at is not None and began_at > now - AGAIN_AFTER:
            again = f"{(began_at + AGAIN_AFTER).date()}"
            detail = f"{product.name} was had before: it can be taken again from {again} on"
            return conflict("product", detail)
    return None
