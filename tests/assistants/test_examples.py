"""Every example that a tool shows does what it says, in the shop that it speaks of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.assistants.assistant import Assistant, assisting, confirm_all
from tests.assistants.render_shop import Ids, in_shop, open_shop
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
OF_PEOPLE = {"change_account", "set_portal"}
"""What a person confirms in test mode, too."""
CALLS = [(tool, action) for tool in TOOLS for action in tool.actions or ("",)]
LOOKS = [(t, a) for t, a in CALLS if t.choices[0].is_read_only and a not in OF_PLATFORMS]
CHANGES = [call for call in CALLS if call not in LOOKS]


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[RunningServer]:
    """A server whose time is that of the examples."""
    with running_server(module_database_url, Clock()) as running:
        yield running


@pytest.fixture(scope="module")
def shop(server: RunningServer) -> Iterator[tuple[Assistant, Ids]]:
    """A shop that nothing is changed in."""
    with assisting(server, TEST_KEY, new_account(server)) as me:
        ids = open_shop(server, me)
        assert ids.keys() == set(IDS) - {SELLER}
        payments = next(tool for tool in TOOLS if tool.name == "manage_payments")
        me.made("manage_payments", **in_shop(ids, example(payments, "set_auto_top_up")))
        yield me, ids


def new_account(server: RunningServer) -> str:
    return server.wait(server.engine.create_account(CreateAccount("A shop"))).id


def name_of(it: Tool | str) -> str:
    return it.name if isinstance(it, Tool) else it


@pytest.mark.parametrize(("tool", "action"), LOOKS, ids=name_of)
def test_an_example_that_looks_is_accepted(
    shop: tuple[Assistant, Ids], tool: Tool, action: str
) -> None:
    me, ids = shop
    me.made(tool.name, **in_shop(ids, example(tool, action)))


@pytest.mark.parametrize(("tool", "action"), CHANGES, ids=name_of)
def test_an_example_that_changes_something_is_accepted(
    server: RunningServer, tool: Tool, action: str
) -> None:
    account = new_account(server)
    with assisting(server, TEST_KEY, None if action in OF_PLATFORMS else account) as me:
        ids = {SELLER: account} if action in OF_PLATFORMS else open_shop(server, me)
        if action in FIRST:
            me.made(tool.name, **in_shop(ids, example(tool, FIRST[action])))
        if action in OF_PEOPLE:
            me.refused(tool.name, **in_shop(ids, example(tool, action)))
            confirm_all(server)
        me.made(tool.name, **in_shop(ids, example(tool, action)))
