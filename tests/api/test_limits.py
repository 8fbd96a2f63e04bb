"""Limits, free tiers and blocked customers over a real port."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import (
    Caller,
    adjustments,
    assert_refused,
    calling,
    event,
    is_problem,
    product,
    usage,
    world,
)
from tests.api.conftest import INGEST_KEY, LIVE_KEY, READ_KEY, RunningServer
from tests.api.holding import amounting, asked, held, holds, rich

Body = dict[str, Any]
NOBODY: Body = {"customer_metadata": {"cohort": "nobody"}}


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


def cap(amount: Any = 5, **more: Any) -> Body:
    """A limit of so many USD a day."""
    return {"amount": amount, "period": "day", "asset": "USD", **more}


def own(customer: str, *rest: str) -> str:
    """The path of a customer's limits, or of one of them."""
    return "/".join([f"customers/{customer}/limits", *rest])


def stands(me: Caller, customer: str, limit: Body, query: str = "") -> tuple[Any, ...]:
    """What of a limit is used, held and left."""
    state = me.get(own(customer, limit["id"]) + query).body
    return tuple(Decimal(state[name]) for name in ("used", "held", "remaining"))


# -- an account's limits ---------------------------------------------------------------------------


def test_an_accounts_limit_is_made_shown_changed_and_deleted(me: Caller) -> None:
    body = cap(Decimal("2.5"), name="trial", **NOBODY)
    made = me.made("limits", {**body, "amount": 2.5})
    assert made == {
        "id": made["id"],
        "created_at": made["created_at"],
        "amount": Decimal("2.5"),
        "period": "day",
        "mode": "hard",
        "measure": "fees",
        "window": "calendar",
        "timezone": "UTC",
        "rejects_events": False,
        "asset": "USD",
        "customer_metadata": {"cohort": "nobody"},
        "name": "trial",
    }
    one = f"limits/{made['id']}"
    assert me.get(one).body == made
    assert made in me.get("limits?limit=100").body["items"]
    change = {"amount": 3, "mode": "hard", "rejects_events": True, "name": "now"}
    changed = me.patch(one, change)
    assert (changed.status, changed.body) == (200, {**made, **change})
    assert me.get(one).body == changed.body
    assert me.patch(one, {}).body == changed.body
    assert (me.send("DELETE", one).status, me.get(one).status) == (204, 404)
    for again in (me.send("DELETE", one), me.patch(one, {"amount": 1})):
        assert is_problem(again, 404)


def test_limits_are_listed_in_pages_the_oldest_first(me: Caller) -> None:
    customer = me.customer()
    before = me.get("limits").body["total_count"]
    made = [me.made("limits", cap(n + 1, **NOBODY))["id"] for n in range(3)]
    page = me.get(f"limits?limit=2&offset={before}").body
    assert [one["id"] for one in page["items"]] == made[:2]
    assert (page["total_count"], page["limit"], page["offset"]) == (before + 3, 2, before)
    mine = [me.made(own(customer), cap(n + 1))["id"] for n in range(3)]
    first, second = (me.get(own(customer) + f"?limit=2&offset={at}").body for at in (0, 2))
    shown = [item["limit"]["id"] for item in (*first["items"], *second["items"])]
    assert shown[:3] == mine
    for wrong in ("limit=0", "limit=101", "offset=-1"):
        for path in ("limits", own(customer)):
            assert_refused(me.get(f"{path}?{wrong}"), wrong.partition("=")[0])
    assert_refused(me.get("limits?subject=ada"), "subject")


def test_an_accounts_limit_holds_for_its_cohort_each_member_by_itself(me: Caller) -> None:
    trial = me.made("limits", cap(2, customer_metadata={"cohort": "trial"}, name="trial"))
    members = [me.customer(metadata={"cohort": "trial"}) for _ in range(2)]
    other = me.customer()
    for customer in (*members, other):
        me.give(customer, "10")
        assert held(me, customer, asked("h", 2))["status"] == "authorized"
    for customer in members:
        assert held(me, customer, asked("h2", 1))["decline_code"] == "limit_exceeded"
        (state,) = me.get(own(customer)).body["items"]
        assert (state["limit"]["id"], state["is_own"]) == (trial["id"], False)
    assert held(me, other, asked("h2", 1))["status"] == "authorized"
    assert is_problem(me.get(own(other, trial["id"])), 404)
    # It is not the customer's to change.
    for answer in (
        me.patch(own(members[0], trial["id"]), {"amount": 9}),
        me.send("DELETE", own(members[0], trial["id"])),
    ):
        assert is_problem(answer, 404)
    assert me.patch(f"customers/{members[0]}", {"metadata": {"cohort": "paying"}}).status == 204
    assert held(me, members[0], asked("h3", 1))["status"] == "authorized"
    assert me.patch(f"limits/{trial['id']}", {"amount": 3}).status == 200
    assert held(me, members[1], asked("h3", 1))["status"] == "authorized"


