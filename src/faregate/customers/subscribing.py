"""From a request to subscribe to a subscription, and back to what the API shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset
from faregate.core.commitments import PlanCommitment
from faregate.core.cycles import owed
from faregate.core.discounts import PERCENT_DECIMALS, Discount, new_discount
from faregate.core.dunning import required
from faregate.core.ids import IdSource
from faregate.core.instants import is_in_range, out_of_range
from faregate.core.plan_fees import BookedPlanFee
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.core.subscriptions import (
    Binding,
    ByCard,
    CatalogView,
    CompiledProduct,
    Stretch,
    Subscription,
    Terms,
    in_force,
)
from faregate.customers.types import (
    CreateSubscription,
    PlannedMove,
    RequiredAction,
    ShownCollection,
    ShownCommitment,
    ShownDiscount,
    ShownFeeLine,
    ShownOverdue,
    ShownPlanFee,
    ShownSubscription,
    SubscribedProduct,
    Trial,
    Version,
)

MAX_BACKDATED: Final = timedelta(days=366)
"""How far back a subscription may start whose products ask something each period: all of that is
charged at once."""
PAY_PATH: Final = "/pay/"
"""Where a person is sent who must do something before a subscription begins."""


def new_subscription(
    request: CreateSubscription,
    catalog: CatalogView,
    path: str,
    ids: IdSource,
    now: datetime,
    *,
    has_card: bool = False,
) -> Subscription:
    """Make a subscription of a customer who has a saved card, or has none. Raises 422 naming what
    it cannot be made of."""
    starts_at = request.starts_at or now
    for field, moment in (("starts_at", request.starts_at), ("renews_at", request.renews_at)):
        if moment is not None and not is_in_range(moment):
            raise FaregateError(invalid(f"{path}{field}", out_of_range(moment)))
    bindings = []
    quantities: dict[str, int] = {}
    for index, wanted in enumerate(request.products):
        field = f"{path}products[{index}]"
        found = _resolve(wanted, catalog.products)
        if isinstance(found, Problem):
            raise FaregateError(found.under(field))
        bindings.append(Binding(found[0], found[1], starts_at))
        version = catalog.version_at(*found, now)
        brings = version.plan_prices or version.credits or version.commitments
        if brings and starts_at < now - MAX_BACKDATED:
            remedy = f"is more than {MAX_BACKDATED.days} days ago: start later"
            raise FaregateError(invalid(f"{path}starts_at", f"{starts_at.isoformat()} {remedy}"))
        if wanted.quantity is not None:
            if all(price.seats is None for price in version.plan_prices):
                remedy = "has no use: no price of this product is sold by the seat; leave it out"
                raise FaregateError(invalid(f"{field}.quantity", remedy))
            too_much = version.refuse_seats(wanted.quantity)
            if too_much is not None:
                raise FaregateError(invalid(f"{field}.quantity", too_much))
            quantities[found[0]] = wanted.quantity
    if len({binding.product_id for binding in bindings}) != len(bindings):
        raise FaregateError(invalid(f"{path}products", "names a product twice: list it once"))
    if request.renews_at is not None and request.renews_at <= starts_at:
        remedy = "is not after the subscription starts: send a later instant"
        raise FaregateError(invalid(f"{path}renews_at", remedy))
    if request.asset is not None and request.asset not in catalog.assets:
        remedy = f"{request.asset!r} is unknown: create the asset first"
        raise FaregateError(invalid(f"{path}asset", remedy))
    discounts: tuple[Discount, ...] = ()
    if request.coupon is not None:
        coupon = catalog.coupons.get(request.coupon)
        bought = {binding.product_id for binding in bindings}
        given = new_discount(coupon, request.coupon, bought, now, starts_at)
        if isinstance(given, Problem):
            raise FaregateError(given.under(path.rstrip(".")) if path else given)
        discounts = (given,)
    trial_ends_at = _trial_end(request.trial, starts_at, now, path)
    is_by_card = request.collection_method == "charge_automatically"
    needs_card = is_by_card or (request.trial is not None and request.trial.card_required)
    terms = Terms(
        asset=request.asset,
        timezone=catalog.timezone,
        quantities=quantities,
        anchor_at=request.renews_at,
        trial_ends_at=trial_ends_at,
        has_card=has_card or not needs_card,
        discounts=discounts,
        by_card=ByCard() if is_by_card else None,
        return_url=request.return_url,
    )
    stretches = (Stretch(starts_at),)
    return Subscription(ids.next("sub"), now, request.renews_at, tuple(bindings), stretches, terms)


def _trial_end(
    trial: Trial | None, starts_at: datetime, now: datetime, path: str
) -> datetime | None:
    if trial is None:
        return None
    if (trial.days is None) == (trial.ends_at is None):
        raise FaregateError(invalid(f"{path}trial", "needs either days or ends_at: give one"))
    if trial.days is not None:
        return starts_at + timedelta(days=trial.days)
    ends_at = trial.ends_at
    if ends_at is not None and not is_in_range(ends_at):
        raise FaregateError(invalid(f"{path}trial.ends_at", out_of_range(ends_at)))
    if ends_at is None or ends_at <= max(starts_at, now):
        remedy = "is not after the subscription starts: send a later instant"
        raise FaregateError(invalid(f"{path}trial.ends_at", remedy))
    return ends_at


def _resolve(
    wanted: SubscribedProduct, products: Mapping[str, CompiledProduct]
) -> tuple[str, int | None] | Problem:
    if (wanted.id is None) == (wanted.code is None):
        return invalid("id", "or code: send one of the two")
    if wanted.id is not None:
        product = products.get(wanted.id)
    else:
        product = next((p for p in products.values() if p.code == wanted.code), None)
    field, name = ("id", wanted.id) if wanted.id is not None else ("code", wanted.code)
    if product is None:
        return invalid(field, f"{name!r} is unknown: create the product first")
    if wanted.version is None or wanted.version == "default":
        defaults = product.default_versions
        default = product.versions.get(defaults[-1]) if defaults else None
        if default is None or not default.is_open:
            return invalid(field, f"{name!r} has no published version: publish one first")
        return product.id, None
    found = product.versions.get(wanted.version)
    if found is None or not found.is_open:
        remedy = (
            "is archived: choose another one" if found else "is not published: publish it first"
        )
        return invalid("version", f"{wanted.version} of {name!r} {remedy}")
    return product.id, wanted.version


def pay_page(base_url: str, customer_id: str) -> str:
    """Return where a customer does what a subscription needs, up to the subscription's id."""
    return f"{base_url}{PAY_PATH}{customer_id}/"


