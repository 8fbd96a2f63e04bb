"""Valid requests to every operation, in which something was swapped for something else: whatever
comes, the answer is no fault of the server, and a refusal is a problem document.

For a longer run: `FUZZ_EXAMPLES=100000 pytest tests/api/test_fuzz.py`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.api.caller import Caller, calling, event, is_problem, usage
from tests.api.conftest import RunningServer, running_server
from tests.api.crossing import Key, Things, attempts, fill
from tests.api.test_bad_input import INCLUDED, NOW, PLAN, SEATS, TOKENS
from tests.ledger.shop import Clock

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "500"))
_RAW: Final = re.compile(r'"<([^>"]*)>"')
DEEP: Final = "[" * 900 + "]" * 900
ODD: Final = [
    *(None, True, False, 0, 1, -1, 1.5, 10**9, 10**19, 2**63, -(2**63), 10**40, 10**400),
    *("", " ", "x", "x" * 300, "x" * 20_000, "NaN", "Infinity", "-0", "1e5", "\u0000", "é", "𝟘"),
    *("\u202e", "'; --", "../..", "%00", "${x}", "default", "default:USD", "USD", "usd", "*"),
    *("<NaN>", "<Infinity>", "<-Infinity>", "<1e999999999>", "<-1e999999999>", "<1e-999999999>"),
    *("<1e99999999999999999999>", "<-0>", "<0.0>", "<0e999999999>", "<1.0>", "<1e400>", "<1e18>"),
    *("<0.0000000001>", "<9e18>", f"<{'9' * 5000}>", f"<0.{'9' * 5000}>", f"<{DEEP}>"),
    *("1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "8999-12-31T23:59Z"),
    *("8999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    *("2026-02-30T00:00:00Z", "2026-03-01", "2026-03-02T12:00:00", "2026-03-02T12:00:00+00:00"),
    *("day", "year", "P3M", "P9999Y", "P1D", "now", "tiered", "bulk", "package", "custom", "cost"),
    *([], {}, [[]], [None], [{}], {"": ""}, {"x": {}}, ["x", "x"], [1] * 1500),
]
"""What takes the place of a value; a text in <> travels as these characters."""
KEYS: Final = ["color", "", "id", "type", "x" * 300, "é", "\u0000", "__class__", "amount", "asset"]


class Request(NamedTuple):
    """One request, as it travels."""

    method: str
    path: str
    body: str | None


class Place(NamedTuple):
    """A server with one of everything, and valid requests to it."""

    me: Caller
    things: Things
    valid: list[tuple[Key, str, Any]]


def _tiered(model: str) -> dict[str, Any]:
    price = {**TOKENS["prices"][0], "pricing_model": model}
    price["tiering"] = {"basis": "volume", "period": "monthly"}
    values = [{"up_to": 5, "volume_rate": 2}, {"volume_rate": 1}]
    price["pricing"] = [{"asset": "USD", "values": values}]
    return {**TOKENS, "code": model, "prices": [price]}


def _custom() -> dict[str, Any]:
    price = {**TOKENS["prices"][0]}
    price["usage_calculation"] = {
        "event_type": "llm",
        "usage_type": "custom",
        "volume_aggregation": "max(a, 2) / 3",
        "billable_dimensions": ["model"],
    }
    value = {"volume_rate": 1, "package_size": 10, "min_amount": 1, "max_amount": 5}
    values = [{"dimensions": {"model": "*"}, "values": [value]}]
    price["pricing"] = [{"asset": "USD", "values": values}]
    price["funding_destination"] = {"address": "default:EUR", "exchange_rate": 2}
    return {**TOKENS, "code": "custom", "prices": [price]}


def _plan() -> dict[str, Any]:
    once = {**SEATS, "billing_model": {"type": "one_time", "one_time": {"service_period": "P3M"}}}
    once["collection"] = {"type": "balance", "timing": "in_advance", "address": "default:USD"}
    limited = {"products": ["plan"], "event_types": ["llm"], "dimensions": {"model": "a"}}
    credit = {**INCLUDED, "priority": 5, "limited_to": limited}
    credit["accounting"] = {"revenue_basis": 0.5, "currency": "USD"}
    least = {"name": "C", "asset": "USD", "recurring": {"interval": "month", "interval_count": 2}}
    least |= {"minimum": 5, "maximum": 9, "event_types": ["llm"]}
    prices = [SEATS, once, *TOKENS["prices"]]
    return {**PLAN, "prices": prices, "entitlements": [credit], "commitments": [least]}


def _richer(of: dict[str, str]) -> list[tuple[Key, Any]]:
    """Bodies that have what those of `attempts` have not."""
    subscription = "/customers/{customer_id}/subscriptions/{subscription_id}"
    products = [{"code": "seats", "version": "default", "quantity": 2}]
    wanted = {"products": products, "starts_at": "2026-03-01T00:00:00Z", "asset": "USD"}
    wanted |= {"renews_at": "2026-04-01T00:00:00Z", "coupon": of["coupon_code"]}
    wanted |= {"trial": {"days": 3, "card_required": False}, "redirect_to": "portal"}
    cost = {"id": "c", "vendor_id": of["vendor_id"], "amount": 0.5, "currency": "USD"}
    cost |= {"category": "x", "units": 5, "unit_price": 0.1, "metadata": {"a": 1}}
    at = NOW.isoformat()
    used = event("e", occurred_at=at, costs=[cost], subject="x", outcome="pending")
    limit = {"amount": 5, "period": "day", "mode": "soft", "measure": "volume"}
    limit |= {"volume_field": "tokens", "dimensions": {"model": "a"}, "timezone": "Asia/Tokyo"}
    limit |= {"window": "rolling", "subject": "*", "name": "L", "event_type": "llm"}
    moved = {"version": 1, "quantity": 3, "effective": "now", "proration": "prorate"}
    return [
        (("POST", "/products"), _tiered("tiered")),
        (("POST", "/products"), _tiered("bulk")),
        (("POST", "/products"), _custom()),
        (("POST", "/products"), _plan()),
        (("POST", "/products/{product_id}"), {"prices": _plan()["prices"], "publish": False}),
        (("POST", "/customers/{customer_id}/subscriptions"), wanted),
        (
            ("POST", "/customers"),
            {"name": "Eve", "subscriptions": [wanted], "metadata": {"a": "b"}},
        ),
        (("POST", f"{subscription}/pause"), {"resumes_at": "2026-05-01T00:00:00Z"}),
        (("POST", f"{subscription}/reactivate"), {"has_card": True}),
        (("POST", f"{subscription}/cancel"), {"at": "now", "proration": "prorate"}),
        (("PATCH", f"{subscription}/products/{{product_id}}"), {**moved, "credits": "keep"}),
        (("POST", "/products/{product_id}/subscribers/migrate"), {"to_version": 1, **_MIGRATION}),
        (("POST", "/events"), usage(of["customer_id"], used)),
        (
            ("POST", "/events/{event_id}/outcome"),
            {"transaction_id": "t", "outcome": "changed", "data": {"tokens": 2}},
        ),
        (("POST", "/limits"), limit),
        (("POST", "/customers/{customer_id}/limits"), limit),
        (
            ("POST", "/assets"),
            {"code": "NEW", "name": "N", "precision": 2, "rates": [{"source": "USD", "rate": 2}]},
        ),
        (
            ("POST", "/assets/{asset_code}/rates"),
            {
                "source": "EUR",
                "inverse_rate": 3,
                "valid_from": at,
                "valid_to": "2027-01-01T00:00:00Z",
            },
        ),
        (
            ("POST", "/assets/{asset_code}/quote"),
            {"source": "USD", "amount": 5, "exchange_at": at},
        ),
        (
            ("POST", "/coupons"),
            {"code": "NEW", "amount": 5, "asset": "USD", "periods": 3, "products": ["seats"]},
        ),
        (
            ("PATCH", "/assets/{asset_code}"),
            {"top_up_bonus": [_BONUS, {"id": "p", "percent": 2.5, "maximum": 100}]},
        ),
        (
            ("POST", "/top-ups"),
            {
                **{"customer_id": of["customer_id"], "amount": 20, "currency": "USD", **_WAYS_BACK},
                "destination": {"asset": of["asset_code"], "account_name": "x"},
                **{"description": "d", "metadata": {"a": "b"}},
                "credit_expires_at": "2027-01-01T00:00:00Z",
            },
        ),
        (
            ("PATCH", "/accounts/self"),
            {
                "payments": {
                    "provider": "sandbox",
                    "top_ups": {"USD": {"minimum": 5, "maximum": 100}},
                    "blocks_on_dispute": True,
                }
            },
        ),
        (
            ("PATCH", "/accounts/self"),
            {"renewals": {"retry_hours": [1, 2], "grace_hours": 5, "may_overdraw": True}},
        ),
        (("POST", "/accounts"), {"name": "A", "external_id": "a", "metadata": {"a": "b"}}),
        (("POST", "/test-clocks"), {"now": at, "name": "C"}),
    ]


_WAYS_BACK: Final = {"return_url": "https://x.example", "failure_url": "https://x.example"}
_BONUS: Final = {
    "id": "s",
    "steps": [{"amount": 10, "bonus": 1}, {"amount": 50, "bonus": 10}],
    "minimum": 5,
    "valid_from": "2026-01-01T00:00:00Z",
    "valid_to": "2027-01-01T00:00:00Z",
    "once_per_customer": True,
    "expires_in_days": 30,
}
_MIGRATION: Final = {"from_version": "default", "effective": "now", "dry_run": True}


@pytest.fixture(scope="module")
def place(module_database_url: str) -> Iterator[Place]:
    with running_server(module_database_url, Clock(NOW)) as server, calling(server) as me:
        yield _place(server, me)


def _place(server: RunningServer, me: Caller) -> Place:
    things = fill(server, me, "QUARTZ")
    me.made("products", {**PLAN, "code": "seats"})
    valid = [(key, one.query, one.body) for key, tries in attempts(things).items() for one in tries]
    return Place(me, things, [*valid, *((key, "", body) for key, body in _richer(things.names))])


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Walk the paths of all values in a body."""
    yield path
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, item in inner:
        yield from _places(item, (*path, key))


