"""From a request to subscribe to a subscription, and back to what the API shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from faregate.core.ids import IdSource
from faregate.core.instants import is_in_range
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.core.subscriptions import Binding, CompiledProduct, Stretch, Subscription
from faregate.customers.types import CreateSubscription, ShownSubscription, SubscribedProduct


def new_subscription(
    request: CreateSubscription,
    products: Mapping[str, CompiledProduct],
    path: str,
    ids: IdSource,
    now: datetime,
) -> Subscription:
    """Make a subscription. Raises 422 naming a product or version that cannot be subscribed to."""
    starts_at = request.starts_at or now
    for field, moment in (("starts_at", request.starts_at), ("renews_at", request.renews_at)):
        if moment is not None and not is_in_range(moment):
            remedy = "lies outside the years 1970 to 8999: send another instant"
            raise FaregateError(invalid(f"{path}{field}", remedy))
    bindings = []
    for index, wanted in enumerate(request.products):
        field = f"{path}products[{index}]"
        found = _resolve(wanted, products)
        if isinstance(found, Problem):
            raise FaregateError(found.under(field))
        bindings.append(Binding(found[0], found[1], starts_at))
    if len({binding.product_id for binding in bindings}) != len(bindings):
        raise FaregateError(invalid(f"{path}products", "names a product twice: list it once"))
    if request.renews_at is not None and request.renews_at <= starts_at:
        raise FaregateError(
            invalid(
                f"{path}renews_at", "is not after the subscription starts: send a later instant"
            )
        )
    return Subscription(
        ids.next("sub"), now, request.renews_at, tuple(bindings), (Stretch(starts_at),)
    )


def _resolve(
    wanted: SubscribedProduct, products: Mapping[str, CompiledProduct]
) -> tuple[str, int | None] | Problem:
    if (wanted.id is None) == (wanted.code is None):
        return invalid("", "give either id or code")
    if wanted.id is not None:
        product = products.get(wanted.id)
    else:
        product = next((p for p in products.values() if p.code == wanted.code), None)
    field, name = ("id", wanted.id) if wanted.id is not None else ("code", wanted.code)
    if product is None:
        return invalid(field, f"{name!r} is unknown: create the product first")
    if wanted.version is None or wanted.version == "default":
        if not product.default_versions:
            return invalid(field, f"{name!r} has no published version: publish one first")
        return product.id, None
    if wanted.version not in product.versions:
        return invalid(
            "version", f"{wanted.version} of {name!r} is not published: publish it first"
        )
    return product.id, wanted.version


def show_subscription(
    subscription: Subscription, products: Mapping[str, CompiledProduct], now: datetime
) -> ShownSubscription:
    """Return a subscription as the API shows it."""
    shown = [
        SubscribedProduct(
            binding.product_id,
            products[binding.product_id].code,
            "default" if binding.version is None else binding.version,
        )
        for binding in subscription.current_bindings()
    ]
    started = [s.from_at for s in subscription.stretches]
    return ShownSubscription(
        subscription.id,
        subscription.status(now),
        shown,
        started[0] if started else None,
        subscription.renews_at,
    )
