"""Amounts as people read them, without rounding: the asset's usual decimals large, what lies
beyond them beside it in small. An amount that has only finer decimals is all large.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset


class Money(msgspec.Struct, frozen=True):
    """An exact amount in pieces: `-$1,234.50`, the finer decimals `0031`, and `USD`."""

    main: str
    fine: str
    code: str
    has_symbol: bool

    def __str__(self) -> str:
        return f"{self.main}{self.fine} {self.code}"


def show_units(units: int, asset: Asset) -> Money:
    """Show units of an asset's ledger scale."""
    return show_amount(to_decimal(units, asset.scale), asset)


def show_amount(amount: Decimal, asset: Asset) -> Money:
    """Show an amount in whole assets.

    >>> show_amount(Decimal("-1234.50031"), Asset("USD", "US Dollar", 2, 9, "$")).main
    '-$1,234.50'
    """
    whole, _, part = f"{abs(amount):f}".partition(".")
    part = part.rstrip("0").ljust(asset.precision, "0")
    usual, fine = part[: asset.precision], part[asset.precision :]
    # Without a usual decimal the point belongs to the fine ones.
    point = "." if usual else ""
    fine = f".{fine}" if fine and not usual else fine
    if not whole.strip("0") and not usual.strip("0"):
        usual, fine = usual + fine, ""
    sign = "-" if amount < 0 else ""
    main = f"{sign}{asset.symbol or ''}{int(whole):,}{point}{usual}"
    return Money(main, fine, asset.code, asset.symbol is not None)


def show_sum(amount: Decimal, asset: Asset) -> Money:
    """Show a sum as a headline: in the asset's usual decimals, rounded half-even, unless it is so
    small (below ten of the last one) that rounding would tell another story.

    >>> show_sum(Decimal("46220.0182"), Asset("USD", "US Dollar", 2, 9, "$")).main
    '$46,220.02'
    """
    last = Decimal(1).scaleb(-asset.precision)
    if abs(amount) >= min(Decimal(1), 10 * last):
        amount = amount.quantize(last, ROUND_HALF_EVEN)
    return show_amount(amount, asset)
