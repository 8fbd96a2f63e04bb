"""The portal inside a page of the seller's, on another origin: the page of docs/portal.md, in a
browser. And the door by itself, on a telephone, in both themes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route, expect
from tests.web.live import LiveServer
from tests.web.test_portal_door import link_for, set_up

ROOT = Path(__file__).parents[2]
PAGE = re.findall(r"```html\n(.*?)```", (ROOT / "docs/portal.md").read_text(), re.S)[0]
EMBED = ROOT / "src/faregate/web/static/portal/embed.js"


@contextmanager
def shop_page(html: str) -> Iterator[int]:
    """Serve one page on a port of its own."""

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as shop:
        threading.Thread(target=shop.serve_forever, daemon=True).start()
        yield shop.server_port
        shop.shutdown()


def the_page(server: LiveServer, link: str) -> str:
    """The page of the documentation, with this server and link."""
    html = PAGE.replace("https://billing.example.com", server.url).replace("{redirect_url}", link)
    return html.replace("data-title", 'data-patience="2000" data-title')


def test_the_page_of_the_documentation_shows_the_portal_where_it_may(
    server: LiveServer, browser: Browser
) -> None:
    server.add_product()
    customer_id = server.add_customer("Ada", "40")
    link, other = link_for(server, customer_id), link_for(server, customer_id)
    with shop_page(the_page(server, link)) as port, shop_page(the_page(server, other)) as stranger:
        set_up(server, name="Lumen", accent="#0f766e", origins=[f"http://localhost:{port}"])
        # As another site, to the browser: localhost is not 127.0.0.1, where the portal is.
        page = browser.new_page()
        page.goto(f"http://localhost:{port}/")
        inside = page.frame_locator("faregate-portal iframe")
        expect(inside.get_by_text("$40.00")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("Shown")
        assert page.locator("iframe").get_attribute("title") == "Your account"
        (cookie,) = page.context.cookies()
        assert cookie["name"] == "faregate_portal_embedded"
        assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
        assert cookie["partitionKey"] == "http://localhost"

        # It is as high as what is in it, also after that has changed.
        fits = """() => { const f = document.querySelector("iframe");
          return Math.abs(f.clientHeight - Number(f.height)) < 2 && f.clientHeight < 600 }"""
        page.wait_for_function(fits)
        inside.get_by_label("Language").select_option("de")
        inside.get_by_role("button", name="Choose").click()
        expect(inside.get_by_text("Ihr Guthaben")).to_be_visible()
        page.wait_for_function(fits)
        before = page.locator("iframe").get_attribute("height")
        page.set_viewport_size({"width": 320, "height": 800})
        page.wait_for_function(
            "before => document.querySelector('iframe').height !== before", arg=before
        )

        # A page of ours that says what has happened is heard outside.
        def with_event(route: Route) -> None:
            answer = route.fetch()
            meta = '<head><meta name="faregate-event" content="top-up">'
            route.fulfill(response=answer, body=answer.text().replace("<head>", meta))

        page.route("**/portal", with_event)
        page.frames[1].evaluate("location.reload()")
        expect(page.get_by_role("status")).to_have_text("Thank you")

        # What other pages say is nobody's height or event.
        page.evaluate("postMessage({ faregate: { event: 'refused', height: 1 } }, '*')")
        page.wait_for_function(fits)
        expect(page.get_by_role("status")).to_have_text("Thank you")
        page.close()

        refused = browser.new_page()
        refused.goto(f"http://localhost:{stranger}/")
        expect(refused.get_by_role("status")).to_have_text("Please open billing in a new window")
        expect(refused.locator("iframe")).to_be_hidden()
        assert refused.context.cookies() == []
        refused.close()
    seen = server.run(lambda engine: engine.look_at_portal_link(other.partition("link=")[2]))
    assert seen.state == "open"


def test_the_script_is_small() -> None:
    assert EMBED.stat().st_size < 5_000


def test_the_door_opens_with_and_without_a_script_and_can_be_read_in_both_themes(
    server: LiveServer, browser: Browser
) -> None:
    set_up(server, name="Lumen", accent="#ffe600", support_email="help@lumen.example")
    server.add_product()
    customer_id = server.add_customer("Ada", "40")
    for scheme, width, has_script in (("light", 390, True), ("dark", 1280, False)):
        link = link_for(server, customer_id)
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=has_script,
        )
        page = context.new_page()
        page.goto(link)
        if not has_script:
            page.keyboard.press("Tab")
            expect(page.get_by_role("button", name="Continue")).to_be_focused()
            page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Your balance")).to_be_visible()
        context.close()

        # The same pages, looked at by axe, which needs a script.
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page = context.new_page()
        page.route("**/enter.js", lambda route: route.abort())
        page.goto(link_for(server, customer_id))
        serious = [*found(page)]
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="Your balance")).to_be_visible()
        serious += found(page)
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not page.evaluate(wide)
        page.get_by_role("button", name="Leave").click()
        expect(page.get_by_role("heading", name="You have left")).to_be_visible()
        serious += found(page)
        page.goto(link)
        expect(page.get_by_role("heading", name="This link was opened before")).to_be_visible()
        serious += found(page)
        assert serious == []
        context.close()


def found(page: object) -> list[str]:
    """What axe finds that is serious."""
    result = Axe().run(page)  # type: ignore[arg-type]
    return [
        f"{one['id']}: {node['html']}"
        for one in result.response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
