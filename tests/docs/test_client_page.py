"""The client's page and its example, run as they are printed."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests.api.caller import Caller, calling
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.client.shop import balance, charged
from tests.databases import new_sqlite

from faregate.cli.server import address_of, listen

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/client.md").read_text()
TOKENS = (
    '{"name": "Tokens", "code": "tokens", "publish": true, "prices": [{"type": "usage_based", '
    '"name": "Tokens", "billing_model": {"type": "real_time"}, "usage_calculation": '
    '{"event_type": "llm_call", "usage_type": "volume", "volume_field": "tokens"}, "pricing": '
    '[{"asset": "USD", "values": [{"volume_rate": 2.5, "package_size": 1000000}]}]}]}'
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path / "page.db")) as server:
        monkeypatch.setenv("FAREGATE_URL", server.url)
        monkeypatch.setenv("FAREGATE_API_KEY", TEST_KEY)
        yield server


@pytest.fixture
def me(server: RunningServer) -> Iterator[Caller]:
    with calling(server) as caller:
        caller.made("products", TOKENS)
        yield caller


def test_the_page_prints_what_it_says(me: Caller) -> None:
    program = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M))
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    printed = run.stdout.splitlines()
    said = re.findall(r"It prints `(.*?)`", PAGE)
    assert [line for line in printed if line in said] == said
    assert len(printed) == len(said) + 1


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application on a free port until the block ends."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield address_of(listener)
    finally:
        server.should_exit = True
        thread.join(10)


def example() -> Any:
    spec = importlib.util.spec_from_file_location("chat", ROOT / "examples/chat.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_chat_streams_what_the_customer_can_pay_and_charges_it(me: Caller) -> None:
    chat = example()
    rich, poor = me.customer(), me.customer()
    me.give(rich, "1")
    with serving(chat.app) as url:
        answer = httpx.get(url, params={"customer": rich, "prompt": "hello there"})
        assert (answer.status_code, answer.text) == (200, "You said: hello there ")
        assert charged(me, rich) == [Decimal("0.00001")]
        assert balance(me, rich) == (Decimal("0.99999"), 0)
        declined = httpx.get(url, params={"customer": poor, "prompt": "hello there"})
        assert (declined.status_code, charged(me, poor)) == (402, [])
        assert "insufficient_funds" in declined.text


def test_a_reader_who_hangs_up_pays_for_what_was_read(me: Caller) -> None:
    async def endless(prompt: str, max_tokens: int) -> AsyncIterator[str]:
        while True:
            await asyncio.sleep(0)
            yield prompt

    chat = example()
    chat.model = endless
    rich = me.customer()
    me.give(rich, "1")
    with serving(chat.app) as url:
        query = {"customer": rich, "prompt": "word"}
        with httpx.stream("GET", url, params=query) as answer:
            next(answer.iter_text())
        while not (fees := charged(me, rich)):
            pass
    assert fees[0] > 0
    assert balance(me, rich)[1] == 0
