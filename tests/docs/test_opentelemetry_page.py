"""The page about OpenTelemetry: its program runs as it is printed, its tables are the code's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from tests.api.caller import calling
from tests.api.conftest import INGEST_KEY, running_server
from tests.api.test_otlp import CHAT_USAGE, PRODUCT, Customer
from tests.databases import new_sqlite
from tests.doubles.models import Models

from faregate.core.events import GRACE_PERIOD
from faregate.core.mapping_defaults import GENAI_OPERATIONS, OTLP
from faregate.ingestion.model_use import COUNTED, NAMED
from faregate.ingestion.otlp import MAX_BYTES
from faregate.ingestion.span_bytes import MAX_SPANS
from faregate.ingestion.spans import MAX_TEXT

PAGE = (Path(__file__).parents[2] / "docs/integrations/opentelemetry.md").read_text()


def test_the_program_charges_what_the_page_says(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    price = PRODUCT["prices"][0]["usage_calculation"]["volume_aggregation"]  # type: ignore[index]
    assert price in PAGE
    with (
        Models.running() as models,
        running_server(new_sqlite(tmp_path / "page.db")) as server,
        calling(server) as me,
    ):
        me.made("products", PRODUCT)
        acme = Customer(me, "acme")
        models.usage = CHAT_USAGE
        variables = dict(re.findall(r"^export (\w+)=(.*)$", PAGE, re.M))
        assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"].startswith("http://127.0.0.1:")
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "OPENAI_BASE_URL": models.url,
                "OPENAI_API_KEY": "k",
                "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
                "OTEL_EXPORTER_OTLP_HEADERS": variables["OTEL_EXPORTER_OTLP_HEADERS"].replace(
                    "fg_test_…", INGEST_KEY
                ),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert acme.paid == Decimal("1.52")
        assert re.search(rf"costs\s+{acme.paid:f} USD", PAGE)
        assert "1,200 tokens in and 80 out" in PAGE


def test_the_table_has_every_name_that_is_read_in_its_order() -> None:
    rows = dict(re.findall(r"^\| `model_use\.(\w+)` \| (.*) \|$", PAGE, re.M))
    shown = {key: tuple(re.findall(r"`(.*?)`", names)) for key, names in rows.items()}
    assert shown == {**NAMED, **COUNTED}


def test_the_page_names_who_pays_and_what_is_charged_as_the_rules_do() -> None:
    (paying,) = re.findall(r"## Who pays\n(.*?)\n\nInstrumentations", PAGE, re.S)
    of_resource = {f"resource.{name}" for name in re.findall(r"resource `(\S+)`", paying)}
    assert set(re.findall(r"`([\w.]+)`", paying)) | of_resource == set(OTLP.customer)
    (charged,) = re.findall(r"whose operation is (.*?)\. Everything", PAGE, re.S)
    assert tuple(re.findall(r"`(\w+)`", charged)) == GENAI_OPERATIONS


def test_its_bounds_are_those_of_the_code() -> None:
    assert f"at most {MAX_BYTES // 1024**2} MiB" in PAGE
    assert f"{MAX_SPANS:,} spans" in PAGE
    assert f"more than {MAX_TEXT:,} characters" in PAGE
    assert f"older than {GRACE_PERIOD.days} days" in PAGE
