"""Every way in for uses, on one server: how many are charged a second by each, beside single events
over REST. Requests are made before the clock starts; each way tells of new uses of the same
customers, in requests of the size that its senders use.
"""

from __future__ import annotations

import asyncio
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from benchmarks.assistants import tools_call
from benchmarks.embedded import Say
from benchmarks.http import KEY, _running
from benchmarks.shop import EVENT_TYPE
from benchmarks.spans import span_export

USES: Final = 12_000
"""Of each way in batches, in each round; a quarter of them one by one."""
MANY_CALLERS: Final = 32
FEW_CALLERS: Final = 8
_REFUSALS: Final = (b'"refused"', b'"isError":true')
JSON: Final = {"content-type": "application/json"}


class Sending(NamedTuple):
    """A request that is ready to be sent."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Way(NamedTuple):
    """A way in: so many uses a request, from so many callers."""

    name: str
    size: int
    callers: int
    make: Callable[[Sequence[str], str, int, int], Sending]
    """Makes a request of customers' uses: customers, run, number of the first use, how many."""


class Found(NamedTuple):
    """What was measured of a way: uses charged a second."""

    name: str
    size: int
    callers: int
    per_second: float


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _data(number: int) -> dict[str, Any]:
    return {"model": "large", "output_tokens": 1000 + number % 7}


