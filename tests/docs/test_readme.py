"""The README's blocks, run as they are printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.api.conftest import running_server

README = (Path(__file__).parents[2] / "README.md").read_text()
KEY = "fg_test_change-me-change-me-change-me"


def _blocks(language: str, has: str = "") -> str:
    """All blocks of a language that have this in them: they follow each other in one terminal."""
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.S | re.M)
    found = [block for block in found if has in block]
    assert found, f"the README has no blocks of {language}"
    return "\n".join(found)


def test_the_python_quickstart_prints_what_it_says(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _blocks("python", "Engine")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout == "9.996915\n"


def test_the_rest_quickstart_leaves_what_it_says(tmp_path: Path) -> None:
    with running_server(f"sqlite:///{tmp_path}/readme.db") as server:
        server.wait(server.engine.create_key("test", "admin", "readme", KEY))
        block = _blocks("bash").replace("http://127.0.0.1:8080", server.url)
        run = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", block],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        program = _blocks("python", "faregate.client").replace("http://127.0.0.1:8080", server.url)
        client = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        )
    assert client.stdout == "0.0078 0.0022\n"
    assert run.returncode == 0, run.stdout + run.stderr
    said = ('"available":9.996915', '"status":"authorized"', '"released_amount":0.0022')
    for text in (*said, '"available":9.989115', '"top_up_needed":40.010885'):
        assert text in run.stdout, text
