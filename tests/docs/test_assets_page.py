"""The page about assets: its requests are sent as they are printed, and its tables are what comes
back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.api.caller import ago, calling, usage
from tests.api.conftest import RunningServer, running_server
from tests.databases import new_sqlite

PAGE = (Path(__file__).parents[2] / "docs/assets.md").read_text()
ASSET, PRODUCT, PAYMENT = re.findall(r"```http\nPOST /v1/(\S+)\n(.*?)```", PAGE, re.DOTALL)
(ANSWER,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
QUOTES = re.findall(r"^\| ([\d.]+) \| (\d+) \| (yes|no) \|$", PAGE, re.M)
IMAGES = re.findall(r"^\| (\d) \| ([\d.]+) \| (\d+) \| (-?[\d.]+) \|$", PAGE, re.M)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path / "page.db")) as server:
        yield server


def test_the_examples_come_to_what_the_tables_say(server: RunningServer) -> None:
    with calling(server) as me:
        for path, body in (ASSET, PRODUCT):
            me.made(path, body)
        assert len(QUOTES) == 3
        for paid, bought, rounded in QUOTES:
            answer = me.post("assets/CREDITS/quote", f'{{"source": "USD", "amount": {paid}}}').body
            assert answer["destination_amount"] == Decimal(bought)
            assert answer.get("is_rounded_down", False) is (rounded == "yes")
        subscription = {"products": [{"code": "images"}], "starts_at": ago(days=1)}
        ada = me.made("customers", {"name": "Ada", "subscriptions": [subscription]})["id"]
        path, body = PAYMENT
        paid = me.made(path.replace("{id}", ada), body)
        expected = json.loads(ANSWER, parse_float=Decimal)
        assert {name: paid[name] for name in expected} == expected
        assert len(IMAGES) == 4
        exact = taken = Decimal(0)
        for number, amount, units, carried in IMAGES:
            use = {"id": number, "event_type": "image", "occurred_at": ago()}
            answer = me.post("events", usage(ada, use), headers={"prefer": "return=representation"})
            (fee,) = answer.body["events"][0]["fees"]
            assert (fee["amount"], fee["paid_amount"]) == (Decimal(amount), Decimal(units))
            exact += fee["amount"] * fee["exchange_rate"]
            taken += fee["paid_amount"]
            assert exact - taken == Decimal(carried)
        assert me.available(ada, "default:CREDITS") == paid["destination_amount"] - 25


def test_a_rate_back_would_make_a_circle_and_a_chain_is_not_followed(
    server: RunningServer,
) -> None:
    with calling(server) as me:
        me.made(*ASSET)
        me.post("assets/USD/rates", {"source": "EUR", "rate": 0.9})
        # A chain: CREDITS from USD, USD from EUR. Nothing is bought with EUR by it.
        body = {"source": "EUR", "amount": 1}
        assert me.post("assets/CREDITS/quote", body).fields == ["source"]
        back = {"source": "USD", "rate": 1.1}
        assert me.post("assets/EUR/rates", back).status == 409
        ada = me.made("customers", {"name": "Ada"})["id"]
        payment = {
            "transaction_id": "p1",
            "asset": "EUR",
            "amount": 1,
            "reason": "other",
            "convert_to": {"asset": "CREDITS"},
        }
        refused = me.post(f"customers/{ada}/wallet/adjustments", payment)
        assert refused.fields == ["convert_to.asset"]
        assert "no rate between EUR and CREDITS" in refused.body["detail"]
