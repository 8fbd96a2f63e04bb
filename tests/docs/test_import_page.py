"""The page about imports: its example is run, and its numbers are those of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.api.caller import Caller, calling
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.databases import new_sqlite

from faregate.cli.import_work import EXIT_ENDED, EXIT_REFUSED, EXIT_STOPPED
from faregate.cli.settings import EXIT_CONFIGURATION
from faregate.core.events import GRACE_PERIOD
from faregate.core.mapping_defaults import IMPORT
from faregate.ingestion.imported import MAX_LINES
from faregate.ingestion.lines import ID_FIELDS, OCCURRED_AT_FIELDS
from faregate.ingestion.records import MAX_LINE_BYTES

PAGE = (Path(__file__).parents[2] / "docs/integrations/import.md").read_text()
TOKENS = {"event_type": "completion", "usage_type": "volume", "volume_field": "tokens"}
PRICE = {
    "type": "usage_based",
    "name": "Tokens",
    "billing_model": {"type": "real_time"},
    "usage_calculation": TOKENS,
    "pricing": [{"asset": "USD", "values": [{"volume_rate": 2, "package_size": 1000000}]}],
}
PRODUCT = {"name": "Tokens", "code": "tokens", "publish": True, "prices": [PRICE]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path / "page.db")) as server:
        yield server


def blocks(kind: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.S | re.M)
    return [text for name, text in found if name == kind]


def make_ada(me: Caller) -> str:
    me.made("products", PRODUCT)
    month_ago = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    subscription = {"products": [{"code": "tokens"}], "starts_at": month_ago}
    body = {"name": "Ada", "external_id": "ada", "subscriptions": [subscription]}
    return str(me.made("customers", body)["id"])


def test_the_example_comes_to_what_the_page_says(server: RunningServer, tmp_path: Path) -> None:
    (csv,), scripts, printed = blocks("csv"), blocks("sh"), blocks("")
    today = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    (tmp_path / "uses.csv").write_text(csv.replace("TODAY", today))
    where = f"FAREGATE_URL={server.url} FAREGATE_API_KEY={TEST_KEY}"
    setting = "FAREGATE_URL=http://127.0.0.1:8080 FAREGATE_API_KEY=fg_test_…"
    assert setting in scripts[0]
    with calling(server) as me:
        ada = make_ada(me)
        account = me.post("ingestion/import", {"lines": []}).body["account_id"]
        looked = shell(scripts[0].replace(setting, where), tmp_path)
        assert looked.replace(today, "TODAY").replace(account, "ACCOUNT") == printed[0]
        done = shell(f"export {where}\n{scripts[1]}", tmp_path)
        assert done.startswith(printed[1])
        assert me.get(f"events?customer_id={ada}").body["total_count"] == 2
    assert len(list(tmp_path.glob("uses.csv.refused-*.jsonl"))) == 1


def shell(script: str, folder: Path) -> str:
    """Run what the page says to type; returns what it prints."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-uc", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == EXIT_REFUSED, done.stderr
    return done.stdout


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"more than {GRACE_PERIOD.days} days ago" in PAGE
    assert f"{MAX_LINES:,} at a time" in PAGE
    assert f"at most {MAX_LINE_BYTES // 1024**2} MiB" in PAGE
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.M)]
    assert codes == [0, EXIT_REFUSED, EXIT_CONFIGURATION, EXIT_STOPPED, EXIT_ENDED]


def test_its_columns_are_those_that_are_read_without_options() -> None:
    table = re.search(r"^\| Column \|.*?\n\n", PAGE, re.S | re.M)
    assert table
    named = re.findall(r"`([\w.…]+)`", "".join(re.findall(r"^\| (`.*?) \|", table[0], re.M)))
    below = f"{IMPORT.data_below}…"
    rules = [*IMPORT.customer, *IMPORT.event_type, *IMPORT.subject, *IMPORT.description]
    assert named == [*ID_FIELDS, *OCCURRED_AT_FIELDS, *rules, below]


def test_every_option_that_it_names_is_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faregate.cli", "import", "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    for option in set(re.findall(r"--[a-z][a-z-]+", PAGE)):
        assert option in done.stdout
