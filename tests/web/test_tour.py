"""A tour of every page there is, of a demo that runs: each can be reached by links from the menu,
can be read by everybody in both themes, on a telephone and on a screen, and says nothing on the
console. What was seen is kept in `test-results/tour`; `make tour` makes `docs/tour.md` of it.
"""

from __future__ import annotations

import html
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext
from tests.cli.running import running
from tests.web.forms import send

from faregate.web.dashboard.sections import PAGES
from faregate.web.portal.sections import PAGES as PORTAL_PAGES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SEEN = ROOT / "test-results" / "tour"
TOUR = ROOT / "docs" / "tour.md"
PICTURES = ROOT / "docs" / "tour"
WIDTHS = {1280: 900, 390: 844}
THEMES = ("light", "dark")
MAX_LOOKED_AT = 400
FOLLOWED = 8
"""Of each route so many addresses are followed: not each customer has everything."""
NO_PAGES = re.compile(r"\.csv$|/file$|^now$|/feed$|preview|(^|/)back$|/save$|^products/.*/move$")
"""Routes that answer with a file or a part of a page, lead on, or show what another one shows."""


class Stop(NamedTuple):
    """A page: what it is called in the tour, and where it is."""

    name: str
    path: str


class Place(NamedTuple):
    """Where the demo is, and who is signed in there."""

    url: str
    operator: httpx.Client
    customer: httpx.Client
    checkout: str
    limits: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A demo that runs, with an operator and a customer who are signed in."""
    kept = f"sqlite:///{tmp_path_factory.mktemp('tour') / 'demo.db'}"
    demo = running("demo", "--port", "0", "--events", "1500", "--rate", "2", "--database", kept)
    with demo as process:
        assert process.stdout is not None
        links: dict[str, str] = {}
        for line in process.stdout:
            words = line.split()
            if words and words[0] in ("Dashboard", "Portal", "Top-up"):
                links[words[0]] = words[1]
            if len(links) == 3:
                break
        base = "{0.scheme}://{0.netloc}".format(urlsplit(links["Dashboard"]))
        operator = httpx.Client(base_url=base, follow_redirects=True, timeout=30)
        assert operator.get(links["Dashboard"]).status_code == 200
        customer = httpx.Client(base_url=base, follow_redirects=True, timeout=30)
        enter(customer, links["Portal"])
        limits = prepare(operator, customer)
        yield Place(base, operator, customer, links["Top-up"], limits)


def enter(customer: httpx.Client, link: str) -> None:
    """Open a portal link as a customer does: look at its page, and press its button."""
    shown = customer.get(link).text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', shown))
    action = re.search(r'<form[^>]* action="([^"]+)"', shown)
    assert customer.post(action[1] if action else link, data=fields).status_code == 200


def prepare(operator: httpx.Client, customer: httpx.Client) -> str:
    """Do what the demo has not done: something that takes long, a plan by the seat, and a limit;
    return where that is."""
    assert send(operator, "/test/jobs", "/test/jobs/verify").status_code == 200
    first = re.search(r'href="(/test/customers/cust_\w+)', operator.get("/test/customers").text)
    assert first
    limits = f"{first[1]}/limits"
    limit = {"amount": "50", "period": "month", "measure": "fees", "asset": "USD", "mode": "hard"}
    assert send(operator, limits, **limit).status_code == 200
    asks = next(link for link in form_links(customer.get("/portal/plans").text) if "seats=" in link)
    plan = parse_qs(urlsplit(asks).query)["plan"][0]
    taken = send(customer, asks, "/portal/plans/take", plan=plan, seats="2")
    assert taken.status_code == 200
    return limits


def found_by_links(
    client: httpx.Client, starts: list[str], routes: dict[str, re.Pattern[str]]
) -> dict[str, str]:
    """Follow links from pages until each route was met; return an address of each."""
    met: dict[str, str] = {}
    followed: Counter[str] = Counter()
    seen, waiting = set(starts), list(starts)
    looked_at = 0
    while waiting and len(met) < len(routes) and looked_at < MAX_LOOKED_AT:
        path = waiting.pop(0)
        answer = client.get(path)
        looked_at += 1
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        for href in [*re.findall(r'href="([^"#]+)"', answer.text), *form_links(answer.text)]:
            address = urljoin(path, html.unescape(href))
            parts = urlsplit(address)
            if parts.netloc or address in seen:
                continue
            seen.add(address)
            for name, pattern in routes.items():
                if pattern.fullmatch(parts.path):
                    met.setdefault(name, address)
                    followed[name] += 1
                    if followed[name] <= FOLLOWED:
                        waiting.append(address)
                    break
    return met


def form_links(text: str) -> Iterator[str]:
    """Yield where forms lead that only look, with what is in their fields."""
    for action, inside in re.findall(
        r'<form method="get" action="([^"]+)"[^>]*>(.*?)</form>', text, re.S
    ):
        fields = re.findall(r'<input[^>]* name="(\w+)" value="([^"]+)"', inside)
        yield f"{action}?{urlencode(fields)}"


def routes_of(pages: Any, prefix: str) -> dict[str, re.Pattern[str]]:
    """Return a pattern for each page that is looked at, those without a name in the path first."""
    found = {}
    paths = {page.path for page in pages if page.method == "GET" and not NO_PAGES.search(page.path)}
    for path in sorted(paths, key=lambda one: (one.count("{"), one)):
        whole = f"{prefix}/{path}".rstrip("/")
        found[path or "home"] = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(whole)))
    return found


@pytest.fixture(scope="module")
def dashboard(place: Place) -> list[Stop]:
    """Every page of the dashboard."""
    routes = routes_of(PAGES, "/test")
    # Not each customer has a limit: the list leads to the one who has, sooner or later.
    met = {"home": "/test"} | found_by_links(place.operator, ["/test", place.limits], routes)
    assert sorted(met) == sorted(routes), f"no link leads to {sorted(set(routes) - set(met))}"
    return [Stop(name_of(name), met[name]) for name in routes]


@pytest.fixture(scope="module")
def portal(place: Place) -> list[Stop]:
    """Every page of the portal."""
    routes = routes_of(PORTAL_PAGES, "/portal")
    met = {"home": "/portal"} | found_by_links(place.customer, ["/portal"], routes)
    assert sorted(met) == sorted(routes), f"no link leads to {sorted(set(routes) - set(met))}"
    return [Stop(f"portal-{name_of(name)}", met[name]) for name in routes]


def name_of(route: str) -> str:
    """Return a page's name: `customers/{customer_id}/money` is `customers-one-money`."""
    return re.sub(r"\{\w+\}", "one", route).replace("/", "-")