# -- a customer's own ------------------------------------------------------------------------------


def test_a_customers_limit_shows_what_is_used_held_and_left_and_until_when(me: Caller) -> None:
    customer = rich(me)
    made = me.made(own(customer), cap(5))
    assert stands(me, customer, made) == (0, 0, 5)
    assert me.post("events", usage(customer, event("e1", 2))).status == 204
    hold = held(me, customer, asked("h", 2))
    assert stands(me, customer, made) == (2, 2, 1)
    state = me.get(own(customer, made["id"])).body
    assert (state["limit"], state["is_own"]) == (made, True)
    began, resets = (datetime.fromisoformat(state[at]) for at in ("began_at", "resets_at"))
    assert resets - began == timedelta(days=1)
    assert began <= datetime.fromisoformat(made["created_at"]) + timedelta(days=1)
    done = {"transaction_id": "c", "events": [event("e2", 1)]}
    assert me.post(holds(customer, hold["id"], "capture"), done).status == 200
    assert stands(me, customer, made) == (3, 0, 2)
    # What was counted stays; what is left is never less than nothing.
    assert me.patch(own(customer, made["id"]), {"amount": 2}).status == 200
    assert stands(me, customer, made) == (3, 0, 0)
    assert me.send("DELETE", own(customer, made["id"])).status == 204
    for again in (
        me.send("DELETE", own(customer, made["id"])),
        me.get(own(customer, made["id"])),
        me.patch(own(customer, made["id"]), {"amount": 1}),
    ):
        assert is_problem(again, 404)
    assert held(me, customer, asked("h2", 5))["status"] == "authorized"


def test_a_limit_of_each_subject_shows_the_one_that_is_asked_about(me: Caller) -> None:
    customer = rich(me)
    each = me.made(own(customer), cap(5, subject="*"))
    ada = me.made(own(customer), cap(5, subject="ada"))
    events = [event("e1", 1, subject="ada"), event("e2", 2, subject="a b&c/ü")]
    assert me.post("events", usage(customer, *events)).status == 204
    assert stands(me, customer, each) == (0, 0, 5)
    assert stands(me, customer, each, "?subject=ada") == (1, 0, 4)
    assert stands(me, customer, each, "?subject=a%20b%26c%2F%C3%BC") == (2, 0, 3)
    assert stands(me, customer, each, "?subject=nobody") == (0, 0, 5)
    # One that names its subject shows it whoever is asked about.
    for query in ("", "?subject=nobody"):
        assert stands(me, customer, ada, query) == (1, 0, 4)
    shown = me.get(own(customer) + "?subject=ada").body["items"]
    assert [Decimal(item["used"]) for item in shown if item["is_own"]] == [1, 1]
    assert_refused(me.get(own(customer) + "?subject=" + "x" * 201), "subject")
    assert_refused(me.get(own(customer, ada["id"]) + "?limit=1"), "limit")


def test_volumes_and_events_are_shown_in_their_own_units(me: Caller) -> None:
    customer = rich(me, "1000000")
    volume = {"measure": "volume", "volume_field": "tokens", "period": "lifetime"}
    tokens = me.made(own(customer), {**volume, "amount": 1000.5, "mode": "soft"})
    events = me.made(own(customer), {"measure": "events", "period": "hour", "amount": 10})
    free = me.made(own(customer), {**volume, "amount": 100, "mode": "free"})
    answer = me.post(
        "events",
        usage(customer, event("e1", 40.25), event("e2", 100)),
        {"prefer": "return=representation"},
    )
    assert answer.status == 200, answer.body
    assert stands(me, customer, tokens) == (Decimal("140.25"), 0, Decimal("860.25"))
    assert stands(me, customer, events) == (2, 0, 8)
    assert stands(me, customer, free) == (100, 0, 0)
    assert me.available(customer) == Decimal("999959.75")
    assert "resets_at" not in me.get(own(customer, tokens["id"])).body


# -- at the gate, and where events come in ---------------------------------------------------------


