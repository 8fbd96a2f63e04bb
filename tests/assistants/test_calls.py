"""What is true of calls whichever tool they are of: hints, repeats, and when the server wakes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from tests.api.conftest import RunningServer, running_server
from tests.assistants.assistant import Assistant, assisting
from tests.databases import new_sqlite

from faregate.mcp.waking import WakingApp


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path_factory.mktemp("calls") / "c.db")) as running:
        yield running


@pytest.fixture
def me(server: RunningServer) -> Iterator[Assistant]:
    with assisting(server) as assistant:
        yield assistant


def test_hints_tell_what_looks_what_takes_away_what_repeats_and_what_reaches_out(
    me: Assistant,
) -> None:
    tools = me.ask("tools/list")["tools"]
    hints = {tool["name"]: tool["annotations"] for tool in tools}
    looks = {name for name, hint in hints.items() if hint["readOnlyHint"]}
    assert {"get_wallet", "look_up", "simulate_usage", "quote_asset", "explain_event"} <= looks
    assert not {"authorize", "send_events", "create_top_up", "manage_webhooks"} & looks
    takes = {name for name, hint in hints.items() if hint["destructiveHint"]}
    assert takes == {
        "delete_product", "change_subscription", "refund_top_up", "manage_payments",
        "manage_limits", "manage_coupons", "manage_webhooks", "manage_settings",
        "manage_model_prices", "manage_ingestion",
    }  # fmt: skip
    repeats = {name for name, hint in hints.items() if hint["idempotentHint"]}
    assert {"send_events", "adjust_wallet", "authorize", "capture", "void"} <= repeats
    assert not {"create_product", "create_customer", "create_top_up"} & repeats
    reaches = {name for name, hint in hints.items() if hint["openWorldHint"]}
    assert reaches == {"create_top_up", "refund_top_up", "manage_payments", "manage_webhooks"}
    assert all(tool["title"] for tool in tools)


def test_a_repeat_with_its_key_gets_the_first_answer_and_makes_nothing_new(me: Assistant) -> None:
    call = {"name": "Twice", "idempotency_key": "k-1"}
    first = me.made("create_customer", **call)
    assert me.made("create_customer", **call) == first
    assert me.made("list_customers", name="Twice")["total_count"] == 1
    said = me.refused("create_customer", **{**call, "name": "Thrice"})
    assert said["type"] == "urn:faregate:problem:conflict"
    assert "idempotency_key 'k-1'" in said["detail"]
    assert me.refused("create_customer", name="A", idempotency_key="x" * 201)["errors"]
    assert me.refused("create_customer", name="A", idempotency_key="")["errors"]


def test_a_repeat_of_an_event_or_a_transaction_is_booked_once(me: Assistant) -> None:
    customer = {"customer_id": me.made("create_customer", name="Ada")["id"]}
    gift = {"transaction_id": "g", "asset": "USD", "amount": 5, "reason": "gift"}
    first = me.made("adjust_wallet", **customer, **gift)
    assert me.made("adjust_wallet", **customer, **gift) == first
    assert me.made("get_wallet", **customer)["accounts"][0]["available"] == 5


def test_a_name_that_assistants_know_besides_calls_the_same_tool(me: Assistant) -> None:
    customer = {"customer_id": me.made("create_customer", name="Ada")["id"]}
    gift = {"transaction_id": "g", "asset": "USD", "amount": 5, "reason": "gift"}
    assert me.made("create_adjustment", **customer, **gift)["id"].startswith("adj_")


def test_a_version_is_a_number_or_a_text(me: Assistant) -> None:
    price = {
        "type": "fixed",
        "name": "Once",
        "billing_model": {"type": "one_time", "one_time": {}},
        "pricing": [{"asset": "USD", "values": [{"unit_price": 1}]}],
    }
    me.made("create_product", name="P", code="p", prices=[price], publish=True)
    found = [me.made("get_product", product_id="p", version=v) for v in (1, "1", "default")]
    assert found[0] == found[1] == found[2]


def test_a_server_that_no_assistant_speaks_to_does_not_import_the_sdk() -> None:
    code = "import sys, faregate.cli.server; print([m for m in sys.modules if m.startswith('mcp')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_an_application_is_made_once_at_its_first_request_and_ended_with_its_block() -> None:
    happened: list[str] = []

    class Lifespan:
        def __init__(self, _app: Starlette) -> None:
            happened.append("made")

        async def __aenter__(self) -> None:
            happened.append("begun")

        async def __aexit__(self, *_: object) -> None:
            happened.append("ended")

    async def run() -> None:
        app = WakingApp(lambda: Starlette(lifespan=Lifespan))
        async with app.running():
            assert happened == []
            await asyncio.gather(*(_ask(app) for _ in range(5)))
        assert happened == ["made", "begun", "ended"]
        async with WakingApp(lambda: Starlette(lifespan=Lifespan)).running():
            pass
        assert len(happened) == 3

    asyncio.run(run())


def test_an_application_that_cannot_be_made_tells_each_who_asks() -> None:
    def broken() -> Starlette:
        raise OSError("no room")

    async def run() -> None:
        app = WakingApp(broken)
        async with app.running():
            for _ in range(2):
                with pytest.raises(OSError, match="no room"):
                    await _ask(app)

    asyncio.run(run())


async def _ask(app: WakingApp) -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: object) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b""}
    await app(scope, receive, send)
