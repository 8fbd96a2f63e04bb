"""Every sentence of the portal is there in each of its languages, and says the same names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from faregate.web.portal.words import CATALOGS, Language, preferred, show_money

SOURCE = Path(__file__).parents[2] / "src/faregate"
METHODS = [("web/portal/*.py", "python"), ("web/templates/portal/*.html", "jinja2")]
OPTIONS = {METHODS[1][0]: {"trim_blocks": "true", "lstrip_blocks": "true"}}
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "t": None}


def said() -> set[str]:
    """Return the English sentences of the portal's pages."""
    found = extract_from_dir(SOURCE, METHODS, OPTIONS, keywords=KEYWORDS)
    return {m if isinstance(m, str) else m[0] for _, _, m, _, _ in found}


def named(sentence: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)s", sentence))


@pytest.mark.parametrize("locale", ["de", "fr", "es"])
def test_a_catalog_has_every_sentence_and_no_other(locale: str) -> None:
    with (CATALOGS / f"{locale}.po").open("rb") as source:
        catalog = read_po(source, locale=locale)
    words = {m.id if isinstance(m.id, str) else m.id[0]: m for m in catalog if m.id}
    assert set(words) == said()
    for sentence, message in words.items():
        translated = [message.string] if isinstance(message.string, str) else message.string
        assert all(translated), sentence
        assert not message.fuzzy
        assert all(named(one) == named(sentence) for one in translated), sentence


def test_numbers_days_and_money_are_written_as_each_language_does() -> None:
    at = datetime(2026, 11, 27, 14, 5, tzinfo=UTC)
    shown = {
        locale: (
            Language(locale).count(12345),
            Language(locale).day(at),
            show_money(Decimal("1234.5"), "EUR", locale=locale),
            show_money(Decimal("0.000031"), "USD", locale=locale),
        )
        for locale in ("en", "de", "fr", "es")
    }
    plain = {k: tuple(re.sub(r"\s", " ", text) for text in v) for k, v in shown.items()}
    assert plain == {
        "en": ("12,345", "27 Nov 2026", "€1,234.50", "$0.000031"),
        "de": ("12.345", "27.11.2026", "1.234,50 €", "0,000031 $"),
        "fr": ("12 345", "27 nov. 2026", "1 234,50 €", "0,000031 $US"),
        "es": ("12.345", "27 nov 2026", "1.234,50 €", "0,000031 US$"),
    }
    assert show_money(Decimal("1500"), "CREDITS", locale="de") == "1.500\xa0CREDITS"


@pytest.mark.parametrize(
    ("accepted", "otherwise", "locale"),
    [
        ("fr-CH, de;q=0.8", None, "fr"),
        ("ja, es;q=0.1", "de", "es"),
        ("ja", "de", "de"),
        ("", None, "en"),
        ("de;q=0, *", None, "en"),
        ("de;q=nan, fr", None, "fr"),
        (",;;=,q", "es", "es"),
    ],
)
def test_the_browsers_language_comes_first(accepted: str, otherwise: str, locale: str) -> None:
    assert preferred(accepted, otherwise) == locale  # type: ignore[arg-type]
