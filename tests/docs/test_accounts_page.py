"""The page on connected accounts: its example prints what it says."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from tests.api.conftest import TEST_KEY, running_server

PAGE = (Path(__file__).parents[2] / "docs/accounts.md").read_text()


def test_the_example_prints_what_it_says(tmp_path: Path) -> None:
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", PAGE, re.DOTALL)[:2]
    shown = StringIO()
    with running_server(f"sqlite:///{tmp_path}/page.db") as server, redirect_stdout(shown):
        exec(code, {"key": TEST_KEY, "server": server.url})  # noqa: S102 - our own page
    assert shown.getvalue() == printed
