import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect, sync_playwright
from tests.web.live import TOKEN, LiveServer

pytestmark = pytest.mark.slow


@pytest.fixture
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_numbers_move_by_themselves_and_everybody_can_read_them(
    browser: Browser, server: LiveServer, scheme: str
):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800})
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))

    page.goto(server.url)
    assert Axe().run(page).violations_count == 0
    page.get_by_label("Sign-in token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("There are no customers yet")).to_be_visible()
    assert Axe().run(page).violations_count == 0

    server.add_product()
    ada, ben = server.add_customer("Ada"), server.add_customer("Ben", "0.01")
    server.use(ada, 3)
    server.use(ben)
    expect(page.locator("#events")).to_have_text("4")
    server.use(ada, 2)
    expect(page.locator("#events")).to_have_text("6")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_have_text("Paused")
    server.use(ada)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#events")).to_have_text("7")

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert faults == []
