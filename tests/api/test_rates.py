"""What credits cost, and quotes: by the published client over a real port, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from corehttp.exceptions import HttpResponseError
from credytapi import CredytApiClient
from tests.api.caller import calling
from tests.api.conftest import RunningServer

CREDITS = {"code": "CREDITS", "name": "Credits", "rates": [{"source": "USD", "rate": 0.1}]}


def errors_of(raised: Any) -> tuple[int, dict[str, list[str]]]:
    answer = raised.value.response
    return answer.status_code, answer.json().get("errors", {})


def test_a_seller_prices_credits_and_a_buyer_asks_what_they_get(client: CredytApiClient) -> None:
    client.assets.create(CREDITS)
    quote = client.assets.quote("CREDITS", {"source": "USD", "amount": 5})
    assert (quote["destination_amount"], quote["rate"], quote.destination) == (50, 0.1, "CREDITS")
    quote = client.assets.quote("CREDITS", {"source": "USD", "amount": 0.99})
    assert (quote["destination_amount"], quote["is_rounded_down"]) == (9, True)
    later = datetime.now(UTC) + timedelta(days=30)
    client.assets.add_rate(
        "CREDITS", {"source": "USD", "rate": 0.2, "valid_from": later.isoformat()}
    )
    asked = {"source": "USD", "amount": 5}
    assert client.assets.quote("CREDITS", asked)["destination_amount"] == 50
    then = {**asked, "exchange_at": later.isoformat()}
    assert client.assets.quote("CREDITS", then)["destination_amount"] == 25
    before = {**asked, "exchange_at": (later - timedelta(microseconds=1)).isoformat()}
    assert client.assets.quote("CREDITS", before)["destination_amount"] == 50
    (rates,) = client.assets.get("CREDITS").rates
    assert [rate["rate"] for rate in rates.schedule] == [0.2, 0.1]
    assert [rate.get("valid_to") is None for rate in rates.schedule] == [True, False]


def test_currencies_have_rates_too(client: CredytApiClient) -> None:
    client.assets.add_rate("EUR", {"source": "USD", "rate": 1.25})
    quote = client.assets.quote("EUR", {"source": "USD", "amount": 10})
    assert quote["destination_amount"] == 8
    # Seen to the cent, and never more than was paid for.
    quote = client.assets.quote("EUR", {"source": "USD", "amount": 0.99})
    assert (quote["destination_amount"], quote["is_rounded_down"]) == (0.79, True)


@pytest.mark.parametrize(
    ("code", "body", "status", "field"),
    [
        ("NONE", {"source": "USD", "rate": 1}, 404, None),
        ("CREDITS", {"source": "CREDITS", "rate": 1}, 422, "source"),
        ("CREDITS", {"source": "XYZ", "rate": 1}, 422, "source"),
        ("USD", {"source": "USD", "rate": 1}, 422, "source"),
        ("USD", {"source": "EUR", "rate": 1}, 409, "source"),
        ("CREDITS", {"source": "USD"}, 422, "rate"),
        ("CREDITS", {"source": "USD", "rate": 1, "inverse_rate": 1}, 422, "rate"),
        ("CREDITS", {"source": "USD", "rate": 0}, 422, "rate"),
        ("CREDITS", {"source": "USD", "rate": -1}, 422, "rate"),
        (
            "CREDITS",
            {"source": "USD", "rate": 1, "valid_from": "1969-12-31T00:00:00Z"},
            422,
            "valid_from",
        ),
        (
            "CREDITS",
            {"source": "USD", "rate": 1, "valid_to": "9999-12-31T00:00:00Z"},
            422,
            "valid_to",
        ),
        (
            "CREDITS",
            {
                "source": "USD",
                "rate": 1,
                "valid_from": "2030-01-02T00:00:00Z",
                "valid_to": "2030-01-01T00:00:00Z",
            },
            422,
            "valid_to",
        ),
    ],
)
def test_a_rate_that_cannot_be_is_refused_and_changes_nothing(
    client: CredytApiClient, code: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    client.assets.create(CREDITS)
    client.assets.add_rate("EUR", {"source": "USD", "rate": 1.25})
    before = [client.assets.get(name) for name in ("CREDITS", "EUR", "USD")]
    with pytest.raises(HttpResponseError) as raised:
        client.assets.add_rate(code, body)
    found, errors = errors_of(raised)
    assert found == status
    assert list(errors) == ([] if field is None else [field])
    assert [client.assets.get(name) for name in ("CREDITS", "EUR", "USD")] == before


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"source": "EUR", "amount": 1}, 422, "source"),
        ({"source": "USD", "amount": -1}, 422, "amount"),
        ({"source": "USD", "amount": 0.0000000001}, 422, "amount"),
        ({"source": "USD", "amount": 1, "exchange_at": "2001-01-01T00:00:00Z"}, 422, "source"),
    ],
)
def test_a_quote_without_a_rate_says_so(
    client: CredytApiClient, body: dict[str, Any], status: int, field: str
) -> None:
    client.assets.create(CREDITS)
    with pytest.raises(HttpResponseError) as raised:
        client.assets.quote("CREDITS", body)
    assert errors_of(raised)[0] == status
    assert list(errors_of(raised)[1]) == [field]


def test_a_rate_that_is_sent_again_under_its_key_is_added_once(server: RunningServer) -> None:
    with calling(server) as me:
        me.made("assets", {**CREDITS, "code": "ONCE"})
        body = {"source": "EUR", "inverse_rate": 20}
        for _ in range(2):
            headers = {"Idempotency-Key": "a rate"}
            assert me.post("assets/ONCE/rates", body, headers=headers).status == 204
        rates = me.get("assets/ONCE").body["rates"]
        assert [(r["source"], len(r["schedule"])) for r in rates] == [("EUR", 1), ("USD", 1)]
        assert me.post("assets/ONCE/rates", body).status == 204
        (euro, _) = me.get("assets/ONCE").body["rates"]
        newest, first = euro["schedule"]
        assert first["valid_to"] == newest["valid_from"]
