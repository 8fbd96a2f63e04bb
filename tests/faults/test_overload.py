"""A lane that has more to do than may wait says so at once, and so it goes on until it has caught
up; nothing of what it accepted is lost. Under ten times what a server can carry its memory is
bounded, it goes on accepting about as much as it can carry, and afterwards all is as before.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import structlog
from tests.faults.overload import overload
from tests.ledger.shop import Clock, assert_clean, available, make_customer, sell_tokens, tell, use

from faregate import Engine
from faregate.core.events import MAX_EVENTS
from faregate.core.problems import FaregateError
from faregate.ledger.lane import MAX_QUEUED
from faregate.rest.app import create_app
from faregate.rest.headers import RequestHeaders

MAX_MEGABYTES = 300
"""What waits at the most: as many events as may be queued, and the connections."""


def fill(engine: Engine, customer_id: str) -> list[Any]:
    """Send batches, with nobody at work meanwhile, until one is refused."""
    sent = []
    while True:
        events = tuple(use(f"{len(sent)}.{n}") for n in range(MAX_EVENTS))
        try:
            sent.append(engine.try_record(customer_id, events, False, MAX_EVENTS, None))
        except FaregateError as error:
            problem = error.problem
            break
    assert problem.kind.status == 429
    assert problem.retry_after_seconds == 1
    return sent


def test_once_the_queue_was_full_requests_are_refused_unread_until_it_has_emptied(
    database_url: str,
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            engine.refuse_if_overloaded()
            sent = fill(engine, customer_id)
            assert len(sent) == MAX_QUEUED // MAX_EVENTS
            with pytest.raises(FaregateError, match="20000 commands are waiting"):
                engine.refuse_if_overloaded()
            answers = await asyncio.gather(*sent)
            assert {r.status for answer in answers for r in answer.results} == {"booked"}
            engine.refuse_if_overloaded()
            assert await available(engine, customer_id) == 100 - MAX_QUEUED
            await assert_clean(engine)

    tell(story())


def test_a_flood_that_is_refused_is_not_read_and_is_logged_once_a_second(tmp_path: Any):
    async def story() -> None:
        async with Engine.open(f"sqlite:///{tmp_path}/faregate.db", clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            _, secret = await engine.create_key("test", "admin", "test")
            app = create_app(engine)
            headers = {"X-CREDYT-API-KEY": secret}
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://x", headers=headers
            ) as client:
                path = f"/v1/customers/{customer_id}/wallet"
                assert (await client.get(path)).status_code == 200  # the key is known now
            sent = fill(engine, customer_id)
            raw = RequestHeaders([(b"x-credyt-api-key", secret.encode())])
            told = []
            with structlog.testing.capture_logs() as logs:
                for _ in range(1000):
                    try:
                        app.begin(raw, b"this is no JSON")
                    except FaregateError as error:
                        told.append(app.server.refusal(error, "/v1/events", b"request")[0])
            assert told == [429] * 1000
            assert 1 <= len(logs) < 20
            await asyncio.gather(*sent)

    tell(story())


@pytest.mark.slow
def test_ten_times_what_a_server_can_carry_is_refused_early_and_nothing_accepted_is_lost(
    database_url: str,
):
    report = asyncio.run(overload(database_url, 2, 4))
    assert report.refused(429) > report.flood["statuses"]["204"]
    assert set(report.flood["statuses"]) == {"204", "429"}
    assert report.megabytes_at_most - report.megabytes_before < MAX_MEGABYTES
    assert report.after["statuses"].keys() == {"204"}
    assert 0 <= report.events_there - report.events_accepted <= report.events_lost
