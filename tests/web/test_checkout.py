"""From an empty database to credit in a wallet, in a real browser: a card is declined, another one
pays, the receipt is there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.api.caller import Caller, calling
from tests.api.conftest import RunningServer, running_server
from tests.ledger.shop import Clock

CONFIRMED = "4000002500003155"


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("checkout")
    with running_server(f"sqlite:///{folder}/pay.db", clock, has_pages=True) as server:
        yield server


@pytest.fixture(scope="module")
def shop(place: RunningServer) -> Iterator[Caller]:
    with calling(place) as caller:
        yield caller


@pytest.fixture
def ada(shop: Caller) -> str:
    return str(shop.made("customers", {"name": "Ada", "email": "ada@shop.example"})["id"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def begun(place: RunningServer, shop: Caller, customer: str, amount: Any = 20) -> dict[str, Any]:
    """A top-up whose ways back are pages that are there."""
    body = {"customer_id": customer, "amount": amount, "currency": "USD", "description": "Credit"}
    back = {"return_url": f"{place.url}/healthz?paid", "failure_url": f"{place.url}/healthz?no"}
    made: dict[str, Any] = shop.made("top-ups", {**body, **back})
    return made


def opened(browser: Browser, width: int, scheme: Any, *, has_scripts: bool) -> Page:
    context = browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
        java_script_enabled=has_scripts,
    )
    page = context.new_page()
    page.on("console", lambda m: pytest.fail(m.text) if "Content Security" in m.text else None)
    return page


def everybody_can_read(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (1280, "dark")])
def test_a_customer_pays_with_the_second_card_and_has_a_receipt(
    browser: Browser, place: RunningServer, shop: Caller, ada: str, width: int, scheme: str
) -> None:
    made = begun(place, shop, ada)
    page = opened(browser, width, scheme, has_scripts=True)
    page.goto(made["redirect_url"])
    expect(page.get_by_role("heading", level=1)).to_contain_text("$20.00 USD")
    everybody_can_read(page)

    page.get_by_role("button", name="Fill in 4000000000000002").click()
    expect(page.get_by_label("Card number")).to_have_value("4000 0000 0000 0002")
    page.get_by_role("button", name="Pay $20.00 USD").click()
    expect(page.get_by_role("alert")).to_have_text("The card was declined.")
    everybody_can_read(page)
    assert shop.get(f"top-ups/{made['id']}").body["status"] == "initiated"

    page.get_by_label("Card number").fill("4242424242424242")
    page.get_by_label("Expiry").fill("11/39")
    page.get_by_label("Security code").fill("123")
    page.get_by_role("button", name="Pay $20.00 USD").click()
    page.wait_for_url(re.compile("healthz.paid"))
    assert shop.available(ada) == 20
    page.goto(made["redirect_url"])
    expect(page.get_by_role("heading", level=1)).to_have_text("This is paid already")
    everybody_can_read(page)

    receipt = shop.get(f"top-ups/{made['id']}/receipt").body
    page.goto(receipt["url"])
    for text in ("$20.00 USD", receipt["number"], "Visa that ends in 4242", "ada@shop.example"):
        expect(page.get_by_text(text).first).to_be_visible()
    everybody_can_read(page)


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["Confirm", "Decline"])
def test_a_bank_that_asks_back_without_any_scripts(
    browser: Browser, place: RunningServer, shop: Caller, ada: str, answer: str
) -> None:
    made = begun(place, shop, ada)
    page = opened(browser, 390, "light", has_scripts=False)
    page.goto(made["redirect_url"])
    page.get_by_role("button", name=f"Fill in {CONFIRMED}").click()
    page.get_by_role("button", name="Pay $20.00 USD").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your bank asks you to confirm")
    # Whoever loads the page again is still asked.
    page.goto(made["redirect_url"])
    page.get_by_role("button", name=answer).click()
    if answer == "Confirm":
        page.wait_for_url(re.compile("healthz.paid"))
        assert shop.available(ada) == 20
    else:
        expect(page.get_by_role("alert")).to_contain_text("was not confirmed")
        page.get_by_role("link", name="Cancel and go back").click()
        page.wait_for_url(re.compile("healthz.no"))
        assert shop.get(f"customers/{ada}/wallet").body["accounts"] == []


@pytest.mark.slow
def test_pages_of_the_bank_and_of_what_is_over_can_be_read_by_everybody(
    browser: Browser, place: RunningServer, shop: Caller, ada: str, clock: Clock
) -> None:
    made = begun(place, shop, ada)
    page = opened(browser, 320, "dark", has_scripts=True)
    page.goto(f"{made['redirect_url']}?card={CONFIRMED}")
    page.get_by_role("button", name="Pay $20.00 USD").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your bank asks you to confirm")
    everybody_can_read(page)
    clock.move(days=2)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("This page has expired")
    everybody_can_read(page)
    page.goto(f"{place.url}/checkout/tup_nobody")
    expect(page.get_by_role("heading", level=1)).to_have_text("This link leads nowhere")
    everybody_can_read(page)


GOOD = {"number": "4242 4242 4242 4242", "expiry": "12/40", "cvc": "123"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"number": "4242"}, "A card number has 12 to 19 digits."),
        ({"number": "4111111111111111"}, "That is no test card"),
        ({"expiry": "13/40"}, "The expiry is the month and the year"),
        ({"expiry": ""}, "The expiry is the month and the year"),
        ({"expiry": "01/20"}, "The card has expired."),
        ({"cvc": "12"}, "The security code has 3 or 4 digits."),
        ({"number": "4000000000009995"}, "The card has insufficient funds."),
        ({"number": "<script>alert(1)</script>"}, "A card number has 12 to 19 digits."),
    ],
)
def test_what_is_wrong_with_a_card_is_said_in_words(
    place: RunningServer, shop: Caller, ada: str, change: dict[str, str], says: str
) -> None:
    made = begun(place, shop, ada)
    url = made["redirect_url"]
    answer = httpx.post(url, data={**GOOD, "seal": seal_of(url), **change})
    assert answer.status_code in (200, 422)
    assert says in answer.text
    assert "<script" not in answer.text
    assert shop.get(f"top-ups/{made['id']}").body["status"] == "initiated"


def seal_of(url: str) -> str:
    found = re.search(r'name="seal" value="(\w+)"', httpx.get(url).text)
    assert found is not None
    return found[1]


def test_a_form_that_is_not_of_this_page_pays_nothing(
    place: RunningServer, shop: Caller, ada: str
) -> None:
    made, other = begun(place, shop, ada), begun(place, shop, ada)
    url = made["redirect_url"]
    for seal in ("", "x", seal_of(other["redirect_url"])):
        answer = httpx.post(url, data={**GOOD, "seal": seal})
        assert answer.status_code == 422
        assert "did not come from this page" in answer.text
    crossing = {"sec-fetch-site": "cross-site"}
    assert httpx.post(url, data={**GOOD, "seal": seal_of(url)}, headers=crossing).status_code == 422
    assert httpx.post(url, content=b"x" * 10_000).status_code == 422
    assert shop.get(f"top-ups/{made['id']}").body["status"] == "initiated"
    assert httpx.post(url, data={**GOOD, "seal": seal_of(url)}).status_code == 200
    assert shop.available(ada) == 20


def test_a_receipt_is_for_whoever_has_its_link(
    place: RunningServer, shop: Caller, ada: str
) -> None:
    made = begun(place, shop, ada)
    url = made["redirect_url"]
    httpx.post(url, data={**GOOD, "seal": seal_of(url)})
    link = shop.get(f"top-ups/{made['id']}/receipt").body["url"]
    assert httpx.get(link).status_code == 200
    for wrong in (link[:-1], link.partition("?")[0], link.replace(made["id"], "tup_nobody")):
        answer = httpx.get(wrong)
        assert (answer.status_code, "ada@shop.example" in answer.text) == (404, False)