def test_a_declined_hold_says_which_limit_is_in_the_way_and_when_it_resets(me: Caller) -> None:
    customer = rich(me)
    made = me.made(own(customer), cap(5, name="daily cap", timezone="Asia/Tokyo"))
    assert held(me, customer, asked("h", 4))["status"] == "authorized"
    declined = held(me, customer, asked("h2", 2))
    assert (declined["status"], declined["decline_code"]) == ("declined", "limit_exceeded")
    limit = declined["limit"]
    assert (limit["id"], limit["amount"], limit["used"], limit["name"]) == (
        made["id"],
        5,
        4,
        "daily cap",
    )
    resets_at = me.get(own(customer, made["id"])).body["resets_at"]
    assert limit["resets_at"] == resets_at
    assert datetime.fromisoformat(resets_at).hour == 15
    for word in ("daily cap", "5 USD per day", "4 is used or held", "2 is needed"):
        assert word in declined["detail"]
    # A repeat gets the first answer, also when the limit has gone.
    assert me.send("DELETE", own(customer, made["id"])).status == 204
    assert held(me, customer, asked("h2", 2)) == declined
    assert me.get(holds(customer, declined["id"])).body["limit"] == limit
    assert held(me, customer, asked("h3", 2))["status"] == "authorized"


def test_an_update_that_a_limit_stops_shows_the_limit(me: Caller) -> None:
    customer = rich(me)
    me.made(own(customer), cap(5))
    hold = held(me, customer, asked("h", 3))
    body = {
        "transaction_id": "u",
        "used": {"events": [event("e1", 3)]},
        "want": {"data": {"tokens": 3}},
    }
    answer = me.post(holds(customer, hold["id"], "update"), body)
    assert (answer.status, answer.body["final"]) == (200, True)
    assert answer.body["limit"]["used"] == 3


def test_a_batch_of_holds_is_granted_up_to_the_limit(me: Caller) -> None:
    customer = rich(me)
    me.made(own(customer), cap(5))
    body = {"holds": [asked(f"h{n}", 2) for n in range(4)]}
    answer = me.post(holds(customer, "batch"), body)
    statuses = [hold["status"] for hold in answer.body["holds"]]
    assert statuses == ["authorized", "authorized", "declined", "declined"]


def test_events_that_a_limit_rejects_are_a_402_and_their_ids_stay_free(me: Caller) -> None:
    customer = rich(me)
    made = me.made(own(customer), cap(5, rejects_events=True, name="strict"))
    too_much = usage(customer, event("e1", 3), event("e2", 3))
    before = world(me, customer)
    refused = me.post("events", too_much)
    assert is_problem(refused, 402)
    assert refused.body["type"] == "urn:faregate:problem:limit-exceeded"
    assert made["id"] in refused.body["detail"]
    assert "strict" in refused.body["detail"]
    assert world(me, customer) == before
    lenient = me.post("events", too_much, {"prefer": "handling=lenient"})
    assert lenient.status in (200, 207), lenient.body
    assert stands(me, customer, made) == (3, 0, 2)
    kept = [me.get(f"events/{name}?customer_id={customer}").status for name in ("e1", "e2")]
    assert kept == [200, 404]
    assert me.patch(own(customer, made["id"]), {"amount": 6}).status == 200
    assert me.post("events", usage(customer, too_much["events"][1])).status == 204
    assert stands(me, customer, made) == (6, 0, 0)


def test_a_soft_limit_warns_in_the_answer(me: Caller) -> None:
    customer = rich(me)
    me.made(own(customer), cap(2, mode="soft", name="watch"))
    prefer = {"prefer": "return=representation"}
    answer = me.post("events", usage(customer, event("e1", 1), event("e2", 2)), prefer)
    assert "soft limit watch: 3 of 2 USD used" in str(answer.body)


def test_a_blocked_customer_is_declined_with_the_reason_and_charged_as_ever(me: Caller) -> None:
    customer = rich(me)
    path = f"customers/{customer}"
    assert "is_blocked" not in me.get(path).body
    for _ in range(2):
        assert me.post(f"{path}/block", {"reason": "chargebacks"}).status == 204
    shown = me.get(path).body
    assert (shown["is_blocked"], shown["blocked_because"]) == (True, "chargebacks")
    declined = held(me, customer, asked("h", 1))
    assert declined["decline_code"] == "customer_blocked"
    assert "chargebacks" in declined["detail"]
    assert me.post("events", usage(customer, event("e1", 1))).status == 204
    for _ in range(2):
        assert me.post(f"{path}/unblock", {}).status == 204
    shown = me.get(path).body
    assert not {"is_blocked", "blocked_because"} & set(shown)
    assert held(me, customer, asked("h", 1)) == declined
    assert held(me, customer, asked("h2", 1))["status"] == "authorized"
    assert me.post(f"{path}/block", {}).status == 204
    assert me.get(path).body["is_blocked"] is True
    assert "blocked_because" not in me.get(path).body


# -- refusals --------------------------------------------------------------------------------------