@st.composite
def bodies(draw: st.DrawFn, body: Any) -> Any:
    """A body with one to three things swapped, taken out or added."""
    whole = {"": json.loads(body if isinstance(body, str) else json.dumps(body))}
    for _ in range(draw(st.integers(1, 3))):
        inside = list(_places(whole[""]))
        path = ("", *draw(st.sampled_from(inside[1:] or inside)))
        place: Any = whole
        for key in path[:-1]:
            place = place[key]
        how = draw(st.sampled_from(["swap", "swap", "swap", "out", "add", "twice"]))
        there = place[path[-1]]
        if how == "out" and len(path) > 1:
            del place[path[-1]]
        elif how == "add" and isinstance(there, dict):
            there[draw(st.sampled_from(KEYS))] = deepcopy(draw(st.sampled_from(ODD)))
        elif how == "twice" and isinstance(there, list):
            there.extend(there[:50])
        else:
            swapped = draw(st.sampled_from(ODD) | st.text(max_size=20) | st.integers())
            place[path[-1]] = deepcopy(swapped)
    return whole[""]


@st.composite
def requests(draw: st.DrawFn, place: Place) -> Request:
    """A request with something wrong in its body, its query or its path."""
    (method, path), query, body = draw(
        st.sampled_from(place.valid).filter(lambda one: one[0][0] != "DELETE")
        | st.sampled_from(place.valid)
    )
    things = place.things
    if body is not None:
        where = ["body"] * 12 + ["path", "query"]
    else:
        where = ["path"] if method == "DELETE" else ["query", "query", "path"]
    wrong = draw(st.sampled_from(where))
    if wrong == "path" and "{" in path:
        names = {name: draw(st.sampled_from(ODD)) for name in things.names}
        names = {k: quote(str(v), safe="")[:2000] or "x" for k, v in names.items()}
        things = things._replace(names=names, own_limit_id=names["limit_id"])
    if wrong == "body":
        body = draw(bodies(body))
    if wrong == "query":
        given = [part for part in query.removeprefix("?").split("&") if part]
        names_of = [part.partition("=")[0] for part in given]
        name = draw(st.sampled_from([*names_of, "limit", "offset", "period_from", "group_by"]))
        value = quote(str(draw(st.sampled_from(ODD))), safe="")[:2000]
        kept = [part for part in given if not part.startswith(f"{name}=")]
        query = f"?{'&'.join([*kept, f'{name}={value}'])}"
    text = None if body is None else body if isinstance(body, str) else json.dumps(body)
    return Request(method, things.path((method, path)) + query, text and _RAW.sub(r"\1", text))


@pytest.mark.slow
def test_no_request_is_a_fault_of_the_server(place: Place) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize="FUZZ_EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def send(data: st.DataObject) -> None:
        request = data.draw(requests(place))
        answer = place.me.send(*request)
        said = (request, answer.status, answer.body)
        assert answer.status < 500, said
        assert answer.status < 400 or is_problem(answer, answer.status), said
        if answer.status == 422:
            assert answer.fields, said

    send()