def show_subscription(
    subscription: Subscription,
    products: Mapping[str, CompiledProduct],
    now: datetime,
    page: str = "",
) -> ShownSubscription:
    """Return a subscription as the API shows it; `page` is what `pay_page` returns."""
    terms = subscription.terms
    current = in_force(subscription.bindings, now)
    shown = [
        SubscribedProduct(
            binding.product_id,
            products[binding.product_id].code,
            "default" if binding.version is None else binding.version,
            terms.quantities.get(binding.product_id),
        )
        for binding in current
    ]
    started = [s.from_at for s in subscription.stretches]
    ends_at = subscription.stretches[-1].to_at if subscription.stretches else None
    if terms.paused_at is not None:
        ends_at = terms.ends_at
    needs, overdue, by_card = required(subscription), terms.overdue, terms.by_card
    actions = None
    if needs is not None:
        actions = [RequiredAction(needs, f"{page}{subscription.id}")]
    collection = None
    if by_card is not None and (by_card.charge is not None or by_card.failures):
        charge = None if by_card.charge is None else by_card.charge.payment_id
        collection = ShownCollection(charge, by_card.failures, by_card.problem)
    return ShownSubscription(
        subscription.id,
        subscription.status(now),
        shown,
        started[0] if started else None,
        subscription.next_renewal_at,
        actions,
        terms.asset,
        terms.trial_ends_at,
        ends_at,
        terms.paused_at,
        terms.resumes_at,
        None
        if overdue is None
        else ShownOverdue(overdue.since_at, overdue.next_try_at, overdue.ends_at),
        _planned(subscription, now) or None,
        [_show_discount(discount, now) for discount in terms.discounts] or None,
        _commitments(subscription, products) or None,
        "charge_automatically" if terms.is_by_card else "wallet",
        collection,
    )


