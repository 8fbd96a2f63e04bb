"""LiteLLM itself calls models and its callback tells us, over real ports: each call is charged
once, however often the callback has to send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import USD, Caller, calling
from tests.api.conftest import INGEST_KEY, RunningServer, running_server
from tests.databases import new_sqlite
from tests.doubles.chat_models import ANSWER, USAGE, ChatModels, chat_models
from tests.doubles.unreliable import LOST_AFTER, LOST_BEFORE, answered, unreliable_way

pytestmark = pytest.mark.slow
QUESTION = "my secret illness"
PRODUCT = {
    "name": "Assistant",
    "code": "assistant",
    "publish": True,
    "prices": [
        {
            "type": "usage_based",
            "name": "Tokens",
            "billing_model": {"type": "real_time"},
            "usage_calculation": {
                "event_type": "model_call",
                "usage_type": "volume",
                "volume_field": "output_tokens",
            },
            "pricing": [{"asset": "USD", "values": [{"volume_rate": 0.01}]}],
        }
    ],
}


@pytest.fixture(scope="module")
def models() -> Iterator[ChatModels]:
    with chat_models() as running:
        yield running


@pytest.fixture
def server(tmp_path: Any) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path / "f.db")) as running:
        yield running


def shop(me: Caller) -> str:
    me.made("products", PRODUCT)
    subscription = {"products": [{"code": "assistant"}]}
    body = {"name": "Ada", "external_id": "ada", "subscriptions": [subscription]}
    ada = str(me.made("customers", body)["id"])
    me.give(ada, "100")
    return ada


def told(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, talk: Callable[[Any], Awaitable[Any]]
) -> None:
    """Let LiteLLM tell this endpoint of the calls that are made meanwhile."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm
    from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger

    async def story() -> None:
        logger = GenericAPILogger(
            endpoint=endpoint,
            headers={"Authorization": f"Bearer {INGEST_KEY}"},
            max_retries=5,
            retry_delay=0,
        )
        logged = asyncio.Semaphore(0)
        queue = logger.log_queue

        class Counted(list):  # type: ignore[type-arg]
            def append(self, item: Any) -> None:
                super().append(item)
                logged.release()

        logger.log_queue = Counted(queue)
        litellm.callbacks = [logger]
        try:
            calls = await talk(litellm)
            async with asyncio.timeout(60):
                for _ in range(calls):
                    await logged.acquire()
            await logger.flush_queue()
        finally:
            litellm.callbacks = []
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())


def asked(models: ChatModels, **more: Any) -> dict[str, Any]:
    return {
        "model": "openai/gpt-4o-mini",
        "messages": [{"role": "user", "content": QUESTION}],
        "api_base": models.url,
        "api_key": "sk-none",
        "user": "ada",
        **more,
    }


def test_calls_whole_and_streamed_are_charged_once_though_the_callback_sends_again(
    server: RunningServer, models: ChatModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk(litellm: Any) -> int:
        whole = await litellm.acompletion(**asked(models))
        assert whole.choices[0].message.content == ANSWER
        options = {"include_usage": True}
        stream = await litellm.acompletion(**asked(models, stream=True, stream_options=options))
        async for _ in stream:
            pass
        return 2

    with calling(server) as me, unreliable_way(server.url) as way:
        ada = shop(me)
        way.fails(answered(503), LOST_BEFORE, LOST_AFTER, None)
        told(f"{way.url}/v1/litellm", monkeypatch, talk)
        assert len(way.passed) == 4
        assert len(way.bodies) == 1
        used = 2 * USAGE["completion_tokens"]  # type: ignore[operator]
        assert me.available(ada, USD) == 100 - used * Decimal("0.01")
        events = me.get("events").body["items"]
        assert len(events) == 2
        for listed in events:
            event = me.get(f"events/{listed['id'].replace(' ', '%20')}").body
            assert event["data"] == {
                "model": "gpt-4o-mini",
                "provider": "openai",
                "operation": "acompletion",
                "input_tokens": 1_200,
                "output_tokens": 300,
                "cache_read_tokens": 1_000,
                "reasoning_tokens": 250,
                "input_audio_tokens": 0,
                "output_audio_tokens": 0,
                **{k: v for k, v in event["data"].items() if k == "answered_from_cache"},
            }
            assert QUESTION not in json.dumps(event, default=str)
            assert "costs" not in event


def test_a_call_that_fails_costs_nothing_and_one_of_a_stranger_is_refused(
    server: RunningServer, models: ChatModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk(litellm: Any) -> int:
        models.fails[:] = [500]
        with pytest.raises(litellm.InternalServerError):
            await litellm.acompletion(**asked(models, max_retries=0))
        await litellm.acompletion(**asked(models, user="nobody"))
        await litellm.acompletion(**asked(models))
        return 3

    with calling(server) as me:
        ada = shop(me)
        told(f"{server.url}/v1/litellm", monkeypatch, talk)
        assert me.available(ada, USD) == 97
        lately = server.engine.lately_ingested("litellm")
        assert lately.counts == {"booked": 1, "skipped": 1, "refused": 1}
        assert lately.refusals[0].detail.startswith("customer 'nobody' is unknown")


def test_litellm_s_own_cost_is_taken_over_where_the_rules_ask_for_it(
    server: RunningServer, models: ChatModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk(litellm: Any) -> int:
        await litellm.acompletion(**asked(models))
        return 1

    with calling(server) as me:
        shop(me)
        rules = me.get("ingestion/litellm/rules").body["rules"]
        cost = {
            "amount": ["response_cost"],
            "vendor": "unknown",
            "vendor_fields": ["custom_llm_provider"],
        }
        assert me.send("PUT", "ingestion/litellm/rules", {**rules, "cost": cost}).status == 200
        told(f"{server.url}/v1/litellm", monkeypatch, talk)
        (listed,) = me.get("events").body["items"]
        (cost,) = me.get(f"events/{listed['id'].replace(' ', '%20')}").body["costs"]
        # 200 input at 0.15 and 1,000 cached at 0.075 per million, 300 output at 0.60.
        assert cost["amount"] == Decimal("0.000285")
        assert cost["vendor_external_id"] == "openai"