WRONG = [
    ({"period": "day", "asset": "USD"}, "amount"),
    ({"amount": 1, "asset": "USD"}, "period"),
    (cap("1"), "amount"),
    (cap(True), "amount"),
    (cap(None), "amount"),
    (cap(-1), "amount"),
    (cap(1e16), "amount"),
    (cap(1e-10), "amount"),
    (cap(period="year"), "period"),
    (cap(period=None), "period"),
    (cap(mode="harsh"), "mode"),
    (cap(measure="money"), "measure"),
    (cap(asset=None), "asset"),
    (cap(asset="NOPE"), "asset"),
    (cap(asset=""), "asset"),
    (cap(volume_field="tokens"), "volume_field"),
    ({"amount": 1, "period": "day", "measure": "volume"}, "volume_field"),
    (cap(measure="volume", volume_field="tokens"), "asset"),
    ({"amount": 1.5, "period": "day", "measure": "events"}, "amount"),
    (cap(mode="free"), "measure"),
    (cap(mode="soft", rejects_events=True), "rejects_events"),
    (cap(rejects_events="yes"), "rejects_events"),
    (cap(event_type=""), "event_type"),
    (cap(subject=""), "subject"),
    (cap(subject="x" * 201), "subject"),
    (cap(subject="a\x00b"), "subject"),
    (cap(dimensions={"model": 1}), "dimensions.model"),
    (cap(dimensions={str(n): "x" for n in range(11)}), "dimensions"),
    (cap(window="sliding"), "window"),
    (cap(window="rolling", period="lifetime"), "window"),
    (cap(timezone="Mars/Olympus"), "timezone"),
    (cap(timezone=""), "timezone"),
    (cap(timezone="../../etc/passwd"), "timezone"),
    (cap(timezone="Europe"), "timezone"),
    (cap(name=""), "name"),
    (cap(name="x" * 201), "name"),
    (cap(colour="red"), "colour"),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_limit_is_refused_by_field_and_nothing_is_made(
    me: Caller, body: Body, field: str
) -> None:
    customer = me.customer()
    before = world(me, customer)
    for path in ("limits", own(customer)):
        assert_refused(me.post(path, body), field)
    assert world(me, customer) == before


WRONG_CHANGES = [
    ({"amount": -1}, "amount"),
    ({"amount": "1"}, "amount"),
    ({"amount": 1e-10}, "amount"),
    ({"mode": "free"}, "mode"),
    ({"mode": "soft"}, "rejects_events"),
    ({"rejects_events": 1}, "rejects_events"),
    ({"name": ""}, "name"),
    ({"period": "week"}, "period"),
    ({"asset": "EUR"}, "asset"),
    ({"subject": "ada"}, "subject"),
]


@pytest.mark.parametrize(("change", "field"), WRONG_CHANGES, ids=lambda value: str(value)[:60])
def test_a_wrong_change_is_refused_by_field_and_nothing_is_changed(
    me: Caller, change: Body, field: str
) -> None:
    customer = me.customer()
    mine = me.made(own(customer), cap(rejects_events=True))
    everybodys = me.made("limits", cap(rejects_events=True, **NOBODY))
    before = world(me, customer)
    for path in (own(customer, mine["id"]), f"limits/{everybodys['id']}"):
        assert_refused(me.patch(path, change), field)
    assert world(me, customer) == before


def test_what_makes_no_sense_for_one_customer_is_refused(me: Caller) -> None:
    customer = me.customer()
    assert_refused(me.post(own(customer), cap(**NOBODY)), "customer_metadata")
    for body, field in (({"reason": 1}, "reason"), ({"reason": "x" * 501}, "reason")):
        assert_refused(me.post(f"customers/{customer}/block", body), field)
    assert_refused(me.post(f"customers/{customer}/unblock", {"reason": "x"}), "reason")
    assert "is_blocked" not in me.get(f"customers/{customer}").body


def test_what_a_hold_says_of_a_limited_volume_must_be_one(me: Caller) -> None:
    customer = rich(me)
    made = me.made(
        own(customer),
        {"amount": 5, "period": "day", "measure": "volume", "volume_field": "images"},
    )
    body = {**asked("h", 1), "data": {"tokens": 1, "images": "7"}}
    assert_refused(me.post(holds(customer), body), "data.images")
    assert stands(me, customer, made) == (0, 0, 5)
    # An event has happened: it is booked, and says what was not counted.
    counted = event("e", 1, data={"tokens": 1, "images": "7"})
    answer = me.post("events", usage(customer, counted), {"prefer": "return=representation"})
    assert "counts nothing: data.images" in str(answer.body)


def test_a_customer_and_an_account_have_a_bounded_number_of_limits(me: Caller) -> None:
    customer = me.customer()
    for n in range(100):
        me.made(own(customer), cap(n + 1))
    before = world(me, customer)
    full = me.post(own(customer), cap())
    assert is_problem(full, 409)
    assert "100" in full.body["detail"]
    assert world(me, customer) == before


# -- who may, and whose ----------------------------------------------------------------------------


def test_other_customers_and_modes_limits_are_not_there(
    shared_server: RunningServer, me: Caller
) -> None:
    ada, eve = me.customer(), me.customer()
    mine = me.made(own(ada), cap())
    everybodys = me.made("limits", cap(**NOBODY))
    before = world(me, ada)
    with calling(shared_server, LIVE_KEY) as live:
        paths = (own(ada, mine["id"]), f"limits/{everybodys['id']}")
        for caller, path in (
            *[(live, path) for path in paths],
            (me, own(eve, mine["id"])),
            (me, own("cust_nobody", mine["id"])),
            (me, own(ada, "lim_nothing")),
            (me, own(ada, everybodys["id"])),
            (me, f"limits/{mine['id']}"),
            (me, "limits/lim_nothing"),
        ):
            for answer in (
                caller.get(path),
                caller.patch(path, {"amount": 9}),
                caller.send("DELETE", path),
            ):
                assert is_problem(answer, 404), (path, answer.body)
        for path in (own(ada), f"customers/{ada}/block"):
            body = {} if path.endswith("block") else cap()
            assert is_problem(live.post(path, body), 404)
            assert is_problem(me.post(path.replace(ada, "cust_nobody"), body), 404)
        assert live.get("limits").body["total_count"] == 0
    assert world(me, ada) == before


def test_a_key_that_only_reads_or_sends_sees_limits_and_changes_none(
    shared_server: RunningServer, me: Caller
) -> None:
    customer = rich(me)
    mine, everybodys = me.made(own(customer), cap(5)), me.made("limits", cap(**NOBODY))
    before = world(me, customer)
    for key in (READ_KEY, INGEST_KEY):
        with calling(shared_server, key) as caller:
            for method, path, body in (
                ("POST", "limits", cap()),
                ("POST", own(customer), cap()),
                ("PATCH", own(customer, mine["id"]), {"amount": 9}),
                ("PATCH", f"limits/{everybodys['id']}", {"amount": 9}),
                ("DELETE", own(customer, mine["id"]), None),
                ("DELETE", f"limits/{everybodys['id']}", None),
                ("POST", f"customers/{customer}/block", {}),
                ("POST", f"customers/{customer}/unblock", {}),
            ):
                assert is_problem(caller.send(method, path, body), 403)
            assert caller.get(own(customer, mine["id"])).body["limit"] == mine
            assert mine["id"] in str(caller.get(own(customer)).body)
            # Lists over all customers are not for keys that only send.
            assert caller.get("limits").status == (200 if key == READ_KEY else 403)
    assert world(me, customer) == before


def test_a_repeat_under_an_idempotency_key_after_a_change_gets_the_first_answer(
    me: Caller,
) -> None:
    customer = me.customer()
    headers = {"idempotency-key": f"limit of {customer}"}
    first = me.post(own(customer), cap(5), headers)
    assert me.patch(own(customer, first.body["id"]), {"amount": 7}).status == 200
    again = me.post(own(customer), cap(5), headers)
    assert (again.status, again.body) == (201, first.body)
    assert me.get(own(customer, first.body["id"])).body["limit"]["amount"] == 7
    assert me.send("DELETE", own(customer, first.body["id"])).status == 204
    assert me.post(own(customer), cap(5), headers).body == first.body
    assert me.get(own(customer, first.body["id"])).status == 404


def test_adjustments_and_charges_count_for_no_limit(me: Caller) -> None:
    customer = rich(me)
    made = me.made(own(customer), cap(5, rejects_events=True))
    charge = {"transaction_id": "c", "asset": "USD", "amount": 6}
    assert me.post(f"customers/{customer}/wallet/charges", charge).status == 201
    body = {"transaction_id": "back", "asset": "USD", "reason": "other", "amount": -3}
    assert me.post(adjustments(customer), body).status == 201
    assert stands(me, customer, made) == (0, 0, 5)


def test_a_hold_of_nothing_passes_a_limit_of_nothing(me: Caller) -> None:
    customer = rich(me)
    me.made(own(customer), cap(0))
    assert held(me, customer, amounting("free", 0))["status"] == "authorized"
    assert held(me, customer, amounting("not free", 1))["decline_code"] == "limit_exceeded"
