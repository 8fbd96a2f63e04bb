"""Amounts, numbers and times as people read and write them in their language (CLDR, by Babel). No
amount is rounded: decimals finer than the asset's usual ones stand beside it in small.
"""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Final

import msgspec
from babel import Locale, dates, numbers
from markupsafe import Markup

from faregate.core.assets import Asset

MAX_TYPED: Final = 30
_TYPED: Final = re.compile(r"[0-9][0-9.,'’]*|[.,][0-9]+")
_PLAIN: Final = re.compile(r"[0-9]*[.,][0-9]{1,2}|[0-9]+")
"""A number whose only separator nobody takes for one of thousands."""
_SPACES: Final = re.compile(r"\s")


class Amount(msgspec.Struct, frozen=True):
    """An exact amount in pieces: `-1.234,50`, the finer decimals `0031`, and what stands behind."""

    main: str
    fine: str
    after: str

    def __str__(self) -> str:
        return f"{self.main}{self.fine}{self.after}"

    def __html__(self) -> str:
        fine = Markup('<span class="fine">{}</span>').format(self.fine) if self.fine else ""
        return Markup('<span class="money">{}{}{}</span>').format(self.main, fine, self.after)


def show_money(amount: Decimal, asset: Asset, locale: str) -> Amount:
    """Write an amount of an asset: of a currency as the language does, of another asset with its
    symbol or name behind it.

    >>> str(show_money(Decimal("-1234.50031"), Asset("EUR", "Euro", 2, 9, "€", None, True), "de"))
    '-1.234,50031\\xa0€'
    """
    whole, _, part = f"{abs(amount):f}".partition(".")
    part = part.rstrip("0").ljust(asset.precision, "0")
    usual, fine = part[: asset.precision], part[asset.precision :]
    if not whole.strip("0") and not usual.strip("0"):
        # There are only finer decimals, which are then as large as any.
        usual, fine = usual + fine, ""
    if fine and not usual:
        fine = numbers.get_decimal_symbol(locale) + fine
    shown = Decimal(f"{whole}.{usual}" if usual else whole)
    pattern = f"#,##0.{'0' * len(usual)}" if usual else "#,##0"
    number = numbers.format_decimal(shown, pattern, locale=locale)
    sign = numbers.get_minus_sign_symbol(locale) if amount < 0 else ""
    if not asset.is_currency:
        return Amount(sign + number, fine, f"\xa0{asset.symbol or asset.label or asset.name}")
    symbol = numbers.get_currency_symbol(asset.code, locale)
    if not Locale.parse(locale).currency_formats["standard"].pattern.startswith("¤"):
        return Amount(sign + number, fine, f"\xa0{symbol}")
    gap = "\xa0" if symbol[-1].isalpha() else ""
    return Amount(f"{sign}{symbol}{gap}{number}", fine, "")


def name_of_asset(asset: Asset, locale: str) -> str:
    """Name an asset: a currency as the language does."""
    if asset.is_currency:
        name = numbers.get_currency_name(asset.code, locale=locale)
        # It stands alone, above what is said of it: "Dollar des États-Unis".
        return name[:1].upper() + name[1:]
    return asset.label or asset.name


def within_sentence(noun: str, locale: str) -> str:
    """Write what is counted as it stands in a sentence: "Images" is "images", but in German."""
    is_name = not noun[1:].islower() or locale == "de"
    return noun if is_name else noun[:1].lower() + noun[1:]


def show_number(number: int | Decimal, locale: str) -> str:
    """Write a number with all decimals that it has: `12,345.678`."""
    return numbers.format_decimal(number, locale=locale, decimal_quantization=False)


def plain_number(number: Decimal, locale: str) -> str:
    """Write a number as it is typed into a field: without separators of thousands."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace(".", numbers.get_decimal_symbol(locale))


def read_number(text: str, locale: str) -> Decimal | None:
    """Read a number that somebody typed; None: it is none, or might be two different ones.

    >>> read_number("1.234,5", "de"), read_number("12.50", "de"), read_number("1,2,3", "en")
    (Decimal('1234.5'), Decimal('12.50'), None)
    """
    text = _SPACES.sub("", text[:MAX_TYPED])
    if _PLAIN.fullmatch(text):
        return Decimal(text.replace(",", "."))
    if not _TYPED.fullmatch(text):
        return None
    try:
        return numbers.parse_decimal(text, locale=locale, strict=True)
    except numbers.NumberFormatError:
        return None


def show_day(at: date, locale: str) -> str:
    """Write a day: `27 Nov 2026`."""
    return dates.format_date(at, "medium", locale=region(locale))


def show_short_day(at: date, locale: str) -> str:
    """Write a day of this year: `27 Nov`."""
    return dates.format_skeleton("MMMd", at, locale=region(locale))


def show_day_of(at: datetime, zone: tzinfo, locale: str) -> str:
    """Write the day of an instant as it is in a timezone."""
    return show_day(at.astimezone(zone).date(), locale)


def show_instant(at: datetime, zone: tzinfo, locale: str) -> str:
    """Write an instant by the clocks of a timezone: `27 Nov 2026, 14:05`."""
    local = at.astimezone(zone)
    clock = dates.format_time(local, "short", tzinfo=zone, locale=region(locale))
    return f"{show_day(local.date(), locale)}, {clock}"


def name_of_zone(zone: tzinfo, locale: str) -> str:
    """Name a timezone: `Central European Time`."""
    if str(zone) == "UTC":
        return "UTC"
    return dates.get_timezone_name(zone, locale=region(locale))


def region(locale: str) -> str:
    """Return by whose customs times are written. English alone is American, whose days nobody else
    reads: 11/27/2026."""
    return "en_GB" if locale == "en" else locale
