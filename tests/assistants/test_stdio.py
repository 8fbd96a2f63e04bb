"""`faregate mcp` as assistants start it: a process of its own that speaks on its standard input and
output, in front of a server that runs or of a database."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from tests.api.conftest import READ_KEY, TEST_KEY, RunningServer, running_server
from tests.assistants.assistant import assisting
from tests.assistants.test_exact import DIGITS
from tests.cli.running import COMMAND, environment, run
from tests.databases import new_sqlite

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
STARTED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path_factory.mktemp("stdio") / "served.db")) as running:
        yield running


def lines(*messages: Any) -> str:
    return "".join(f"{json.dumps(message)}\n" for message in messages)


def answers(out: str) -> dict[Any, Any]:
    """What was answered, by the id that it answers; that there is nothing else, too."""
    found = [json.loads(line) for line in out.splitlines()]
    assert all(one["jsonrpc"] == "2.0" for one in found)
    return {one["id"]: one for one in found}


async def story(parameters: StdioServerParameters, mode: Any) -> str:
    """Call tools by the SDK's client; returns what the wallet shows."""
    async with Client(stdio_client(parameters), mode=mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"create_customer", "adjust_wallet", "get_wallet"} <= names
        made = await client.call_tool("create_customer", {"name": "Ada \u2028 Ünal"})
        customer = json.loads(made.content[0].text)["id"]  # type: ignore[union-attr]
        gift = {"transaction_id": "t", "asset": "USD", "amount": 0.1, "reason": "gift"}
        given = await client.call_tool("adjust_wallet", {"customer_id": customer, **gift})
        assert not given.is_error, given.content
        wallet = await client.call_tool("get_wallet", {"customer_id": customer})
        return str(wallet.content[0].text)  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_sdks_client_calls_tools_of_a_running_server(server: RunningServer, mode: str) -> None:
    settings = environment(FAREGATE_URL=server.url, FAREGATE_API_KEY=TEST_KEY)
    parameters = StdioServerParameters(
        command=COMMAND[0], args=[*COMMAND[1:], "mcp"], env=settings
    )  # fmt: skip
    assert '"available":0.1,' in asyncio.run(story(parameters, mode))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_sdks_client_calls_tools_of_a_database(tmp_path: Path, mode: str) -> None:
    url = new_sqlite(tmp_path / "own.db")
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "faregate.cli", "mcp", "--database", url],
        env=environment(),
    )
    assert '"available":0.1,' in asyncio.run(story(parameters, mode))
    # The key of that process was never in the database.
    assert "assistant on this machine" not in run("keys", "list", "--database", url).stdout


def test_numbers_pass_digit_by_digit(server: RunningServer) -> None:
    with assisting(server) as me:
        customer = me.made("create_customer", name="Ada")["id"]
    arguments = (
        f'{{"customer_id": "{customer}", "transaction_id": "t", "asset": "USD", '
        f'"amount": {DIGITS}, "reason": "gift"}}'
    )
    call = (
        '{"jsonrpc": "2.0", "id": "a", "method": "tools/call", '
        f'"params": {{"name": "adjust_wallet", "arguments": {arguments}}}}}\n'
    )
    settings = {"FAREGATE_URL": server.url, "FAREGATE_API_KEY": TEST_KEY}
    ended = run("mcp", given=call, **settings)
    assert answers(ended.stdout).keys() == {"a"}
    with assisting(server) as me:
        assert f'"available":{DIGITS},' in me.call("get_wallet", customer_id=customer).text


def test_it_answers_what_it_was_asked_and_ends_when_its_input_does(server: RunningServer) -> None:
    settings = {"FAREGATE_URL": server.url, "FAREGATE_API_KEY": READ_KEY}
    ended = run("mcp", given=lines(INITIALIZE, STARTED, LIST), **settings)
    assert ended.returncode == 0, ended.stderr
    found = answers(ended.stdout)
    assert found.keys() == {1, 2}
    assert found[1]["result"]["serverInfo"]["name"] == "faregate"
    names = {tool["name"] for tool in found[2]["result"]["tools"]}
    assert "get_wallet" in names
    assert "adjust_wallet" not in names


def test_a_server_that_is_not_there_is_an_error_in_words(tmp_path: Path) -> None:
    settings = {"FAREGATE_URL": "http://127.0.0.1:9", "FAREGATE_API_KEY": TEST_KEY}
    ended = run("mcp", given=lines(INITIALIZE, STARTED), **settings)
    found = answers(ended.stdout)
    assert found.keys() == {1}
    assert "nothing answers at http://127.0.0.1:9" in found[1]["error"]["message"]
    assert "faregate serve" in found[1]["error"]["message"]


def test_a_key_that_opens_nothing_is_an_error_in_words(server: RunningServer) -> None:
    wrong = "fg_test_" + "x" * 32
    settings = {"FAREGATE_URL": server.url, "FAREGATE_API_KEY": wrong}
    ended = run("mcp", given=lines(INITIALIZE), **settings)
    message = answers(ended.stdout)[1]["error"]["message"]
    assert "FAREGATE_API_KEY" in message
    assert "faregate keys create" in message
    assert wrong not in ended.stdout + ended.stderr


def test_a_line_that_is_no_message_is_answered_and_the_next_one_too(server: RunningServer) -> None:
    settings = {"FAREGATE_URL": server.url, "FAREGATE_API_KEY": TEST_KEY}
    ended = run("mcp", given='{"jsonrpc\n\n' + lines(LIST), **settings)
    found = answers(ended.stdout)
    assert found[None]["error"]["code"] == -32700
    assert found[2]["result"]["tools"]


def test_a_line_that_no_header_can_hold_or_that_is_no_unicode_ends_nothing(
    server: RunningServer,
) -> None:
    settings = {"FAREGATE_URL": server.url, "FAREGATE_API_KEY": TEST_KEY}
    version = {"io.modelcontextprotocol/protocolVersion": "\u00e9\n"}
    odd = {"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {"_meta": version}}
    broken = (
        b'{"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "\xff", "_meta": '
        b'{"io.modelcontextprotocol/protocolVersion": "2026-06-30"}}}\n'
    )
    ended = subprocess.run(
        [*COMMAND, "mcp"],
        input=broken + (lines(odd) + lines(LIST)).encode(),
        capture_output=True,
        env=environment(**settings),
        timeout=60,
        check=False,
    )
    assert (ended.returncode, b"Traceback" in ended.stderr) == (0, False), ended.stderr
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert any(one.get("id") == 2 and one["result"]["tools"] for one in found)
    assert len([one for one in found if "error" in one]) == 2


def test_without_a_key_it_says_where_to_put_one(server: RunningServer) -> None:
    ended = run("mcp", "--url", server.url, given="")
    assert ended.returncode == 2
    assert "FAREGATE_API_KEY" in ended.stderr
    assert ended.stdout == ""


def test_a_database_that_a_server_has_already_is_not_taken_from_it(tmp_path: Path) -> None:
    url = new_sqlite(tmp_path / "held.db")
    with running_server(url):
        ended = run("mcp", "--database", url, given=lines(INITIALIZE))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "is serving this database" in ended.stderr
    assert "--url (FAREGATE_URL)" in ended.stderr
