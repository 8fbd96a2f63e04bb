"""What customers are offered who want to pay into their wallet: a few amounts to choose from, that
are right for the currency and lie within what the account allows.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from faregate.core.payment_rules import TopUpBounds

MOST: Final = 4
_STEPS: Final = tuple(Decimal(step) for step in (5, 10, 20, 50, 100, 200, 500))
_START: Final = Decimal(10)
"""Without bounds the amounts begin here, where a currency has minor units."""


def suggested_amounts(bounds: TopUpBounds | None, precision: int) -> list[Decimal]:
    """Return up to `MOST` amounts (> 0) of a currency with so many decimals, the least first.

    A currency without minor units counts in about a hundredth of others: 1000 JPY for 10 EUR.

    >>> [str(amount) for amount in suggested_amounts(None, 2)]
    ['10', '20', '50', '100']
    """
    least = None if bounds is None else bounds.minimum
    most = None if bounds is None else bounds.maximum
    unit = Decimal(1) if precision else Decimal(100)
    start = max(least or Decimal(0), _START * unit)
    if most is not None and most < start:
        start = least or min(most, unit)
    while unit * _STEPS[-1] < start:
        unit *= 100
    steps = {step * scale for scale in (unit, unit * 100) for step in _STEPS}
    fitting = [amount for amount in sorted(steps) if amount >= start]
    found = [amount for amount in fitting if most is None or amount <= most][:MOST]
    if least is not None and least not in found and len(found) < MOST:
        found = [least, *found]
    return found or [most or start]
