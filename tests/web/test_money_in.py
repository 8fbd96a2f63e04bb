"""The whole story of money that comes in, from an empty database, by the public API and a browser:
customers top up by card, auto top-ups keep them going while many work at once, a refund and
disputes run through, and a receiver on this machine has verified every webhook. The same with the
sandbox and with Stripe's double."""

from __future__ import annotations

import asyncio
import hmac
import json
import random
import shutil
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import standardwebhooks
from playwright.async_api import Page, async_playwright, expect
from tests.api.caller import USD, product, read
from tests.cli.running import run
from tests.doubles.receiver import Arrived, Receiver, receiving
from tests.faults.serving import HEADERS, KEY, Server
from tests.web.outside import NUMBERS, Booked, Outside, outside

from faregate.client import InvalidWebhook, verify_webhook

PATIENCE_SECONDS = 60
POLL_SECONDS = 0.05
RATE = Decimal("0.0125")
CLIENTS = 3
"""So many work for one customer at once."""
TOP_UPS = 6
"""So many auto top-ups each of them needs."""
NAMES = ("Ada Secretperson", "Ben Secretperson", "Cyd Secretperson", "Dee Secretperson")
MAIL = "secretmail"
FORGED = "forgedbody"
HOOK = "/hooks?token=secrethooktoken"
OTHER_SECRET = f"whsec_{b64encode(bytes(32)).decode()}"
TOLD = {
    "subscription.activated",
    "grant.created",
    "top_up.succeeded",
    "top_up.failed",
    "auto_top_up.failed",
    "payment.refunded",
    "payment.disputed",
    "payment.dispute_won",
    "payment.dispute_lost",
}
"""What must have been told of at least once."""


class Shop:
    """A seller, who has the key of a running server. `links` are those that open a payment's page
    or its receipt to anybody."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self.http, self.url = http, url
        self.links: list[str] = []

    async def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """Ask for something that must be answered with yes; numbers stay exact."""
        text = body if isinstance(body, str) else None if body is None else json.dumps(body)
        headers = {"content-type": "application/json"} | ({"idempotency-key": key} if key else {})
        answer = read(await self.http.request(method, path, content=text, headers=headers))
        assert answer.status < 300, (method, path, answer.status, answer.body)
        return answer.body

    async def all(self, path: str, **query: Any) -> list[Any]:
        """Everything of a list."""
        found: list[Any] = []
        while True:
            asked = httpx.QueryParams({**query, "limit": 100, "offset": len(found)})
            page = await self.ask("GET", f"{path}?{asked}")
            found += page["items"]
            if len(found) >= page["total_count"]:
                return found

    async def customer(self, name: str) -> str:
        """Make a customer who is subscribed."""
        subscription = {"products": [{"code": "tokens"}]}
        mail = f"{name.split()[0]}@{MAIL}.example".lower()
        body = {"name": name, "email": mail, "subscriptions": [subscription]}
        return str((await self.ask("POST", "customers", body))["id"])

    async def top_up(self, customer: str, amount: int) -> Any:
        """Begin a top-up."""
        back = {name: f"{self.url}/healthz?{word}" for name, word in BACK}
        body = {"customer_id": customer, "amount": amount, "currency": "USD", **back}
        made = await self.ask("POST", "top-ups", body)
        self.links.append(made["redirect_url"])
        return {**made, "customer_id": customer}

    async def has(self, customer: str) -> Decimal:
        """What a customer's account has, what is set aside in it included."""
        account = await self.ask("GET", f"customers/{customer}/wallet/{USD}")
        return Decimal(account["available"]) + Decimal(account["pending_out"])

    async def auto(self, customer: str, **terms: Any) -> Any:
        """Agree on an auto top-up; or, without terms, ask where it stands."""
        path = f"customers/{customer}/wallet/{USD}/auto-top-up"
        return await self.ask("PUT" if terms else "GET", path, terms or None)

    async def stands(self, payment: Any, status: str) -> None:
        """Wait until a top-up has come to this."""

        async def does() -> bool:
            return bool((await self.ask("GET", f"top-ups/{payment['id']}"))["status"] == status)

        await until(does)

    async def deliveries(self, **query: Any) -> list[Any]:
        """Every webhook that was sent or is to be sent, the oldest first."""
        found: list[Any] = []
        more: dict[str, Any] = {}
        while True:
            asked = httpx.QueryParams({**query, **more, "limit": 100})
            page = await self.ask("GET", f"webhooks/events?{asked}")
            found += page["models"]
            if "next" not in page["pagination"]:
                return found[::-1]
            more = {"next": page["pagination"]["next"]}


