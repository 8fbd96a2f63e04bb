"""The README's blocks, run as they are printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.api.conftest import running_server

README = (Path(__file__).parents[2] / "README.md").read_text()
KEY = "fg_test_change-me-change-me-change-me"


def _block(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.S | re.M)
    assert len(found) == 1, f"the README has {len(found)} blocks of {language}"
    return str(found[0])


def test_the_python_quickstart_prints_what_it_says(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _block("python")],
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
        block = _block("bash").replace("http://127.0.0.1:8080", server.url)
        run = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", block],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert '"available":9.996915' in run.stdout
