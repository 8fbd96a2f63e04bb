"""The pages on the ways in: what they tell to type is typed, and comes to what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.caller import USD, Caller, ago, calling
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.databases import new_sqlite
from tests.doubles.chat_models import chat_models

from faregate.core.mapping import CostRule, MappingRules
from faregate.core.mapping_defaults import LITELLM
from faregate.engine.ingesting import MAX_TOLD
from faregate.ingestion.litellm import MAX_BYTES as LITELLM_BYTES
from faregate.ingestion.recently import MAX_REFUSALS
from faregate.ingestion.way import MAX_BYTES

PAGES = Path(__file__).parents[2] / "docs/integrations"


def page(name: str) -> str:
    return (PAGES / name).read_text()


def blocks(name: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page(name), re.S | re.M)


def priced(event_type: str, usage: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    calculation = {"event_type": event_type, **usage}
    pricing = [{"asset": "USD", "values": [value]}]
    return {
        "type": "usage_based",
        "name": "Calls",
        "billing_model": {"type": "real_time"},
        "usage_calculation": calculation,
        "pricing": pricing,
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path / "page.db")) as server:
        yield server


def shop(me: Caller) -> str:
    """Ada pays for calls, and for what models answer."""
    calls = priced("api_call", {"usage_type": "unit"}, {"unit_price": 0.0125})
    words = {"usage_type": "volume", "volume_field": "output_tokens"}
    models = priced("model_call", words, {"volume_rate": 0.5})
    product = {"name": "All", "code": "all", "publish": True, "prices": [calls, models]}
    me.made("products", product)
    subscription = {"products": [{"code": "all"}], "starts_at": ago(days=1)}
    body = {"name": "Ada", "external_id": "ada", "subscriptions": [subscription]}
    ada = str(me.made("customers", body)["id"])
    me.give(ada, "100")
    return ada


def shell(server: RunningServer, script: str, **more: str) -> str:
    """Run what a page says in a shell; returns what it prints."""
    done = subprocess.run(
        ["bash", "-euc", script],
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": os.environ.get("HOME", "/tmp"),  # noqa: S108 - for programs that want one
            "KEY": TEST_KEY,
            "API": f"{server.url}/v1",
            "NOW": ago(),
            **more,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_on_cloudevents_charges_once(server: RunningServer) -> None:
    (command,) = blocks("cloudevents.md", "sh")
    at = ago()
    with calling(server) as me:
        ada = shop(me)
        for _ in range(2):
            assert shell(server, command, NOW=at) == "204\n"
        assert me.available(ada, USD) == Decimal("99.9875")
        assert me.get("events/%2Frender%20job-17").body["data"] == {"pages": 3}


def test_the_program_on_cloudevents_charges_once(server: RunningServer) -> None:
    (program,) = blocks("cloudevents.md", "python")
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own page
    at = datetime.now(UTC) - timedelta(minutes=1)
    with calling(server) as me:
        ada = shop(me)
        for _ in range(2):
            names["report"](f"{server.url}/v1", TEST_KEY, "job-17", "ada", 3, at)
        assert me.available(ada, USD) == Decimal("99.9875")


@pytest.mark.slow
def test_the_program_on_litellm_charges_what_the_model_answered(
    server: RunningServer, tmp_path: Path
) -> None:
    settings, (program,) = blocks("litellm.md", "sh")[0], blocks("litellm.md", "python")
    script = tmp_path / "program.py"
    script.write_text(program)
    with calling(server) as me, chat_models() as models:
        ada = shop(me)
        run = f"{settings}\npython {script}"
        said = shell(
            server,
            run,
            OPENAI_API_BASE=models.url,
            OPENAI_API_KEY="sk-none",
            LITELLM_LOCAL_MODEL_COST_MAP="True",
        )
        assert said.splitlines()[-1] == "Forty-two."
        (listed,) = me.get("events").body["items"]
        assert listed["event_type"] == "model_call"
        assert me.available(ada, USD) == 100 - 300 * Decimal("0.5")


@pytest.mark.slow
def test_the_settings_of_litellm_s_proxy_make_a_callback_that_sends_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import asyncio

    import litellm
    from litellm.litellm_core_utils.logging_callback_manager import LoggingCallbackManager

    (settings,) = (yaml.safe_load(text) for text in blocks("litellm.md", "yaml"))
    (name,) = settings["litellm_settings"]["callbacks"]
    monkeypatch.setattr(litellm, "callback_settings", settings["callback_settings"])

    async def made() -> Any:
        return LoggingCallbackManager.add_custom_callback_generic_api_str(name)

    logger = asyncio.run(made())
    assert logger.max_retries == 5
    assert set(logger.headers) == {"Content-Type", "Authorization"}


def test_the_table_on_litellm_names_what_the_rules_do() -> None:
    text = page("litellm.md")
    for key in LITELLM.data:
        assert f"`{key}`" in text, key
    for field in LITELLM.customer:
        assert f"`{field.rpartition('.')[2]}`" in text, field


def test_the_preview_answers_as_the_page_says(server: RunningServer) -> None:
    (command,), (shown,) = blocks("mapping.md", "sh"), blocks("mapping.md", "json")
    with calling(server) as me:
        shop(me)
        answer = json.loads(shell(server, command), parse_float=Decimal)
        expected = json.loads(shown, parse_float=Decimal)
        (one,), (wanted,) = answer["items"], expected["items"]
        (fee,), (wanted_fee,) = one.pop("fees"), wanted.pop("fees")
        assert {name: fee[name] for name in wanted_fee} == wanted_fee
        assert one.pop("customer_id").startswith(wanted.pop("customer_id").rstrip("…"))
        one["event"].pop("occurred_at"), wanted["event"].pop("occurred_at")
        assert one == wanted
        assert me.get("events").body["total_count"] == 0


def test_every_rule_is_in_the_table() -> None:
    text = page("mapping.md")
    for name in (*MappingRules.__struct_fields__, *CostRule.__struct_fields__):
        assert f"`{name}`" in text, name


def test_the_bounds_are_those_that_hold() -> None:
    text = " ".join(page("README.md").split())
    assert f"{MAX_TOLD:,} things in a request" in text
    assert f"{MAX_BYTES // 2**20} MiB unpacked ({LITELLM_BYTES // 2**20} MiB from LiteLLM)" in text
    assert f"the last {MAX_REFUSALS} things" in text
