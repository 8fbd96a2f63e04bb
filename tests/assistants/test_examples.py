"""Every example that a tool shows does what it says, in the shop that it speaks of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.assistants.assistant import Assistant, assisting
from tests.assistants.render_shop import in_shop, open_shop
from tests.ledger.shop import Clock

from faregate.mcp.examples import IDS, SELLER, example
from faregate.mcp.tool import Tool
from faregate.mcp.tools import TOOLS
from faregate.platform.accounts import CreateAccount

FIRST = {
    "resume": "pause",
    "reactivate": "cancel",
    "remove_discount": "add_discount",
    "unblock_customer": "block_customer",
    "remove_portal_logo": "set_portal_logo",
}
"""What has to be so before, by another example of the same tool."""
OF_PLATFORMS = {"create_connected_account", "connected_accounts"}
CALLS = [(tool, action) for tool in TOOLS for action in tool.actions or ("",)]


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[RunningServer]:
    """A server whose time is that of the examples."""
    with running_server(module_database_url, Clock()) as running:
        yield running


def prepare(me: Assistant, tool: Tool, action: str, ids: dict[str, str]) -> None:
    """Do what the example finds done."""
    if action in FIRST:
        me.made(tool.name, **in_shop(ids, example(tool, FIRST[action])))
    if action == "auto_top_up":
        payments = next(tool for tool in TOOLS if tool.name == "manage_payments")
        me.made("manage_payments", **in_shop(ids, example(payments, "set_auto_top_up")))


@pytest.mark.parametrize(("tool", "action"), CALLS, ids=lambda it: getattr(it, "name", it))
def test_an_example_is_accepted(server: RunningServer, tool: Tool, action: str) -> None:
    account = server.wait(server.engine.create_account(CreateAccount("A shop"))).id
    if action in OF_PLATFORMS:
        with assisting(server, TEST_KEY) as platform:
            platform.made(tool.name, **in_shop({SELLER: account}, example(tool, action)))
        return
    with assisting(server, TEST_KEY, account) as me:
        ids = open_shop(server, me)
        assert ids.keys() == set(IDS) - {SELLER}
        prepare(me, tool, action, ids)
        me.made(tool.name, **in_shop(ids, example(tool, action)))
