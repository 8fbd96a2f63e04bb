"""Examples of pages that have one program and, below it, what it prints."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from tests.api.caller import calling
from tests.api.conftest import TEST_KEY, running_server
from tests.databases import new_sqlite

DOCS = Path(__file__).parents[2] / "docs"


def sold(code: str, event_type: str, measured: dict[str, Any], value: str) -> str:
    """Write a product with one price."""
    by = ", ".join(f'"{name}": "{text}"' for name, text in measured.items())
    return (
        f'{{"name": "{code}", "code": "{code}", "publish": true, "prices": [{{"type": '
        f'"usage_based", "name": "{code}", "billing_model": {{"type": "real_time"}}, '
        f'"usage_calculation": {{"event_type": "{event_type}", {by}}}, '
        f'"pricing": [{{"asset": "USD", "values": [{{{value}}}]}}]}}]}}'
    )


TOKENS = {"usage_type": "volume", "volume_field": "tokens"}
PAGES = {
    "holds": sold("cents", "llm", TOKENS, '"volume_rate": 0.01'),
    "limits": sold("calls", "call", {"usage_type": "unit"}, '"unit_price": 1'),
    "margins": sold("dollars", "llm", TOKENS, '"volume_rate": 1'),
    "model-prices": sold("models", "llm", TOKENS, '"volume_rate": 1'),
}


@pytest.mark.parametrize("page", PAGES)
def test_the_example_prints_what_the_page_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / f"{page}.md").read_text()
    code, printed = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", text, re.S)[0]
    shown = StringIO()
    with running_server(new_sqlite(tmp_path / "page.db")) as server:
        monkeypatch.setenv("FAREGATE_URL", server.url)
        monkeypatch.setenv("FAREGATE_API_KEY", TEST_KEY)
        with calling(server) as me:
            me.made("products", PAGES[page])
        with redirect_stdout(shown):
            exec(code, {"key": TEST_KEY, "server": server.url})  # noqa: S102 - our own page
    assert shown.getvalue() == printed
