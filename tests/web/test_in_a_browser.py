import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from tests.scenarios.year import fixed
from tests.web.live import EMAIL, PASSWORD, LiveServer

from faregate.catalog.types import CreateProduct
from faregate.core.codec import decode, encode
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct

pytestmark = pytest.mark.slow


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
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("There are no customers yet")).to_be_visible()
    assert Axe().run(page).violations_count == 0

    server.add_product()
    ada, ben = server.add_customer("Ada"), server.add_customer("Ben", "0.01")
    server.use(ada, 3)
    server.use(ben)
    rows = page.locator("#latest tbody tr")
    expect(rows).to_have_count(4)
    page.get_by_role("button", name="Pause").click()
    server.use(ada, 2)
    again = page.get_by_role("button", name="Go on")
    expect(again).to_be_visible()
    expect(rows).to_have_count(4)
    again.click()
    expect(rows).to_have_count(6)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_what_a_subscription_waits_for_can_be_read_everywhere(
    browser: Browser, server: LiveServer, scheme: str, width: int
):
    product = {
        "name": "A studio with a name that is longer than a telephone is wide",
        "code": "studio",
        "publish": True,
        "prices": [fixed("20")],
    }
    request = decode(CreateProduct, encode(product))
    server.run(lambda engine: engine.create_product(request))
    wanted = CreateSubscription([SubscribedProduct(code="studio")])
    body = CreateCustomer("Ada", subscriptions=[wanted])
    customer = server.run(lambda engine: engine.create_customer(body))
    link = f"{server.url}/pay/{customer.id}/"
    page = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}
    ).new_page()
    for subscription, said in (
        (customer.subscriptions[0].id, "begins as soon as it is paid"),
        ("sub_none", "Ask the shop that sent you the link"),
    ):
        page.goto(link + subscription)
        expect(page.get_by_text(said)).to_be_visible()
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
