"""What every tool says to a call that is wrong, and that following it leads on: the tool that it
names shows the id that was missing, and the call that it asks for is accepted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.assistants.assistant import Assistant, assisting
from tests.assistants.render_shop import Ids, in_shop, open_shop
from tests.databases import new_sqlite
from tests.ledger.shop import Clock

from faregate.mcp import examples
from faregate.mcp.examples import example, use
from faregate.mcp.tool import Choice, Tool
from faregate.mcp.tools import TOOLS
from faregate.platform.accounts import CreateAccount

BY_NAME = {tool.name: tool for tool in TOOLS}
TOLD = re.compile(r"\b((?:list|get|look)_\w+)(?: with action (\w+))?")
CHOICES = [(tool, choice) for tool in TOOLS for choice in tool.choices]
PLACES = [(tool, choice, place) for tool, choice in CHOICES for place in choice.places]
UNLISTED = {"transaction_id", "topic", "source"}
"""What only the caller knows, or the documentation."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    url = new_sqlite(tmp_path_factory.mktemp("advice") / "a.db")
    with running_server(url, Clock()) as running:
        yield running


@pytest.fixture(scope="module")
def shop(server: RunningServer) -> Iterator[tuple[Assistant, Ids]]:
    """A platform's shop, in which nothing but a wrong call is made."""
    partner = server.wait(server.engine.create_account(CreateAccount("Partner"))).id
    with assisting(server, TEST_KEY) as me:
        yield me, {**open_shop(server, me), examples.SELLER: partner}


def right(ids: Ids, choice: Choice) -> dict[str, Any]:
    """What the places of an operation are in the shop."""
    own = "customer_id" in choice.places
    known = {
        "customer_id": ids[examples.CUSTOMER],
        "product_id": examples.PRODUCT,
        "version": 1,
        "asset_code": examples.CREDITS,
        "account_id": examples.ACCOUNT,
        "subscription_id": ids[examples.PLAN],
        "hold_id": ids[examples.HOLD],
        "top_up_id": ids[examples.TOP_UP],
        "payment_method_id": ids[examples.CARD],
        "limit_id": ids[examples.OWN_LIMIT if own else examples.LIMIT],
        "clock_id": ids[examples.CLOCK],
        "vendor_id": ids[examples.VENDOR],
        "webhook_id": ids[examples.HOOK],
        "coupon_code": "HALF",
        "event_id": "render-1",
        "connected_account_id": ids[examples.SELLER],
        "transaction_id": "gift-1",
        "topic": "wallet.balance_low",
        "model_price_id": ids[examples.MODEL_PRICE],
        "source": "cloudevents",
    }
    return {place: known[place] for place in choice.places}


def arguments(ids: Ids, tool: Tool, choice: Choice) -> dict[str, Any]:
    """The example of a tool, of this operation of it."""
    found = in_shop(ids, example(tool, choice.action))
    known = (*choice.names, "action")
    return {**{n: v for n, v in found.items() if n in known}, **right(ids, choice)}


def name_of(it: object) -> str:
    if isinstance(it, Choice):
        return f"{it.operation.method}-{it.operation.path}"
    return it.name if isinstance(it, Tool) else str(it)


@pytest.mark.parametrize(("tool", "choice", "place"), PLACES, ids=name_of)
def test_for_an_id_that_is_not_there_it_names_a_tool_that_shows_the_right_one(
    shop: tuple[Assistant, Ids], tool: Tool, choice: Choice, place: str
) -> None:
    me, ids = shop
    if place == "coupon_code" and choice.action == "remove_discount":
        me.call("change_subscription", **in_shop(ids, example(tool, "add_discount")))
    wrong = {**arguments(ids, tool, choice), place: 99 if place == "version" else "nobody"}
    said = me.refused(tool.name, **wrong)
    assert said["type"].endswith(("not-found", "invalid")), said
    wanted = str(right(ids, choice)[place])
    advice = said.get("advice", "") + said["detail"]
    if place in UNLISTED:
        assert place in advice
        return
    shown = [_follow(me, ids, name, action) for name, action in TOLD.findall(advice)]
    assert any(wanted in text for text in shown), (said, shown)


