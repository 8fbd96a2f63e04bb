"""Numbers arrive and come back to the last digit, though JSON libraries read them as floats."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.api.conftest import TEST_KEY, RunningServer
from tests.assistants.assistant import assisting

DIGITS = "123456789.123456789"
"""18 digits: as a float it would be 123456789.12345679."""


def test_an_amount_of_18_digits_arrives_and_comes_back_to_the_last_digit(
    server: RunningServer,
) -> None:
    with assisting(server) as me:
        customer = me.made("create_customer", name="Ada")["id"]
        sent = f'"customer_id": "{customer}", "transaction_id": "t", "asset": "USD"'
        told = me.tell("adjust_wallet", f'{{{sent}, "reason": "gift", "amount": {DIGITS}}}')
        assert not told.is_error, told.text
        assert f'"available":{DIGITS},' in me.call("get_wallet", customer_id=customer).text


def test_a_number_deep_inside_of_an_argument_is_priced_exactly(server: RunningServer) -> None:
    rate = "1.000000000000000001"
    price = (
        '{"type": "usage_based", "name": "Tokens", "billing_model": {"type": "real_time"}, '
        '"usage_calculation": {"event_type": "llm", "usage_type": "volume", '
        '"volume_field": "tokens"}, '
        f'"pricing": [{{"asset": "USD", "values": [{{"volume_rate": {rate}}}]}}]}}'
    )
    with assisting(server) as me:
        told = me.tell(
            "create_product", f'{{"name": "T", "code": "t", "publish": true, "prices": [{price}]}}'
        )
        assert not told.is_error, told.text
        shown = me.made("get_product", product_id="t", version=1)
        assert shown["prices"][0]["pricing"][0]["values"][0]["volume_rate"] == Decimal(rate)
        at = server.engine.now().isoformat()
        use = f'"id": "e", "event_type": "llm", "occurred_at": "{at}"'
        data = f'"data": {{"tokens": {DIGITS}}}'
        told = me.tell(
            "simulate_usage",
            f'{{"product_id": "t", "version": 1, "events": [{{{use}, {data}}}]}}',
        )
        assert not told.is_error, told.text
        assert f'"amount":{DIGITS},' in told.text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_sdks_client_reads_the_same_digits(server: RunningServer, mode: str) -> None:
    async def run() -> str:
        headers = {"authorization": f"Bearer {TEST_KEY}"}
        async with httpx2.AsyncClient(headers=headers) as http:
            transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:  # type: ignore[arg-type]
                answer = await client.call_tool("get_product", {"product_id": "f", "version": 1})
                assert answer.structured_content is None
                return answer.content[0].text  # type: ignore[union-attr]

    price = f'{{"unit_price": {DIGITS}}}'
    with assisting(server) as me:
        fixed = (
            '{"type": "fixed", "name": "F", "billing_model": {"type": "one_time", "one_time": {}}, '
            f'"pricing": [{{"asset": "USD", "values": [{price}]}}]}}'
        )
        told = me.tell("create_product", f'{{"name": "F", "code": "f", "prices": [{fixed}]}}')
        assert not told.is_error, told.text
    assert DIGITS in asyncio.run(run())
