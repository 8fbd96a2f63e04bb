"""Texts that a database or a driver might take for something else are kept as they were sent."""

from __future__ import annotations

import pytest
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    book,
    give,
    make_customer,
    sell_tokens,
    tell,
)

from faregate import Engine
from faregate.core.events import UsageEvent

ODD = ["\x1e", "\x1f", "\x1e\x1f", "a\x1fb", ",", "NULL", "{}", "\\N", "'; --", "é\U0001f600", " "]


@pytest.mark.parametrize("text", ODD)
def test_an_odd_text_is_kept_wherever_it_stands(database_url: str, text: str):
    async def story() -> None:
        event = UsageEvent(text, "llm", NOON, text, text, {"n": 1, text: text})
        plain = UsageEvent("plain", "llm", NOON, None, None, {"n": 1})
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await engine.record_events(customer_id, [plain, event])
            first = await give(engine, customer_id, "1", text, description=text)
        async with Engine.open(database_url, clock=Clock()) as engine:
            assert (await book(engine, customer_id, event)).status == "repeat"
            _, booked = await engine.get_event(text, customer_id)
            assert booked.event == event
            assert await give(engine, customer_id, "1", text, description=text) == first
            await assert_clean(engine)

    tell(story())
