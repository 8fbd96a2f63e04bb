"""Support at work: found, opened, credit given in two clicks, a hold let go, a limit added, a
subscription ended; each page on a telephone and at a desk, in both themes."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from tests.scenarios.year import fixed
from tests.web.live import TOKEN, LiveServer

from faregate.catalog.types import CreateProduct
from faregate.core.codec import from_dict
from faregate.core.hold_requests import HoldRequest
from faregate.customers.types import CreateSubscription

pytestmark = pytest.mark.slow


PHONE, DESK = 390, 1280


def looked_at(page: Page) -> None:
    """Everybody can read the page in both themes, and it is not wider than the window."""
    for width, scheme in ((DESK, "dark"), (PHONE, "light")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_support_finds_a_customer_and_helps(page: Page, server: LiveServer):
    server.add_product()
    product = {"name": "Pro", "code": "pro", "publish": True, "prices": [fixed("2")]}
    server.run(lambda engine: engine.create_product(from_dict(CreateProduct, product)))
    ada = server.add_customer("Ada Lovelace", "50")
    server.add_customer("Ben")
    pro = from_dict(CreateSubscription, {"products": [{"code": "pro"}]})
    server.run(lambda engine: engine.create_subscription(ada, pro))
    hold = from_dict(HoldRequest, {"transaction_id": "run-17", "max_amount": 4, "asset": "USD"})
    server.run(lambda engine: engine.authorize(ada, hold))

    faults: list[str] = []
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{server.url}/?token={TOKEN}")

    page.goto(f"{server.url}/test/customers")
    page.get_by_label("Search").fill("lovel")
    page.get_by_label("Search").press("Enter")
    expect(page.get_by_text("1 customer found")).to_be_visible()
    expect(page.get_by_role("link", name="Ben")).to_have_count(0)
    looked_at(page)
    page.get_by_role("link", name="Ada Lovelace").click()
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    looked_at(page)

    # The feed moves by itself, until it is paused.
    server.use(ada)
    expect(page.locator("#feed li")).to_have_count(1)
    page.get_by_role("link", name="Pause").click()
    expect(page.get_by_role("link", name="Go on")).to_be_visible()
    expect(page.locator("#feed[hx-trigger]")).to_have_count(0)
    page.get_by_role("link", name="Go on").click()
    expect(page.locator("#feed[hx-trigger]")).to_have_count(1)
    server.use(ada)
    expect(page.locator("#feed li")).to_have_count(2)

    page.get_by_role("link", name="Give $10", exact=True).click()
    looked_at(page)
    page.get_by_role("button", name="Give credit to Ada Lovelace").click()
    expect(page.get_by_text("$10.00 USD given to Ada Lovelace.")).to_be_visible()
    first = page.locator("#grants-1 tbody tr").nth(0)
    expect(first).to_contain_text("what is older goes first")
    expect(page.locator("#grants-1 tbody tr")).to_have_count(2)
    looked_at(page)

    page.get_by_role("button", name="Void run-17").click()
    expect(page.get_by_text("The hold is voided.")).to_be_visible()
    expect(page.get_by_text("No open holds")).to_be_visible()

    tabs = page.get_by_role("navigation", name="About Ada Lovelace")
    tabs.get_by_role("link", name="Limits").click()
    page.get_by_label("At most").fill("a lot")
    page.get_by_role("button", name="Add limit").click()
    expect(page.get_by_text("write a number")).to_be_visible()
    assert "422" in faults.pop()
    looked_at(page)
    page.get_by_label("At most").fill("30")
    page.get_by_role("button", name="Add limit").click()
    expect(page.get_by_text("The limit holds from now on.")).to_be_visible()

    tabs.get_by_role("link", name="Plan").click()
    looked_at(page)
    card = page.locator("section", has=page.get_by_role("heading", name="Pro", exact=True))
    card.get_by_role("link", name="Cancel").click()
    page.get_by_text("Now", exact=True).click()
    page.get_by_role("button", name="What does it cost?").click()
    expect(page.locator("#cost")).to_contain_text("Nothing is charged at once.")
    looked_at(page)
    page.get_by_role("button", name="Cancel the subscription").click()
    expect(card.get_by_text("Ended", exact=True).first).to_be_visible()

    page.goto(f"{server.url}/test/customers/{ada}/plan/new")
    page.get_by_label("Days of trial").fill("some")
    page.get_by_role("button", name="What does it cost?").click()
    expect(page.get_by_text("write a number")).to_be_visible()
    page.get_by_label("Days of trial").fill("")
    page.get_by_label("Product", exact=True).select_option(label="Pro, the default (now version 1)")
    page.get_by_role("button", name="What does it cost?").click()
    expect(page.locator("#cost")).to_contain_text("$2.00 charged at once.")
    page.get_by_role("link", name="Back").click()

    for tab in ("Payments", "Settings"):
        tabs.get_by_role("link", name=tab).click()
        expect(tabs.get_by_role("link", name=tab)).to_have_attribute("aria-current", "page")
        looked_at(page)
    assert faults == []


def test_credit_is_given_by_keyboard_and_everything_is_read_without_a_script(
    browser: Browser, server: LiveServer
):
    server.add_product()
    ada = server.add_customer("Ada")
    server.use(ada)
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{server.url}/?token={TOKEN}")
    page.goto(f"{server.url}/test/customers/{ada}")
    expect(page.locator("#feed li")).to_have_count(1)
    page.get_by_role("link", name="Give $25").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Amount")).to_have_value("25")
    page.get_by_label("Amount").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.type("Thanks")
    page.keyboard.press("Enter")
    expect(page.get_by_text("$25.00 USD given to Ada.")).to_be_visible()
    expect(page.get_by_text("Thanks")).to_be_visible()
