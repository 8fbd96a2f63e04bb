"""Adding up what is used: the data of one event, or an amount. Numbers are added exactly, other
values replace what was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, Final, TypeGuard

from faregate.core.amounts import MAX_NUMBER_DIGITS
from faregate.core.costs import Cost

_EXACT: Final = Context(prec=4 * MAX_NUMBER_DIGITS)


class Tally:
    """What was used since the last settlement."""

    def __init__(self, words: Mapping[str, Any]) -> None:
        self.data: dict[str, Any] = dict(words)
        self.amount: Decimal | None = None
        self.costs: list[Cost] = []
        self.is_used = False

    def add(self, data: Mapping[str, Any]) -> None:
        """Add what was used. Raises `ValueError` for a number that is none, and adds nothing."""
        if self.amount is not None:
            raise ValueError("an amount was used before: settle by amounts or by events, not both")
        self.data.update({name: self._sum(name, value) for name, value in data.items()})
        self.is_used = True

    def add_cost(self, cost: Cost) -> None:
        """Add what a vendor charges the operator. It is a use, too: somebody did the work."""
        if self.amount is not None:
            raise ValueError("an amount was used before: costs belong to events")
        self.costs.append(cost)
        self.is_used = True

    def _sum(self, name: str, value: Any) -> Any:
        if not is_number(value):
            return value
        number = exact(name, value)
        before = self.data.get(name)
        if not is_number(before):
            return number
        if isinstance(number, int) and isinstance(before, int):
            return number + before
        return exact_sum(Decimal(number), Decimal(before))

    def add_amount(self, amount: Decimal | int) -> None:
        """Add an amount of whole assets."""
        number = amount_of(amount)
        if self.is_used and self.amount is None:
            raise ValueError("data was used before: settle by amounts or by events, not both")
        self.amount = exact_sum(self.amount or Decimal(0), number)
        self.is_used = True


def exact_sum(one: Decimal, other: Decimal) -> Decimal:
    """Return the sum, without rounding."""
    return _EXACT.add(one, other)


def is_number(value: object) -> TypeGuard[int | float | Decimal]:
    """Tell whether a value is added up: `True` is not."""
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def exact(name: str, value: int | float | Decimal) -> int | Decimal:
    """Return a number as it is shown: `0.1` is one tenth. Raises `ValueError` for no number."""
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if isinstance(number, Decimal) and not number.is_finite():
        raise ValueError(f"{name} is {value}: use a finite number")
    return number


def amount_of(amount: Decimal | int) -> Decimal:
    """Return an amount of money. Raises `TypeError` for a float, which is not exact."""
    if isinstance(amount, float):
        raise TypeError(f"{amount} is a float, which is not exact: write Decimal('{amount}')")
    return Decimal(amount)
