"""Mixed load over HTTP, and a memory of what was answered: events, adjustments, charges, holds that
are captured, used in slices, extended, voided or left alone, runs that have a budget; some of it
sent again at random. A `Record` keeps the first answer of every request; afterwards it knows what
must be in the books, from the requests alone, in whole thousandths of a dollar.

What does harm to the server meanwhile is the tests' choice. Callers either give up when they are
not answered, or insist until they are.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
from tests.faults.serving import HEADERS

from faregate import Engine
from faregate.ledger.verify import Report

CALLERS = 16
INSIST_SECONDS = 60.0
"""A caller that insists gives up, and the test fails, after so long without an answer."""
PAUSE_SECONDS = 0.02
CREDIT = 3_000
"""Thousandths of a dollar that a customer begins with."""
LIMIT = 1_000
"""How far a customer with a limited overdraft may go below zero."""
POLICIES = {"allow": None, "limit": -LIMIT, "reject": 0}
"""Overdraft policies, and where each forbids to go below."""
LIFE_SECONDS = 86_400
MAX_LISTED = 100

PRODUCT = {
    "name": "Tokens",
    "code": "tokens",
    "publish": True,
    "prices": [
        {
            "type": "usage_based",
            "name": "Tokens",
            "usage_calculation": {
                "event_type": "llm",
                "usage_type": "volume",
                "volume_field": "tokens",
            },
            "billing_model": {"type": "real_time"},
            "pricing": [{"asset": "USD", "values": [{"volume_rate": 0.001, "package_size": 1}]}],
        }
    ],
}


def thousandths(amount: Any) -> int:
    """Read an amount that must be whole thousandths."""
    scaled = Decimal(amount).scaleb(3)
    assert scaled == int(scaled), amount
    return int(scaled)


def _load(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal)


@dataclass
class Customer:
    """Somebody who pays, and how far below zero the wallet may go (None: any)."""

    id: str
    floor: int | None

    def path(self, *rest: str) -> str:
        return "/".join([f"/v1/customers/{self.id}/wallet", *rest])


@dataclass(eq=False)
class Request:
    """Something that was asked for, and its first answer.

    `tokens` are those of the events that it books, `gains` what the wallet gains at once,
    `spends` what a capture or update of an amount charges; `hold` what it is about.
    """

    kind: str
    customer: Customer
    path: str
    body: bytes
    tokens: dict[str, int] = field(default_factory=dict)
    gains: int = 0
    spends: int = 0
    hold: Hold | None = None
    final: bool = False
    first: bytes | None = None
    refused: int | None = None

    @property
    def is_repeatable(self) -> bool:
        """A repeat gets the first answer: it has an id of the caller's own."""
        return self.kind not in ("void", "extend")

    @property
    def answer(self) -> Any:
        assert self.first is not None
        return _load(self.first) if self.first else None


@dataclass(eq=False)
class Hold:
    """A hold that somebody works with. Of a `loose` one it is not known at each instant what it has
    set aside: the clock may end it, or it shares a budget."""

    id: str
    customer: Customer
    parent_id: str | None = None
    is_loose: bool = False
    status: str = "authorized"
    held: int = 0


@dataclass
class Figures:
    """What happened, counted."""

    counts: Counter[str] = field(default_factory=Counter)
    longest_wait_seconds: float = 0.0
    """Of a caller, from the first time that it sent a request until it was answered."""
    longest_recovery_seconds: float = 0.0
    """Of the service, from the fault (or its end) until it was ready again."""

    def add(self, other: Figures) -> None:
        """Count another's in."""
        self.counts.update(other.counts)
        self.waited(other.longest_wait_seconds)
        self.recovered(other.longest_recovery_seconds)

    def waited(self, seconds: float) -> None:
        """Note how long a caller waited."""
        self.longest_wait_seconds = max(self.longest_wait_seconds, seconds)

    def recovered(self, seconds: float) -> None:
        """Note how long the service was away."""
        self.longest_recovery_seconds = max(self.longest_recovery_seconds, seconds)


