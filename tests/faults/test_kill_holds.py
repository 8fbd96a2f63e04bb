"""The server is killed with SIGKILL while holds are asked for and captured, and credit is given.
What was answered stays answered: the same request gets the same answer, and money moved once.
"""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from tests.faults.serving import CALLERS, KEY, Server, first_customer

from faregate import Engine

ROUNDS = 20
FEE = Decimal("0.001")


class Work:
    """Requests with their answers; None while there is none."""

    def __init__(self, client: httpx.AsyncClient, customer_id: str) -> None:
        self._client = client
        self._wallet = f"/v1/customers/{customer_id}/wallet"
        self._made = 0
        self.answers: dict[str, tuple[str, Any, Any]] = {}

    async def send(self, path: str, body: Any) -> Any:
        """Send a request and note its answer; None if the server went away or says 503."""
        name = f"{path.rpartition('/')[2]} {body['transaction_id']}"
        _, _, first = self.answers.setdefault(name, (path, body, None))
        try:
            answer = await self._client.post(path, json=body)
        except httpx.TransportError:
            return None
        if answer.status_code == 503:
            return None
        assert answer.status_code in (200, 201), answer.text
        read = json.loads(answer.text, parse_float=Decimal)
        assert first in (None, read)
        self.answers[name] = (path, body, read)
        return read

    async def call(self, dice: random.Random) -> None:
        """Work until the server is gone."""
        while True:
            self._made += 1
            name = f"{self._made:06}"
            if dice.random() < 0.1:
                body = {"transaction_id": name, "asset": "USD", "amount": 1, "reason": "gift"}
                if await self.send(f"{self._wallet}/adjustments", body) is None:
                    return
                continue
            ask = {"transaction_id": name, "event_type": "call"}
            hold = await self.send(f"{self._wallet}/holds", ask)
            if hold is None:
                return
            await self.settle(hold, name, dice)

    async def settle(self, hold: Any, name: str, dice: random.Random) -> None:
        if hold["status"] != "authorized" or dice.random() < 0.1:
            return  # What nobody settles is left to the clock.
        now = datetime.now(UTC).isoformat()
        event = {"id": name, "event_type": "call", "occurred_at": now}
        body = {"transaction_id": name, "events": [event]}
        await self.send(f"{self._wallet}/holds/{hold['id']}/capture", body)

    async def repeat_all(self) -> None:
        """Send everything again: what was answered is answered the same."""
        rest = iter(list(self.answers.values()))

        async def caller() -> None:
            for path, body, _ in rest:
                assert await self.send(path, body) is not None

        await asyncio.gather(*[caller() for _ in range(CALLERS)])


@pytest.mark.slow
def test_what_was_promised_and_captured_survives_every_kill(database_url: str) -> None:
    asyncio.run(_story(database_url))


async def _story(database_url: str) -> None:
    dice = random.Random(11)
    server = Server(database_url)
    headers = {"X-CREDYT-API-KEY": KEY}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as client:
        await server.start(client)
        try:
            customer_id = await first_customer(client)
            work = Work(client, customer_id)
            for _ in range(ROUNDS):
                await server.kill_under(client, work.call, dice)
            await work.repeat_all()
            wallet = await client.get(f"/v1/customers/{customer_id}/wallet")
        finally:
            server.kill()
    account = json.loads(wallet.text, parse_float=Decimal)["accounts"][0]
    by_kind: dict[str, list[Any]] = {"holds": [], "capture": [], "adjustments": []}
    for name, (_, _, answer) in work.answers.items():
        by_kind[name.partition(" ")[0]].append(answer)
    assert len(by_kind["capture"]) > ROUNDS
    held = {hold["id"] for hold in by_kind["holds"] if hold["status"] == "authorized"}
    left = len(held) - len(by_kind["capture"])
    spent = FEE * len(by_kind["capture"])
    assert account["pending_out"] == FEE * left
    assert account["available"] == len(by_kind["adjustments"]) - spent - FEE * left
    async with Engine.open(database_url) as engine:
        report = await engine.verify()
    assert report.is_clean
    assert report.fees == len(by_kind["capture"])