def _follow(me: Assistant, ids: Ids, name: str, action: str) -> str:
    """Call the tool that an advice names, with what it needs."""
    tool = BY_NAME[name]
    choice = min(tool.of_action(action), key=lambda choice: len(choice.places))
    return me.call(name, **({"action": action} if action else {}), **right(ids, choice)).text


@pytest.mark.parametrize(("tool", "choice"), CHOICES, ids=name_of)
def test_for_an_argument_that_is_missing_it_names_it(
    shop: tuple[Assistant, Ids], tool: Tool, choice: Choice
) -> None:
    me, ids = shop
    whole = arguments(ids, tool, choice)
    body = choice.operation.body
    fields = () if body is None else body.__struct_config__ and _required(body)
    least = min(tool.of_action(choice.action), key=lambda one: len(one.places))
    for name in (*least.places, *fields):
        if name == "action":
            continue
        said = me.refused(
            tool.name, **{given: value for given, value in whole.items() if given != name}
        )
        assert name in said["errors"], said
        assert "is missing" in said["errors"][name][0]
    if tool.actions:
        whole.pop("action")
        said = me.refused(tool.name, **whole)
        assert all(action in said["errors"]["action"][0] for action in tool.actions)


def _required(body: Any) -> tuple[str, ...]:
    import msgspec

    return tuple(f.encode_name for f in msgspec.structs.fields(body) if f.required)


@pytest.mark.parametrize(("tool", "choice"), CHOICES, ids=name_of)
def test_for_an_argument_that_there_is_not_it_says_which_there_are(
    shop: tuple[Assistant, Ids], tool: Tool, choice: Choice
) -> None:
    me, ids = shop
    whole = arguments(ids, tool, choice)
    said = me.refused(tool.name, **whole, wrong_one=1)
    assert all(name in said["errors"]["wrong_one"][0] for name in choice.names)


CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "adjust_wallet",
        {"transaction_id": "gift-1", "asset": "CREDITS", "amount": 7, "reason": "gift"},
        "use a new one",
        {"transaction_id": "gift-2", "asset": "CREDITS", "amount": 7, "reason": "gift"},
    ),
    (
        "adjust_wallet",
        {"transaction_id": "a", "asset": "CREDITS", "amount": "7", "reason": "gift"},
        "a number",
        {"transaction_id": "a", "asset": "CREDITS", "amount": 7, "reason": "gift"},
    ),
    (
        "adjust_wallet",
        {"transaction_id": "b", "asset": "CREDITS", "amount": 0.001, "reason": "gift"},
        "decimals",
        {"transaction_id": "b", "asset": "CREDITS", "amount": 0.01, "reason": "gift"},
    ),
    (
        "adjust_wallet",
        {"transaction_id": "c", "asset": "CREDITS", "amount": 7, "reason": "present"},
        "gift",
        {"transaction_id": "c", "asset": "CREDITS", "amount": 7, "reason": "gift"},
    ),
    (
        "adjust_wallet",
        {"transaction_id": "d", "asset": "POINTS", "amount": 7, "reason": "gift"},
        "POINTS",
        {"transaction_id": "d", "asset": "CREDITS", "amount": 7, "reason": "gift"},
    ),
    (
        "send_events",
        {"events": [{**use("late"), "occurred_at": "2026-03-02 12:00"}]},
        "2026-01-31T12:00:00Z",
        {"events": [use("late")]},
    ),
    (
        "send_events",
        {"events": [{**use("soon"), "occurred_at": "2026-03-03T12:00:00Z"}]},
        "events[0].occurred_at",
        {"events": [use("soon")]},
    ),
    (
        "send_events",
        {"events": [{**use("render-1"), "data": {"seconds": 1, "quality": "hd"}}]},
        "render-1",
        {"events": [{**use("render-9"), "data": {"seconds": 1, "quality": "hd"}}]},
    ),
    (
        "authorize",
        {"transaction_id": "e", "max_amount": 5},
        "asset",
        {"transaction_id": "e", "max_amount": 5, "asset": "CREDITS"},
    ),
    (
        "create_subscription",
        {"products": [{"code": "nothing"}]},
        "list_products",
        {"products": [{"code": "plan"}]},
    ),
    (
        "create_top_up",
        {"amount": 5, "currency": "CREDITS", "return_url": "https://a.example",
         "failure_url": "https://a.example"},
        "currency",
        {"amount": 5, "currency": "USD", "return_url": "https://a.example",
         "failure_url": "https://a.example"},
    ),
    (
        "create_portal_session",
        {"return_url": "a.example", "failure_url": "https://a.example"},
        "return_url",
        {"return_url": "https://a.example", "failure_url": "https://a.example"},
    ),
    (
        "list_holds",
        {"hold_id": "x", "limit": 5},
        "leave one of them out",
        {"limit": 5},
    ),
    ("list_events", {"limits": 5}, "did you mean limit", {"limit": 5}),
    ("list_holds", {"limit": 500}, "100", {"limit": 100}),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "wrong", "says", "mended"), CASES)
