"""Whether a colour can be read: its contrast with another one, as WCAG 2.2 counts it (1 for the
same colour, 21 for black on white), and the nearest tone of it that has enough.

Colours are written `#rrggbb`.
"""

from __future__ import annotations

from typing import Final

_STEPS: Final = 100


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, "contrast ratio").

    >>> contrast("#ffffff", "#000000")
    21.0
    """
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Return how bright a colour is, from 0 to 1 (WCAG 2.2, "relative luminance")."""
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def tone_for(colour: str, behind: str, least: float) -> str:
    """Return the colour, or the nearest one between it and black or white, whichever is farther
    from what is `behind` it, that has at least this contrast. Black or white must have it.

    >>> tone_for("#000000", "#ffffff", 4.5)
    '#000000'
    """
    end = "#000000" if luminance(behind) > 0.18 else "#ffffff"
    for step in range(_STEPS + 1):
        tone = _mixed(colour, end, step)
        if contrast(tone, behind) >= least:
            return tone
    raise AssertionError(f"nothing can be read on {behind} with a contrast of {least}")


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _linear(value: float) -> float:
    # The threshold is that of sRGB.
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _mixed(colour: str, end: str, step: int) -> str:
    """Return a colour with so many hundredths of another one mixed in."""
    pairs = zip(_channels(colour), _channels(end), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * step / _STEPS):02x}" for a, b in pairs)
