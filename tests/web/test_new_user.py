"""Tried as a new user would: a clone, two commands, and by the browser alone from the demo to a
business of one's own whose first customer was charged and has topped up. How long each step takes
is printed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[2]
PASSWORD = "three words that nobody knows"

pytestmark = pytest.mark.slow


class Steps:
    """What was done, and how long each step took."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.lines: list[str] = []

    def done(self, words: str) -> None:
        """Note that a step is done."""
        now = time.monotonic()
        self.lines.append(f"{now - self._begun:6.1f} s  {words}")
        self._begun = now


@contextmanager
def demo_of_a_clone(folder: Path, steps: Steps) -> Iterator[str]:
    """Clone the repository and run the demo, as the README says; yield the dashboard's link."""
    clone = folder / "faregate"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True, timeout=120)
    steps.done("git clone")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FAREGATE_")}
    home = {"XDG_DATA_HOME": str(folder / "data"), "HOME": str(folder)}
    with subprocess.Popen(
        ["./scripts/demo", "--port", "0", "--events", "300"],
        cwd=clone,
        env=kept | home,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            link = next(line.split()[1] for line in process.stdout if line.startswith("Dashboard "))
            steps.done("./scripts/demo: installed, a month made up, served")
            yield link
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(30)


def test_from_a_clone_to_a_customer_who_was_charged_and_has_topped_up(
    tmp_path: Path, browser: Browser, capsys: pytest.CaptureFixture[str]
):
    steps = Steps()
    with demo_of_a_clone(tmp_path, steps) as link:
        base = "/".join(link.split("/")[:3])
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(link)
        expect(page.get_by_role("heading", name="Home")).to_be_visible()
        steps.done("signed in to the demo by its link")
        make_it_mine(page)
        steps.done("made it mine")
        sign_in_again(page, base)
        steps.done("signed in with an e-mail and a password")
        make_a_product(page, base)
        steps.done("answered five questions, and published the product")
        customer = make_a_customer(page, base)
        steps.done("made a customer who is subscribed")
        key = make_a_key(page, base)
        charge(base, key)
        page.goto(customer)
        expect(page.locator("main")).to_contain_text("1 use × $0.05")
        steps.done("made a key, charged by it, and saw why the fee is what it is")
        top_up_in_the_portal(page, browser, customer)
        steps.done("opened the customer's portal, and topped up by card")
        page.goto(customer)
        expect(page.locator("main")).to_contain_text("$24.95")
        steps.done("saw what the customer has left")
    with capsys.disabled():
        print("\n" + "\n".join(steps.lines), flush=True)


def make_it_mine(page: Page) -> None:
    """Leave the demo for a database of one's own."""
    page.get_by_role("link", name="make it mine").click()
    page.get_by_label("Your name").fill("Grace")
    page.get_by_label("Your e-mail").fill("grace@example.com")
    page.get_by_label("A password").fill(PASSWORD)
    page.get_by_label("The password again").fill(PASSWORD)
    for kept in ("products", "settings"):
        page.locator(f"input[name={kept}]").set_checked(False)
    page.get_by_role("button", name="Make it mine").click()
    expect(page.get_by_text("This is a demo")).to_have_count(0, timeout=60_000)
    expect(page.get_by_role("heading", name="Home")).to_be_visible(timeout=60_000)


def sign_in_again(page: Page, base: str) -> None:
    """Sign out, and in with the password."""
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{base}/sign-in")
    page.get_by_label("E-mail").fill("grace@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()


def make_a_product(page: Page, base: str) -> None:
    """Answer the guide's questions, set the price of the draft, and publish it."""
    page.goto(f"{base}/test/guide")
    for name, value in (
        ("costs", "per_use"),
        ("differ", "no"),
        ("paid", "prepaid"),
        ("fee", "none"),
        ("counted", "money"),
    ):
        page.locator(f"input[name={name}][value={value}]").check()
    page.get_by_label("Product").fill("Pictures")
    page.get_by_label("Code").fill("pictures")
    page.get_by_label("One use").fill("image")
    page.get_by_role("button", name="Make a draft").click()
    price = page.locator("input[name$=unit_price]").first
    price.fill("0.05")
    price.press("Tab")
    expect(page.locator("body")).to_contain_text("$0.05")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("main")).to_contain_text("is published")


def make_a_customer(page: Page, base: str) -> str:
    """Make a customer; return the address of their page."""
    page.goto(f"{base}/test/customers")
    page.get_by_role("link", name="New customer").first.click()
    page.get_by_label("Name").fill("Ada Lovelace")
    page.get_by_label("External id").fill("ada")
    page.get_by_label("Subscribe to").select_option(label="Pictures")
    page.get_by_role("button", name="Create customer").click()
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    return page.url


def make_a_key(page: Page, base: str) -> str:
    """Make an API key; return it."""
    page.goto(f"{base}/test/keys")
    page.get_by_label("What is it for?").fill("my app")
    page.get_by_role("button", name="Make a test key").click()
    return page.locator("#secret").inner_text().strip()


def charge(base: str, key: str) -> None:
    """Report one use, as the seller's program does."""
    event = {"id": "1", "event_type": "image", "occurred_at": datetime.now(UTC).isoformat()}
    body = {"customer_external_id": "ada", "events": [event]}
    answer = httpx.post(f"{base}/v1/events", json=body, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 204, answer.text


def top_up_in_the_portal(page: Page, browser: Browser, customer: str) -> None:
    """Make a portal link, open it on a telephone as the customer, and pay 25 USD by card."""
    page.goto(customer)
    page.get_by_role("button", name=re.compile("Portal link")).click()
    link = page.locator("#portal-link").inner_text().strip()
    phone = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    phone.goto(link)
    expect(phone.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    phone.goto(link.split("/portal")[0] + "/portal/top-up")
    phone.get_by_label("Another amount").first.fill("25")
    phone.get_by_role("button", name="Continue").first.click()
    phone.get_by_role("button", name=re.compile("4242")).first.click()
    pay = phone.get_by_role("button", name=re.compile("^Pay"))
    expect(pay).to_be_visible()
    pay.click()
    expect(phone.get_by_role("heading", name=re.compile("25.* added"))).to_be_visible()