def test_a_call_that_is_mended_as_it_says_is_accepted(
    server: RunningServer, tool: str, wrong: dict[str, Any], says: str, mended: dict[str, Any]
) -> None:
    account = server.wait(server.engine.create_account(CreateAccount("A shop"))).id
    with assisting(server, TEST_KEY, account) as me:
        customer = {"customer_id": open_shop(server, me)[examples.CUSTOMER]}
        before = me.call("get_wallet", **customer).text
        said = me.call(tool, **customer, **wrong)
        assert said.is_error, said
        assert says in said.text
        assert me.call("get_wallet", **customer).text == before
        me.made(tool, **customer, **mended)


def test_an_account_that_cannot_pay_is_filled_or_allowed_to_go_below_zero(
    server: RunningServer,
) -> None:
    account = server.wait(server.engine.create_account(CreateAccount("A shop"))).id
    with assisting(server, TEST_KEY, account) as me:
        customer = {"customer_id": me.made("create_customer", name="Ada")["id"]}
        terms = {"action": "set_account_terms", **customer, "account_id": "default:USD"}
        me.made("manage_payments", **terms, overdraft={"policy": "reject"})
        charge = {**customer, "transaction_id": "c", "asset": "USD", "amount": 3}
        said = me.refused("charge_wallet", **charge)
        assert said["type"] == "urn:faregate:problem:insufficient-funds"
        assert all(t in said["advice"] for t in ("adjust_wallet", "create_top_up", "get_wallet"))
        assert "manage_payments with action set_account_terms" in said["advice"]
        me.made("manage_payments", **terms, overdraft={"policy": "allow"})
        me.made("charge_wallet", **charge)


def test_what_a_limit_refuses_is_accepted_once_the_limit_is_higher(server: RunningServer) -> None:
    account = server.wait(server.engine.create_account(CreateAccount("A shop"))).id
    with assisting(server, TEST_KEY, account) as me:
        ids = open_shop(server, me)
        customer = {"customer_id": ids[examples.CUSTOMER]}
        limit = {"action": "change", **customer, "limit_id": ids[examples.OWN_LIMIT]}
        me.made("manage_limits", **limit, amount=10, rejects_events=True)
        said = me.refused("send_events", **customer, events=[use("more")])
        assert said["type"] == "urn:faregate:problem:limit-exceeded"
        assert "manage_limits" in said["advice"]
        assert me.made("look_up_customer", action="limits", **customer)["items"]
        me.made("manage_limits", **limit, amount=1000)
        me.made("send_events", **customer, events=[use("more")])


def test_a_refusal_has_no_word_of_rest(shop: tuple[Assistant, Ids]) -> None:
    me = shop[0]
    said = [
        me.refused("look_up", action="connected_accounts", connected_account_id="x"),
        me.refused("manage_settings", action="change_account", alerts={"low_balances": {"X": 1}}),
        me.refused("delete_product", product_id=examples.PRODUCT),
    ]
    for one in said:
        assert not re.search(r"/v1|GET |POST |PATCH ", str(one)), one