def _rest(customers: Sequence[str], run: str, first: int, size: int) -> Sending:
    events = [
        {"id": f"{run}-{n}", "event_type": EVENT_TYPE, "occurred_at": _now(), "data": _data(n)}
        for n in range(first, first + size)
    ]
    customer_id = customers[first // size % len(customers)]
    body = {"customer_id": customer_id, "events": events}
    return Sending("/v1/events", JSON, msgspec.json.encode(body))


def _cloudevent(customers: Sequence[str], run: str, number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{run}-{number}",
        "source": "/benchmark",
        "type": EVENT_TYPE,
        "time": _now(),
        "subject": customers[number % len(customers)],
        "datacontenttype": "application/json",
        "data": _data(number),
    }


def _cloudevents(customers: Sequence[str], run: str, first: int, size: int) -> Sending:
    events = [_cloudevent(customers, run, n) for n in range(first, first + size)]
    kind = "application/cloudevents+json"
    if size > 1:
        kind = "application/cloudevents-batch+json"
    body = msgspec.json.encode(events if size > 1 else events[0])
    return Sending("/v1/cloudevents", {"content-type": kind}, body)


def _litellm(customers: Sequence[str], run: str, first: int, size: int) -> Sending:
    now = datetime.now(UTC).timestamp()
    calls = [
        {
            "id": f"{run}-{n}",
            "litellm_call_id": f"{run}-{n}",
            "call_type": "acompletion",
            "status": "success",
            "stream": False,
            "model": "large",
            "custom_llm_provider": "openai",
            "end_user": customers[n % len(customers)],
            "startTime": now - 1,
            "endTime": now,
            "prompt_tokens": 120,
            "completion_tokens": 1000 + n % 7,
            "total_tokens": 1120 + n % 7,
            "response_cost": 0.0012,
            "messages": [{"role": "user", "content": "How much is it? " * 10}],
            "response": {"choices": [{"message": {"content": "It is exact. " * 10}}]},
            "metadata": {"user_api_key_hash": "x" * 64, "requester_ip_address": "127.0.0.1"},
        }
        for n in range(first, first + size)
    ]
    return Sending("/v1/litellm", JSON, msgspec.json.encode(calls))


def _lines(customers: Sequence[str], run: str, first: int, size: int) -> Sending:
    lines = []
    for n in range(first, first + size):
        fields = {"customer": customers[n % len(customers)], "event_type": EVENT_TYPE}
        fields |= {"data.model": "large", "data.output_tokens": str(1000 + n % 7)}
        lines.append({"id": f"{run}-{n}", "occurred_at": _now(), "fields": fields})
    return Sending("/v1/ingestion/import", JSON, msgspec.json.encode({"lines": lines}))


def _spans(customers: Sequence[str], run: str, first: int, size: int) -> Sending:
    # A run's spans are numbered from a place of their own: the number is the span's id.
    place = int.from_bytes(run.encode()[-4:]) * 1_000_000
    export = span_export("protobuf", customers, place + first, size)
    return Sending(export.path, export.headers, export.body)


def _tool(customers: Sequence[str], run: str, first: int, size: int) -> Sending:
    return Sending(*tools_call(customers, run, first // size, size))


def ways() -> list[Way]:
    """Return the ways in that there are."""
    return [
        Way("POST /v1/events", 1, MANY_CALLERS, _rest),
        Way("POST /v1/events", 100, FEW_CALLERS, _rest),
        Way("CloudEvents", 1, MANY_CALLERS, _cloudevents),
        Way("CloudEvents, batch", 100, FEW_CALLERS, _cloudevents),
        Way("OTLP, protobuf", 512, FEW_CALLERS, _spans),
        Way("LiteLLM's callback", 100, FEW_CALLERS, _litellm),
        Way("lines of files", 1000, 1, _lines),
        Way("an assistant's tool", 1, MANY_CALLERS, _tool),
        Way("an assistant's tool", 100, FEW_CALLERS, _tool),
    ]


def measure_ways(
    url: str, customers: Sequence[str], rounds: int, say: Say, uses: int = USES
) -> list[Found]:
    """Measure each way in turn, so many rounds; returns the medians, `faregate import` the last."""
    rates: dict[str, list[float]] = {}
    serve = ["-m", "faregate.cli", "serve", "--database", url, "--port", "0"]
    with _running([*serve, "--bootstrap-key", KEY]) as address:
        for turn in range(rounds):
            for number, way in enumerate(ways()):
                say(f"{way.name}, {way.size} a request")
                wanted = uses // 4 if way.size == 1 else uses
                sent = [
                    way.make(customers, f"{turn:02d}{number:02d}", first, way.size)
                    for first in range(0, wanted, way.size)
                ]
                seconds = asyncio.run(_send(address, sent, way.callers))
                timed = (len(sent) - 1) * way.size
                rates.setdefault(f"{number}", []).append(timed / seconds)
            say("faregate import")
            rates.setdefault("import", []).append(_import(address, customers, 5 * uses))
    medians = [
        Found(way.name, way.size, way.callers, median(rates[f"{number}"]))
        for number, way in enumerate(ways())
    ]
    return [*medians, Found("faregate import, as a program", 1000, 1, median(rates["import"]))]


async def _send(address: str, sent: Sequence[Sending], callers: int) -> float:
    """Send requests from so many callers; returns the seconds that all but the first took, which
    may wake what sleeps until it is needed. Ends the program if anything was refused."""
    left: Iterator[Sending] = iter(sent)
    connector = aiohttp.TCPConnector(limit=callers)
    headers = {"x-credyt-api-key": KEY}
    async with aiohttp.ClientSession(address, connector=connector, headers=headers) as http:

        async def send(one: Sending) -> None:
            async with http.post(one.path, data=one.body, headers=one.headers) as answer:
                body = await answer.read()
            if answer.status not in (200, 204) or any(said in body for said in _REFUSALS):
                raise SystemExit(f"{one.path}: {answer.status} {body[:500]!r}")

        async def call() -> None:
            for one in left:
                await send(one)

        await send(next(left))
        begun = perf_counter()
        await asyncio.gather(*(call() for _ in range(callers)))
        return perf_counter() - begun


def _import(address: str, customers: Sequence[str], uses: int) -> float:
    """Import a file as a user does; returns lines a second, the program's start included."""
    with tempfile.TemporaryDirectory(prefix="faregate-bench-") as folder:
        path = Path(folder) / "uses.csv"
        write_file(path, customers, uses)
        begun = perf_counter()
        run_import(path, address).wait()
        return uses / (perf_counter() - begun)


def write_file(path: Path, customers: Sequence[str], uses: int) -> None:
    """Write a CSV file of so many uses, without ids of their own."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ("occurred_at", "customer", "event_type", "data.model", "data.output_tokens")
        )
        for n in range(uses):
            customer = customers[n % len(customers)]
            writer.writerow((_now(), customer, EVENT_TYPE, "large", 1000 + n % 7))


def run_import(path: Path, address: str) -> subprocess.Popen[bytes]:
    """Begin to import a file into a server."""
    command = [sys.executable, "-m", "faregate.cli", "import", str(path), "--url", address]
    environment = {**os.environ, "FAREGATE_API_KEY": KEY}
    return subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