def _show_discount(discount: Discount, now: datetime) -> ShownDiscount:
    coupon = discount.coupon
    percent = to_decimal(coupon.percent, PERCENT_DECIMALS) if coupon.percent else None
    amount = used = None
    if coupon.units:
        amount = to_decimal(coupon.units, coupon.scale)
        is_present = discount.period_to_at is not None and now < discount.period_to_at
        used = to_decimal(discount.used_units if is_present else 0, coupon.scale)
    return ShownDiscount(
        coupon.code,
        discount.from_at,
        coupon.name,
        percent,
        amount,
        coupon.asset,
        used,
        discount.ends_at,
        coupon.products,
    )


def _commitments(
    subscription: Subscription, products: Mapping[str, CompiledProduct]
) -> list[ShownCommitment]:
    """Return where the commitments of a subscription's products stand."""
    found = []
    for cycle in subscription.cycles:
        plan = products[cycle.product_id].versions[cycle.version].item(cycle.item_id)
        if isinstance(plan, PlanCommitment):
            scale, most = plan.asset.scale, plan.maximum_units
            least = plan.minimum_units if cycle.to_at is None else owed(cycle, cycle.to_at)
            found.append(
                ShownCommitment(
                    plan.id,
                    plan.name,
                    plan.product_id,
                    plan.asset.code,
                    to_decimal(cycle.spent_units, scale),
                    to_decimal(least, scale) if least else None,
                    None if most is None else to_decimal(most, scale),
                    cycle.from_at,
                    cycle.to_at,
                )
            )
    return found


def _planned(subscription: Subscription, now: datetime) -> list[PlannedMove]:
    """Return what products are moved to at their next renewal."""
    moves: dict[str, PlannedMove] = {}
    quantities = subscription.terms.next_quantities
    for binding in subscription.bindings:
        if binding.from_at > now and subscription.terms.is_begun:
            version: Version = "default" if binding.version is None else binding.version
            seats = quantities.get(binding.product_id)
            moves[binding.product_id] = PlannedMove(
                binding.product_id, binding.from_at, version, seats
            )
    for product_id, seats in quantities.items():
        moves.setdefault(
            product_id, PlannedMove(product_id, subscription.next_renewal_at, None, seats)
        )
    return list(moves.values())


def show_plan_fee(fee: BookedPlanFee, assets: Mapping[str, Asset]) -> ShownPlanFee:
    """Return what a subscription was charged as the API shows it."""
    request = fee.request
    scale = assets[request.asset].scale
    lines = [
        ShownFeeLine(
            line.price_id,
            line.name,
            line.product_id,
            line.product_code,
            line.product_version,
            line.quantity,
            to_decimal(line.units, scale),
            line.from_at,
            line.to_at,
            line.price_asset,
            None
            if line.price_units is None
            else to_decimal(line.price_units, assets[line.price_asset or ""].scale),
            line.exchange_rate,
            line.coupon,
        )
        for line in request.lines
    ]
    amount = to_decimal(-fee.units, scale)
    return ShownPlanFee(
        fee.id,
        request.subscription_id,
        fee.account_id,
        request.asset,
        amount,
        request.due_at,
        fee.created_at,
        lines,
    )
