"""Model prices and attached costs over REST, on a real port."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import Caller, assert_refused, calling, event, product, usage
from tests.api.conftest import LIVE_KEY, RunningServer

CALL = {"tokens": 1, "model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100}


def opened(me: Caller) -> str:
    """A shop that attaches costs, and a customer of it."""
    me.made("products", product())
    assert me.patch("accounts/self", {"attach_costs": True}).status == 204
    return me.customer()


def test_an_event_shows_what_was_attached_and_from_where(server: RunningServer) -> None:
    with calling(server) as me, calling(server, LIVE_KEY) as live:
        ada = opened(me)
        assert me.get("accounts/self").body["attach_costs"] is True
        assert live.get("accounts/self").body["attach_costs"] is False
        # By the short way, without preferences, and by the long one with them.
        assert me.post("events", usage(ada, event("short", data=CALL))).status == 204
        prefers = {"Prefer": "return=representation"}
        long = event("long", data={**CALL, "model": "mine"})
        (result,) = me.post("events", usage(ada, long), prefers).body["events"]
        assert "no cost attached: model mine: no price is known" in result["warnings"][0]
        short = me.get("events/short").body
        table = short["cost_source"]
        assert table.startswith("genai-prices ")
        (cost,) = short["costs"]
        assert (cost["amount"], cost["vendor_external_id"]) == (Decimal("0.0035"), "openai")
        assert cost["category"] == "model"
        assert cost["metadata"] == {
            "price_table": table,
            "model": "gpt-4o",
            "parts": [
                {"kind": "input", "count": 1000, "price": Decimal("2.5"), "per": 1_000_000},
                {"kind": "output", "count": 100, "price": 10, "per": 1_000_000},
            ],
        }
        assert short["stats"]["net_revenue"] == Decimal("0.9965")
        assert not {"costs", "cost_source"} & me.get("events/long").body.keys()
        summary = me.get("stats?group_by=customer").body["summary"]
        assert (summary["gross_revenue"], summary["total_costs"]) == (2, Decimal("0.0035"))


def test_the_mark_of_an_attached_cost_cannot_be_sent(server: RunningServer) -> None:
    with calling(server) as me:
        ada = opened(me)
        cost = {"id": "c", "amount": 1, "vendor_external_id": "openai"}
        for costs in (
            {"source": "genai-prices", "costs": [cost]},
            [{**cost, "source": "genai-prices"}],
        ):
            sent = event("forged", data=CALL, costs=costs)
            assert me.post("events", usage(ada, sent)).status in (400, 422)
        sent = event("forged", data=CALL, cost_source="genai-prices")
        assert me.post("events", usage(ada, sent)).status == 422
        assert me.get("events").body["total_count"] == 0


def test_own_prices_are_made_listed_quoted_and_deleted(server: RunningServer) -> None:
    with calling(server) as me, calling(server, LIVE_KEY) as live:
        headers = {"Idempotency-Key": "a price"}
        body = {"model": "llama-3*", "input_per_million": 0.2, "output_per_million": 0.4}
        first, again = [me.post("model-prices", body, headers=headers) for _ in range(2)]
        assert (first.status, first.body) == (201, again.body)
        made = first.body
        assert made["id"].startswith("mpr_")
        assert (made["model"], made["input_per_million"]) == ("llama-3*", Decimal("0.2"))
        assert made["valid_from"] == made["created_at"]
        page = me.get("model-prices").body
        assert (page["total_count"], page["items"]) == (1, [made])
        assert me.get(f"model-prices/{made['id']}").body == made
        for answer in (
            live.get(f"model-prices/{made['id']}"),
            live.send("DELETE", f"model-prices/{made['id']}"),
        ):
            assert answer.status == 404
        assert live.get("model-prices").body["total_count"] == 0

        call = {"model": "llama-3-70b", "input_tokens": 3_000_000, "output_tokens": 500_000}
        quote = me.post("model-prices/quote", {"data": call}).body
        assert (quote["amount"], quote["source"]) == (Decimal("0.8"), made["id"])
        assert [(part["kind"], part["amount"]) for part in quote["parts"]] == [
            ("input", Decimal("0.6")),
            ("output", Decimal("0.2")),
        ]
        assert me.send("DELETE", f"model-prices/{made['id']}").status == 204
        assert me.get("model-prices").body["total_count"] == 0
        assert "deleted_at" in me.get(f"model-prices/{made['id']}").body
        quote = me.post("model-prices/quote", {"data": call}).body
        assert "amount" not in quote
        assert "no price is known" in quote["warning"]


def test_a_quote_shows_the_rule_of_a_batch(server: RunningServer) -> None:
    with calling(server) as me:
        call = {"model": "claude-opus-4-1", "input_tokens": 1000, "batch": True}
        quote = me.post("model-prices/quote", {"data": call}).body
        assert (quote["amount"], quote["rule"]) == (
            Decimal("0.0075"),
            "anthropic charges half for a batch",
        )


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("model-prices", {"model": "m"}, "input_per_million"),
        ("model-prices", {"model": "", "per_request": 1}, "model"),
        ("model-prices", {"model": "a*b", "per_request": 1}, "model"),
        ("model-prices", {"model": "m", "per_request": -1}, "per_request"),
        ("model-prices", {"model": "m", "per_request": "1"}, "per_request"),
        ("model-prices", {"model": "m", "per_image": 0.0000000001}, "per_image"),
        ("model-prices", {"model": "m", "per_image": 1, "batch_percent": 101}, "batch_percent"),
        ("model-prices", {"model": "m", "per_image": 1, "valid_from": "now"}, "valid_from"),
        ("model-prices", {"model": "m", "price": 1}, "price"),
        ("model-prices/quote", {"data": {"model": "gpt-4o"}}, "data"),
        ("model-prices/quote", {}, "data"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(
    server: RunningServer, path: str, body: dict[str, Any], field: str
) -> None:
    with calling(server) as me:
        assert_refused(me.post(path, body), field)
        assert me.get("model-prices").body["total_count"] == 0


def test_what_changes_costs_is_in_the_audit_log(server: RunningServer) -> None:
    with calling(server) as me:
        me.patch("accounts/self", {"attach_costs": True})
        made = me.made("model-prices", {"model": "m", "per_request": 1})
        me.post("model-prices/quote", {"data": {"model": "m", "images": 0}})
        me.send("DELETE", f"model-prices/{made['id']}")
        entries = server.wait(server.engine.list_audit_entries())
        assert len(entries) >= 3
        told = " ".join(str(entry) for entry in entries)
        assert "model-prices" in told
        assert "quote" not in told
