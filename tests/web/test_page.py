import re
from datetime import UTC, datetime

import httpx
from tests.scenarios.year import fixed
from tests.web.live import LiveServer

from faregate.catalog.types import CreateProduct
from faregate.core.codec import decode, encode
from faregate.core.events import UsageEvent
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.platform.accounts import CreateAccount


def text_of(html: str) -> str:
    """Return the words of a page; what is in different cells or paragraphs stays apart."""
    inside = re.sub(r"</?(span|code)[^>]*>", "", html)
    return " ".join(re.sub(r"<[^>]+>", " ", inside).split())


def test_an_empty_page_says_what_to_do_next(client: httpx.Client, server: LiveServer):
    page = client.get("/test").text
    assert "There are no customers yet" in page
    assert f"curl {server.url}/v1/customers" in page
    assert f"curl {server.url}/v1/events" in page


def test_a_name_cannot_bring_markup_into_the_page(client: httpx.Client, server: LiveServer):
    server.add_product()
    server.use(server.add_customer("<script>alert(1)</script>"))
    page = client.get("/test").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_live_data_is_not_shown_on_the_test_page(client: httpx.Client, server: LiveServer):
    live = server.engine.context_of("live")
    livia = server.run(lambda engine: engine.create_customer(CreateCustomer("Livia"), context=live))
    event = UsageEvent("e", "api_call", datetime.now(UTC))
    server.run(lambda engine: engine.record_events(livia.id, [event], context=live))
    assert "Livia" in client.get("/live").text
    assert "Livia" not in client.get("/test").text


def test_a_customer_of_a_connected_account_finds_what_their_subscription_waits_for(
    client: httpx.Client, server: LiveServer
):
    made = server.run(lambda engine: engine.create_account(CreateAccount("Seller")))
    seller = server.run(lambda engine: engine.acting_for(made.id, "test"))
    product = {
        "name": "Studio of the seller",
        "code": "studio",
        "publish": True,
        "prices": [fixed("20")],
    }
    request = decode(CreateProduct, encode(product))
    server.run(lambda engine: engine.create_product(request, context=seller))
    wanted = CreateSubscription([SubscribedProduct(code="studio")])
    body = CreateCustomer("Ada", subscriptions=[wanted])
    customer = server.run(lambda engine: engine.create_customer(body, context=seller))
    answer = client.get(f"/pay/{customer.id}/{customer.subscriptions[0].id}")
    assert answer.status_code == 200
    assert "Studio of the seller" in answer.text
    assert "Pay $20.00" in answer.text
    for other in (f"/pay/{customer.id}/sub_none", f"/pay/cust_none/{customer.id}"):
        gone = client.get(other)
        assert gone.status_code == 404
        assert "This link leads nowhere" in gone.text
        # Whoever pays has no use for the shop's own pages.
        assert "The live page" not in gone.text


def test_an_unknown_path_is_a_page_that_leads_back(client: httpx.Client):
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
