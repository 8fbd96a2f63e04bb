"""What an account says about payments, in one of its modes: who collects them, between which
amounts a customer may top up, and whether a dispute blocks the customer."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.amounts import AmountError, Number, to_units
from faregate.core.assets import Asset
from faregate.core.problems import Problem, invalid

ProviderName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z")]
CurrencyCode = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
MAX_CURRENCIES: Final = 200


class TopUpBounds(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Between which amounts of a currency a customer may top up, both included."""

    minimum: Number | None = None
    maximum: Number | None = None


class PaymentRules(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """How an account takes payments. `provider` collects them (None: the first that can),
    `top_ups` has bounds by currency, and `blocks_on_dispute` blocks a customer's holds for as long
    as a payment of theirs is disputed."""

    provider: ProviderName | None = None
    top_ups: Annotated[dict[CurrencyCode, TopUpBounds], Meta(max_length=MAX_CURRENCIES)] = {}
    blocks_on_dispute: bool = False


PAYMENTS: Final = PaymentRules()


def check_payments(rules: PaymentRules, assets: Mapping[str, Asset]) -> Problem | None:
    """Refuse bounds of what is no currency, finer than it is paid, or that leave nothing between
    them."""
    for code, bounds in rules.top_ups.items():
        path, asset = f"payments.top_ups.{code}", assets.get(code)
        if asset is None or not asset.is_currency:
            return invalid(path, f"{code!r} is no currency: send one of ISO 4217, e.g. 'USD'")
        for name, amount in (("minimum", bounds.minimum), ("maximum", bounds.maximum)):
            if amount is None:
                continue
            try:
                units = to_units(amount, asset.precision)
            except AmountError as error:
                remedy = f"{code} is paid with {asset.precision} decimals"
                return invalid(f"{path}.{name}", f"{amount} {error}; {remedy}")
            if units <= 0:
                return invalid(f"{path}.{name}", f"is {amount}: send more than 0, or leave it out")
        if _is_empty(bounds):
            shown = f"is {bounds.maximum}, below the minimum of {bounds.minimum}"
            return invalid(f"{path}.maximum", f"{shown}: send at least that")
    return None


def _is_empty(bounds: TopUpBounds) -> bool:
    minimum, maximum = bounds.minimum, bounds.maximum
    return minimum is not None and maximum is not None and maximum < minimum


def check_top_up(rules: PaymentRules, amount: Decimal, currency: str) -> Problem | None:
    """Refuse a top-up of less or more than the account allows."""
    bounds = rules.top_ups.get(currency)
    if bounds is None:
        return None
    if bounds.minimum is not None and amount < bounds.minimum:
        return invalid(
            "amount", f"is {amount} {currency}, and the least is {bounds.minimum}: send more"
        )
    if bounds.maximum is not None and amount > bounds.maximum:
        return invalid(
            "amount", f"is {amount} {currency}, and the most is {bounds.maximum}: send less"
        )
    return None
