"""A price goes up: an assistant makes version 2, tries it, shows what is different and what it
means for those who have version 1, publishes it and moves them, by tools alone. Until then nobody
pays more; from then on the next use costs the new price."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.api.conftest import RunningServer, running_server
from tests.ledger.shop import Clock
from tests.scenarios.scripted import Assistant, assistant
from tests.scenarios.verifying import Sold, verify

SOLD = Sold("reports", "report", {}, "USD", Decimal("0.55"), 10)


def price(amount: float) -> dict[str, Any]:
    return {
        "type": "usage_based",
        "name": "Report",
        "billing_model": {"type": "real_time"},
        "usage_calculation": {"event_type": "report", "usage_type": "unit"},
        "pricing": [{"asset": "USD", "values": [{"unit_price": amount}]}],
    }


@pytest.fixture
def server(database_url: str) -> Iterator[RunningServer]:
    with running_server(database_url, Clock(), has_pages=True) as server:
        yield server


@pytest.fixture
def me(server: RunningServer) -> Iterator[Assistant]:
    with assistant(server.url) as me:
        me.call("create_product", name="Reports", code="reports", publish=True, prices=[price(0.4)])
        yield me


def customer(me: Assistant, name: str, version: int) -> str:
    subscription = {"products": [{"code": "reports", "version": version}]}
    made = me.call("create_customer", name=name, subscriptions=[subscription])
    gift = {"transaction_id": f"gift-{name}", "asset": "USD", "amount": 10, "reason": "gift"}
    me.call("adjust_wallet", customer_id=made["id"], **gift)
    found: str = made["id"]
    return found


def report(me: Assistant, server: RunningServer, who: str, name: str) -> Any:
    """Use a report; returns its fee."""
    now = server.engine.now().isoformat()
    use = {"id": name, "event_type": "report", "occurred_at": now, "data": {}}
    answer = me.call("send_events", customer_id=who, events=[use])
    (fee,) = answer["events"][0]["fees"]
    return fee


def test_nobody_pays_more_before_they_are_moved_and_then_the_next_use_costs_the_new_price(
    server: RunningServer, me: Assistant
) -> None:
    ada, bob = (customer(me, name, 1) for name in ("Ada", "Bob"))
    assert report(me, server, ada, "old-1")["amount"] == Decimal("0.4")

    made = me.call("create_product_version", product_id="reports", prices=[price(0.55)])
    assert (made["version"], made["status"]) == (2, "draft")
    use = {
        "id": "try",
        "event_type": "report",
        "occurred_at": server.engine.now().isoformat(),
        "data": {},
    }
    tried = me.call("simulate_usage", product_id="reports", version=2, events=[use])
    assert [fee["amount"] for fee in tried["fees"]] == [Decimal("0.55")]
    changes = me.call(
        "look_up", action="version_changes", product_id="reports", version=2, against="1"
    )
    assert changes["changes"] == ["Report: 0.40 → 0.55 USD per event (+37.5%)"]
    assert report(me, server, ada, "old-2")["product_version"] == 1

    me.call(
        "publish_product_version", product_id="reports", version=2, publish=True, make_default=True
    )
    eve = customer(me, "Eve", 2)
    assert report(me, server, eve, "new-1")["amount"] == Decimal("0.55")
    assert report(me, server, ada, "old-3")["amount"] == Decimal("0.4")

    move = {"product_id": "reports", "from_version": 1, "to_version": 2, "effective": "now"}
    told = me.call("migrate_subscribers", **move, dry_run=True)
    assert {item["customer_id"] for item in told["items"]} == {ada, bob}
    of_ada = next(item for item in told["items"] if item["customer_id"] == ada)
    (month,) = of_ada["amounts"]
    assert (month["before"], month["after"]) == (Decimal("1.2"), Decimal("1.65"))
    assert report(me, server, ada, "old-4")["amount"] == Decimal("0.4")

    moved = me.call("migrate_subscribers", **move, dry_run=False)
    assert moved["moved"] == 2
    fee = report(me, server, ada, "new-2")
    assert (fee["amount"], fee["product_version"]) == (Decimal("0.55"), 2)
    assert me.available(ada, "default:USD") == Decimal("7.85")
    why = me.call("explain_event", event_id="new-2")
    assert why["sentence"] == "1 use × $0.55 = $0.55, from promotion grant."
    assert server.wait(server.engine.verify()).is_clean


def test_the_new_price_passes_verification_and_fails_for_who_expects_the_old_one(
    server: RunningServer, me: Assistant
) -> None:
    me.call("create_product_version", product_id="reports", prices=[price(0.55)], publish=True)
    me.call("publish_product_version", product_id="reports", version=2, make_default=True)
    now = server.engine.now().isoformat()
    rows = verify(me, SOLD, "new", now)
    assert [row.number for row in rows if row.has_passed] == list(range(1, 13))
    old = verify(me, SOLD._replace(cost=Decimal("0.4")), "old", now)[-1]
    assert (old.number, old.has_passed) == (4, False)
    assert old.seen.startswith("0.55 USD instead of 0.4 USD")