BACK = (("return_url", "paid"), ("failure_url", "sorry"))


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_so():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(POLL_SECONDS)  # real processes take real time


@asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield await browser.new_page()
        await browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["sandbox", "stripe"])
def test_money_comes_in_is_spent_and_goes_back_and_every_word_of_it_is_true(
    database_url: str, tmp_path: Path, provider: str
) -> None:
    said = tmp_path / "said"
    with outside(provider, database_url) as there:
        secrets = asyncio.run(_story(database_url, said, there))
        done = run("verify", "--database", database_url)
    assert (done.returncode, "The books balance." in done.stdout) == (0, True), done.stdout
    printed = said.read_text()
    # What is looked through is the log of a server that had something to say.
    assert "a payment message was refused" in printed
    assert [secret for secret in secrets if secret in printed] == []


async def _story(database_url: str, said: Path, there: Outside) -> list[str]:
    server = Server(
        database_url, "--webhook-allow", "127.0.0.0/8", said=said, settings=there.settings
    )
    async with (
        receiving() as receiver,
        httpx.AsyncClient(base_url=f"{server.url}/v1", headers=HEADERS, timeout=60) as http,
        browsing() as page,
    ):
        await server.start(http)
        try:
            shop = Shop(http, server.url)
            secret = await _open(shop, receiver, there)
            await _live(shop, page, there)
            await _all_told(shop, receiver, secret)
        finally:
            assert await server.stop() == 0
    keys = [KEY, secret, secret.removeprefix("whsec_"), HOOK]
    people = [MAIL, "Secretperson", FORGED]
    return [*there.secrets, *keys, *people, *shop.links, "/checkout/", "/receipts/", "whe_"]


async def _open(shop: Shop, receiver: Receiver, there: Outside) -> str:
    """Sell something, be told of everything, and say where to tell us; returns the secret."""
    await shop.ask("POST", "products", product(str(RATE)))
    account = (await shop.ask("GET", "accounts/self"))["account_id"]
    door = f"{shop.url}/payments/messages/{there.name}/{account}/test"
    there.told_at(door)
    signature = {f"{there.name}-signature": f"t={datetime.now(UTC).timestamp():.0f},v1={'0' * 64}"}
    forged = await shop.http.post(door, json={"id": FORGED}, headers=signature)
    assert forged.status_code == 403
    failed: list[str] = []

    def answer(one: Arrived) -> int:
        if failed or one.event["type"] != "top_up.succeeded":
            return 200
        # Nobody can take the first payment's when it is told of for the first time.
        failed.append(one.event["id"])
        return 500

    receiver.answer = answer
    made = await shop.ask("POST", "webhooks", {"url": receiver.url + HOOK})
    return str(made["secret"])


async def _live(shop: Shop, page: Page, there: Outside) -> None:
    ada, ben, cyd, dee = [await shop.customer(name) for name in NAMES]
    # The card that is declined costs nothing; the one that pays brings its credit once.
    payment = await shop.top_up(ada, 20)
    await there.pay(page, payment, "declined")
    assert await shop.has(ada) == 0
    await _pays(shop, page, there, payment)
    form = {"card": "good", "number": NUMBERS["good"], "expiry": "12/40", "code": "123"}
    for _ in range(2):
        await page.request.post(payment["redirect_url"], form=form)
    assert await shop.has(ada) == 20
    await _pays(shop, page, there, await shop.top_up(ben, 15))

    charged = await _work(shop, ada, ben)
    await _a_card_that_is_declined_later(shop, page, there, cyd)

    before = await shop.has(ada)
    back = {"amount": 7.5}
    for _ in range(2):
        refund = await shop.ask("POST", f"top-ups/{payment['id']}/refunds", back, "refund-1")
        assert (refund["status"], refund["credit"]) == ("succeeded", Decimal("7.5"))
    assert await shop.has(ada) == before - Decimal("7.5")
    receipt = await shop.ask("GET", f"top-ups/{payment['id']}/receipt")
    shop.links.append(receipt["url"])
    await page.goto(receipt["url"])
    for text in ("Receipt for $20.00", "Visa that ends in 4242", "$12.50"):
        await expect(page.get_by_text(text)).to_be_visible()

    for amount, end in ((30, "lost"), (40, "won")):
        disputed = await shop.top_up(dee, amount)
        await there.pay_and_dispute(page, disputed)
        await _dispute_is(shop, disputed, "open", left=0)
        await there.decide(page, disputed, end)
        await _dispute_is(shop, disputed, end, left=amount if end == "won" else 0)

    await _assert_books(shop, there, {**charged, cyd: Decimal(0), dee: Decimal(0)})


