"""What a command does not need, it does not load: whoever types it waits for every library."""

import json
import subprocess
import sys

import pytest

FOR_PAGES = {"starlette", "uvicorn", "jinja2", "babel"}
WHEN_ASKED_FOR = {"alembic", "sqlalchemy", "aiohttp", "mollie", "stripe", "pyarrow", "asyncpg"}


def loaded_with(module: str) -> set[str]:
    """The modules that a new process has once it has loaded one."""
    words = f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("faregate.cli.app", {"faregate.engine", "rich"} | FOR_PAGES | WHEN_ASKED_FOR),
        ("faregate.engine", FOR_PAGES | WHEN_ASKED_FOR),
        ("faregate.cli.serving", WHEN_ASKED_FOR),
    ],
)
def test_it_loads_nothing_that_it_may_not_need(module: str, unwanted: set[str]) -> None:
    loaded = loaded_with(module)
    assert module in loaded
    assert not loaded & unwanted
