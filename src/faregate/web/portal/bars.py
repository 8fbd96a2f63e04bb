"""A chart of bars, drawn by the server: it needs no script and no style of its own. Its numbers are
in the table beside it; here they are only as exact as pixels are.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

HEIGHT: Final = 100
STEP: Final = 10
WIDTH: Final = 7
_LEAST: Final = Decimal("1.5")
"""How high a bar is at least that is not nothing."""


class Bar(msgspec.Struct, frozen=True):
    """A bar, in units of the drawing: `x` from the left, `y` from the top."""

    x: str
    y: str
    height: str


class Bars(msgspec.Struct, frozen=True):
    """A drawing `width` wide and `HEIGHT` high; the highest bar stands for `most`. None is drawn
    for what is not above 0."""

    width: int
    bar_width: int
    bars: list[Bar | None]
    most: Decimal


def draw(values: Sequence[Decimal]) -> Bars:
    """Draw values side by side, the first one on the left.

    >>> [bar and bar.height for bar in draw([Decimal(4), Decimal(0), Decimal(2)]).bars]
    ['100', None, '50']
    """
    most = max([*values, Decimal(0)])
    bars: list[Bar | None] = []
    for index, value in enumerate(values):
        if value <= 0:
            bars.append(None)
            continue
        height = max(_LEAST, (value * HEIGHT / most).quantize(Decimal("0.1"))).normalize()
        x = Decimal(index * STEP) + Decimal(STEP - WIDTH) / 2
        bars.append(Bar(f"{x:f}", f"{HEIGHT - height:f}", f"{height:f}"))
    return Bars(len(values) * STEP, WIDTH, bars, most)
