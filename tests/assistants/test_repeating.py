"""What a confirmation lets happen is harmless to repeat, which is what makes it safe to do it again
after a process has died in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.assistants.assistant import Assistant, assisting, confirm_all
from tests.assistants.render_shop import in_shop, open_shop
from tests.assistants.test_examples import FIRST, OF_PEOPLE, name_of, new_account
from tests.ledger.shop import Clock

from faregate.mcp.examples import CUSTOMER, example
from faregate.mcp.tool import Choice, Tool
from faregate.mcp.tools import TOOLS
from faregate.operations.confirming import CONFIRMED
from faregate.operations.confirming import name_of as operation_of


def has_id(choice: Choice) -> bool:
    """Tell whether equal calls are known to be one by an id in them, or by the confirmation's."""
    names = choice.names
    return choice.takes_key or "transaction_id" in names or operation_of(choice.operation) in IDS


IDS = {
    "POST /events": "each event has an id",
    "POST /customers/{customer_id}/wallet/holds/batch": "each hold has a transaction_id",
}
"""What has its ids further inside."""
ONCE = [
    (tool, action)
    for tool in TOOLS
    for action in tool.actions or ("",)
    if any(
        operation_of(choice.operation) in CONFIRMED and not has_id(choice)
        for choice in tool.choices
        if choice.action == action
    )
]


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[RunningServer]:
    with running_server(module_database_url, Clock()) as running:
        yield running


def money(me: Assistant, customer: str) -> dict[str, Decimal]:
    accounts = me.made("get_wallet", customer_id=customer)["accounts"]
    return {one["asset"]: one["available"] for one in accounts}


@pytest.mark.parametrize(("tool", "action"), ONCE, ids=name_of)
def test_a_call_without_an_id_moves_no_more_when_it_is_made_twice(
    server: RunningServer, tool: Tool, action: str
) -> None:
    with assisting(server, TEST_KEY, new_account(server)) as me:
        ids = open_shop(server, me)
        if action in FIRST:
            me.made(tool.name, **in_shop(ids, example(tool, FIRST[action])))
        arguments = in_shop(ids, example(tool, action))
        if "dry_run" in arguments or "to_version" in arguments:
            arguments |= {"dry_run": False, "effective": "now"}
        if action in OF_PEOPLE:
            me.refused(tool.name, **arguments)
            confirm_all(server)
        me.made(tool.name, **arguments)
        after_one = money(me, ids[CUSTOMER])
        me.call(tool.name, **arguments)
        assert money(me, ids[CUSTOMER]) == after_one
