"""How Stripe counts money. It takes whole minor units, and its minor units are not everywhere those
of ISO 4217: some currencies have fewer decimals there, two are written with decimals that must be
zero, and the third decimal must be zero where there are three.

Source: docs.stripe.com/currencies ("Zero-decimal currencies", "Three-decimal currencies", "Special
cases"), read in November 2026.
"""

from __future__ import annotations

from typing import Final

from faregate.core.amounts import power_of_ten
from faregate.core.assets import CURRENCIES
from faregate.payments.provider import Money, ProviderRefused

ZERO_DECIMALS: Final = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV")
) | frozenset(("XAF", "XOF", "XPF"))
THREE_DECIMALS: Final = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
WRITTEN_WITH_TWO: Final = frozenset(("ISK", "UGX"))
"""They have no decimals, and are written with two that are zero: 5 ISK are 500."""
MAX_AMOUNT: Final = 99_999_999
"""The most that one payment may be, in Stripe's minor units (eight digits)."""


def to_stripe(money: Money) -> int:
    """Return an amount in Stripe's minor units. Raises `ProviderRefused` (`invalid_amount`) for one
    that Stripe cannot take.

    >>> to_stripe(Money(500, "JPY", 0)), to_stripe(Money(5, "ISK", 0))
    (500, 500)
    """
    decimals = _decimals(money.currency)
    shift = decimals - money.digits
    if shift >= 0:
        amount, rest = money.minor * power_of_ten(shift), 0
    else:
        amount, rest = divmod(money.minor, power_of_ten(-shift))
    if rest:
        raise _refused(money.currency, f"with {decimals} decimals there: round it")
    if money.currency in THREE_DECIMALS and amount % 10:
        raise _refused(money.currency, "with a last decimal of 0 there: round it to two")
    if amount > MAX_AMOUNT:
        raise _refused(money.currency, f"up to {MAX_AMOUNT} minor units there: ask for less")
    return amount


def from_stripe(amount: int, currency: str) -> int:
    """Return Stripe's amount of a currency (in capital letters) in minor units of ISO 4217. What
    those cannot hold, Stripe does not charge; it would be rounded down."""
    shift = CURRENCIES[currency].precision - _decimals(currency)
    return amount * power_of_ten(shift) if shift >= 0 else amount // power_of_ten(-shift)


def _decimals(currency: str) -> int:
    if currency in ZERO_DECIMALS:
        return 0
    return 3 if currency in THREE_DECIMALS else 2


def _refused(currency: str, remedy: str) -> ProviderRefused:
    return ProviderRefused("invalid_amount", f"Stripe takes {currency} {remedy}.")
