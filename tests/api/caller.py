"""A caller with a key, whose numbers stay the digits that travel: what it sends is JSON text, what
it reads has `Decimal`. And a small shop to call about: one product, priced per token and per call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
from tests.api.conftest import TEST_KEY, RunningServer

USD = "default:USD"
SOLD = "products/tokens"
LISTS = ("products", "customers", "events", "assets", "limits", "vendors", "coupons")


class Answer(NamedTuple):
    """What came back; `body` is the JSON, or the text of what is not JSON."""

    status: int
    headers: httpx.Headers
    body: Any

    @property
    def fields(self) -> list[str]:
        """The paths that a refusal names."""
        return list(self.body["errors"])


class Caller:
    """Speaks to the server with one key."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request. A body of text or bytes travels as it is, another one as JSON."""
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        return read(
            self.http.request(
                method,
                path if path.startswith("/") else f"/v1/{path}",
                content=body,
                headers={"content-type": "application/json", **(headers or {})},
            )
        )

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("POST", path, body, headers)

    def patch(self, path: str, body: Any) -> Answer:
        return self.send("PATCH", path, body)

    def made(self, path: str, body: Any) -> Any:
        """Create something that must succeed; returns the answer's body."""
        answer = self.post(path, body)
        assert answer.status == 201, answer.body
        return answer.body

    def customer(self, **more: Any) -> str:
        """Make a customer who uses the tokens of the shop; returns the id."""
        long_ago = (datetime.now(UTC) - timedelta(days=60)).isoformat()
        subscription = {"products": [{"code": "tokens"}], "starts_at": long_ago}
        body = {"name": "Ada", "subscriptions": [subscription], **more}
        return str(self.made("customers", body)["id"])

    def give(self, customer_id: str, amount: str, asset: str = "USD") -> None:
        """Credit a wallet with an amount in these digits."""
        self.made(adjustments(customer_id), adjustment(amount, asset))

    def available(self, customer_id: str, account: str = USD) -> Decimal:
        """What an account shows."""
        return Decimal(self.get(f"customers/{customer_id}/wallet/{account}").body["available"])


def read(response: httpx.Response) -> Answer:
    """Read an answer with its numbers as they were written."""
    body: Any = response.text
    if response.content and response.headers["content-type"].endswith("json"):
        body = json.loads(response.content, parse_float=Decimal)
    return Answer(response.status_code, response.headers, body)


def is_problem(answer: Answer, status: int) -> bool:
    """Whether it is a complete problem document (RFC 9457) of this status."""
    body = answer.body
    return (
        isinstance(body, dict)
        and answer.status == body.get("status") == status
        and answer.headers["content-type"] == "application/problem+json"
        and body["type"].startswith("urn:faregate:problem:")
        and bool(body["title"] and body["detail"] and body["instance"])
        and body["request_id"] == answer.headers["x-request-id"]
    )


def assert_refused(answer: Answer, *fields: str) -> None:
    """It was refused for these fields, with a message for each."""
    assert is_problem(answer, 422), answer.body
    assert answer.fields == list(fields)
    assert all(answer.body["errors"][field] for field in fields)


def world(me: Caller, customer_id: str) -> list[Any]:
    """Everything that a refusal could have changed."""
    counts = [me.get(path).body["total_count"] for path in LISTS]
    customer = f"customers/{customer_id}"
    shown = (customer, f"{customer}/wallet", f"{customer}/limits", SOLD)
    return counts + [me.get(path).body for path in shown]


@contextmanager
def calling(
    server: RunningServer, key: str | None = TEST_KEY, account: str | None = None
) -> Iterator[Caller]:
    """A caller with this key (None: without any), acting for an account."""
    headers = {} if key is None else {"x-credyt-api-key": key}
    if account is not None:
        headers["x-credyt-account"] = account
    with httpx.Client(base_url=server.url, headers=headers, timeout=30) as http:
        yield Caller(http)


def adjustments(customer_id: str) -> str:
    return f"customers/{customer_id}/wallet/adjustments"


def adjustment(amount: str, asset: str = "USD", transaction_id: str | None = None) -> str:
    """An adjustment as JSON text, with the amount in these digits."""
    name = transaction_id or f"{asset} {amount}"
    return (
        f'{{"transaction_id": {json.dumps(name)}, "asset": "{asset}", "reason": "gift", '
        f'"amount": {amount}}}'
    )


def ago(**by: float) -> str:
    """The instant that long ago, as the API writes it."""
    return (datetime.now(UTC) - timedelta(**by)).isoformat()


def usage(customer_id: str, *events: Mapping[str, Any]) -> dict[str, Any]:
    return {"customer_id": customer_id, "events": list(events)}


def event(identifier: str, tokens: Any = 1, **more: Any) -> dict[str, Any]:
    """A use of this many tokens, now unless said otherwise."""
    return {
        "id": identifier,
        "event_type": "llm",
        "occurred_at": ago(),
        "data": {"tokens": tokens},
        **more,
    }


def product(rate: str = "1", asset: str = "USD", code: str = "tokens") -> str:
    """A published product as JSON text: `rate` per token, in these digits."""
    return (
        f'{{"name": "Tokens", "code": "{code}", "publish": true, "prices": [{{'
        '"type": "usage_based", "name": "Tokens", "billing_model": {"type": "real_time"}, '
        '"usage_calculation": '
        '{"event_type": "llm", "usage_type": "volume", "volume_field": "tokens"}, '
        f'"pricing": [{{"asset": "{asset}", "values": [{{"volume_rate": {rate}}}]}}]}}]}}'
    )


def wrong(whole: Any, path: str, value: Any) -> Any:
    """A copy of a body with one thing changed, or taken out (`...`)."""
    copy = json.loads(json.dumps(whole))
    *inside, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    place = copy
    for key in inside:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copy
