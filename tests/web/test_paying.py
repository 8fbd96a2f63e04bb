"""The page where a customer does what their subscription needs, in a real browser, with the
sandbox's checkout behind it."""

from __future__ import annotations

import httpx
from playwright.sync_api import Page
from tests.ledger.plans import monthly
from tests.web.live import LiveServer
from tests.web.test_checkout import DECLINED, GOOD, accessible

from faregate import Engine
from faregate.catalog.types import CreateProduct
from faregate.core.codec import from_dict
from faregate.customers.types import (
    CollectionMethod,
    CreateCustomer,
    CreateSubscription,
    SubscribedProduct,
)

SAVED_THEN_DECLINED = "4000000000000341"


def subscribed(
    server: LiveServer, method: CollectionMethod = "charge_automatically"
) -> tuple[str, str, str]:
    """Subscribe somebody to a plan of 20 USD: returns the customer, the subscription, its page."""

    async def subscribe(engine: Engine) -> tuple[str, str, str]:
        if all(product.code != "team" for product in (await engine.list_products()).items):
            plan = {"name": "Team", "code": "team", "publish": True, "prices": [monthly(20)]}
            await engine.create_product(from_dict(CreateProduct, plan))
        ada = await engine.create_customer(CreateCustomer("Ada"))
        request = CreateSubscription(
            [SubscribedProduct(code="team")],
            collection_method=method,
            return_url=f"{server.url}/?shop",
        )
        made = await engine.create_subscription(ada.id, request, base_url=server.url)
        assert made.required_actions is not None
        return ada.id, made.id, made.required_actions[0].redirect_url

    return server.run(subscribe)


def status(server: LiveServer, customer: str, subscription: str) -> str:
    return server.run(lambda engine: engine.get_subscription(customer, subscription)).status


def fill(page: Page, number: str, button: str) -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expires").fill("12/40")
    page.get_by_label("Security code").fill("123")
    page.get_by_role("button", name=button).click()


def test_a_card_is_left_and_the_subscription_begins(server: LiveServer, page: Page) -> None:
    ada, subscription, url = subscribed(server)
    page.goto(url)
    assert page.get_by_role("heading", name="Team").is_visible()
    assert page.get_by_role("button", name="Pay").count() == 0
    accessible(page)
    page.get_by_role("button", name="Leave a card").click()
    page.wait_for_url("**/checkout/**")
    fill(page, GOOD, "Save the card")
    page.wait_for_url("**/pay/**")
    page.get_by_text("Your subscription is active").wait_for()
    assert status(server, ada, subscription) == "active"
    accessible(page)
    page.get_by_role("link", name="Back to the shop").click()
    page.wait_for_url("**/?shop")


def test_a_card_that_is_declined_and_what_is_missing_paid_with_another(
    server: LiveServer, page: Page
) -> None:
    ada, subscription, url = subscribed(server)
    page.goto(url)
    page.get_by_role("button", name="Leave a card").click()
    page.wait_for_url("**/checkout/**")
    fill(page, SAVED_THEN_DECLINED, "Save the card")
    page.wait_for_url("**/pay/**")
    page.get_by_text("Your card was not charged").wait_for()
    accessible(page)
    assert status(server, ada, subscription) == "action_required"
    assert page.get_by_role("button", name="Use another card").is_visible()
    page.get_by_role("button", name="Pay $20.00").click()
    page.wait_for_url("**/checkout/**")
    fill(page, DECLINED, "Pay $20.00")
    assert "declined" in page.get_by_role("alert").inner_text()
    fill(page, GOOD, "Pay $20.00")
    page.wait_for_url("**/pay/**")
    page.get_by_text("Your subscription is active").wait_for()
    assert status(server, ada, subscription) == "active"


def test_who_pays_from_the_balance_pays_what_is_missing(server: LiveServer, page: Page) -> None:
    ada, subscription, url = subscribed(server, "wallet")
    page.goto(url)
    assert page.get_by_role("button", name="card").count() == 0
    page.get_by_role("button", name="Pay $20.00").click()
    page.wait_for_url("**/checkout/**")
    fill(page, GOOD, "Pay $20.00")
    page.wait_for_url("**/pay/**")
    page.get_by_text("Your subscription is active").wait_for()
    assert status(server, ada, subscription) == "active"


def test_whatever_is_sent_gets_a_page_and_charges_nothing(
    server: LiveServer, stranger: httpx.Client
) -> None:
    ada, subscription, url = subscribed(server)
    path = f"/pay/{ada}/{subscription}"
    assert url.endswith(path)
    for body in (b"", b"x" * 10_000, b"action=%00", b"action=pay&action=card"):
        answer = stranger.post(path, content=body)
        assert answer.status_code in (200, 409), answer.text
        assert "form-action 'self'" in answer.headers["content-security-policy"]
    for wrong in (f"/pay/{ada}/sub_none", f"/pay/cust_none/{subscription}"):
        assert stranger.get(wrong).status_code == 404
        assert stranger.post(wrong, content=b"action=pay").status_code == 404
    assert status(server, ada, subscription) == "action_required"
