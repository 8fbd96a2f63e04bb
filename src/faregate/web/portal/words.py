"""The languages of the portal. What is written in templates is English; the other languages are
catalogs beside this file (`locales/de.po`), which are read as they are when the server starts.
Numbers, days and instants are written as each language writes them (CLDR, by Babel).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from babel import dates, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from faregate.core.portal import LOCALES, Locale
from faregate.web.rendering import HERE, NO_STORE

CATALOGS: Final = Path(__file__).parent / "locales"
FIRST: Final[Locale] = "en"


def preferred(accepted: str, otherwise: Locale | None) -> Locale:
    """Return the language that a browser likes best of those that there are, by its header
    `Accept-Language` (RFC 9110, section 12.5.4); where it likes none, the account's, or English.

    >>> preferred("fr-CH, de;q=0.8, en;q=0.3", None)
    'fr'
    """
    wanted: list[tuple[float, int, str]] = []
    for number, part in enumerate(accepted[:500].split(",")):
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        wanted.append((-quality, number, tag.strip().lower().partition("-")[0]))
    for quality, _, language in sorted(wanted):
        for locale in LOCALES:
            if locale == language and quality < 0:
                return locale
    return otherwise or FIRST


def _read(locale: Locale) -> Translations:
    """Read a language's catalog; English has none."""
    path = CATALOGS / f"{locale}.po"
    if not path.exists():
        return Translations()
    compiled = io.BytesIO()
    with path.open("rb") as source:
        write_mo(compiled, read_po(source, locale=locale))
    compiled.seek(0)
    return Translations(compiled)


class Language:
    """One language: its words, its formats, and its templates. `t` translates a sentence."""

    def __init__(self, locale: Locale) -> None:
        self.locale = locale
        words = _read(locale)
        self.t = words.ugettext
        self.n = words.ungettext
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        installed: Any = self._templates
        installed.install_gettext_callables(words.ugettext, words.ungettext, newstyle=True)
        self._templates.filters |= {
            "count": self.count,
            "number": self.count,
            "day": self.day,
            "instant": self.instant,
            "money": partial(show_money, locale=locale),
        }

    def count(self, number: int | Decimal) -> str:
        """Write a number as it is, e.g. `12,345`."""
        return numbers.format_decimal(number, locale=self.locale, decimal_quantization=False)

    def day(self, at: datetime | date) -> str:
        """Write a day, e.g. `27 Nov 2026`; of an instant that in UTC."""
        return dates.format_date(at, "medium", locale=self._region)

    def instant(self, at: datetime) -> str:
        """Write an instant in UTC."""
        return dates.format_datetime(at, "medium", locale=self._region)

    @property
    def _region(self) -> str:
        # "en" alone is American, whose days nobody else reads: 11/27/2026.
        return "en_GB" if self.locale == "en" else self.locale

    def render(self, name: str, status: int, **values: object) -> Response:
        """Answer with a template of `templates/`; nobody keeps the answer."""
        text = self._templates.get_template(name).render(locale=self.locale, **values)
        return HTMLResponse(text, status, headers=NO_STORE)


def show_money(amount: Decimal, code: str, symbol: str | None = None, *, locale: str) -> str:
    """Write an exact amount of an asset: of a currency as the language does, of another asset with
    its symbol or code behind it. All decimals are shown that it has.

    >>> show_money(Decimal("1234.5"), "EUR", locale="de")
    '1.234,50\\xa0€'
    """
    if len(code) == 3 and code in numbers.list_currencies():
        places = max(numbers.get_currency_precision(code), -_exponent(amount))
        exact = amount.quantize(Decimal(1).scaleb(-places))
        return numbers.format_currency(
            exact, code, locale=locale, currency_digits=False, decimal_quantization=False
        )
    shown = numbers.format_decimal(amount, locale=locale, decimal_quantization=False)
    return f"{shown}\xa0{symbol or code}"


def _exponent(amount: Decimal) -> int:
    exponent = amount.normalize().as_tuple().exponent
    return min(exponent, 0) if isinstance(exponent, int) else 0


class Languages:
    """All languages that there are."""

    def __init__(self, locales: Sequence[Locale] = LOCALES) -> None:
        self._known: dict[str, Language] = {locale: Language(locale) for locale in locales}

    def __getitem__(self, locale: Locale) -> Language:
        return self._known[locale]
