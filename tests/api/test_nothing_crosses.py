"""Whatever one account asks with the ids of another, it gets nothing and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from tests.api.caller import Caller, calling, event, is_problem, usage
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.api.crossing import (
    PERIOD,
    SOURCE,
    TOLD,
    Key,
    Things,
    attempts,
    every_operation,
    fill,
)
from tests.ledger.shop import Clock

from faregate.platform.accounts import CreateAccount

SELLER_KEY = "fg_test_" + "s" * 32
WAYS = [
    ("the seller's things", "acting for another account"),
    ("the seller's things", "another account's own key"),
    ("the seller's things", "the platform's own account"),
    ("the platform's things", "acting for another account"),
    ("the platform's things", "another account's own key"),
]


class Place(NamedTuple):
    """A server, where the platform and one connected account have one of everything."""

    server: RunningServer
    things: dict[str, Things]

    def owner(self, whose: str) -> AbstractContextManager[Caller]:
        """Whoever has these things."""
        return calling(self.server, TEST_KEY if "platform" in whose else SELLER_KEY)

    def new_account(self) -> str:
        """Make a connected account that has nothing yet; returns its id."""
        engine = self.server.engine
        return self.server.wait(engine.create_account(CreateAccount("Eve"))).id

    def other(self, how: str) -> AbstractContextManager[Caller]:
        """Somebody else."""
        if "platform" in how:
            return calling(self.server)
        account_id = self.new_account()
        if "acting" in how:
            return calling(self.server, TEST_KEY, account_id)
        engine = self.server.engine
        made = engine.create_key("test", "admin", "Eve's own", account_id=account_id)
        return calling(self.server, self.server.wait(made)[1])


@pytest.fixture(scope="module")
def place(module_database_url: str) -> Iterator[Place]:
    clock = Clock(datetime(2026, 3, 2, 12, tzinfo=UTC))
    with running_server(module_database_url, clock) as server:
        found = Place(server, {})
        seller = found.new_account()
        key = server.engine.create_key("test", "admin", "seller", SELLER_KEY, seller)
        server.wait(key)
        for whose, mark in (("the seller's things", "QUARTZ"), ("the platform's things", "ONYX")):
            with found.owner(whose) as me:
                found.things[whose] = fill(server, me, mark)
        # A month and more has passed: renewals are due, and nobody has done them yet.
        clock.move(days=40)
        yield found


def everything(place: Place, whose: str) -> dict[tuple[Key, str], Any]:
    """All that an account sees of its own things, by every operation that reads."""
    things, found = place.things[whose], {}
    with place.owner(whose) as me:
        for key, tries in attempts(things).items():
            if key[0] != "GET" or (tries[0].ends == "forbidden" and "seller" in whose):
                continue
            for one in tries:
                answer = me.get(things.path(key) + one.query)
                if key == ("GET", "/accounts/{connected_account_id}"):
                    assert answer.status == 404  # It has itself, and is not connected to itself.
                    continue
                assert answer.status == 200, (key, answer.body)
                found[key, one.query] = answer.body
    return found


def test_there_is_an_attempt_for_every_operation() -> None:
    known = attempts(Things("acc_1", "NOBODY", _AnyName(), "lim_1", []))
    assert set(known) == set(every_operation())
    assert all(known.values())


class _AnyName(dict[str, str]):
    """Names for everything."""

    def __missing__(self, key: str) -> str:
        return key


def test_an_account_sees_its_own_things_by_every_operation_that_reads(place: Place) -> None:
    for whose in place.things:
        for (key, query), body in everything(place, whose).items():
            if "items" in body:
                # Where others find an empty list, there is something in it.
                assert body["items"] or "set_aside" in query, (key, query)


@pytest.mark.parametrize(("whose", "how"), WAYS)
def test_another_account_gets_nothing_and_changes_nothing(
    place: Place, whose: str, how: str
) -> None:
    things = place.things[whose]
    with place.other(how) as other:
        before = everything(place, whose)
        for key, tries in attempts(things).items():
            for one in tries:
                if one.ends == "forbidden" and "platform" in how:
                    continue
                answer = other.send(key[0], things.path(key) + one.query, one.body)
                said = (key, one, answer.status, answer.body)
                if one.ends == "refused":
                    assert is_problem(answer, answer.status), said
                    assert answer.status in (404, 422), said
                elif one.ends == "forbidden":
                    assert is_problem(answer, 403), said
                    assert "connected account" in answer.body["detail"]
                else:
                    assert answer.status in (200, 201, 202, 204), said
                    shown = str(answer.body)
                    assert not [mark for mark in things.marks if mark in shown], said
                if one.ends == "empty" and "platform" not in how:
                    assert answer.body["items"] == [], said
                    assert answer.body.get("total_count", 0) == 0
    assert everything(place, whose) == before


def test_the_same_requests_are_not_refused_to_whom_the_things_belong(
    place: Place,
) -> None:
    """So that what others are refused is refused for whose it is, and for nothing else."""
    account_id = place.new_account()
    with calling(place.server, TEST_KEY, account_id) as me:
        things = fill(place.server, me, "PEARL")
        for key, tries in attempts(things).items():
            for one in tries:
                if one.ends == "refused":
                    answer = me.send(key[0], things.path(key) + one.query, one.body)
                    assert answer.status in (200, 201, 202, 204, 409), (key, one, answer.body)


@pytest.mark.parametrize("whose", ["the seller's things", "the platform's things"])
def test_what_is_told_of_another_accounts_customer_charges_nobody(place: Place, whose: str) -> None:
    things = place.things[whose]
    rules = {"customer": ["who"], "default_event_type": "call"}
    called = [things.names["customer_id"], f"ada-{things.mark}"]
    lines = [
        {"id": f"told-{number}", "occurred_at": "2026-04-01T00:00:00Z", "fields": {"who": name}}
        for number, name in enumerate(called)
    ]
    with place.other("acting for another account") as other:
        before = everything(place, whose)
        answer = other.post("ingestion/import", {"lines": lines, "rules": rules})
        assert [one["status"] for one in answer.body["results"]] == ["refused", "refused"]
        shown = {
            "sample": {**TOLD, "subject": called[0]},
            "rules": {**rules, "customer": ["subject"]},
        }
        seen = other.post(f"ingestion/{SOURCE}/preview", shown).body["items"]
        assert [one["status"] for one in seen] == ["refused"]
    assert everything(place, whose) == before


def test_a_cost_that_names_another_accounts_vendor_is_no_cost_of_theirs(place: Place) -> None:
    whose = "the seller's things"
    things = place.things[whose]
    before = everything(place, whose)
    with place.other("acting for another account") as other:
        customer = other.made("customers", {"name": "Eve"})["id"]
        cost = {"id": "c", "vendor_id": things.names["vendor_id"], "amount": 7}
        at = place.server.engine.now().isoformat()
        sent = other.post("events", usage(customer, event("e", occurred_at=at, costs=[cost])))
        assert sent.status in (204, 422)
        shown = other.get(f"stats{PERIOD}&group_by=vendor").body
        assert things.mark not in str(shown)
    assert everything(place, whose) == before
