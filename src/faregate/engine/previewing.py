"""Operations on what is not written yet: what a version would ask, in words and in numbers, before
anybody saves it. By the rules that price real uses; nothing is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from faregate.catalog import products
from faregate.catalog.types import CreateProduct, CreateVersion
from faregate.core.amounts import to_decimal
from faregate.core.codec import checked
from faregate.core.commitments import compile_commitment
from faregate.core.compiled import CompiledPrice, compile_price
from faregate.core.differences import Offer
from faregate.core.events import UsageEvent
from faregate.core.monthly import MONTHLY, Payer, Sums, monthly_bill, shown
from faregate.core.plans import compile_credit, compile_fixed
from faregate.core.price_words import offer_in_words
from faregate.core.prices import FixedPrice, UsageBasedPrice
from faregate.core.problems import FaregateError, invalid
from faregate.core.sample_use import SampleUse, sample_uses
from faregate.core.simulating import SimulatedFee, simulate
from faregate.core.subscriptions import CatalogView, CompiledVersion, Terms
from faregate.engine.base import EngineBase
from faregate.platform.environments import AccountContext

MAX_SAMPLES: Final = 20
MAX_SAMPLE_TIMES: Final = 5_000
"""How many made-up uses one preview prices."""
_DRAFT: Final = "draft"


class PreviewFee(msgspec.Struct, frozen=True):
    """What one price asks for one use, of `asset`."""

    price: str
    amount: Decimal
    asset: str


class PreviewUse(msgspec.Struct, frozen=True):
    """What one use costs a new customer, whose first it is."""

    sample: SampleUse
    fees: list[PreviewFee]
    warnings: list[str]


class PreviewMonth(msgspec.Struct, frozen=True):
    """A normal month, in one asset: what is asked for itself and for use, what comes with the
    product (brought to a month), and what is left to be paid."""

    asset: str
    fixed: Decimal
    usage: Decimal
    included: Decimal
    left: Decimal


class Preview(msgspec.Struct, frozen=True):
    """What a version would ask: in words, for one of each use, and in a normal month."""

    words: list[str]
    uses: list[PreviewUse]
    month: list[PreviewMonth]
    warnings: list[str]


class PreviewOperations(EngineBase):
    """What is not written yet."""

    async def preview_product(
        self,
        request: CreateProduct | CreateVersion,
        uses: Sequence[SampleUse] | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Preview:
        """Say what a product or version would ask, without writing it. `uses` are those of a normal
        month, at most `MAX_SAMPLE_TIMES` in all (default: made up from the prices). Raises 422
        naming what is wrong with it, as `create_product` would."""
        request = checked(request)
        environment = await self._look(context)
        products.check_version(self._catalog, environment, request)
        samples = sample_uses(request.prices) if uses is None else list(uses)
        if len(samples) > MAX_SAMPLES:
            raise FaregateError(invalid("uses", f"has {len(samples)}: send at most {MAX_SAMPLES}"))
        total = 0
        for index, sample in enumerate(samples):
            total += sample.times
            if sample.times < 0 or total > MAX_SAMPLE_TIMES:
                remedy = f"send at most {MAX_SAMPLE_TIMES:,} uses in all, and none below 0"
                raise FaregateError(invalid(f"uses[{index}].times", f"is {sample.times}: {remedy}"))
        view, now = self._catalog.view(environment), self._clock()
        # Pricing thousands of uses takes a while: others go on meanwhile.
        return await asyncio.to_thread(_preview, request, samples, view, now)


def _preview(
    request: CreateProduct | CreateVersion,
    samples: Sequence[SampleUse],
    view: CatalogView,
    now: datetime,
) -> Preview:
    version = _compiled(request, view)
    prices = tuple(price for of_type in version.prices.values() for price in of_type)
    used = [_use(prices, sample, view, now) for sample in samples]
    events = [
        sample.event(number, now) for sample in samples for number in range(1, sample.times + 1)
    ]
    payer = Payer(Terms(timezone=view.timezone), (), now, view.timezone, _DRAFT, now, view.rates)
    bill = monthly_bill(version, payer, events)
    included: Sums = {}
    for credit in version.credits:
        if credit.is_refreshed:
            often = MONTHLY[credit.interval] / credit.count
            units = Fraction(credit.units, 10**credit.asset.scale) * often
            included[credit.asset.code] = included.get(credit.asset.code, Fraction(0)) + units
    offer = Offer(request.prices, request.entitlements or (), request.commitments or ())
    month = [
        _month(code, bill.fixed, bill.usage, included)
        for code in dict.fromkeys((*bill.fixed, *bill.usage, *included))
    ]
    return Preview(offer_in_words(offer, view.assets), used, month, list(bill.warnings))


def _compiled(request: CreateProduct | CreateVersion, view: CatalogView) -> CompiledVersion:
    """Compile what is not written yet; parts get names that tell them apart."""
    of = (view.assets, _DRAFT, _DRAFT, 0)
    by_type: dict[str, tuple[CompiledPrice, ...]] = {}
    plans = []
    for number, price in enumerate(request.prices):
        named = msgspec.structs.replace(price, id=f"prc_{number}")
        if isinstance(named, FixedPrice):
            plans.append(compile_fixed(named, *of))
        elif isinstance(named, UsageBasedPrice):
            compiled = compile_price(named, *of)
            by_type[compiled.event_type] = (*by_type.get(compiled.event_type, ()), compiled)
    replace = msgspec.structs.replace
    credits = [
        compile_credit(replace(item, id=f"ent_{number}"), *of)
        for number, item in enumerate(request.entitlements or ())
    ]
    commitments = [
        compile_commitment(replace(item, id=f"cmt_{number}"), *of)
        for number, item in enumerate(request.commitments or ())
    ]
    return CompiledVersion(0, by_type, tuple(plans), tuple(credits), tuple(commitments))


def _use(
    prices: tuple[CompiledPrice, ...], sample: SampleUse, view: CatalogView, now: datetime
) -> PreviewUse:
    event: UsageEvent = sample.event(1, now)
    outcome = simulate(prices, [event], view.timezone, view.rates, is_lenient=True)
    if not isinstance(outcome, tuple):
        raise AssertionError("what is lenient refuses nothing")
    fees, warnings = outcome
    said = [text.partition("]: ")[2] for text in warnings]
    return PreviewUse(sample, [_fee(fee) for fee in fees], said)


def _fee(fee: SimulatedFee) -> PreviewFee:
    asset, units = fee.priced.asset, fee.units
    if fee.priced.funding is not None and fee.paid_units is not None:
        asset, units = fee.priced.funding.asset, fee.paid_units
    return PreviewFee(fee.compiled.price.name, to_decimal(units, asset.scale), asset.code)


def _month(code: str, fixed: Sums, usage: Sums, included: Sums) -> PreviewMonth:
    nothing = Fraction(0)
    asked, used = fixed.get(code, nothing), usage.get(code, nothing)
    comes = included.get(code, nothing)
    left = asked + max(nothing, used - comes)
    return PreviewMonth(code, shown(asked), shown(used), shown(comes), shown(left))
