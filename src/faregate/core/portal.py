"""How an account wants its customers' portal: under which name and colour, where it may be shown
inside the account's own pages, whom customers can ask, and what they may change by themselves.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from faregate.core.colours import contrast, tone_for
from faregate.core.prices import Key, Text
from faregate.core.problems import Problem, invalid

Locale = Literal["en", "de", "fr", "es"]
LOCALES: Final[tuple[Locale, ...]] = get_args(Locale)
Colour = Annotated[str, Meta(pattern=r"^#[0-9a-fA-F]{6}\Z")]
Link = Annotated[str, Meta(min_length=1, max_length=2000, pattern=r"^https?://[^\s]+\Z")]
EMail = Annotated[str, Meta(max_length=200, pattern=r"^[^@\s<>]+@[^@\s<>]+\Z")]
MAX_ORIGINS: Final = 20
MAX_PLANS: Final = 50

LIGHT: Final = "#f6f7f9"
DARK: Final = "#151a23"
"""What pages are painted on in the two themes, where it is hardest to read on."""
READABLE: Final = 4.5
"""The least contrast of text with what is behind it (WCAG 2.2, 1.4.3, level AA)."""

_HOST: Final = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
_ORIGIN: Final = re.compile(
    rf"(https://{_HOST}|http://(localhost|127\.0\.0\.1|\[::1\]))(:[0-9]{{1,5}})?"
)


class PortalSettings(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What an account says of its portal, in both of its modes.

    `name` is shown in place of the account's, `accent` colours buttons and links, `locale` is the
    language of customers whose browser asks for none that there is. `origins` are the pages, as
    `https://app.example.com`, in which the portal may be embedded. `plans` are the products (codes
    or ids) that customers may move to, or take, by themselves; `may_cancel` lets them end a
    subscription with its period.
    """

    name: Text | None = None
    accent: Colour | None = None
    support_email: EMail | None = None
    support_url: Link | None = None
    origins: Annotated[list[Annotated[str, Meta(max_length=300)]], Meta(max_length=MAX_ORIGINS)] = (
        msgspec.field(default_factory=list)
    )
    locale: Locale | None = None
    plans: Annotated[list[Key], Meta(max_length=MAX_PLANS)] = msgspec.field(default_factory=list)
    may_cancel: bool = True


PORTAL: Final = PortalSettings()


def check_portal(settings: PortalSettings) -> Problem | None:
    """Refuse origins that are none, or that a browser would not hold to be safe."""
    for index, origin in enumerate(settings.origins):
        if not _ORIGIN.fullmatch(origin):
            remedy = (
                "send scheme and host alone, in lower case, e.g. 'https://app.example.com'; "
                "without https only localhost"
            )
            return invalid(f"origins[{index}]", f"{origin[:100]!r} is no such origin: {remedy}")
    return None


class Accent(msgspec.Struct, frozen=True):
    """An account's colour, ready to be used: `fill` of buttons, with `on_fill` for the words on
    them; and for links, one tone each for what is light and what is dark behind them."""

    fill: str
    on_fill: str
    on_light: str
    on_dark: str

    @classmethod
    def of(cls, colour: str) -> Accent:
        """Derive from one colour what can be read in both themes."""
        fill = colour.lower()
        # One of the two has always enough contrast: the product of both is 21.
        on_fill = max(("#ffffff", "#000000"), key=lambda text: contrast(text, fill))
        on_light, on_dark = (tone_for(fill, behind, READABLE) for behind in (LIGHT, DARK))
        return cls(fill, on_fill, on_light, on_dark)


def said_of_accent(colour: str) -> list[str]:
    """Say, in a sentence each, where a colour cannot be read as it is, and what is done about it.
    None: it can be used as it is in both themes.

    >>> len(said_of_accent("#000000")), said_of_accent("#6b63ff")
    (1, [])
    """
    accent = Accent.of(colour)
    said = []
    for where, behind, tone in (
        ("in the light theme", LIGHT, accent.on_light),
        ("in the dark theme", DARK, accent.on_dark),
    ):
        if tone != accent.fill:
            shown = f"{contrast(accent.fill, behind):.1f}"
            said.append(
                f"{accent.fill} {where} has a contrast of {shown}, and text needs {READABLE}: "
                f"links are shown in {tone} there"
            )
    return said
