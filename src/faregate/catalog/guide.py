"""From five answers to a product: what somebody knows of their business makes a draft that the
engine takes as it is, and advice for what a product does not say (cards, overdrafts, limits).

The numbers are a beginning, marked as such in the advice: what a use costs only its seller knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from faregate.catalog.types import CreateAsset, CreateProduct, StartingRate
from faregate.core.amounts import Number
from faregate.core.prices import (
    AssetPricing,
    BalanceCollection,
    Entitlement,
    EntitlementAccounting,
    EntitlementLifecycle,
    EntitlementRefresh,
    FixedAssetPricing,
    FixedPrice,
    FixedValue,
    PriceValue,
    RealTimeBilling,
    Recurrence,
    RecurringBilling,
    Tiering,
    UsageBasedPrice,
    UsageCalculation,
)

CREDITS: Final = "CREDITS"
"""The code of the credit that the guide makes."""
_CREDIT_RATE: Final = Number("0.01")
_PER_CREDIT: Final = 100
_MILLION: Final = Number(1_000_000)

Costs = Literal["no", "per_use", "per_volume"]
Differ = Literal["no", "model", "customer", "each"]
Paid = Literal["prepaid", "contract"]
Fee = Literal["none", "included", "only"]
Counted = Literal["money", "credits"]


class Answers(msgspec.Struct, frozen=True):
    """What somebody has answered.

    `costs`: whether each use costs them money, and if by how much is used (`per_volume`). `differ`:
    whether that differs by `model`, by `customer` (who uses much pays less), or with `each` use.
    `paid`: before the use or, on a contract, after. `fee`: whether a month costs something by
    itself, with some use `included`, or is all that is asked (`only`). `counted`: in what
    customers count what they buy. `name`, `code`, `use` (the type of event), `volume` (what is
    counted of it) and `currency` are what it is all called.
    """

    costs: Costs = "per_use"
    differ: Differ = "no"
    paid: Paid = "prepaid"
    fee: Fee = "none"
    counted: Counted = "money"
    name: str = "My product"
    code: str = "my-product"
    use: str = "use"
    volume: str = "tokens"
    currency: str = "USD"


class Plan(msgspec.Struct, frozen=True):
    """A draft, the credit that has to be there before it (None: none), and what else to do."""

    product: CreateProduct
    asset: CreateAsset | None
    advice: list[str]


def plan(answers: Answers) -> Plan:
    """Make a plan of answers. Every combination gives one that the engine takes."""
    has_usage = answers.fee != "only"
    asset = None
    if answers.counted == "credits" and (has_usage or answers.fee == "included"):
        rate = StartingRate(answers.currency, rate=_CREDIT_RATE)
        asset = CreateAsset(CREDITS, "Credits", precision=2, label="credits", rates=[rate])
    prices: list[UsageBasedPrice | FixedPrice] = []
    if answers.fee != "none":
        prices.append(_monthly(answers))
    if has_usage:
        prices.append(_usage(answers))
    credits = (_included(answers),) if answers.fee == "included" else None
    product = CreateProduct(answers.name, answers.code, tuple(prices), credits)
    return Plan(product, asset, list(_advice(answers)))


def _monthly(answers: Answers) -> FixedPrice:
    amount = Number(50 if answers.paid == "contract" else 20)
    value = FixedValue(amount)
    later = BalanceCollection(timing="in_arrears") if answers.paid == "contract" else None
    return FixedPrice(
        "Monthly fee",
        RecurringBilling(Recurrence("month")),
        (FixedAssetPricing(answers.currency, (value,)),),
        collection=later,
    )


def _included(answers: Answers) -> Entitlement:
    """Make the credit that comes with each month: as much as the fee is worth."""
    amount = 50 if answers.paid == "contract" else 20
    code, accounting = answers.currency, None
    if answers.counted == "credits":
        code, amount = CREDITS, amount * _PER_CREDIT
        accounting = EntitlementAccounting(_CREDIT_RATE, currency=answers.currency)
    lifecycle = EntitlementLifecycle("month", refresh=EntitlementRefresh("expire_and_replace"))
    return Entitlement("Included use", code, Number(amount), "bundled", lifecycle, accounting)


def _usage(answers: Answers) -> UsageBasedPrice:
    code = CREDITS if answers.counted == "credits" else answers.currency
    if answers.differ == "each":
        return _markup(answers, code)
    is_volume = answers.costs == "per_volume"
    calculation = UsageCalculation(
        answers.use,
        "volume" if is_volume else "unit",
        volume_field=answers.volume if is_volume else None,
        billable_dimensions=("model",) if answers.differ == "model" else None,
    )
    # A use of 1,000 of a volume costs as much as one that is counted as a whole.
    one = Number("10") if is_volume else Number("0.01")
    if code == CREDITS:
        one = Number(one * _PER_CREDIT)

    def value(times: str, up_to: int | None = None) -> PriceValue:
        amount = Number((one * Number(times)).normalize())
        end = None if up_to is None else Number(up_to)
        if is_volume:
            return PriceValue(up_to=end, volume_rate=amount, package_size=_MILLION)
        return PriceValue(up_to=end, unit_price=amount)

    values: tuple[PriceValue, ...] = (value("1"),)
    model: Literal["tiered"] | None = None
    tiering = None
    if answers.differ == "model":
        values = tuple(
            PriceValue(dimensions={"model": name}, values=(value(times),))
            for name, times in (("small", "1"), ("large", "5"), ("*", "2"))
        )
    elif answers.differ == "customer":
        many = 1_000 if is_volume else 1
        model, tiering = "tiered", Tiering("volume" if is_volume else "unit", "monthly")
        values = (value("1", 1_000 * many), value("0.8", 10_000 * many), value("0.6"))
    return UsageBasedPrice(
        "Use",
        calculation,
        RealTimeBilling(),
        (AssetPricing(code, values),),
        pricing_model=model,
        tiering=tiering,
    )


def _markup(answers: Answers, code: str) -> UsageBasedPrice:
    """Make a price of what each use costs, and 30 percent on top of it."""
    # In credits, too: costs are brought to the price's asset at its rate.
    calculation = UsageCalculation(answers.use, "cost")
    value = PriceValue(volume_rate=Number("1.3"))
    return UsageBasedPrice("Use", calculation, RealTimeBilling(), (AssetPricing(code, (value,)),))


def _advice(answers: Answers) -> Iterator[str]:
    yield "The amounts are a beginning. Put in your own before you publish."
    if answers.paid == "prepaid":
        yield (
            "Prepaid: ask for a hold before the work runs, so that nobody uses more than there is. "
            "Offer customers auto top-up, so that their work does not stop."
        )
    else:
        yield (
            "Contract: customers use first and pay later. Give each one an overdraft with a limit: "
            "that is how much you trust them with."
        )
    if answers.differ == "each":
        yield "Report what each use has cost you in the event's costs: the price is made of that."
    if answers.costs != "no" and answers.fee == "only":
        yield (
            "Each use costs you money and the month's fee is all you get: set a limit per "
            "customer, or one who uses much costs more than he brings."
        )
    if answers.costs != "no" and answers.differ != "each":
        yield "Report what uses cost you in the event's costs: the margin is shown by customer."
    if answers.costs == "no" and answers.fee == "none":
        yield "Uses cost you nothing: a monthly fee alone is simpler to understand than many small."
    if answers.fee == "included":
        yield "What is included expires with its month. Choose rollover to let customers keep it."
    if answers.counted == "credits" and answers.fee != "only":
        yield (
            f"One credit costs 0.01 {answers.currency}: customers buy 100 for "
            f"1 {answers.currency}. Change its rate at any time; prices in credits stay."
        )
