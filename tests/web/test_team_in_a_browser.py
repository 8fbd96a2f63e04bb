"""How a team begins, by keyboard: the first admin's link, an invitation, a colleague who joins; and
that everybody can read these pages."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from tests.web.live import TOKEN, LiveServer

pytestmark = pytest.mark.slow


def check(page: Page, width: int) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def type_into(page: Page, label: str, text: str) -> None:
    """Go on by the Tab key to a field, and type."""
    field = page.get_by_label(label, exact=True)
    for _ in range(60):
        if field.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(field).to_be_focused()
    page.keyboard.type(text)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_a_colleague_is_invited_and_joins_by_keyboard_alone(
    browser: Browser, server: LiveServer, scheme: str, width: int
):
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda one: faults.append(one.text) if "Policy" in one.text else None)
    page.goto(f"{server.url}/?token={TOKEN}")
    for path in ("audit", "settings", "keys", "account"):
        page.goto(f"{server.url}/test/{path}")
        check(page, width)
    page.goto(f"{server.url}/test/team")
    check(page, width)
    type_into(page, "E-mail", "ben@example.com")
    page.keyboard.press("Enter")
    link = page.locator("#link").text_content()
    assert link
    check(page, width)

    theirs = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    other = theirs.new_page()
    other.goto(link)
    check(other, width)
    type_into(other, "Your name", "Ben")
    type_into(other, "Password", "short")
    other.keyboard.press("Enter")
    # The browser itself holds the shortest length.
    expect(other.get_by_label("Password")).to_be_focused()
    other.keyboard.type(" but longer now")
    other.keyboard.press("Enter")
    expect(other.get_by_role("heading", name="Home")).to_be_visible()
    expect(other.get_by_role("link", name="API keys")).to_have_count(0)
    other.goto(f"{server.url}/test/settings")
    expect(other.get_by_text("an admin can change it")).to_be_visible()
    other.get_by_role("button", name="Sign out").focus()
    other.keyboard.press("Enter")
    expect(other.get_by_label("E-mail")).to_be_focused()
    other.keyboard.type("ben@example.com")
    type_into(other, "Password", "wrong password")
    other.keyboard.press("Enter")
    expect(other.get_by_role("alert")).to_contain_text("E-mail or password is wrong")
    check(other, width)

    page.goto(f"{server.url}/test/audit")
    expect(page.locator("#entries")).to_contain_text("join the team")
    check(page, width)
    page.get_by_role("button", name="Check the log").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("are as they were written")
    assert faults == []
    context.close()
    theirs.close()