def look(
    context: BrowserContext, base: str, stops: list[Stop], theme: str, width: int
) -> list[str]:
    """Look at pages; return what is wrong with them."""
    wrong: list[str] = []
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for stop in stops:
        where = f"{stop.name} ({theme}, {width})"
        answer = page.goto(base + stop.path)
        if answer is None or answer.status != 200:
            wrong.append(f"{where}: {answer and answer.status}")
        page.wait_for_load_state("load")
        page.screenshot(path=SEEN / f"{stop.name}-{width}-{theme}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wrong.append(f"{where}: wider than the screen")
        # Each width once and each theme once: what axe looks at depends on both, not on the pair.
        if (theme, width) in (("light", 390), ("dark", 1280)):
            found = Axe().run(page)
            for one in found.response["violations"]:
                if one["impact"] in ("serious", "critical"):
                    targets = [node["target"] for node in one["nodes"][:3]]
                    wrong.append(f"{where}: {one['id']} {targets}")
    wrong += [f"{theme}, {width}: console: {text}" for text in said]
    page.close()
    return wrong


def signed_in(
    browser: Browser, client: httpx.Client, base: str, theme: Any, width: int
) -> BrowserContext:
    """Return a browser with a client's cookies."""
    viewport: Any = {"width": width, "height": WIDTHS[width]}
    context = browser.new_context(viewport=viewport, color_scheme=theme, reduced_motion="reduce")
    cookies = [{"name": c.name, "value": c.value or "", "url": base} for c in client.cookies.jar]
    context.add_cookies(cookies)  # type: ignore[arg-type]
    return context


def test_every_page_is_reached_by_links_and_can_be_read_by_everybody(
    place: Place, dashboard: list[Stop], portal: list[Stop], browser: Browser
):
    SEEN.mkdir(parents=True, exist_ok=True)
    receipt = next(stop for stop in portal if stop.name == "portal-receipts-one")
    stranger = httpx.Client(base_url=place.url, follow_redirects=True)
    outside = [
        Stop("sign-in", "/sign-in"),
        Stop("checkout", urlsplit(place.checkout).path),
        Stop("portal-receipt-to-print", receipt.path),
    ]
    wrong: list[str] = []
    for theme in THEMES:
        for width in WIDTHS:
            for client, stops in (
                (place.operator, dashboard),
                (place.customer, portal),
                (stranger, outside[:2]),
            ):
                context = signed_in(browser, client, place.url, theme, width)
                wrong += look(context, place.url, stops, theme, width)
                context.close()
    assert wrong == []
    stops = [*outside[:2], *dashboard, *portal]
    if os.environ.get("FAREGATE_TOUR"):
        write_tour(stops)
    shown = re.findall(r"^## `(.*)`$", TOUR.read_text(), re.M)
    assert shown == [stop.name for stop in stops], "run `make tour`"
    for picture in re.findall(r"\]\((tour/[^)]+)\)", TOUR.read_text()):
        assert (TOUR.parent / picture).is_file()


def write_tour(stops: list[Stop]) -> None:
    """Write the page with pictures of each stop in each theme: screen and telephone."""
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.webp"):
        old.unlink()
    parts = [
        "# A tour of every page\n\nWhat the demo shows, as the tests saw it: each page in both "
        "themes, on a screen and on a telephone. `make tour` makes this page anew.\n"
    ]
    for stop in stops:
        parts.append(f"\n## `{stop.name}`\n\n")
        for theme in THEMES:
            picture(stop.name, theme).save(
                PICTURES / f"{stop.name}-{theme}.webp", quality=55, method=6
            )
            parts.append(f"![{stop.name}, {theme}](tour/{stop.name}-{theme}.webp)\n")
    TOUR.write_text("".join(parts))


def picture(name: str, theme: str) -> Image.Image:
    """Put what a screen and a telephone show beside each other."""
    height = 700
    parts = []
    for width, shown in WIDTHS.items():
        whole = Image.open(SEEN / f"{name}-{width}-{theme}.png").convert("RGB")
        top = Image.new("RGB", (width, shown), whole.getpixel((0, 0)))
        top.paste(whole.crop((0, 0, width, min(shown, whole.height))))
        parts.append(top.resize((width * height // shown, height), Image.Resampling.LANCZOS))
    both = Image.new("RGB", (sum(p.width for p in parts) + 12, height), (128, 128, 128))
    both.paste(parts[0], (0, 0))
    both.paste(parts[1], (parts[0].width + 12, 0))
    return both
