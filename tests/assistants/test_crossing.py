"""No tool sees or changes anything of another account, whatever ids it is called with."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from tests.api.conftest import TEST_KEY
from tests.api.crossing import Key, Things, attempts
from tests.api.test_nothing_crosses import SELLER_KEY, Place, everything, place
from tests.assistants.assistant import Told, assisting, confirm_all
from tests.assistants.test_tools import UNREACHED

from faregate.mcp.tool import ACTION, Choice, Tool
from faregate.mcp.tools import TOOLS

__all__ = ["place"]
WAYS = ["acting for another account", "another account's own key"]
NOT_FOUND_OR_INVALID = ("urn:faregate:problem:not-found", "urn:faregate:problem:invalid")


def tool_of(key: Key) -> tuple[Tool, Choice]:
    """The tool that does what an operation does."""
    for tool in TOOLS:
        for choice in tool.choices:
            operation = choice.operation
            if (operation.method, operation.path.replace(":path", "")) == key:
                return tool, choice
    raise LookupError(key)


def arguments(things: Things, key: Key, query: str, body: Any) -> str:
    """The arguments, as JSON text, that ask a tool for what a request asks the API for."""
    tool, choice = tool_of(key)
    names = {**things.names, "connected_account_id": things.account_id}
    if "customer_id" in choice.places and "limit_id" in choice.places:
        names["limit_id"] = things.own_limit_id
    sent = {name: names[name] for name in choice.places}
    sent |= dict(parse_qsl(query.removeprefix("?")))
    if tool.actions:
        sent[ACTION] = choice.action
    sent |= json.loads(body) if isinstance(body, str) else body or {}
    return json.dumps(sent)


@pytest.mark.parametrize("whose", ["the seller's things", "the platform's things"])
@pytest.mark.parametrize("how", WAYS)
def test_another_account_gets_nothing_by_any_tool_and_changes_nothing(
    place: Place, whose: str, how: str
) -> None:
    account = place.new_account()
    things, before, called = place.things[whose], everything(place, whose), set()
    key, acting = TEST_KEY, account
    if "own key" in how:
        engine = place.server.engine
        made = engine.create_key("test", "admin", "Eve's own", account_id=account)
        key, acting = place.server.wait(made)[1], None
    with assisting(place.server, key, acting) as other:
        for operation, tries in attempts(things).items():
            if " ".join(operation) in UNREACHED:
                continue
            tool, _ = tool_of(operation)
            for one in tries:
                text = arguments(things, operation, one.query, one.body)
                told = other.tell(tool.name, text)
                if told.is_error and told.body["type"].endswith("confirmation-needed"):
                    confirm_all(place.server)
                    told = other.tell(tool.name, text)
                called.add(tool.name)
                assert_nothing_shown(things, one.ends, told, (tool.name, text))
    assert called == {tool.name for tool in TOOLS}
    assert everything(place, whose) == before


def assert_nothing_shown(things: Things, ends: str, told: Told, said: object) -> None:
    """It ended as it does for things that are not there, and what was told has none of them."""
    if ends == "refused":
        assert told.is_error, (said, told)
        assert told.body["type"] in NOT_FOUND_OR_INVALID, (said, told)
        return
    if ends == "forbidden":
        assert told.is_error, (said, told)
        assert told.body["type"] == "urn:faregate:problem:forbidden", (said, told)
        return
    assert not told.is_error, (said, told)
    assert not [mark for mark in things.marks if mark in told.text], (said, told)
    if ends == "empty":
        assert told.body["items"] == [], (said, told)


def test_a_connected_accounts_key_acts_for_no_other(place: Place) -> None:
    of_platform = place.things["the platform's things"].account_id
    with assisting(place.server, SELLER_KEY, of_platform) as other:
        answer = other.post('{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}')
        assert answer.status_code == 403
        assert "result" not in answer.json()
