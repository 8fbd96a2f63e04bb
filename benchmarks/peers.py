"""What else one could build: a stored function per call on the same PostgreSQL, and a script in
Redis that writes its log through to the disk. Both charge a wallet of three grants for an event
that counts once. The function writes what Faregate writes; the script writes far less (no fees, no
transfers, nothing to look up later but the balance and the ids).
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.embedded import Plan, Say
from benchmarks.measuring import Call, Rate, measure, middle
from benchmarks.shop import GRANTS, open_shop, usage, verify
from faregate import Engine
from faregate.core.codec import encode

CALLERS: Final = (1, 16, 64, 256)
WALLETS: Final = ("spread", "hot")
SUBJECTS: Final = ("function", "redis", "faregate")
Cell = tuple[str, int, str]
POOL_SIZE: Final = 32
_UNITS_PER_TOKEN: Final = 2_000
_CREDIT_UNITS: Final = 10**15

_FUNCTION: Final = """
CREATE TABLE peer_customers (id text PRIMARY KEY);
CREATE TABLE peer_grants (
    customer_id text, grant_id text, remaining bigint, PRIMARY KEY (customer_id, grant_id));
CREATE TABLE peer_events (
    event_id text, customer_id text, event_type text, occurred_at timestamptz, data jsonb,
    units bigint, available bigint, PRIMARY KEY (event_id, customer_id));
CREATE TABLE peer_fees (
    id bigserial PRIMARY KEY, customer_id text, event_id text, units bigint, volume numeric);
CREATE TABLE peer_transfers (
    id bigserial PRIMARY KEY, customer_id text, from_account text, units bigint, fee_id bigint);
