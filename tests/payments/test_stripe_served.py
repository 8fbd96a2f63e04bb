"""A server that is set up by its environment alone takes a payment through Stripe's double: the
customer's top-up, the page, the event at the door that the server printed, the credit; and nothing
that it printed or answered has a secret in it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.cli.running import running
from tests.databases import new_sqlite
from tests.doubles.stripe import StripeDouble, stripe_double

from faregate.engine import system_clock

ADMIN = "fg_test_" + "a" * 32


@pytest.fixture
def database(tmp_path: Path) -> str:
    return new_sqlite(tmp_path / "faregate.db")


def test_a_served_top_up_through_stripe(database: str) -> None:
    key, secret = f"sk_test_{secrets.token_hex(12)}", f"whsec_{secrets.token_hex(12)}"
    seen: list[str] = []
    with (
        stripe_double(system_clock, key, secret) as double,
        running(
            *("serve", "--database", database, "--port", "0", "--bootstrap-key", ADMIN),
            FAREGATE_STRIPE_TEST_SECRET_KEY=key,
            FAREGATE_STRIPE_TEST_WEBHOOK_SECRET=secret,
            FAREGATE_STRIPE_API_BASE=double.url,
        ) as server,
    ):
        assert server.stdout is not None
        api, door = "", ""
        for line in server.stdout:
            seen.append(line)
            api = line.split()[1] if line.startswith("API") else api
            if line.startswith("Messages"):
                door = line.split()[1]
                break
        with httpx.Client(headers={"x-credyt-api-key": ADMIN}) as client:
            seen += _story(client, api, door, double)
        server.terminate()
        seen += server.communicate(timeout=20)
    printed = "\n".join(seen)
    assert "a payment message was refused" in printed
    assert key not in printed
    assert secret not in printed


def _story(client: httpx.Client, api: str, door: str, double: StripeDouble) -> list[str]:
    seen: list[str] = []

    def ask(method: str, url: str, **more: Any) -> Any:
        answer = client.request(method, url, **more)
        seen.append(answer.text)
        return answer

    ada = ask("POST", f"{api}/customers", json={"name": "Ada"}).json()["id"]
    asked = {
        "customer_id": ada,
        "amount": 20,
        "currency": "USD",
        "return_url": "https://shop.example/thanks",
        "failure_url": "https://shop.example/sorry",
    }
    made = ask("POST", f"{api}/top-ups", json=asked).json()
    assert made["redirect_url"] == double.page_of(made["id"])["url"]
    double.pay(made["id"])
    body = double.message(made["id"])
    forged = double.sign(body, "whsec_guess")
    assert ask("POST", door, content=body, headers=forged).status_code == 403
    for _ in range(3):
        answer = ask("POST", door, content=body, headers=double.sign(body))
        assert answer.status_code == 200
    assert ask("GET", f"{api}/top-ups/{made['id']}").json()["status"] == "succeeded"
    grants = ask("GET", f"{api}/customers/{ada}/wallet/default:USD/grants").json()["items"]
    assert [grant["amount"] for grant in grants] == [20]
    # What Stripe says of a key that it does not take has a part of it.
    double.key = "sk_test_another"
    assert ask("POST", f"{api}/top-ups", json=asked).status_code == 503
    return seen
