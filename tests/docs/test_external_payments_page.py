"""The page on payments that the seller collects: its recipes, run over HTTP, print what it says."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from tests.api.conftest import TEST_KEY, running_server

from faregate.payments.external import ExternalSecrets

PAGE = (Path(__file__).parents[2] / "docs/external-payments.md").read_text()


def test_the_recipes_print_what_they_say(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    recipes = [code for kind, code in blocks if kind == "python"]
    printed = [code for kind, code in blocks if not kind]
    external = ExternalSecrets(["a secret of 32 letters at the least"])
    shown = StringIO()
    url = f"sqlite:///{tmp_path}/page.db"
    with running_server(url, external=external) as server, redirect_stdout(shown):
        names: dict[str, Any] = {
            "key": TEST_KEY,
            "server": server.url,
            "account": server.engine.context.account_id,
            "secret": server.engine.external_secret(),
        }
        for code in recipes:
            exec(code, names)  # noqa: S102 - our own page
        forged = {**names, "secret": "whsec_Z3Vlc3M="}
        exec(recipes[1].partition("\nrefund =")[0], forged)  # noqa: S102 - our own page
        answer = forged["tell"]("msg_9", "payment.paid", **names["payment"])
    assert answer.status_code == 403
    # What the server logs meanwhile begins with its instant.
    lines = shown.getvalue().splitlines(keepends=True)
    assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\d ", line)] == [
        line for block in printed for line in block.splitlines(keepends=True)
    ]
