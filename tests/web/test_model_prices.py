"""Model prices in a browser's forms, and what an event's page says of its model's cost."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
from tests.web.forms import send
from tests.web.live import LiveServer

from faregate import CreateCustomer
from faregate.core.events import UsageEvent

PAGE = "/test/model-prices"


def test_costs_are_attached_by_a_button_and_shown_with_the_working(
    client: httpx.Client, server: LiveServer
):
    assert "not attached" in client.get(PAGE).text
    assert send(client, PAGE, f"{PAGE}/attach", attach="yes").status_code == 303
    shown = client.get(PAGE).text
    assert "Attach no more costs" in shown
    engine, context = server.engine, server.engine.context_of("test")
    assert engine.catalog_view(context).costing is not None
    ada = server.run(
        lambda engine: engine.create_customer(CreateCustomer(name="Ada"), context=context)
    ).id
    at = datetime.now(UTC)
    events = [
        UsageEvent("known", "llm", at, data={"model": "gpt-4o", "input_tokens": 1000}),
        UsageEvent("unknown", "llm", at, data={"model": "<b>mine", "input_tokens": 1000}),
    ]
    server.run(lambda engine: engine.record_events(ada, events, context=context))
    page = client.get("/test/events/event", params={"customer_id": ada, "id": "known"}).text
    assert "What the model has cost" in page
    assert "1,000 × $2.5 per million" in page
    assert "genai-prices" in page
    page = client.get("/test/events/event", params={"customer_id": ada, "id": "unknown"}).text
    assert "What the model has cost" not in page
    assert "no price is known" in page
    assert "<b>mine" not in page
    assert send(client, PAGE, f"{PAGE}/attach", attach="no").status_code == 303
    assert engine.catalog_view(context).costing is None


def test_a_price_is_added_tried_and_deleted(client: httpx.Client, server: LiveServer):
    form = {"model": "my-llm*", "input_per_million": "0.50", "per_image": "0.04"}
    assert send(client, PAGE, PAGE, **form).status_code == 303
    shown = client.get(PAGE).text
    assert "input $0.5 per million; images $0.04 each" in shown
    call = {"call.model": "my-llm-2", "call.input_tokens": "2,000,000", "call.images": "3"}
    tried = client.get(PAGE, params=call)
    assert tried.status_code == 200
    for text in ("2,000,000 × $0.5 per million", "3 × $0.04", "$1.12"):
        assert text in tried.text
    (price,) = server.run(lambda engine: engine.list_model_prices()).items
    assert send(client, PAGE, f"{PAGE}/{price.id}/delete").status_code == 303
    assert server.run(lambda engine: engine.list_model_prices()).total_count == 0
    assert "no price is known" in client.get(PAGE, params=call).text


def test_what_was_typed_wrong_is_said_beside_its_field(client: httpx.Client):
    for form, field in (
        ({"model": "m"}, "input_per_million"),
        ({"model": "m", "per_image": "much"}, "per_image"),
        ({"model": "m", "per_image": "1", "batch_percent": "200"}, "batch_percent"),
    ):
        answer = send(client, PAGE, PAGE, **form)
        assert answer.status_code == 422
        assert f'id="e-{field}"' in answer.text
    assert "is missing, and so is every other price" in send(client, PAGE, PAGE, model="m").text
    assert 'id="e-call.model"' in client.get(PAGE, params={"call.model": ""}).text
    wrong = client.get(PAGE, params={"call.model": "m", "call.images": "1.5"})
    assert (wrong.status_code, 'id="e-call.images"' in wrong.text) == (422, True)
    assert "write a whole number" in wrong.text
    assert "tells of no call" in client.get(PAGE, params={"call.model": "gpt-4o"}).text
