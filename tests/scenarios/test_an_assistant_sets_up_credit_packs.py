"""A founder who cannot code has credit packs, a price per report and a top-up page the same
afternoon, by talking to an assistant that does nothing but call tools; it ends with a charge that
is verified to the last digit. `docs/transcript.md` is what was said and done; `make transcript`
makes it anew."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from tests.api.conftest import running_server
from tests.databases import new_sqlite
from tests.ledger.shop import Clock
from tests.scenarios.scripted import Assistant, Refused, assistant
from tests.scenarios.transcript import page
from tests.scenarios.verifying import Row, Sold, verify

TRANSCRIPT = Path(__file__).parents[2] / "docs" / "transcript.md"
HEAD = """
# From nothing to a verified charge, by tools alone

What a founder and an assistant say, and each tool that the assistant calls, with what the server
answers (of it, what matters). The assistant is a script, which speaks to a real server with the
official client of the protocol; the founder's words are made up, the answers are not. The database
is empty at the beginning. The tests live this story; `make transcript` writes this page anew.
How to connect an assistant of your own: [assistants](integrations/assistants.md).
"""
CARD = {"number": "4242424242424242", "expiry": "11/39", "code": "123"}
REPORT = {
    "type": "usage_based",
    "name": "Report",
    "billing_model": {"type": "real_time"},
    "usage_calculation": {"event_type": "report", "usage_type": "unit"},
    "pricing": [{"asset": "CREDITS", "values": [{"unit_price": 4}]}],
}
BACK = {
    "return_url": "https://app.example.com/thanks",
    "failure_url": "https://app.example.com/sorry",
}


def set_up(me: Assistant, now: str) -> None:
    """What the guide to setup says: look, ask, create, try."""
    me.says("section", "Setting up")
    me.says(
        "Founder",
        "My app writes reports on contracts. A report costs me about ten cents. People should buy "
        "credits, and a report costs 4 of them. A credit is 10 cents.",
    )
    me.says("Assistant", "I look at what is there first.")
    assert me.call("list_products", limit=50)["total_count"] == 0
    me.says(
        "Assistant",
        "Nothing is set up yet. I would create: credits (`CREDITS`, whole ones, 0.10 USD each), a "
        "product `reports` at 4 credits per `report`, and 10 % on top of packs from 200 USD. "
        "Shall I?",
    )
    me.says("Founder", "Yes.")
    rates = [{"source": "USD", "rate": 0.1}]
    me.call("create_asset", code="CREDITS", name="Credits", precision=0, rates=rates)
    bonus = [{"id": "large-pack", "percent": 10, "minimum": 2000}]
    me.call("manage_payments", action="set_top_up_bonus", asset_code="CREDITS", top_up_bonus=bonus)
    quotes = [
        me.call("quote_asset", asset_code="CREDITS", source="USD", amount=amount)
        for amount in (10, 50)
    ]
    assert [quote["destination_amount"] for quote in quotes] == [100, 500]
    me.call("create_product", name="Reports", code="reports", publish=True, prices=[REPORT])
    use = {"id": "try-1", "event_type": "report", "occurred_at": now, "data": {}}
    tried = me.call("simulate_usage", product_id="reports", version=1, events=[use])
    assert [(fee["currency"], fee["amount"]) for fee in tried["fees"]] == [("CREDITS", 4)]
    me.says(
        "Assistant",
        "Done and tried: 10 USD buy 100 credits, 50 USD buy 500, and one report takes 4 credits, "
        "which is 0.40 USD.",
    )


def sell(me: Assistant) -> str:
    """The first customer buys a pack; returns their id."""
    me.says("section", "The first customer")
    me.says("Founder", "Then let Ada in, and let her buy the pack for 10 dollars.")
    subscription = {"products": [{"code": "reports"}]}
    made = me.call(
        "create_customer", name="Ada", external_id="user-1", subscriptions=[subscription]
    )
    ada: str = made["id"]
    me.says("Assistant", "Without credit a report is declined before it costs you anything:")
    declined = me.call(
        "authorize", customer_id=ada, transaction_id="report-0", event_type="report", data={}
    )
    assert (declined["status"], declined["top_up_needed"]) == ("declined", 4)
    paying = me.call(
        "create_top_up",
        customer_id=ada,
        amount=10,
        currency="USD",
        destination={"asset": "CREDITS"},
        idempotency_key="first-pack",
        **BACK,
    )
    me.says("Assistant", f"Here Ada pays: <{paying['redirect_url']}>")
    paid = httpx.post(paying["redirect_url"], data=CARD)
    assert BACK["return_url"] in paid.text
    me.says("Ada", "*(opens the page, and pays with the test card 4242 4242 4242 4242)*")
    assert me.call("list_top_ups", top_up_id=paying["id"])["status"] == "succeeded"
    assert me.available(ada, "default:CREDITS") == 100
    return ada


def use(me: Assistant, ada: str, now: str) -> None:
    """Two reports: one that is asked for before it is written, one that is told of afterwards."""
    me.says("section", "Reports that are paid")
    me.says("Founder", "And when my app writes a report?")
    me.says("Assistant", "Before the work it asks, and 4 credits are set aside. By hand, once:")
    hold = me.call(
        "authorize", customer_id=ada, transaction_id="report-1", event_type="report", data={}
    )
    assert (hold["status"], hold["held_amount"], hold["available"]) == ("authorized", 4, 96)
    me.says("Assistant", "*(the report is written)* After it, what was used is charged:")
    written = {"id": "report-1", "event_type": "report", "occurred_at": now, "data": {}}
    captured = me.call(
        "capture",
        customer_id=ada,
        hold_id=hold["id"],
        transaction_id="report-1",
        events=[written],
    )
    assert (captured["captured_amount"], captured["available"]) == (4, 96)
    me.says("Assistant", "And without asking first, where the work is done already:")
    later = written | {"id": "report-2"}
    booked = me.call("send_events", customer_id=ada, events=[later])
    assert booked["events"][0]["balances"] == {"default:CREDITS": 92}
    assert me.available(ada, "default:CREDITS") == 92


def table(rows: list[Row]) -> str:
    """The table that the guide to verification asks for."""
    lines = ["| # | Step | Result | What was seen |", "|---|---|---|---|"]
    for row in rows:
        result = "PASS" if row.has_passed else "FAIL"
        lines.append(f"| {row.number} | {row.step} | {result} | {row.seen} |")
    return "\n".join(lines)


def check(me: Assistant, ada: str, now: str) -> None:
    """The guide to verification, and why the first report cost what it did."""
    me.says("section", "Verified")
    me.says("Founder", "How do I know that it works?")
    me.says("Assistant", "I go through the whole cycle with a test customer.")
    rows = verify(me, Sold("reports", "report", {}, "CREDITS", Decimal(4), 100), "first", now)
    assert [row.number for row in rows if row.has_passed] == list(range(1, 13))
    me.says("Assistant", f"PASS: 12 of 12.\n\n{table(rows)}")
    me.says("Founder", "And why did Ada's report cost 4 credits?")
    why = me.call("explain_event", event_id="report-1")
    assert why["sentence"] == "1 use × 4 CREDITS = 4 CREDITS, from paid grant."
    assert me.available(ada, "default:CREDITS") == 92
    me.says("Assistant", "She has 92 credits left: 100 that she bought, less two reports of 4.")


def lived(database: str) -> str:
    """Live the story on a database, and return its page."""
    clock = Clock()
    with (
        running_server(database, clock, has_pages=True) as server,
        assistant(server.url) as me,
    ):
        now = server.engine.now().isoformat().replace("+00:00", "Z")
        set_up(me, now)
        ada = sell(me)
        use(me, ada, now)
        check(me, ada, now)
        assert server.wait(server.engine.verify()).is_clean
        return page(HEAD, me.story)


def test_from_an_empty_database_to_a_verified_charge(database_url: str) -> None:
    assert lived(database_url).endswith("less two reports of 4.\n")


def test_the_transcript_in_the_docs_is_what_happens(tmp_path: Path) -> None:
    made = lived(new_sqlite(tmp_path / "transcript.db"))
    if os.environ.get("FAREGATE_TRANSCRIPT"):
        TRANSCRIPT.write_text(made)
    assert TRANSCRIPT.read_text() == made, "make transcript writes it anew"


def test_a_pack_that_nobody_pays_for_brings_nothing(tmp_path: Path) -> None:
    database = new_sqlite(tmp_path / "unpaid.db")
    with running_server(database, has_pages=True) as server, assistant(server.url) as me:
        set_up(me, server.engine.now().isoformat())
        ada = me.call("create_customer", name="Ada")["id"]
        paying = me.call(
            "create_top_up",
            customer_id=ada,
            amount=10,
            currency="USD",
            destination={"asset": "CREDITS"},
            **BACK,
        )
        declined = {**CARD, "number": "4000000000000002"}
        assert "declined" in httpx.post(paying["redirect_url"], data=declined).text
        assert me.call("list_top_ups", top_up_id=paying["id"])["status"] == "initiated"
        assert me.call("get_wallet", customer_id=ada) == {"accounts": []}
        with pytest.raises(Refused):
            me.call("refund_top_up", top_up_id=paying["id"], reason="requested_by_customer")
