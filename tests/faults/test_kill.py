"""The server is killed with SIGKILL under load, again and again. Every charge that was answered is
there once; every one that was not is there or not, and sending it again is safe.
"""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from tests.faults.serving import CALLERS, KEY, Server, first_customer

from faregate import Engine

ROUNDS = 20


class Load:
    """Callers that note which of their events were answered."""

    def __init__(self, client: httpx.AsyncClient, customer_id: str) -> None:
        self._client = client
        self._customer_id = customer_id
        self._made = 0
        self.answered: set[str] = set()
        self.open: set[str] = set()

    async def send(self, ids: list[str]) -> bool:
        now = datetime.now(UTC).isoformat()
        events = [
            {"id": i, "event_type": "call", "occurred_at": INSTANTS.setdefault(i, now)} for i in ids
        ]
        body = {"customer_id": self._customer_id, "events": events}
        self.open.update(ids)
        try:
            answer = await self._client.post("/v1/events", json=body)
        except httpx.TransportError:
            return False
        if answer.status_code != 204:
            assert answer.status_code == 503, answer.text
            return False
        self.answered.update(ids)
        self.open.difference_update(ids)
        return True

    async def call(self, dice: random.Random) -> None:
        """Send until the server is gone."""
        while True:
            count = dice.choice((1, 1, 1, 5))
            ids = [f"e-{self._made + n}" for n in range(count)]
            self._made += count
            if not await self.send(ids):
                return


INSTANTS: dict[str, str] = {}


@pytest.mark.slow
def test_what_was_answered_is_charged_once_however_often_the_server_is_killed(
    database_url: str,
) -> None:
    asyncio.run(_story(database_url))


async def _story(database_url: str) -> None:
    INSTANTS.clear()
    dice = random.Random(7)
    server = Server(database_url)
    headers = {"X-CREDYT-API-KEY": KEY}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as client:
        await server.start(client)
        try:
            customer_id = await first_customer(client)
            load = Load(client, customer_id)
            for _ in range(ROUNDS):
                await server.kill_under(client, load.call, dice)
                for identifier in sorted(load.open):
                    assert await load.send([identifier])
            wallet = await client.get(f"/v1/customers/{customer_id}/wallet")
            listed = await client.get("/v1/events", params={"customer_id": customer_id})
        finally:
            server.kill()
    account = json.loads(wallet.text, parse_float=Decimal)["accounts"][0]
    assert len(load.answered) > ROUNDS * CALLERS
    assert listed.json()["total_count"] == len(load.answered)
    assert account["available"] == -Decimal("0.001") * len(load.answered)
    async with Engine.open(database_url) as engine:
        report = await engine.verify()
    assert report.is_clean
    assert report.fees == len(load.answered)
