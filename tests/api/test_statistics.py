"""Revenue, costs and margins, by the published client and over a real port."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from corehttp.exceptions import HttpResponseError
from credytapi import CredytApiClient
from tests.api.caller import (
    Caller,
    adjustment,
    adjustments,
    assert_refused,
    calling,
    event,
    is_problem,
    product,
    usage,
)
from tests.api.conftest import LIVE_KEY, RunningServer

FOUR = ("gross_revenue", "total_costs", "net_revenue", "margin")


def four(stats: Any) -> tuple[Any, ...]:
    """The four numbers, exactly as they travelled or as the client reads them."""
    return tuple(stats[name] for name in FOUR)


def cost(amount: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c", "amount": amount, "vendor_external_id": "acme", **more}


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


def fill(me: Caller, **more: Any) -> str:
    """A customer who has used 4 tokens that cost 1, and 2 that cost nothing, and was charged 3."""
    customer = me.customer(**more)
    events = [event("a", 4, costs=[cost(1, category="gpu")]), event("b", 2)]
    assert me.post("events", usage(customer, *events)).status == 204
    charge = {"transaction_id": "setup", "asset": "USD", "amount": 3}
    me.made(f"customers/{customer}/wallet/charges", charge)
    return customer


def test_the_published_client_reads_what_customers_bring(
    server: RunningServer, client: CredytApiClient
) -> None:
    with calling(server) as me:
        me.made("products", product())
        ada = fill(me, external_id="ada")
        bob = me.customer(name="Bob")
    # 4 + 2 + 3 = 9 less 1: 8 of 9 is 88.888... %.
    stats = client.customers.get_stats(ada)
    assert four(stats) == (9, 1, 8, 88.89)
    assert stats.currency == "USD"
    page = client.customers.list_stats()
    assert [(item.id, item.name, item.external_id) for item in page.items_property] == [
        (bob, "Bob", None),
        (ada, "Ada", "ada"),
    ]
    assert [four(item.stats) for item in page.items_property] == [
        (0, 0, 0, None),
        (9, 1, 8, 88.89),
    ]
    today = datetime.now(UTC).date()
    assert four(page.summary) == (9, 1, 8, 88.89)
    assert page.period_to in (today, today - timedelta(days=1))
    assert page.period_to - page.period_from == timedelta(days=29)
    assert (page.total_count, page.limit, page.offset) == (2, 20, 0)
    second = client.customers.list_stats(limit=1, offset=1)
    assert [item.id for item in second.items_property] == [ada]
    past = client.customers.list_stats(period_from=date(2020, 1, 1), period_to=date(2020, 1, 31))
    assert (four(past.summary), past.period_from) == ((0, 0, 0, None), date(2020, 1, 1))
    assert past.total_count == 2


def test_the_published_client_reads_what_a_vendor_charges(
    server: RunningServer, client: CredytApiClient
) -> None:
    vendors = client.vendors.vendors_ops
    acme = vendors.create_vendor({"name": "Acme", "external_id": "acme"}).id
    with calling(server) as me:
        me.made("products", product())
        fill(me)
        by_id = {"id": "d", "amount": 2.5, "vendor_id": acme, "category": "cpu"}
        assert me.post("events", usage(me.customer(), event("c", costs=[by_id]))).status == 204
    stats = vendors.get_vendor_stats(acme)
    assert stats["total_costs"] == 3.5
    assert [(c.category, c["cost"]) for c in stats.categories] == [("cpu", 2.5), ("gpu", 1)]
    gpu = vendors.get_vendor_stats(acme, category="gpu", period_from=date(2020, 1, 1))
    assert (gpu.total_costs, len(gpu.categories)) == (1, 1)
    assert vendors.get_vendor_stats(acme, period_to=date(2020, 1, 1)).total_costs == 0


def test_the_published_client_reads_what_an_event_brings(
    server: RunningServer, client: CredytApiClient
) -> None:
    with calling(server) as me:
        me.made("products", product())
        fill(me)
        free = {**event("free"), "event_type": "unknown"}
        dear = event("dear", 1, costs=[cost(2, currency="EUR")])
        assert me.post("events", usage(me.customer(), free, dear)).status == 204
    assert four(client.events.get("a").stats) == (4, 1, 3, 75)
    assert four(client.events.get("b").stats) == (2, 0, 2, 100)
    # Nothing to tell, and nothing that could be told in one currency.
    assert client.events.get("free").stats is None
    assert client.events.get("dear").stats is None
    listed = {item.id: item.stats for item in client.events.list().items_property}
    assert four(listed["a"]) == (4, 1, 3, 75)
    assert (listed["free"], listed["dear"]) == (None, None)
    # 1 USD of fees; 2 EUR are 2.5 USD: -1.5 of 1.
    client.assets.add_rate(
        "EUR", {"source": "USD", "rate": 1.25, "valid_from": "2020-01-01T00:00:00Z"}
    )
    assert four(client.events.get("dear").stats) == (1, 2.5, -1.5, -150)
    with calling(server) as me:
        assert me.get("events/dear").body["stats"]["total_costs"] == Decimal("2.5")


def test_groups_over_a_real_port(server: RunningServer) -> None:
    with calling(server) as me, calling(server, LIVE_KEY) as live:
        me.made("products", product())
        live.made("products", product("1000"))
        ada = fill(me, external_id="ada")
        fill(live)
        page = me.get("stats?group_by=customer,event_type&sort=-margin&limit=1").body
        assert page["items"] == [
            {
                "customer_id": ada,
                "customer_external_id": "ada",
                "customer_name": "Ada",
                "event_type": None,
                "events": 0,
                "gross_revenue": 3,
                "total_costs": 0,
                "net_revenue": 3,
                "margin": 100,
            }
        ]
        assert (page["total_count"], page["limit"], page["offset"]) == (2, 1, 0)
        assert (page["group_by"], page["currency"]) == (["customer", "event_type"], "USD")
        summary = {"events": 2, "currency": "USD", "margin": Decimal("88.89")}
        assert page["summary"] == {
            **summary,
            "gross_revenue": 9,
            "total_costs": 1,
            "net_revenue": 8,
        }
        assert me.get("stats").body == me.get("stats?group_by=customer&sort=net_revenue").body
        (sold,) = [g for g in me.get("stats?group_by=product").body["items"] if g["product_id"]]
        assert (sold["product_code"], sold["product_version"], sold["events"]) == ("tokens", 1, 2)
        assert four(sold) == (6, 1, 5, Decimal("83.33"))
        (day,) = me.get("stats?group_by=day").body["items"]
        assert day["day"] == day["day"][:10]
        (group,) = me.get("stats?group_by=vendor").body["items"]
        assert (group["vendor_id"], group["vendor_external_id"]) == (None, "acme")
        assert four(group) == (None, 1, None, None)


def test_what_no_rate_converts_is_named(me: Caller) -> None:
    customer = me.customer()
    me.made("assets", {"code": "ORBS", "name": "Orbs"})
    me.made(adjustments(customer), adjustment("50", "ORBS"))
    charge = {"transaction_id": "c", "asset": "ORBS", "amount": 7}
    me.made(f"customers/{customer}/wallet/charges", charge)
    events = usage(customer, event("e", 2, costs=[cost(1, currency="CHF")]))
    assert me.post("events", events).status == 204
    stats = me.get(f"customers/{customer}/stats").body
    assert stats == {
        "gross_revenue": 2,
        "total_costs": 0,
        "net_revenue": 2,
        "margin": 100,
        "currency": "USD",
        "unconverted": [
            {"asset": "CHF", "revenue": 0, "costs": 1},
            {"asset": "ORBS", "revenue": 7, "costs": 0},
        ],
    }
    francs = me.get(f"customers/{customer}/stats?currency=CHF").body
    assert (francs["total_costs"], francs["margin"], francs["currency"]) == (1, None, "CHF")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("period_from=2026-03-02&period_to=2026-03-01", "period_to"),
        ("period_from=1969-12-31", "period_from"),
        ("period_to=9000-01-01", "period_to"),
        ("period_from=2026-02-30", "period_from"),
        ("period_from=yesterday", "period_from"),
        ("currency=GEMS", "currency"),
        ("currency=usd", "currency"),
        ("currency=", "currency"),
        ("colour=red", "colour"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(me: Caller, query: str, field: str) -> None:
    customer = me.customer()
    vendor = me.made("vendors", {"name": "Acme"})["id"]
    for path in (f"customers/{customer}/stats?", "customers/stats?", f"vendors/{vendor}/stats?"):
        assert_refused(me.get(path + query), field)
    assert_refused(me.get(f"stats?group_by=day&{query}"), field)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?group_by=", "group_by"),
        ("?group_by=colour", "group_by"),
        ("?group_by=day&sort=events", "sort"),
        ("?group_by=day&limit=0", "limit"),
        ("?group_by=day&offset=-1", "offset"),
    ],
)
def test_what_is_wrong_with_groups_is_named(me: Caller, query: str, field: str) -> None:
    assert_refused(me.get(f"stats{query}"), field)


def test_a_customer_or_vendor_that_is_not_there_is_not_found(
    me: Caller, client: CredytApiClient, server: RunningServer
) -> None:
    for path in (
        "customers/nobody/stats",
        "vendors/nobody/stats",
        "stats?group_by=day&customer_id=nobody",
    ):
        assert is_problem(me.get(path), 404)
    for ask in (client.customers.get_stats, client.vendors.vendors_ops.get_vendor_stats):
        with pytest.raises(HttpResponseError) as raised:
            ask("nobody")
        assert raised.value.response.status_code == 404


def test_the_first_and_the_last_day_there_are_can_be_asked_about(me: Caller) -> None:
    days = "period_from=1970-01-01&period_to=8999-12-31"
    assert me.get(f"customers/stats?{days}").status == 200
    page = me.get("customers/stats?period_to=1970-01-01").body
    assert (page["period_from"], page["period_to"]) == ("1970-01-01", "1970-01-01")
