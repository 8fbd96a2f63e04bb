"""From an empty database: a customer wants credit, their first card is declined, the second one
pays, the wallet has the credit with the bonus beside it, and there is a receipt to read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright
from tests.api.caller import Caller, calling
from tests.api.conftest import running_server

DECLINED, GOOD = "4000000000000002", "5555555555554444"


def everybody_can_read(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def pay(page: Page, number: str) -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expires").fill("11/39")
    page.get_by_label("Security code").fill("123")
    page.get_by_role("button", name="Pay $20.00").click()


def asked(shop: Caller, url: str) -> tuple[str, Any]:
    """A customer of a shop that gives 10% beside the first top-up, and their top-up."""
    first = {"id": "first", "percent": 10, "once_per_customer": True}
    assert shop.patch("assets/USD", {"top_up_bonus": [first]}).status == 200
    ada = shop.made("customers", {"name": "Ada", "email": "ada@shop.example"})["id"]
    back = {"return_url": f"{url}/healthz?paid", "failure_url": f"{url}/healthz?no"}
    wanted = {"customer_id": ada, "amount": 20, "currency": "USD", **back}
    return ada, shop.made("top-ups", wanted)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (1280, "dark")])
def test_a_customer_tops_up_in_a_browser(tmp_path: Path, width: int, scheme: Any) -> None:
    url = f"sqlite:///{tmp_path}/empty.db"
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with (
        running_server(url, has_pages=True) as server,
        calling(server) as shop,
        sync_playwright() as playwright,
    ):
        ada, made = asked(shop, server.url)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        viewport: Any = {"width": width, "height": 800}
        page = browser.new_context(color_scheme=scheme, viewport=viewport).new_page()
        page.goto(made["redirect_url"])
        pay(page, DECLINED)
        expect(page.get_by_role("alert")).to_contain_text("declined")
        pay(page, GOOD)
        page.wait_for_url("**/healthz?paid")

        assert shop.available(ada) == 22
        grants = shop.get(f"customers/{ada}/wallet/default:USD/grants").body["items"]
        assert sorted((g["purpose"], g["amount"]) for g in grants) == [
            ("paid", 20),
            ("promotion", 2),
        ]

        receipt = shop.get(f"top-ups/{made['id']}/receipt").body
        page.goto(receipt["url"])
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text("Receipt for $20.00 USD")
        for text in (receipt["number"], "Mastercard that ends in 4444", "Ada, ada@shop.example"):
            expect(page.get_by_text(text)).to_be_visible()
        everybody_can_read(page)
        browser.close()

        link = receipt["url"]
        for wrong in (link[:-1], link.partition("?")[0], link.replace(made["id"], "tup_nobody")):
            answer = httpx.get(wrong)
            assert (answer.status_code, "ada@shop.example" in answer.text) == (404, False)
        assert server.wait(server.engine.verify()).is_clean