CREATE TABLE peer_prices (event_type text PRIMARY KEY, field text, units_per_volume bigint);
CREATE FUNCTION peer_charge(
    customer text, event text, kind text, happened timestamptz, body jsonb
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    price peer_prices; credit peer_grants; prior bigint; fee bigint; cost bigint; missing bigint;
    rest bigint;
BEGIN
    PERFORM 1 FROM peer_customers WHERE id = customer FOR UPDATE;
    SELECT e.available INTO prior FROM peer_events e
        WHERE e.event_id = event AND e.customer_id = customer;
    IF FOUND THEN RETURN prior; END IF;
    SELECT * INTO price FROM peer_prices WHERE event_type = kind;
    cost := (body ->> price.field)::numeric * price.units_per_volume;
    INSERT INTO peer_fees (customer_id, event_id, units, volume)
        VALUES (customer, event, cost, (body ->> price.field)::numeric) RETURNING id INTO fee;
    missing := cost;
    FOR credit IN SELECT * FROM peer_grants
        WHERE customer_id = customer AND remaining > 0 ORDER BY grant_id LOOP
        EXIT WHEN missing = 0;
        UPDATE peer_grants SET remaining = remaining - least(missing, credit.remaining)
            WHERE customer_id = customer AND grant_id = credit.grant_id;
        INSERT INTO peer_transfers (customer_id, from_account, units, fee_id)
            VALUES (customer, credit.grant_id, least(missing, credit.remaining), fee);
        missing := missing - least(missing, credit.remaining);
    END LOOP;
    IF missing > 0 THEN RAISE EXCEPTION 'insufficient funds'; END IF;
    SELECT sum(remaining) INTO rest FROM peer_grants WHERE customer_id = customer;
    INSERT INTO peer_events VALUES (event, customer, kind, happened, body, cost, rest);
    RETURN rest;
END $$;
"""
_SCRIPT: Final = """
local prior = redis.call('HGET', KEYS[2], ARGV[1])
if prior then return tonumber(prior) end
local missing = tonumber(ARGV[2]) * 2000
for grant = 1, 3 do
  local there = tonumber(redis.call('HGET', KEYS[1], grant))
  local part = math.min(missing, there)
  if part > 0 then
    redis.call('HINCRBY', KEYS[1], grant, -part)
    missing = missing - part
  end
  if missing == 0 then break end
end
if missing > 0 then return -1 end
local rest = 0
for grant = 1, 3 do rest = rest + tonumber(redis.call('HGET', KEYS[1], grant)) end
redis.call('HSET', KEYS[2], ARGV[1], rest)
return rest
"""


def has_redis() -> bool:
    """Tell whether a Redis server can be started here."""
    return shutil.which("redis-server") is not None


async def measure_peers(
    url: str, base_url: str, plan: Plan, say: Say
) -> tuple[dict[Cell, Rate], int]:
    """Measure every cell, in turn; without Redis, without it. Returns the medians, and how many
    charges of Faregate's `verify` found."""
    rounds: dict[Cell, list[Rate]] = {}
    async with Engine.open(url) as engine, _function(base_url, plan) as function:
        customers = await open_shop(engine, plan.customers)

        async def faregate(customer: int, run: str, number: int) -> None:
            customer_id = customers[customer]
            await engine.record_events(customer_id, [usage(run, number)], are_checked=True)

        async with _redis(plan) as redis:
            subjects = {"function": function, "redis": redis, "faregate": faregate}
            for turn in range(plan.rounds):
                for callers in CALLERS:
                    for wallets in WALLETS:
                        count = 1 if wallets == "hot" else plan.customers
                        for subject, charge in subjects.items():
                            if charge is None:
                                continue
                            say(f"peers, {subject}, {callers} callers, {wallets}")
                            run = f"{turn}-{wallets}-{callers:03d}"
                            call = _calls(charge, count, run)
                            rate = await measure(call, callers, plan.seconds)
                            rounds.setdefault((subject, callers, wallets), []).append(rate)
    say("verify")
    return {cell: middle(rates) for cell, rates in rounds.items()}, await verify(url)


def _calls(charge: Any, customers: int, run: str) -> Call:
    async def call(number: int) -> None:
        await charge(number % customers, run, number)

    return call


@asynccontextmanager
async def _function(url: str, plan: Plan) -> AsyncIterator[Any]:
    """Charge by one call of the stored function, on a pool of connections."""
    pool = await asyncpg.create_pool(url, min_size=POOL_SIZE, max_size=POOL_SIZE)
    try:
        await pool.execute(_FUNCTION)
        await pool.execute(
            "INSERT INTO peer_customers SELECT 'c' || n FROM generate_series(0, $1::int - 1) AS n",
            plan.customers,
        )
        await pool.execute(
            "INSERT INTO peer_grants SELECT c.id, 'g' || g, $1 "
            "FROM peer_customers c, generate_series(1, $2::int) AS g",
            _CREDIT_UNITS,
            GRANTS,
        )
        await pool.execute(
            "INSERT INTO peer_prices VALUES ('completion', 'output_tokens', $1)", _UNITS_PER_TOKEN
        )

        async def charge(customer: int, run: str, number: int) -> None:
            event = usage(run, number)
            await pool.fetchval(
                "SELECT peer_charge($1, $2, $3, $4, $5)",
                f"c{customer}",
                event.id,
                event.event_type,
                event.occurred_at,
                encode(event.data).decode(),
            )

        yield charge
    finally:
        await pool.close()


@asynccontextmanager
async def _redis(plan: Plan) -> AsyncIterator[Any]:
    """Charge by one call of the script, each caller on a connection of its own."""
    if not has_redis():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="faregate-bench-") as folder:
        socket = str(Path(folder) / "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", folder]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: ASYNC220, S603
            try:
                free: asyncio.LifoQueue[_Redis] = asyncio.LifoQueue()
                connections = [await _Redis.open(socket) for _ in range(max(CALLERS))]
                for connection in connections:
                    free.put_nowait(connection)
                script = (await connections[0].send("SCRIPT", "LOAD", _SCRIPT)).decode()
                for customer in range(plan.customers):
                    fields = [part for n in (1, 2, 3) for part in (str(n), str(_CREDIT_UNITS))]
                    await connections[0].send("HSET", f"w:{customer}", *fields)

                async def charge(customer: int, run: str, number: int) -> None:
                    event = usage(run, number)
                    tokens = str((event.data or {})["output_tokens"])
                    connection = await free.get()
                    keys = (f"w:{customer}", f"e:{customer}")
                    await connection.send("EVALSHA", script, "2", *keys, event.id, tokens)
                    free.put_nowait(connection)

                yield charge
                for connection in connections:
                    connection.close()
            finally:
                process.terminate()


class _Redis:
    """A connection that speaks as much of Redis's protocol (RESP 2) as is needed here."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, socket: str) -> _Redis:
        """Connect, as soon as the server listens."""
        for _ in range(500):
            try:
                return cls(*await asyncio.open_unix_connection(socket))
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.01)
        raise SystemExit("redis-server did not start")

    async def send(self, *words: str) -> bytes:
        """Send a command; returns a text, or the digits of a number. Errors end the run."""
        self._writer.write(_command(words))
        line = (await self._reader.readline()).rstrip()
        if line.startswith(b"-"):
            raise SystemExit(f"redis: {line.decode()}")
        if line.startswith(b"$"):
            return (await self._reader.readexactly(int(line[1:]) + 2))[:-2]
        return line[1:]

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


def _command(words: Sequence[str]) -> bytes:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        body = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(body), body))
    return b"".join(parts)
