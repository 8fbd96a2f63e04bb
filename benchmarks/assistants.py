"""Events by an assistant's tool, `send_events` over `/mcp`, beside the REST route: the same server,
the same client, the same events.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.http import KEY, _running, prepare
from benchmarks.measuring import Rate, measure
from benchmarks.shop import EVENT_TYPE

CALLERS: Final = 16
BATCH: Final = 100
HEADERS: Final = {
    "accept": "application/json",
    "content-type": "application/json",
    "mcp-protocol-version": "2025-06-18",
}


def usage(customer: str, run: str, number: int, size: int) -> dict[str, Any]:
    """Return a batch of new events of one customer."""
    at = datetime.now(UTC).isoformat()
    data = {"output_tokens": 1000}
    same = {"event_type": EVENT_TYPE, "occurred_at": at, "data": data}
    events = [{"id": f"{run}-{number}-{place}", **same} for place in range(size)]
    return {"customer_id": customer, "events": events}


def tools_call(
    customers: Sequence[str], run: str, number: int, size: int
) -> tuple[str, dict[str, str], bytes]:
    """Return a message that calls `send_events`: its path, its headers, its body."""
    arguments = usage(customers[number % len(customers)], run, number, size)
    params = {"name": "send_events", "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return "/mcp", HEADERS, json.dumps(message).encode()


async def measure_tools(
    address: str, customers: Sequence[str], run: str, size: int, seconds: float
) -> Rate:
    """Measure `send_events` by the tool; returns calls per second, each of `size` events."""
    async with aiohttp.ClientSession(address, headers={"authorization": f"Bearer {KEY}"}) as http:

        async def call(number: int) -> None:
            path, headers, body = tools_call(customers, run, number, size)
            async with http.post(path, data=body, headers=headers) as answer:
                said = await answer.json()
            if said.get("result", {}).get("isError", True):
                raise SystemExit(f"a call failed, so this rate means nothing: {said}")

        await call(-1)  # The first message wakes the server.
        return await measure(call, CALLERS, seconds)


async def measure_rest(
    address: str, customers: Sequence[str], run: str, size: int, seconds: float
) -> Rate:
    """Measure the same over REST, with the same answer."""
    headers = {
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "prefer": "return=representation",
    }
    async with aiohttp.ClientSession(address, headers=headers) as http:

        async def call(number: int) -> None:
            body = usage(customers[number % len(customers)], run, number, size)
            async with http.post("/v1/events", data=json.dumps(body)) as answer:
                await answer.read()
                answer.raise_for_status()

        return await measure(call, CALLERS, seconds)


def main(seconds: float = 4, rounds: int = 3) -> None:
    """Measure both in turn, and print events per second."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'assistants.db'}"
        customers = asyncio.run(prepare(url, 200))
        serve = ["-m", "faregate.cli", "serve", "--database", url, "--port", "0"]
        with _running([*serve, "--bootstrap-key", KEY]) as address:
            for turn in range(rounds):
                for name, way in (("rest", measure_rest), ("tools", measure_tools)):
                    for size in (1, BATCH):
                        run = f"{name}-{turn}-{size}"
                        rate = asyncio.run(way(address, customers, run, size, seconds))
                        events = rate.per_second * size
                        print(
                            f"{name:6} {size:4} a call  {events:9,.0f} events/s  "
                            f"p50 {rate.p50_ms:.1f} ms  p99 {rate.p99_ms:.1f} ms"
                        )


if __name__ == "__main__":
    sys.exit(main())