class Silent(Exception):
    """There was no answer: the server is gone, or said 429 or 503."""


class Record:
    """Requests of callers to a server, or to several that they try in turn, with their answers.

    With `insists` a request is sent until it is answered.
    """

    def __init__(
        self, client: httpx.AsyncClient, urls: list[str], dice: random.Random, *, insists: bool
    ) -> None:
        self.customers: list[Customer] = []
        self.figures = Figures()
        self.stops = False
        self.before = ""
        self._insists = insists
        self._client = client
        self._urls = urls
        self._turn = 0
        self._dice = dice
        self._made = 0
        self._requests: list[Request] = []
        self._open: set[Request] = set()

    # -- the shop -------------------------------------------------------------------------------

    async def sell(self) -> None:
        """Publish the product."""
        await self.sell_at(self._client, self._urls[0])

    @staticmethod
    async def sell_at(http: httpx.AsyncClient, url: str) -> None:
        """Publish the product on a server, unless it is there."""
        made = await http.post(f"{url}/v1/products", json=PRODUCT)
        assert made.status_code in (201, 409), made.text

    async def begin(self, customers: int) -> None:
        """Make new customers, of each overdraft policy in turn, and forget the old ones."""
        self.before = f"{self._dice.getrandbits(48):012x}"
        self.customers.clear()
        self._requests.clear()
        self._open.clear()
        url = self._urls[self._turn]
        for number in range(customers):
            policy = list(POLICIES)[number % len(POLICIES)]
            body = {"name": policy, "subscriptions": [{"products": [{"code": "tokens"}]}]}
            made = await self._client.post(f"{url}/v1/customers", json=body)
            customer = Customer(made.json()["id"], POLICIES[policy])
            limit = {"limit": LIMIT / 1000} if policy == "limit" else {}
            overdraft = {"overdraft": {"policy": policy, **limit}}
            path = f"{url}{customer.path('default:USD')}"
            changed = await self._client.patch(path, json=overdraft)
            assert changed.status_code == 200, changed.text
            self.customers.append(customer)
            await self.ask(self._gift(customer, CREDIT))

    # -- sending --------------------------------------------------------------------------------

    async def ask(self, request: Request) -> bool:
        """Send a request; tells whether it was done, or refused. Raises `Silent`."""
        if request not in self._open and request.first is None:
            self._requests.append(request)
            self._open.add(request)
        began = time.monotonic()
        while True:
            try:
                is_done = await self._send(request)
            except Silent:
                if not self._insists or time.monotonic() > began + INSIST_SECONDS:
                    raise
            else:
                self.figures.waited(time.monotonic() - began)
                return is_done
            self._turn = (self._turn + 1) % len(self._urls)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _send(self, request: Request) -> bool:
        counts = self.figures.counts
        counts["sent"] += 1
        headers = {"content-type": "application/json"}
        url = self._urls[self._turn] + request.path
        try:
            answer = await self._client.post(url, content=request.body, headers=headers)
        except httpx.TransportError as error:
            counts["lost connections"] += 1
            raise Silent(repr(error)) from error
        if answer.status_code in (429, 503):
            assert int(answer.headers["retry-after"]) >= 1
            counts[f"answers {answer.status_code}"] += 1
            raise Silent(answer.text)
        self._open.discard(request)
        if answer.status_code in (402, 409):
            # It is free to be sent again, and may then be done.
            assert request.first is None or not request.is_repeatable, answer.text
            assert answer.status_code == 402 or request.hold is not None, answer.text
            request.refused = answer.status_code
            counts["refused"] += 1
            return False
        assert answer.status_code in (200, 201, 204), answer.text
        if request.first is None:
            request.first = answer.content
            counts["done"] += 1
            self._is_allowed(request)
        elif request.is_repeatable:
            assert answer.content == request.first, (answer.content, request.first)
            counts["repeats compared"] += 1
        return True

    @staticmethod
    def _is_allowed(request: Request) -> None:
        """Nothing is below what the policy forbids, in whatever an answer shows."""
        floor, answer = request.customer.floor, request.answer
        if floor is None or not isinstance(answer, dict):
            return
        for shown in answer.get("holds", [answer]):
            if "available" in shown:
                assert thousandths(shown["available"]) >= floor, answer

    async def _together(self, requests: Iterator[Request]) -> None:
        async def caller() -> None:
            for request in requests:
                await self.ask(request)

        await asyncio.gather(*[caller() for _ in range(CALLERS)])

    async def settle(self) -> None:
        """Send again all that is not answered."""
        await self._together(iter(list(self._open)))
        assert not self._open

    # -- what callers do ------------------------------------------------------------------------

    async def work(self) -> None:
        """Do one thing after the other until told to stop, or there is no answer."""
        deeds: list[Callable[[], Awaitable[Any]]] = [
            self._use,
            self._credit_or_charge,
            self._hold,
            self._run_with_a_budget,
            self._again,
        ]
        try:
            while not self.stops:
                await self._dice.choices(deeds, (30, 12, 38, 6, 14))[0]()
        except Silent:
            if self._insists:
                raise

    def _id(self) -> str:
        self._made += 1
        return f"{self.before}-{self._made:06}"

    def _request(self, kind: str, customer: Customer, path: str, body: Any, **more: Any) -> Request:
        return Request(kind, customer, path, json.dumps(body).encode(), **more)

    def _gift(self, customer: Customer, amount: int) -> Request:
        reason = "external_topup" if amount > 0 else "other"
        named = {"transaction_id": self._id(), "reason": reason}
        body = {**named, "asset": "USD", "amount": amount / 1000}
        path = customer.path("adjustments")
        return self._request("adjustment", customer, path, body, gains=amount)

    def _charge(self, customer: Customer, amount: int) -> Request:
        body = {"transaction_id": self._id(), "asset": "USD", "amount": amount / 1000}
        return self._request("charge", customer, customer.path("charges"), body, gains=-amount)

    def _events(self, most: int = 5) -> tuple[list[Any], dict[str, int]]:
        now = datetime.now(UTC).isoformat()
        tokens = {self._id(): self._dice.randint(0, 60) for _ in range(self._dice.randint(1, most))}
        events = [
            {"id": name, "event_type": "llm", "occurred_at": now, "data": {"tokens": count}}
            for name, count in tokens.items()
        ]
        return events, tokens

    async def _use(self) -> None:
        customer = self._dice.choice(self.customers)
        events, tokens = self._events()
        body = {"customer_id": customer.id, "events": events}
        await self.ask(self._request("events", customer, "/v1/events", body, tokens=tokens))

    async def _credit_or_charge(self) -> None:
        customer, amount = self._dice.choice(self.customers), self._dice.randint(1, 900)
        if self._dice.random() < 0.7:
            await self.ask(self._gift(customer, amount))
        elif self._dice.random() < 0.5:
            await self.ask(self._gift(customer, -(amount // 4 + 1)))
        else:
            await self.ask(self._charge(customer, amount // 4 + 1))

    async def _again(self) -> None:
        if self._requests:
            request = self._dice.choice(self._requests)
            # What was refused, or ends a hold that somebody works with, is not done at random.
            is_free = request.refused is None and request.hold is None
            if is_free or (request.first is not None and request.is_repeatable):
                await self.ask(request)

    async def _authorize(self, customer: Customer, bodies: list[dict[str, Any]]) -> list[Hold]:
        """Ask for a hold, or for several in a batch; returns those that are granted."""
        if len(bodies) == 1:
            request = self._request("hold", customer, customer.path("holds"), bodies[0])
        else:
            body = {"holds": bodies}
            request = self._request("holds", customer, customer.path("holds", "batch"), body)
        await self.ask(request)
        return [hold for hold in _holds_of(request) if hold.status == "authorized"]

    def _ask_for(self, **more: Any) -> dict[str, Any]:
        dice = self._dice
        wanted: dict[str, Any] = {"event_type": "llm", "data": {"tokens": dice.randint(1, 200)}}
        if dice.random() < 0.4:
            wanted = {"max_amount": dice.randint(1, 200) / 1000, "asset": "USD"}
        seconds = 1 if dice.random() < 0.06 else LIFE_SECONDS
        named = {"transaction_id": self._id(), "expires_in_seconds": seconds}
        return {**named, **wanted, "allow_partial": dice.random() < 0.3, **more}

    async def _hold(self) -> None:
        customer = self._dice.choice(self.customers)
        bodies = [self._ask_for() for _ in range(self._dice.choice((1, 1, 1, 2, 3)))]
        for hold in await self._authorize(customer, bodies):
            if self._dice.random() < 0.08:
                continue  # What nobody settles is left to the clock.
            await self._settle(hold)

    async def _run_with_a_budget(self) -> None:
        customer = self._dice.choice(self.customers)
        budget = {"max_amount": 0.5, "asset": "USD", "allow_partial": True}
        named = {"transaction_id": self._id(), "expires_in_seconds": LIFE_SECONDS}
        for run in await self._authorize(customer, [named | budget]):
            bodies = [self._ask_for(parent_id=run.id) for _ in range(2)]
            for child in await self._authorize(customer, bodies):
                if self._dice.random() < 0.7:
                    await self._settle(child)
            await self._end(run)

    async def _settle(self, hold: Hold) -> None:
        dice = self._dice
        if dice.random() < 0.2:
            await self.ask(self._about(hold, "extend", {"expires_in_seconds": LIFE_SECONDS}))
        for _ in range(dice.choice((0, 0, 1, 2))):
            spent, tokens, used = self._used()
            want = {"amount": dice.randint(0, 150) / 1000}
            body = {"transaction_id": self._id(), "used": used, "want": want}
            await self.ask(self._about(hold, "update", body, tokens=tokens, spends=spent))
        if dice.random() < 0.25:
            await self._capture(hold, final=False)
        await self._end(hold)

    async def _end(self, hold: Hold) -> None:
        if self._dice.random() < 0.2 or not await self._capture(hold, final=True):
            await self.ask(self._about(hold, "void", {}))

    def _used(self) -> tuple[int, dict[str, int], dict[str, Any]]:
        if self._dice.random() < 0.5:
            spent = self._dice.randint(0, 150)
            return spent, {}, {"amount": spent / 1000}
        events, tokens = self._events(3)
        return 0, tokens, {"events": events}

    async def _capture(self, hold: Hold, *, final: bool) -> bool:
        spent, tokens, used = self._used()
        body = {"transaction_id": self._id(), "final": final, **used}
        request = self._about(hold, "capture", body, tokens=tokens, spends=spent, final=final)
        return await self.ask(request)

    def _about(self, hold: Hold, what: str, body: Any, **more: Any) -> Request:
        path = hold.customer.path("holds", hold.id, what)
        return self._request(what, hold.customer, path, body, hold=hold, **more)

    # -- what must be true ----------------------------------------------------------------------

    async def check(self) -> None:
        """Send everything again and compare, then look into every wallet."""
        insists, self._insists = self._insists, True
        await self.settle()
        done = [r for r in self._requests if r.first is not None and r.is_repeatable]
        await self._together(iter(done))
        self._insists = insists
        for customer in self.customers:
            await self._check_customer(customer)
        self.figures.counts["customers checked"] += len(self.customers)

    async def _get(self, path: str, **query: Any) -> Any:
        url = self._urls[self._turn]
        answer = await self._client.get(f"{url}{path}", params=query)
        assert answer.status_code == 200, answer.text
        return _load(answer.content)

    async def _check_customer(self, customer: Customer) -> None:
        done = [r for r in self._requests if r.customer is customer and r.first is not None]
        tokens: dict[str, int] = {}
        balance = 0
        for request in done:
            balance += request.gains - request.spends
            tokens.update(request.tokens)
            if request.kind in ("capture", "update"):
                charged = request.spends + sum(request.tokens.values())
                assert thousandths(request.answer["captured_amount"]) == charged, request
        balance -= sum(tokens.values())
        wallet = await self._get(customer.path())
        listed = await self._get("/v1/events", customer_id=customer.id, limit=1)
        account = wallet["accounts"][0]
        available, pending = thousandths(account["available"]), thousandths(account["pending_out"])
        assert available + pending == balance, (customer, available, pending, balance)
        assert customer.floor is None or available >= customer.floor, (customer, available)
        assert listed["total_count"] == len(tokens), customer
        await self._check_holds(customer, done, pending)
        self.figures.counts["events"] += len(tokens)

    async def _check_holds(self, customer: Customer, done: list[Request], pending: int) -> None:
        shown: dict[str, Any] = {}
        path, total = customer.path("holds"), 1
        while len(shown) < total:
            page = await self._get(path, limit=MAX_LISTED, offset=len(shown))
            shown |= {hold["id"]: hold for hold in page["items"]}
            total = page["total_count"]
        known = {hold.id: hold for request in done for hold in _holds_of(request)}
        assert shown.keys() == known.keys()
        assert sum(thousandths(hold["held_amount"]) for hold in shown.values()) == pending
        for request in done:
            if request.hold is not None:
                _follow(known[request.hold.id], request)
        parents = {hold.parent_id for hold in known.values()}
        for hold in known.values():
            status, held = shown[hold.id]["status"], thousandths(shown[hold.id]["held_amount"])
            if hold.is_loose or hold.id in parents:
                is_open = hold.parent_id is None or shown[hold.parent_id]["status"] == "authorized"
                assert is_open or status != "authorized", (hold, shown[hold.id])
            else:
                assert (status, held) == (hold.status, hold.held), (hold, shown[hold.id])
        self.figures.counts["holds"] += len(known)


def _holds_of(request: Request) -> list[Hold]:
    """The holds that an answer says were asked for, as they were then."""
    if request.kind not in ("hold", "holds") or request.first is None:
        return []
    asked, answer = _load(request.body), request.answer
    holds: list[Hold] = []
    for body, shown in zip(asked.get("holds", [asked]), answer.get("holds", [answer]), strict=True):
        assert shown["status"] in ("authorized", "declined")
        parent_id = body.get("parent_id")
        is_loose = parent_id is not None or body["expires_in_seconds"] < LIFE_SECONDS
        held = thousandths(shown["held_amount"])
        holds.append(
            Hold(shown["id"], request.customer, parent_id, is_loose, shown["status"], held)
        )
    return holds


def _follow(hold: Hold, request: Request) -> None:
    """What becomes of a hold by a request about it that was done."""
    match request.kind:
        case "void":
            hold.status, hold.held = "voided", 0
        case "update":
            hold.held = thousandths(request.answer["granted"])
        case "capture":
            hold.held = max(0, hold.held - request.spends - sum(request.tokens.values()))
            if request.final:
                hold.status, hold.held = "captured", 0


async def check_books(database_url: str) -> Report:
    """Verify the ledger; returns what was looked at."""
    async with Engine.open(database_url, serves=False) as engine:
        report = await engine.verify()
    assert report.is_clean, report.differences
    return report


def client(timeout_seconds: float = 20) -> httpx.AsyncClient:
    """A client with the key."""
    limits = httpx.Limits(max_connections=4 * CALLERS)
    return httpx.AsyncClient(headers=HEADERS, timeout=timeout_seconds, limits=limits)
