"""A server with every payment setting set to a marked secret: whatever it prints, logs and answers
on a walk through payments, refunds, forged messages and error pages, no mark is in it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
from tests.faults.serving import HEADERS, KEY, Server, first_customer

MARK = "Zq7xMarkedSecret"
SOURCE = Path(__file__).parents[2] / "src/faregate"
NAMES = re.compile(r"FAREGATE_(?:STRIPE|MOLLIE|EXTERNAL|SANDBOX)_[A-Z_]*(?:KEY|SECRET)[A-Z_]*")
FORMS = (
    ("STRIPE_TEST_SECRET_KEY", f"sk_test_{MARK}"),
    ("STRIPE_TEST_WEBHOOK_SECRET", f"whsec_{MARK}"),
    ("STRIPE_LIVE_SECRET_KEY", f"sk_live_{MARK}"),
    ("STRIPE_LIVE_WEBHOOK_SECRET", f"whsec_{MARK}live"),
    ("MOLLIE_TEST_API_KEY", f"test_{MARK}{'x' * 30}"),
    ("MOLLIE_LIVE_API_KEY", f"live_{MARK}{'x' * 30}"),
    ("EXTERNAL_SECRET", f"whsec_{MARK}{'x' * 30}0="),
)
"""How secrets look where a provider minds; other settings are the mark alone."""
SHOP = {"return_url": "https://shop.example/ok", "failure_url": "https://shop.example/no"}


def settings() -> dict[str, str]:
    """Every setting of payments that the source reads and that is secret, marked."""
    forms = {f"FAREGATE_{name}": value for name, value in FORMS}
    found = {name for file in SOURCE.rglob("*.py") for name in NAMES.findall(file.read_text())}
    return {**forms, **{name: f"{MARK}{'x' * 32}" for name in found if name not in forms}}


def test_no_secret_is_printed_logged_or_answered(tmp_path: Path) -> None:
    said, answers = tmp_path / "said", []

    async def remember(response: httpx.Response) -> None:
        await response.aread()
        answers.append(f"{response.status_code} {response.headers} {response.text}")

    async def walk() -> None:
        server = Server(f"sqlite:///{tmp_path}/faregate.db", said=said, settings=settings())
        hooks = {"response": [remember]}
        async with httpx.AsyncClient(
            base_url=server.url, headers=HEADERS, event_hooks=hooks, timeout=60
        ) as client:
            await server.start(client)
            try:
                await _walk(client)
            finally:
                await server.stop()

    async def _walk(client: httpx.AsyncClient) -> None:
        customer = await first_customer(client)
        account = (await client.get("/v1/accounts/self")).json()["account_id"]
        wanted = {"customer_id": customer, "amount": 20, "currency": "USD", **SHOP}
        for body in (wanted, {**wanted, "amount": MARK[:3]}, {}):
            made = await client.post("/v1/top-ups", json=body)
            top_up = made.json().get("id", "tup_none")
            await client.get(f"/checkout/{top_up}")
            await client.post(f"/v1/top-ups/{top_up}/refunds", json={})
            await client.get(f"/v1/top-ups/{top_up}/refunds")
            await client.get(f"/v1/top-ups/{top_up}")
        for provider in ("sandbox", "stripe", "mollie", "external", "nobody"):
            for mode in ("test", "live"):
                path = f"/payments/messages/{provider}/{account}/{mode}"
                forged = {
                    "sandbox-signature": "t=1,v1=00",
                    "stripe-signature": "t=1,v1=00",
                    "webhook-id": "msg_1",
                    "webhook-timestamp": "1",
                    "webhook-signature": "v1,AAAA",
                }
                for content in (b"", b"{}", b"id=tr_1", b"\xff{", b'{"id": "evt_1"}'):
                    await client.post(path, content=content, headers=forged)
                    await client.post(path, content=content)
        for path in ("/healthz", "/readyz", "/metrics", "/", "/docs", "/nothing", "/openapi.json"):
            await client.get(path)

    asyncio.run(walk())
    printed = said.read_text(errors="replace")
    assert answers
    assert not [answer for answer in answers if MARK in answer]
    assert MARK not in printed
    assert KEY not in printed


def test_a_setting_that_cannot_work_is_named_and_not_shown(tmp_path: Path) -> None:
    for name in settings():
        environment = {**os.environ, **settings(), name: f"{MARK} is none"}
        command = [sys.executable, "-m", "faregate.cli", "serve", "--port", "1"]
        # Where the setting itself is taken, the database is refused next.
        command += ["--database", f"nowhere:///{tmp_path}"]
        done = subprocess.run(
            command, env=environment, capture_output=True, check=False, timeout=60
        )
        assert done.returncode
        assert MARK.encode() not in done.stdout + done.stderr, name
