"""The curve of the last minute, as the coordinates of an SVG. The template draws it; colours are
the style sheet's.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

WIDTH = 600
HEIGHT = 96
_TOP = 6


class Sparkline(msgspec.Struct, frozen=True):
    """The curve, the area under it, and the highest value."""

    line: str
    area: str
    peak: int
    width: int = WIDTH
    height: int = HEIGHT


def draw(values: Sequence[int]) -> Sparkline:
    """Draw values, the oldest first, from edge to edge; the highest one touches the top."""
    peak = max(values, default=0)
    step = WIDTH / max(1, len(values) - 1)
    room = HEIGHT - _TOP - 1
    points = [
        f"{i * step:.1f},{HEIGHT - 1 - room * value / max(1, peak):.1f}"
        for i, value in enumerate(values)
    ]
    line = "M" + " L".join(points) if points else ""
    area = f"{line} L{WIDTH},{HEIGHT} L0,{HEIGHT} Z" if points else ""
    return Sparkline(line, area, peak)
