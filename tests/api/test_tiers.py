"""Prices with tiers, made and read by the published client over a real port."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from corehttp.exceptions import HttpResponseError
from credytapi import CredytApiClient

TIERED: dict[str, Any] = {
    "name": "Tokens",
    "code": "tokens",
    "publish": True,
    "prices": [
        {
            "type": "usage_based",
            "name": "Tokens",
            "usage_calculation": {
                "event_type": "llm_call",
                "usage_type": "volume",
                "volume_field": "tokens",
            },
            "billing_model": {"type": "real_time"},
            "pricing_model": "tiered",
            "tiering": {"basis": "volume", "period": "monthly"},
            "pricing": [
                {
                    "asset": "USD",
                    "values": [
                        {"up_to": 1000, "volume_rate": 0.01},
                        {"up_to": 5000, "volume_rate": 0.005},
                        {"volume_rate": 0.001},
                    ],
                }
            ],
        }
    ],
}


def event(identifier: str, tokens: int) -> dict[str, Any]:
    return {
        "id": identifier,
        "event_type": "llm_call",
        "occurred_at": datetime.now(UTC).isoformat(),
        "data": {"tokens": tokens},
    }


def test_a_customer_pays_by_tiers(client: CredytApiClient) -> None:
    product = client.products.create(TIERED)
    version = client.products.get_version(product.id, 1)
    price = version.prices[0]
    assert (price["pricing_model"], price["tiering"]["basis"]) == ("tiered", "volume")
    assert [value.get("up_to") for value in price["pricing"][0]["values"]] == [1000, 5000, None]
    customer = client.customers.create(
        {"name": "Acme", "subscriptions": [{"products": [{"code": "tokens"}]}]}
    )
    events = [event("a", 900), event("b", 200), event("c", 8900)]
    # 900 x 0.01; 100 x 0.01 + 100 x 0.005; 3,900 x 0.005 + 5,000 x 0.001.
    expected = [9, 1.5, 24.5]
    simulated = client.products.simulate_usage(product.id, 1, {"events": events})
    assert [fee["amount"] for fee in simulated.fees] == expected
    client.events.send_usage({"customer_id": customer.id, "events": events})
    fees = [client.events.get(name).fees[0] for name in "abc"]
    assert [fee["amount"] for fee in fees] == expected
    # The tier in which it ended, and how it came there.
    assert [fee["volume_rate"] for fee in fees] == [0.01, 0.005, 0.001]
    assert [(fee["counted_before"], fee["counted"]) for fee in fees] == [
        (0, 900),
        (900, 200),
        (1100, 8900),
    ]


def test_tiers_that_fall_are_refused_by_field(client: CredytApiClient) -> None:
    fallen = copy.deepcopy(TIERED)
    fallen["prices"][0]["pricing"][0]["values"][1]["up_to"] = 1000
    with pytest.raises(HttpResponseError) as raised:
        client.products.create(fallen)
    answer = raised.value.response
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert list(errors) == ["prices[0].pricing[0].values[1].up_to"]
    assert "tiers must rise" in str(errors)
