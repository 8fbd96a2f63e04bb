"""The sandbox's checkout in a real browser, and what it answers to whatever is sent to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from tests.web.live import LiveServer

from faregate import Engine
from faregate.core.amounts import Number
from faregate.customers.types import CreateCustomer
from faregate.payments.cards import CARDS, wrong_details
from faregate.payments.types import InitiateTopUp

GOOD, DECLINED, ASKS = "4242424242424242", "4000000000000002", "4000002500003155"
DISPUTED = "4000000000000259"


def begun(server: LiveServer, amount: int = 20) -> tuple[str, str, str]:
    """Begin a top-up: returns the customer, the payment, and its page."""

    async def begin(engine: Engine) -> tuple[str, str, str]:
        ada = await engine.create_customer(CreateCustomer("Ada"))
        back = [f"{server.url}/?{word}" for word in ("paid", "sorry")]
        wanted = InitiateTopUp(ada.id, Number(amount), "USD", *back, "Gems")
        made = await engine.initiate_top_up(wanted, base_url=server.url)
        return ada.id, made.id, made.redirect_url

    return server.run(begin)


def available(server: LiveServer, customer: str) -> int:
    account = server.run(lambda engine: engine.get_account(customer, "default:USD"))
    return int(account.available)


def fill(page: Page, number: str, expiry: str = "12/40", code: str = "123") -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expires").fill(expiry)
    page.get_by_label("Security code").fill(code)
    page.get_by_role("button", name="Pay $20.00").click()


def accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_declined_card_another_one_and_back_to_the_shop(server: LiveServer, page: Page) -> None:
    ada, _, url = begun(server)
    page.goto(url)
    assert page.get_by_role("heading", name="$20.00").is_visible()
    accessible(page)
    fill(page, DECLINED)
    assert "declined" in page.get_by_role("alert").inner_text()
    assert available(server, ada) == 0
    fill(page, GOOD, expiry="12/20")
    assert "in the past" in page.get_by_role("alert").inner_text()
    fill(page, "4111 1111 1111 1111")
    assert "no test card" in page.get_by_role("alert").inner_text()
    fill(page, GOOD)
    page.wait_for_url("**/?paid")
    assert available(server, ada) == 20
    page.goto(url)
    assert "Paid with the card that ends in 4242" in page.get_by_role("status").inner_text()
    accessible(page)
    assert available(server, ada) == 20


@pytest.mark.parametrize(("answer", "left"), [("Confirm the payment", 20), ("Decline", 0)])
def test_a_card_that_asks_whether_it_is_really_them(
    server: LiveServer, page: Page, answer: str, left: int
) -> None:
    ada, _, url = begun(server)
    page.goto(url)
    fill(page, ASKS)
    accessible(page)
    page.get_by_role("button", name=answer).click()
    if left:
        page.wait_for_url("**/?paid")
    else:
        assert "not confirmed" in page.get_by_role("alert").inner_text()
    assert available(server, ada) == left


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_test_card_fills_in_the_form_without_a_script(
    server: LiveServer, browser: Browser, width: int, scheme: Any
) -> None:
    ada, _, url = begun(server)
    viewport: Any = {"width": width, "height": 800}
    page = browser.new_context(
        viewport=viewport, color_scheme=scheme, java_script_enabled=False
    ).new_page()
    page.goto(url)
    for card in CARDS:
        page.get_by_role("button", name=f"{card.spelled} {card.shown}", exact=True).click()
        number = page.get_by_label("Card number").input_value()
        assert number.replace(" ", "") == card.number
        details = [page.get_by_label(name).input_value() for name in ("Expires", "Security code")]
        assert wrong_details(*details, datetime.now(UTC)) is None
        assert card.number not in page.url.replace(" ", "")
    page.goto(f"{url}?card=4242")
    # The form's button gets the focus, some time after the page has been loaded: the next key pays.
    expect(page.get_by_role("button", name="Pay")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/?paid")
    assert available(server, ada) == 20
    page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
    for filled in ("", "?card=4242", "?card=1"):
        page.goto(begun(server)[2] + filled)
        accessible(page)


@pytest.mark.parametrize(("ends", "left"), [("wins", 20), ("loses", 0)])
def test_whoever_tries_out_a_dispute_decides_it_as_the_bank(
    server: LiveServer, page: Page, ends: str, left: int
) -> None:
    ada, payment, url = begun(server)
    page.goto(url)
    fill(page, DISPUTED)
    page.wait_for_url("**/?paid")
    assert available(server, ada) == 0
    page.goto(url)
    accessible(page)
    page.get_by_role("button", name=f"The shop {ends}").click()
    words = {"wins": "has won the dispute", "loses": "has lost the dispute"}
    assert words[ends] in page.locator("section", has_text="The dispute").inner_text()
    accessible(page)
    assert available(server, ada) == left
    for again in ("won", "lost"):
        httpx.post(f"{server.url}/checkout/{payment}", data={"dispute": again})
    assert available(server, ada) == left


def test_whoever_cancels_comes_back_to_the_shop_and_pays_nothing(
    server: LiveServer, page: Page
) -> None:
    ada, _, url = begun(server)
    page.goto(url)
    page.get_by_role("link", name="Cancel and go back").click()
    page.wait_for_url("**/?sorry")
    assert available(server, ada) == 0


def test_whatever_is_sent_gets_a_page(server: LiveServer, stranger: httpx.Client) -> None:
    ada, payment, url = begun(server)
    path = f"/checkout/{payment}"
    for body in (
        b"",
        b"x" * 10_000,
        b"number=%00%ff&expiry=1/40&code=123",
        b"answer=confirm",
        b"dispute=won",
        b"dispute=x",
    ):
        answer = stranger.post(path, content=body)
        assert answer.status_code == 200, answer.text
        assert "form-action 'self'" in answer.headers["content-security-policy"]
    assert stranger.get("/checkout/tup_none").status_code == 404
    assert stranger.post("/checkout/tup_none", content=b"answer=confirm").status_code == 404
    assert stranger.post("/checkout/tup_none", content=b"dispute=won").status_code == 404
    assert available(server, ada) == 0
    assert url.endswith(path)
