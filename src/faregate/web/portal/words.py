"""The languages of the portal. What is written in templates is English; the other languages are
catalogs beside this file (`locales/de.po`), which are read as they are when the server starts.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from faregate.core.portal import LOCALES, Locale
from faregate.web.portal.formats import (
    name_of_asset,
    name_of_zone,
    plain_number,
    show_day,
    show_day_of,
    show_instant,
    show_money,
    show_number,
    show_short_day,
    within_sentence,
)
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
        formats: dict[str, Callable[..., Any]] = {
            "money": show_money,
            "number": show_number,
            "called": name_of_asset,
            "noun": within_sentence,
            "typed": plain_number,
            "day": show_day_of,
            "date": show_day,
            "short_day": show_short_day,
            "instant": show_instant,
            "zone": name_of_zone,
        }
        self._templates.filters |= {
            name: partial(show, locale=locale) for name, show in formats.items()
        }

    def typed(self, number: Decimal) -> str:
        """Write a number as it is typed into a field."""
        return plain_number(number, self.locale)

    def number(self, number: int | Decimal) -> str:
        """Write a number."""
        return show_number(number, self.locale)

    def day(self, at: datetime, zone: tzinfo) -> str:
        """Write the day of an instant as it is in a timezone."""
        return show_day_of(at, zone, self.locale)

    def render(self, name: str, status: int, **values: object) -> Response:
        """Answer with a template of `templates/`; nobody keeps the answer."""
        text = self._templates.get_template(name).render(locale=self.locale, **values)
        return HTMLResponse(text, status, headers=NO_STORE)


class Languages:
    """All languages that there are."""

    def __init__(self, locales: Sequence[Locale] = LOCALES) -> None:
        self._known: dict[str, Language] = {locale: Language(locale) for locale in locales}

    def __getitem__(self, locale: Locale) -> Language:
        return self._known[locale]
