"""Every sentence of the portal is there in each of its languages, and says the same names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

from faregate.core.assets import CURRENCIES, custom_asset
from faregate.web.portal.formats import read_number, show_instant, show_money, show_number
from faregate.web.portal.words import CATALOGS, preferred

SOURCE = Path(__file__).parents[2] / "src/faregate"
METHODS = [("web/portal/*.py", "python"), ("web/templates/portal/*.html", "jinja2")]
OPTIONS = {METHODS[1][0]: {"trim_blocks": "true", "lstrip_blocks": "true"}}
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "t": None, "mark": None, "n": (1, 2)}


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


class Shown(HTMLParser):
    """What somebody reads, or hears, of a page: texts, and attributes that are read out."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        read_out = ("aria-label", "alt", "title", "placeholder")
        self.words += [value for name, value in attrs if name in read_out and value]


@pytest.mark.parametrize(
    "path", sorted((SOURCE / "web/templates/portal").glob("*.html")), ids=lambda path: path.stem
)
def test_a_page_says_nothing_that_is_not_translated(path: Path) -> None:
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    written = environment.parse(path.read_text()).find_all(nodes.TemplateData)
    page = Shown()
    # What stands between is put in by the page: names, numbers, and sentences of the catalogs.
    page.feed("0".join(node.data for node in written))
    page.close()
    assert [words.strip() for words in page.words if re.search(r"[^\W\d_]", words)] == []


def test_numbers_days_and_money_are_written_as_each_language_does() -> None:
    at = datetime(2026, 11, 27, 23, 5, tzinfo=UTC)
    dollar, euro, credits = CURRENCIES["USD"], CURRENCIES["EUR"], custom_asset("C", "Credits", 0)
    shown = {
        locale: (
            show_number(12345, locale),
            show_instant(at, ZoneInfo("Europe/Berlin"), locale),
            str(show_money(Decimal("-1234.50"), euro, locale)),
            str(show_money(Decimal("0.000031"), dollar, locale)),
            str(show_money(Decimal(1500), credits, locale)),
        )
        for locale in ("en", "de", "fr", "es")
    }
    plain = {k: tuple(re.sub(r"\s", " ", text) for text in v) for k, v in shown.items()}
    assert plain == {
        "en": ("12,345", "28 Nov 2026, 00:05", "-€1,234.50", "$0.000031", "1,500 Credits"),
        "de": ("12.345", "28.11.2026, 00:05", "-1.234,50 €", "0,000031 $", "1.500 Credits"),
        "fr": ("12 345", "28 nov. 2026, 00:05", "-1 234,50 €", "0,000031 $US", "1 500 Credits"),
        "es": ("12.345", "28 nov 2026, 0:05", "-1.234,50 €", "0,000031 US$", "1.500 Credits"),
    }


def test_finer_decimals_stand_beside_the_usual_ones_and_none_is_lost() -> None:
    shown = show_money(Decimal("12.34003100"), CURRENCIES["USD"], "de")
    assert (shown.main, shown.fine, shown.after) == ("12,34", "0031", "\xa0$")
    yen = show_money(Decimal("-5.25"), CURRENCIES["JPY"], "en")
    assert (yen.main, yen.fine, yen.after) == ("-¥5", ".25", "")
    marked = custom_asset("C", "<b>", 0)
    assert show_money(Decimal(1), marked, "en").__html__() == (
        '<span class="money">1\xa0&lt;b&gt;</span>'
    )


@pytest.mark.parametrize(
    ("typed", "locale", "number"),
    [
        ("12,50", "de", "12.50"),
        ("12.50", "de", "12.50"),
        ("1.234", "de", "1234"),
        ("1.234,5", "de", "1234.5"),
        ("1,234", "en", "1234"),
        ("1 234,50", "fr", "1234.50"),
        ("1\u202f234,50", "fr", "1234.50"),
        ("1,2,3", "en", None),
        ("12.34.56", "de", None),
        ("-5", "en", None),
        ("1e5", "en", None),
        ("NaN", "en", None),
        ("٣", "en", None),
        ("", "es", None),
    ],
)
def test_a_typed_number_is_read_as_its_language_means_it(
    typed: str, locale: str, number: str | None
) -> None:
    assert read_number(typed, locale) == (None if number is None else Decimal(number))


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
