"""A person lets an assistant in, and confirms what it asks, by keyboard; and everybody can read
these pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from tests.assistants.consenting import address, asking, client_of, token
from tests.assistants.house import EMAIL, PASSWORD, Assistant, House, running_house
from tests.databases import new_sqlite

pytestmark = pytest.mark.slow

GIFT = {"transaction_id": "gift-1", "asset": "USD", "amount": 25, "reason": "gift"}


class Program:
    """A program on this computer that waits for its code."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        program = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                program.asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"You can close this page")

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}/callback"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with running_house(new_sqlite(tmp_path / "house.db")) as running:
        yield running


@pytest.fixture
def program() -> Iterator[Program]:
    one = Program()
    yield one
    one.server.shutdown()
    one.server.server_close()


def check(page: Page, width: int) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def tab_to(page: Page, role: str, name: str) -> None:
    """Go on by the Tab key to something."""
    wanted = page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
    for _ in range(80):
        if wanted.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(wanted).to_be_focused()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_a_person_lets_an_assistant_in_and_confirms_what_it_asks_by_keyboard_alone(
    browser: Browser, house: House, program: Program, scheme: str, width: int
):
    house.session()
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda one: faults.append(one.text) if "Policy" in one.text else None)
    client = client_of(house, program.uri)
    state = "s" * 400
    page.goto(address(house.url, **asking(client, redirect_uri=program.uri, state=state)))
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="May it?")).to_be_visible()
    check(page, width)
    page.get_by_label("In which mode").select_option("live")
    tab_to(page, "button", "Allow")
    page.keyboard.press("Enter")
    expect(page.get_by_text("You can close this page")).to_be_visible()
    said = parse_qs(urlsplit(program.asked[0]).query)
    assert (said["state"], said["iss"]) == ([state], [house.url])
    got = token(house, client, code=said["code"][0], redirect_uri=program.uri).json()

    assistant = Assistant(house, got["access_token"])
    customer = assistant.call("create_customer", name="Acme").json["id"]
    page.goto(assistant.asks("adjust_wallet", customer_id=customer, **GIFT))
    check(page, width)
    tab_to(page, "button", "Confirm")
    page.keyboard.press("Enter")
    expect(page.get_by_text("It is confirmed: tell the assistant to go on.")).to_be_visible()
    check(page, width)
    assert not assistant.call("adjust_wallet", customer_id=customer, **GIFT).is_error
    page.goto(f"{house.url}/live/confirmations")
    expect(page.get_by_text("Done", exact=True)).to_be_visible()
    check(page, width)
    page.goto(assistant.asks("adjust_wallet", customer_id=customer, **GIFT | {"amount": 26}))
    tab_to(page, "button", "Refuse")
    page.keyboard.press("Enter")
    expect(page.get_by_text("It is refused.")).to_be_visible()

    page.goto(f"{house.url}/live/assistants")
    check(page, width)
    page.on("dialog", lambda dialog: dialog.accept())
    tab_to(page, "button", "End Claude of Ada")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The assistant is out")).to_be_visible()
    check(page, width)
    assert assistant.post("list_assets", "{}").status_code == 401
    for path in ("/live/assistants/connect", "/live/confirmations", "/test/confirmations"):
        page.goto(f"{house.url}{path}")
        check(page, width)
    assert faults == []
    context.close()
