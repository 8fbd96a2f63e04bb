"""The server is killed with SIGKILL under load, again and again. Every charge that was answered is
there once; every one that was not is there or not, and sending it again is safe.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest

from faregate import Engine

KEY = "fg_test_" + "k" * 32
ROUNDS = 20
CALLERS = 16
PRODUCT = {
    "name": "Calls",
    "code": "calls",
    "publish": True,
    "prices": [
        {
            "type": "usage_based",
            "name": "Call",
            "usage_calculation": {"event_type": "call", "usage_type": "unit"},
            "billing_model": {"type": "real_time"},
            "pricing": [{"asset": "USD", "values": [{"unit_price": 0.001}]}],
        }
    ],
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process that can be killed and started again on the same address."""

    def __init__(self, database_url: str) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._database_url = database_url

    async def start(self, client: httpx.AsyncClient) -> None:
        command = [sys.executable, "-m", "faregate.cli", "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(  # noqa: ASYNC220
            [*command, "--database", self._database_url],
            env={**os.environ, "FAREGATE_BOOTSTRAP_KEY": KEY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(600):
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, "the server ended by itself"
            await asyncio.sleep(0.05)  # a real process takes real time to come up
        raise AssertionError("the server did not come up")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


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
            assert (await client.post("/v1/products", json=PRODUCT)).status_code == 201
            subscription = {"products": [{"code": "calls"}]}
            body = {"name": "Acme", "subscriptions": [subscription]}
            customer_id = (await client.post("/v1/customers", json=body)).json()["id"]
            load = Load(client, customer_id)
            for _ in range(ROUNDS):
                callers = [asyncio.create_task(load.call(dice)) for _ in range(CALLERS)]
                await asyncio.sleep(dice.uniform(0.02, 0.25))  # the instant of the kill
                server.kill()
                await asyncio.gather(*callers)
                await server.start(client)
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
