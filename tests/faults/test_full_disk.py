"""The disk of a server on SQLite is full. What cannot be kept is refused with 503 and leaves
nothing behind, what is kept can be read; with room again the server goes on by itself.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from tests.cli.running import COMMAND, environment, run
from tests.faults.disk import Disk
from tests.faults.serving import KEY, PRODUCT, Server, first_customer

from faregate import Engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(resource, "prlimit"), reason="the limits of a running process: Linux only"
    ),
]

CALLERS = 16
PRICE = Decimal("0.001")


class Load:
    """Callers that send until they are refused, and know what they were told."""

    def __init__(self, client: httpx.AsyncClient, customer_id: str) -> None:
        self._client = client
        self._customer_id = customer_id
        self._made = 0
        self._now = datetime.now(UTC).isoformat()
        self.answered: set[str] = set()
        self.refused: set[str] = set()

    async def send(self, *ids: str) -> bool:
        """Send some events; tells whether they were taken."""
        events = [{"id": i, "event_type": "call", "occurred_at": self._now} for i in ids]
        body = {"customer_id": self._customer_id, "events": events}
        answer = await self._client.post("/v1/events", json=body)
        if answer.status_code != 204:
            assert_says_send_again(answer)
            self.refused.update(ids)
            return False
        self.answered.update(ids)
        self.refused.difference_update(ids)
        return True

    async def send_new(self, count: int) -> bool:
        first = self._made
        self._made += count
        return await self.send(*[f"event {first + n}" for n in range(count)])

    async def until_refused(self, count: int) -> None:
        """All callers send, in requests of so many events, until each was refused."""

        async def call() -> None:
            while await self.send_new(count):
                pass

        await asyncio.gather(*[call() for _ in range(CALLERS)])

    async def repeat(self) -> None:
        """Send again what was refused, one by one: it is taken."""
        for identifier in sorted(self.refused):
            assert await self.send(identifier)


def assert_says_send_again(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:faregate:problem:unavailable"
    assert int(answer.headers["retry-after"]) >= 1


async def assert_shows(client: httpx.AsyncClient, customer_id: str, events: int) -> None:
    """The wallet and the list have so many events."""
    wallet = await client.get(f"/v1/customers/{customer_id}/wallet")
    listed = await client.get("/v1/events", params={"customer_id": customer_id})
    account = json.loads(wallet.text, parse_float=Decimal)["accounts"][0]
    assert listed.json()["total_count"] == events
    assert account["available"] == -PRICE * events


def test_a_full_disk_is_a_503_that_leaves_nothing_behind_and_reads_go_on(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(_story(tmp_path / "faregate.db"), 60))


async def _story(path: Path) -> None:
    url = f"sqlite:///{path}"
    server, disk = Server(url), Disk(path)
    headers = {"X-CREDYT-API-KEY": KEY}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as client:
        await server.start(client)
        try:
            customer_id = await first_customer(client)
            load = Load(client, customer_id)
            for _ in range(5):
                assert await load.send_new(20)

            disk.fill(server.process.pid)
            await load.until_refused(5)
            await load.until_refused(1)
            assert load.refused
            await _assert_reads_only(client, customer_id, len(load.answered))

            disk.free(server.process.pid)
            await load.repeat()
            assert (await client.get("/readyz")).status_code == 200
            assert await load.send_new(5)
            await assert_shows(client, customer_id, len(load.answered))

            # Once more, and now the server is killed while the disk is full.
            disk.fill(server.process.pid)
            await load.until_refused(5)
            server.kill()
            await server.start(client)
            await load.repeat()
            assert await load.send_new(5)
            await assert_shows(client, customer_id, len(load.answered))
        finally:
            server.kill()
    async with Engine.open(url) as engine:
        report = await engine.verify()
    assert report.is_clean
    assert report.fees == len(load.answered)


async def _assert_reads_only(client: httpx.AsyncClient, customer_id: str, events: int) -> None:
    """Nothing can be written, of no kind; everything answered can be read, and nothing else."""
    gift = {"transaction_id": "gift", "asset": "USD", "amount": 1, "reason": "gift"}
    wallet = f"/v1/customers/{customer_id}/wallet"
    assert_says_send_again(await client.post(f"{wallet}/adjustments", json=gift))
    assert_says_send_again(await client.post("/v1/customers", json={"name": "Grace"}))
    assert_says_send_again(await client.post("/v1/products", json={**PRODUCT, "code": "more"}))
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/v1/products")).json()["total_count"] == 1
    assert (await client.get("/v1/customers")).json()["total_count"] == 1
    await assert_shows(client, customer_id, events)


@pytest.mark.parametrize("room", [8192, 100_000], ids=["for_no_schema", "for_half_of_it"])
def test_a_server_that_cannot_write_its_database_refuses_to_start_and_says_so(
    tmp_path: Path, room: int
) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    server = Server(f"sqlite:///{tmp_path}/faregate.db")
    ended = subprocess.run(
        server.command,
        preexec_fn=no_room,
        env=environment(FAREGATE_BOOTSTRAP_KEY=KEY),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "FAREGATE_DATABASE_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_first_migration_that_the_disk_cut_short_is_made_when_there_is_room(
    tmp_path: Path,
) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    url = f"sqlite:///{tmp_path}/faregate.db"
    command = [*COMMAND, "migrate", "--database", url]
    cut_short = subprocess.run(
        command, preexec_fn=little_room, capture_output=True, timeout=30, check=False
    )
    assert cut_short.returncode != 0
    made = run("migrate", "--database", url)
    assert made.returncode == 0, made.stderr