async def _pays(shop: Shop, page: Page, there: Outside, payment: Any) -> None:
    await there.pay(page, payment, "good")
    await shop.stands(payment, "succeeded")


async def _dispute_is(shop: Shop, payment: Any, status: str, *, left: int) -> None:
    """Wait until a dispute stands so, and so much is left to the customer."""

    async def is_so() -> bool:
        found = await shop.all(f"top-ups/{payment['id']}/refunds")
        is_there = [(one["reason"], one["status"]) for one in found] == [("dispute", status)]
        return is_there and await shop.has(payment["customer_id"]) == left

    await until(is_so)


async def _work(shop: Shop, *customers: str) -> dict[str, Decimal]:
    """Let several clients work for each customer at once, until the card of each has paid many
    times; returns what they have used."""
    enough = {one: asyncio.Event() for one in customers}
    for one in customers:
        await shop.auto(one, enabled=True, threshold=5, amount=10, per_hour=60)

    async def client(customer: str, name: str) -> Decimal:
        used, number, chance = Decimal(0), 0, random.Random(name)
        while not enough[customer].is_set():
            number += 1
            tokens = chance.randint(1, 200)
            used += RATE * tokens
            await _use(shop, customer, f"{name}-{number}", tokens)
        return used

    async def watch(customer: str) -> None:
        async def has_paid() -> bool:
            found = await shop.all("top-ups", customer_id=customer)
            paid = [one for one in found if (one["kind"], one["status"]) == ("auto", "succeeded")]
            return len(paid) >= TOP_UPS

        await until(has_paid)
        enough[customer].set()

    async with asyncio.TaskGroup() as group:
        working = {
            one: [group.create_task(client(one, f"{one}-{n}")) for n in range(CLIENTS)]
            for one in customers
        }
        for one in customers:
            group.create_task(watch(one))

    async def nothing_is_in_flight() -> bool:
        return all(["in_flight" not in await shop.auto(one) for one in customers])

    for one in customers:
        await shop.auto(one, enabled=False, threshold=5, amount=10)
    await until(nothing_is_in_flight)
    return {one: sum((t.result() for t in tasks), Decimal(0)) for one, tasks in working.items()}


async def _use(shop: Shop, customer: str, name: str, tokens: int) -> None:
    """Ask first, then use it. Nobody is declined: where little is left, the card pays."""
    path = f"customers/{customer}/wallet/holds"
    wanted = {"event_type": "llm", "data": {"tokens": tokens}, "wait_for_top_up_seconds": 30}
    hold = await shop.ask("POST", path, {"transaction_id": f"h-{name}", **wanted})
    assert hold["status"] == "authorized", hold
    at = datetime.now(UTC).isoformat()
    event = {"id": name, "event_type": "llm", "occurred_at": at, "data": {"tokens": tokens}}
    settled = {"transaction_id": f"c-{name}", "events": [event]}
    done = await shop.ask("POST", f"{path}/{hold['id']}/capture", settled)
    assert done["captured_amount"] == RATE * tokens


async def _a_card_that_is_declined_later(
    shop: Shop, page: Page, there: Outside, customer: str
) -> None:
    payment = await shop.top_up(customer, 5)
    await there.pay(page, payment, "declined later")
    await shop.stands(payment, "succeeded")
    await shop.auto(customer, enabled=True, threshold=10, amount=10)

    async def has_failed() -> bool:
        return bool((await shop.auto(customer))["failures"] == 1)

    await until(has_failed)
    assert await shop.has(customer) == 5


