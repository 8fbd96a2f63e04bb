"""What a version changes against another one, asked over REST."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.caller import Caller, assert_refused, calling, is_problem, product
from tests.api.conftest import LIVE_KEY, RunningServer

CREDIT = {
    "name": "Included",
    "asset": "USD",
    "amount": 5,
    "purpose": "bundled",
    "lifecycle": {"duration": "month"},
}


def prices(rate: str) -> Any:
    return json.loads(product(rate))["prices"]


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product("0.60"))
        # A draft may be looked at before it is published.
        caller.made("products/tokens", {"prices": prices("0.50"), "entitlements": [CREDIT]})
        yield caller


def test_a_version_says_what_it_changes_against_another_one(me: Caller) -> None:
    answer = me.get("products/tokens/2/diff?against=1")
    assert (answer.status, answer.body) == (
        200,
        {
            "from": 1,
            "to": 2,
            "changes": [
                "Tokens: 0.60 → 0.50 USD per unit (−16.7%)",
                'Added "Included": 5.00 USD once, bundled; what is left expires after 1 month',
            ],
        },
    )
    back = me.get("products/tokens/default/diff?against=2").body
    assert (back["from"], back["to"]) == (2, 1)
    assert back["changes"] == [
        "Tokens: 0.50 → 0.60 USD per unit (+20.0%)",
        'Removed "Included": 5.00 USD once, bundled; what is left expires after 1 month',
    ]
    identifier = me.get("products/tokens").body["id"]
    assert me.get(f"products/{identifier}/2/diff?against=default").body == answer.body


def test_a_version_does_not_differ_from_itself(me: Caller) -> None:
    for path in ("1/diff?against=1", "2/diff?against=2", "default/diff?against=1"):
        answer = me.get(f"products/tokens/{path}")
        assert (answer.status, answer.body["changes"]) == (200, [])


def test_what_is_not_there_cannot_be_compared(me: Caller) -> None:
    for path in (
        "products/no/1/diff?against=1",
        "products/tokens/9/diff?against=1",
        "products/tokens/0/diff?against=1",
        "products/tokens/-1/diff?against=1",
        "products/tokens/first/diff?against=1",
        "products/tokens/1/diff?against=9",
        "products/tokens/1/diff?against=0",
        "products/tokens/1/diff?against=999999999",
    ):
        assert is_problem(me.get(path), 404), path


@pytest.mark.parametrize(
    "against",
    ["first", "-1", "1.0", "1e0", "%C2%B9", "%D9%A1", "1,2", " 1", "9" * 30, "", "x" * 200],
)
def test_an_against_that_is_no_version_is_refused_by_name(me: Caller, against: str) -> None:
    assert_refused(me.get(f"products/tokens/1/diff?against={against}"), "against")


def test_without_a_word_it_is_compared_with_the_default(me: Caller) -> None:
    said = me.get("products/tokens/2/diff?against=default").body
    assert me.get("products/tokens/2/diff").body == said


def test_what_is_asked_that_there_is_not_is_refused(me: Caller) -> None:
    assert me.get("products/tokens/1/diff?against=1&verbose=1").status == 422
    assert me.get("products/tokens/1/diff?against=1&against=2").status == 422


def test_a_stranger_compares_nothing_of_ours(shared_server: RunningServer, me: Caller) -> None:
    with calling(shared_server, LIVE_KEY) as live:
        assert is_problem(live.get("products/tokens/2/diff?against=1"), 404)


def test_an_archived_version_can_be_compared_but_not_published_nor_made_the_default(
    me: Caller,
) -> None:
    sold = product("1", code="old")
    me.made("products", sold)
    me.made("products/old", {"prices": prices("2"), "publish": True})
    assert me.patch("products/old/2", {"make_default": True}).status == 204
    assert me.send("DELETE", "products/old/1").status == 204
    assert me.get("products/old/2/diff?against=1").body["changes"] == [
        "Tokens: 1.00 → 2.00 USD per unit (+100.0%)"
    ]
    for body in (
        {"publish": True},
        {"make_default": True},
        {"publish": True, "make_default": True},
    ):
        assert is_problem(me.patch("products/old/1", body), 409), body
    assert me.get("products/old").body["default_version"]["version"] == 2
