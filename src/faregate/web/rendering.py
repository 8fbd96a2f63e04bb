"""How pages are made of templates: one environment for all of them, where everything that a
template shows is escaped and a name that nobody gave is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

HERE: Final = Path(__file__).parent
NO_STORE: Final = {"Cache-Control": "no-store"}

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The content security policy of every page that does not have one of its own."""

Render = Callable[..., Response]


class Pages:
    """Makes answers of templates."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "count": show_count,
            "day": show_day,
            "instant": show_instant,
            "plain": show_plain,
        }

    def render(self, name: str, status: int, **values: object) -> Response:
        """Answer with a template; nobody keeps the answer."""
        text = self._templates.get_template(name).render(**values)
        return HTMLResponse(text, status, headers=NO_STORE)


def show_count(number: int) -> str:
    """Show a number of things: `12,345`."""
    return f"{number:,}"


def show_day(at: datetime) -> str:
    """Show the day of an instant in UTC: `27 Nov 2026`."""
    return f"{at.astimezone(UTC):%-d %b %Y}"


def show_instant(at: datetime) -> str:
    """Show an instant in UTC: `27 Nov 2026, 14:05:09`."""
    return f"{at.astimezone(UTC):%-d %b %Y, %H:%M:%S}"


def show_plain(number: Decimal) -> str:
    """Show an exact number without an exponent and without zeros at its end: `0.000002`."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