async def _assert_books(shop: Shop, there: Outside, used: dict[str, Decimal]) -> None:
    """What the provider took is what was granted, each payment once; and what is left is that
    without what went back and what was used, to the last digit."""
    ours: dict[str, Booked] = {}
    for customer, charged in used.items():
        listed = await shop.all("top-ups", customer_id=customer)
        paid = [one for one in listed if one["status"] == "succeeded"]
        for one in paid:
            back = one.get("refunded", 0) + one.get("disputed", 0)
            ours[one["id"]] = Booked(int(one["amount"] * 100), int(back * 100))
        grants = await shop.all(f"customers/{customer}/wallet/{USD}/grants", purpose="paid")
        again = [
            one["amount"]
            for payment in paid
            for one in await shop.all(f"top-ups/{payment['id']}/refunds")
            if one["status"] == "won"
        ]
        wanted = sorted([one["amount"] for one in paid] + again)
        assert sorted([one["amount"] for one in grants]) == wanted
        events = await shop.all("events", customer_id=customer)
        assert sum([one["total_fees"] for one in events]) == charged
        came = sum([ours[one["id"]].paid - ours[one["id"]].back for one in paid])
        assert await shop.has(customer) == Decimal(came) / 100 - charged
    assert ours == await there.books()


async def _all_told(shop: Shop, receiver: Receiver, secret: str) -> None:
    """Everything that happened has arrived and is genuine, each once in effect, and what happened
    to a customer in its order."""

    async def is_told() -> bool:
        sent = await shop.deliveries()
        heard = {one.event["id"] for one in receiver.arrived}
        has_all = {one["topic"] for one in sent} >= TOLD and heard == {one["id"] for one in sent}
        return has_all and {one["state"] for one in sent} == {"delivered"}

    await until(is_told)
    sent = await shop.deliveries()
    assert len(sent) == len({one["id"] for one in sent})
    assert len(receiver.arrived) == len(sent) + 1, "one of them came twice"
    heard: dict[str, Any] = {}
    for one in receiver.arrived:
        event = _verified(one, secret)
        assert heard.setdefault(event["id"], event) == event
    assert [event["type"] for event in heard.values()].count("payment.refunded") == 1
    told = Counter[str]()
    for customer in {one["customer_id"] for one in sent}:
        mine = [one for one in heard.values() if one["data"]["customer_id"] == customer]
        happened = [one["id"] for one in sent if one["customer_id"] == customer]
        assert [one["id"] for one in mine] == happened
        times = [one["created"] for one in mine]
        assert times == sorted(times)
        told.update(one["data"]["top_up_id"] for one in mine if one["type"] == "top_up.succeeded")
    listed = await shop.all("top-ups")
    assert told == Counter([one["id"] for one in listed if one["status"] == "succeeded"])


def _verified(one: Arrived, secret: str) -> Any:
    """Check what has arrived, in every way that a receiver may: with the client's verifier by each
    of the two kinds of headers alone, with the library of Standard Webhooks, and by hand."""
    standard = {name: text for name, text in one.headers.items() if name.startswith("webhook-")}
    ours = {"Credyt-Signature": one.headers["credyt-signature"]}
    for headers in (standard, ours):
        event = verify_webhook(one.body, headers, secret)
        assert (event.id, event.type) == (one.event["id"], one.event["type"])
        for body, key in ((one.body + b" ", secret), (one.body, OTHER_SECRET)):
            with pytest.raises(InvalidWebhook):
                verify_webhook(body, headers, key)
    assert standardwebhooks.Webhook(secret).verify(one.body, standard) == one.event
    assert standard["webhook-id"] == one.event["id"]

    sent_at, signature = [part.split("=")[1] for part in ours["Credyt-Signature"].split(",")]
    signed = hmac.new(secret.encode(), sent_at.encode() + b"." + one.body, "sha256")
    assert signature == signed.hexdigest()
    key = b64decode(secret.removeprefix("whsec_"))
    text = f"{standard['webhook-id']}.{standard['webhook-timestamp']}.".encode() + one.body
    digest = b64encode(hmac.new(key, text, "sha256").digest()).decode()
    assert standard["webhook-signature"] == f"v1,{digest}"
    return one.event
