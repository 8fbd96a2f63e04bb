"""Products in the browser: a guide, a builder with a preview, what may be done with versions."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from tests.web import forms
from tests.web.live import TOKEN, LiveServer

from faregate.catalog.types import CreateVersion
from faregate.core.codec import from_dict
from faregate.web.dashboard import moving

CALLS = {
    "price-1-event_type": "llm_call",
    "price-1-measure": "volume",
    "price-1-volume_field": "tokens",
    "price-1-package_size": "1,000,000",
    "price-1-entry-1-tier-1-volume_rate": "0.60",
}
SELECTED = "document.activeElement.matches({!r})"


def send(client: httpx.Client, path: str, fields: dict[str, str], page: str = "") -> httpx.Response:
    """Send a form as a browser without JavaScript does."""
    page = page or path
    if fields.get("do") in ("save", "publish") and "/versions/" not in path:
        path += "/save"
    return forms.send(client, f"/test/{page}", f"/test/{path}", **fields)


def fields_of(text: str) -> dict[str, str]:
    """Return the hidden and typed fields of the builder's page."""
    found = re.findall(r'<input [^>]*?name="([^"]+)"[^>]*?value="([^"]*)"', text)
    return {name: value for name, value in found if name != "csrf"}


def plain(text: str) -> str:
    """Return what a page says, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)).replace("&#39;", "'")


def tab_to(page: Page, selector: str) -> None:
    """Go on by the keyboard until something has the focus."""
    for _ in range(150):
        if page.evaluate(SELECTED.format(selector)):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_an_empty_list_leads_to_the_guide_which_ends_in_a_draft(client: httpx.Client) -> None:
    empty = client.get("/test/products").text
    assert "Nothing is sold yet" in empty
    assert 'href="/test/guide"' in empty
    open_questions = send(client, "guide", {"costs": "per_use"})
    assert open_questions.status_code == 422
    assert open_questions.text.count("Choose one") == 4
    answers = {"costs": "per_volume", "differ": "model", "paid": "prepaid", "fee": "included"}
    names = {"name": "Pro", "code": "pro", "use": "llm_call"}
    made = send(client, "guide", {**answers, **names, "counted": "credits"})
    assert made.status_code == 303
    builder = client.get(made.headers["location"]).text
    said = plain(builder)
    assert "For model small: 1,000 CREDITS per 1,000,000 tokens of each llm_call" in said
    assert "$20.00 every month, in advance." in said
    assert "One credit costs 0.01 USD" in said
    # The credit was made, once: whoever answers again finds it there.
    assert client.get("/test/guide").status_code == 200
    again = send(client, "guide", {**answers, **names, "counted": "credits"})
    assert again.status_code == 303


def test_the_builder_works_without_a_script(client: httpx.Client, server: LiveServer) -> None:
    path = "new-product"
    first = send(
        client, path, {"do": "add:price-1-entry-1-tier", "price-1-model": "tiered", **CALLS}
    )
    assert first.status_code == 200
    assert 'name="price-1-entry-1-tier-2-up_to"' in first.text
    wrong = send(client, path, {"do": "publish", "name": "Calls", "code": "no code", **CALLS})
    assert wrong.status_code == 422
    said = plain(wrong.text)
    assert "Nothing was saved yet" in said
    assert 'Code is "no code": send 1 to 100 letters' in said.replace("&#34;", '"')
    numbers = {**CALLS, "price-1-entry-1-tier-1-volume_rate": "0,60"}
    wrong = send(client, path, {"do": "save", "name": "Calls", "code": "calls", **numbers})
    error = re.search(r'id="e-price-1-entry-1-tier-1-volume_rate">([^<]+)<', wrong.text)
    assert error is not None
    assert error[1].startswith("Price per amount &#39;0,60&#39; is not a number")
    invoiced = {**CALLS, "price-1-collected": "invoice", "name": "Calls", "code": "calls"}
    wrong = send(client, path, {"do": "publish", **invoiced})
    assert "is not available yet" in plain(wrong.text)
    full = {f"price-{n}-name": "x" for n in range(1, 91)}
    full |= {f"price-1-entry-{n}-dimension-{k}": "x" for n in range(1, 100) for k in range(15)}
    wrong = send(client, path, {"do": "add:price", **full})
    assert "the form is full, with 1," in plain(wrong.text).lower()
    assert server.run(lambda engine: engine.list_products()).total_count == 0
    done = send(client, path, {"do": "save", "name": "Calls", "code": "calls", **CALLS})
    assert done.status_code == 303
    shown = plain(client.get(done.headers["location"]).text)
    assert "Version 1 of calls is saved as a draft" in shown
    assert "$0.60 per 1,000,000 tokens of each llm_call." in shown
    taken = send(client, path, {"do": "save", "name": "Calls", "code": "calls", **CALLS})
    assert "there is a product 'calls' already" in plain(taken.text)


def test_what_the_form_cannot_show_is_json_in_it_and_is_not_lost(
    client: httpx.Client, server: LiveServer
) -> None:
    server.add_product()
    two = {
        "type": "usage_based",
        "name": "Two currencies",
        "billing_model": {"type": "real_time"},
        "usage_calculation": {"event_type": "image", "usage_type": "unit"},
        "pricing": [{"asset": code, "values": [{"unit_price": 2}]} for code in ("USD", "EUR")],
    }
    version = from_dict(CreateVersion, {"prices": [two], "publish": False})
    server.run(lambda engine: engine.create_version("calls", version))
    page = client.get("/test/products/calls/new-version?from=2").text
    assert "You are working on draft 2" in plain(page)
    json = re.search(r'name="price-1-json"[^>]*>([^<]+)<', page)
    assert json is not None
    text = json[1].replace("&#34;", '"')
    fields = {"do": "publish", "price-1-model": "json", "price-1-json": text, "replaces": "2"}
    fields["once"] = fields_of(page)["once"]
    path = "products/calls/new-version"
    broken = send(client, path, fields | {"price-1-json": '{"type": "usage_based", "nam'})
    assert broken.status_code == 422
    assert "JSON cannot be read" in plain(broken.text)
    assert send(client, path, fields).status_code == 303
    product = server.run(lambda engine: engine.get_product("calls"))
    assert [(v.version, v.status) for v in product.versions] == [(3, "published"), (1, "published")]
    prices = server.run(lambda engine: engine.get_version("calls", 3)).prices
    assert [pricing.asset for pricing in prices[0].pricing] == ["USD", "EUR"]
    # The same form sent twice makes one version.
    assert send(client, path, fields).status_code == 303
    assert len(server.run(lambda engine: engine.get_product("calls")).versions) == 2
    # What is no draft is never taken away for what is saved.
    later = fields | {"once": "another", "replaces": "3", "make_default": "yes"}
    assert send(client, path, later).status_code == 303
    product = server.run(lambda engine: engine.get_product("calls"))
    assert [v.status for v in product.versions] == ["published"] * 3
    assert product.default_version.version == 4


def test_a_product_page_compares_publishes_and_says_why_it_does_not_end(
    client: httpx.Client, server: LiveServer
) -> None:
    server.add_product()
    ada = server.add_customer("Ada")
    server.use(ada, 2)
    calls = {"price-1-event_type": "api_call", "price-1-entry-1-tier-1-unit_price": "0.02"}
    path = "products/calls/new-version"
    assert send(client, path, {"do": "save", "price-1-name": "Calls", **calls}).status_code == 303
    page = plain(client.get("/test/products/calls").text)
    assert "Calls: 0.0125 → 0.02 USD per event (+60.0%)" in page
    assert "( 1 follow the default)" in page or "(1 follow the default)" in page
    listed = plain(client.get("/test/products").text)
    assert "$0.0125 for each api_call." in listed
    assert "$0.025" in listed.replace("$0.02 5", "$0.025")
    for number, action, status, said in (
        (1, "archive", 409, "version 1 of 'calls'"),
        (2, "make_default", 422, "version 2 is a draft"),
        (2, "publish", 303, "Version 2 is published"),
        (2, "make_default", 303, "Version 2 is the default now"),
        (1, "archive", 303, "Version 1 is archived"),
    ):
        answer = send(client, f"products/calls/versions/{number}", {"do": action}, "products/calls")
        assert answer.status_code == status, (number, action)
        where = answer.headers.get("location")
        assert said in plain(client.get(where).text if where else answer.text)
    refused = send(client, "products/calls/delete", {}, "products/calls")
    assert refused.status_code == 409
    assert "1 subscription has product 'calls': move or cancel them first" in plain(refused.text)
    unsold = {"do": "save", "name": "Unsold", "code": "unsold", **CALLS}
    assert send(client, "new-product", unsold).status_code == 303
    gone = send(client, "products/unsold/delete", {}, "products/unsold")
    assert gone.headers["location"] == "/test/products"
    assert "Unsold is deleted" in plain(client.get("/test/products").text)
    assert client.get("/test/products/unsold").status_code == 404
    endless = "9" * 5000
    for odd in ("products?offset=²", f"customers?offset={endless}", f"vendors?offset={endless}"):
        assert client.get(f"/test/{odd}").status_code == 200
    for odd in ("products/calls/new-version?from=²", "guide?x=²"):
        assert client.get(f"/test/{odd}").status_code == 200


def test_subscribers_are_moved_after_it_was_said_what_they_would_pay(
    client: httpx.Client, server: LiveServer
) -> None:
    server.add_product()
    server.use(server.add_customer("Ada"), 8)
    path = "products/calls/new-version"
    calls = {"price-1-event_type": "api_call", "price-1-entry-1-tier-1-unit_price": "0.02"}
    assert send(client, path, {"do": "publish", **calls}).status_code == 303
    here = "products/calls/subscribers"
    assert "follow the default: 1" in plain(client.get(f"/test/{here}").text)
    move = {"to_version": "2", "effective": "now"}
    shown = plain(send(client, here, move).text)
    assert "Ada Version 1 $0.10 $0.16 +$0.06" in shown
    assert "Move 1 subscription to version 2" in shown
    count = server.run(lambda engine: engine.count_subscribers(["calls"]))
    assert list(count.values()) == [{0: 1}]
    wrong = send(client, here, move | {"proration": "next_period"})
    assert wrong.status_code == 422
    assert "is 'next_period', which is not now" in plain(wrong.text)
    moved = send(client, "products/calls/move", move, here)
    assert moved.status_code == 303
    after = plain(client.get(moved.headers["location"]).text)
    assert "1 moved, 0 were there already" in after
    assert "version 2: 1" in after
    # What only looks is no change: the log has what was done.
    entries = server.run(lambda engine: engine.list_audit_entries())
    assert [(entry.action, entry.outcome) for entry in entries] == [
        ("move subscribers", "done"),
        ("make a version of a product", "done"),
    ]
    assert entries[1].object_id == "calls"


def test_many_are_moved_as_a_job_that_can_be_left_and_found_again(
    client: httpx.Client, server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "AT_ONCE", 1)
    server.add_product()
    for name in ("Ada", "Ben"):
        server.add_customer(name)
    calls = {"price-1-event_type": "api_call", "price-1-entry-1-tier-1-unit_price": "0.02"}
    version = {"do": "publish", **calls}
    assert send(client, "products/calls/new-version", version).status_code == 303
    here, move = "products/calls/subscribers", {"to_version": "2", "effective": "now"}
    refused = send(client, "products/calls/move", move | {"to_version": "7"}, here)
    assert refused.status_code in (404, 409, 422)
    moved = send(client, "products/calls/move", move, here)
    job = moved.headers["location"]
    assert job.startswith("/test/jobs/job_")
    server.run(lambda engine: engine.run_jobs())
    shown = plain(client.get(job).text)
    assert "2 of 2 subscriptions were moved" in shown
    assert job in client.get("/test/jobs").text
    assert "version 2: 2" in plain(client.get(f"/test/{here}").text)


def test_a_version_is_tried_with_events_of_ones_own(
    client: httpx.Client, server: LiveServer
) -> None:
    server.add_product()
    here = "products/calls/try"
    assert "&#34;event_type&#34;: &#34;api_call&#34;" in client.get(f"/test/{here}").text
    events = '[{"event_type": "api_call"}, {"id": "mine", "event_type": "other"}]'
    tried = plain(send(client, here, {"version": "1", "events": events}).text)
    assert "event-1 Calls – $0.01 25" in tried
    assert "events[1]: no price for event_type=other" in tried
    wrong = send(client, here, {"events": '[{"event_type": 7}]'})
    assert wrong.status_code == 422
    assert "events[0]: event_type is 7: send a text" in plain(wrong.text)
    assert server.run(lambda engine: engine.list_events()).total_count == 0


def test_a_product_is_made_on_a_telephone_by_the_keyboard_alone(
    page: Page, server: LiveServer
) -> None:
    page.goto(f"{server.url}/?token={TOKEN}")
    page.goto(f"{server.url}/test/products")
    tab_to(page, "main .nothing a[href$=guide]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What will you charge for?")).to_be_visible()
    for name in ("costs", "differ", "paid", "fee", "counted"):
        tab_to(page, f"input[name={name}]")
        page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    for name, text in (("name", "Pro"), ("code", "pro"), ("use", "llm_call")):
        tab_to(page, f"input[name={name}]")
        page.keyboard.type(text)
    tab_to(page, "main form button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New product")).to_be_visible()
    tab_to(page, "#f-price-1-entry-1-tier-1-unit_price")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("0.05")
    # What is typed is priced while it is typed.
    expect(page.locator("#preview-bill")).to_contain_text("$50.00")
    expect(page.locator("#preview-words")).to_contain_text("$0.05 for each llm_call.")
    tab_to(page, "button[value='add:entitlement']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Included credit 1")).to_be_focused()
    tab_to(page, "#f-entitlement-1-amount")
    page.keyboard.type("20")
    expect(page.locator("#preview-bill")).to_contain_text("$30.00")
    expect(page.locator("#as-json")).to_contain_text('"amount": 20')
    tab_to(page, "button[value=publish]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Version 1 of pro is published")
    version = server.run(lambda engine: engine.get_version("pro", 1))
    assert [len(version.prices), len(version.entitlements)] == [1, 1]
    assert version.is_default


def test_tiers_and_models_change_in_place_and_keep_the_focus(
    browser: Browser, server: LiveServer
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.goto(f"{server.url}/?token={TOKEN}")
    page.goto(f"{server.url}/test/new-product")
    page.locator("#f-price-1-model-tiered").check()
    expect(page.locator("#f-price-1-basis")).to_be_visible()
    expect(page.locator("#f-price-1-model-tiered")).to_be_focused()
    page.locator("#f-price-1-event_type").fill("image")
    page.locator("#f-price-1-entry-1-tier-1-up_to").fill("100")
    page.locator("#f-price-1-entry-1-tier-1-unit_price").fill("1")
    page.locator("#f-price-1-entry-1-tier-2-unit_price").fill("0.5")
    expect(page.locator("#preview-bill")).to_contain_text("$550.00")
    page.get_by_role("button", name="Add a tier").click()
    middle = page.locator("#f-price-1-entry-1-tier-2-up_to")
    expect(middle).to_be_focused()
    expect(page.locator("#preview-words")).to_contain_text("tier 2: up to is missing")
    middle.fill("200")
    page.locator("#f-price-1-entry-1-tier-2-unit_price").fill("0.75")
    # 100 at 1, 100 at 0.75, 800 at 0.5.
    expect(page.locator("#preview-bill")).to_contain_text("$575.00")
    page.locator("#f-use-1-times").fill("2,000")
    expect(page.locator("#preview-bill")).to_contain_text("$1,075.00")
    expect(page.locator("#f-use-1-times")).to_be_focused()
    page.locator("#f-price-1-dimensions").fill("model")
    page.locator("#f-price-1-dimensions").press("Enter")
    expect(page.locator("#f-price-1-entry-1-dimension-1")).to_be_visible()
    page.get_by_role("button", name="Edit Price 1 as JSON").click()
    expect(page.locator("#f-price-1-json")).to_have_value(re.compile('"pricing_model": "tiered"'))
    page.get_by_role("button", name="Show Price 1 as fields").click()
    expect(page.locator("#f-price-1-entry-1-tier-2-unit_price")).to_have_value("0.75")
    context.close()


PRODUCT = "products/calls"
DRAFT = "new-product?costs=per_volume&differ=customer&fee=included"


@pytest.mark.parametrize(
    ("width", "theme", "paths"),
    [
        (1280, "dark", ["products", PRODUCT, DRAFT]),
        (390, "light", [f"{PRODUCT}/subscribers", f"{PRODUCT}/try", "guide", DRAFT]),
    ],
)
def test_axe_finds_nothing_on_the_pages_of_products(
    browser: Browser, server: LiveServer, width: int, theme: Any, paths: list[str]
) -> None:
    server.add_product()
    server.add_customer("Ada")
    context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=theme)
    page = context.new_page()
    page.goto(f"{server.url}/?token={TOKEN}")
    for path in paths:
        page.goto(f"{server.url}/test/{path}")
        found = Axe().run(page)
        assert not found.violations_count, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.locator("button[value='add:price']").click()
    expect(page.get_by_role("heading", name="Price 3")).to_be_focused()
    page.locator("button[value=publish]").click()
    expect(page.locator("section.wrong")).to_be_focused()
    found = Axe().run(page)
    assert not found.violations_count, found.generate_report()
    context.close()
