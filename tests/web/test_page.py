import re

import httpx
from tests.scenarios.year import fixed
from tests.web.live import LiveServer

from faregate.catalog.types import CreateProduct
from faregate.core.codec import decode, encode
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


def test_what_is_charged_is_shown_to_the_last_digit(client: httpx.Client, server: LiveServer):
    server.add_product()
    ada = server.add_customer("Ada", "100")
    server.use(ada, 101)
    page = text_of(client.get("/test/now").text)
    assert "$1.2625 USD" in page
    assert "$98.7375" in page
    assert "Ada api_call $0.0125" in page


def test_the_heaviest_customer_comes_first_and_the_list_is_bounded(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    customers = [server.add_customer(f"Customer {n:02}") for n in range(25)]
    server.use(customers[3], 2)
    server.use(customers[7], 5)
    page = client.get("/test/now").text
    names = re.findall(r'<th scope="row">(Customer \d\d)</th><td class="number">', page)
    assert len(names) == 20
    assert names[:2] == ["Customer 07", "Customer 03"]
    assert "20 of 25" in text_of(page)


def test_an_event_without_a_price_is_shown_as_one(client: httpx.Client, server: LiveServer):
    server.add_product()
    server.use(server.add_customer("Ada"), event_type="unknown")
    assert "unknown no price" in text_of(client.get("/test/now").text)


def test_a_customer_whose_credit_is_used_up_stands_out(client: httpx.Client, server: LiveServer):
    server.add_product()
    server.use(server.add_customer("Ada", "0.0125"), 2)
    page = text_of(client.get("/test/now").text)
    assert "-$0.0125" in page
    assert "used up" in page


def test_a_name_cannot_bring_markup_into_the_page(client: httpx.Client, server: LiveServer):
    server.add_product()
    server.add_customer("<script>alert(1)</script>")
    page = client.get("/test").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_live_data_is_not_shown_on_the_test_page(client: httpx.Client, server: LiveServer):
    live = server.engine.context_of("live")
    server.run(lambda engine: engine.create_customer(CreateCustomer("Livia"), context=live))
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
