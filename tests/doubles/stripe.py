"""Stripe, as far as money is taken through it: Checkout Sessions, PaymentIntents, SetupIntents,
PaymentMethods, refunds and disputes, over HTTP on a real port, in Stripe's wire format: forms with
brackets in, JSON out, its error bodies, idempotency keys that live for 24 hours and refuse other
parameters, lists, search, expansion, connected accounts, and signed events. What customers and
banks do is the test's choice, and the time is the test's. Customers may also pay in a browser: each
page is there, with a button for every card. If there is a `door`, what happens is told there, each
event twice, as Stripe may.

The format: https://docs.stripe.com/api. A parameter that is not known here is refused, as there.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from faregate.cli.server import address_of, listen

DAY = 24 * 3600
VERSION = "2026-10-28.endive"
CARDS = {
    "good": ("4242", None, None),
    "disputed": ("0259", None, None),
    "declined": ("0002", "card_declined", "generic_decline"),
    "poor": ("9995", "card_declined", "insufficient_funds"),
    "expired": ("0069", "expired_card", None),
    "confirms": ("3184", "authentication_required", "authentication_required"),
    "declined later": ("0341", "card_declined", "generic_decline"),
}
TAKEN_WHEN_PRESENT = ("confirms", "declined later")
"""Cards with which whoever is there can pay, and which nobody can charge without them."""
SESSION = {
    *("mode", "line_items", "payment_intent_data", "adaptive_pricing", "client_reference_id"),
    *("metadata", "success_url", "cancel_url", "expires_at", "customer_creation", "customer"),
    *("customer_email", "setup_intent_data", "allowed_payment_method_types", "expand"),
}
INTENT = {
    *("amount", "currency", "customer", "payment_method", "off_session", "confirm", "metadata"),
    *("automatic_payment_methods", "description", "expand"),
}
REFUND = {"payment_intent", "amount", "metadata", "expand"}
OBJECTS = {
    "payment_intent": "payment_intents",
    "setup_intent": "setup_intents",
    "latest_charge": "charges",
    "payment_method": "payment_methods",
    "customer": "customers",
}


class Refused(Exception):
    """An error as Stripe answers it."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        kind = "card_error" if status == 402 else "invalid_request_error"
        self.status = status
        self.body = {"error": {"type": kind, "message": message, **more}}


class StripeDouble:
    """Stripe with one account of its own, and those that are connected to it."""

    def __init__(self, clock: Callable[[], datetime], key: str, secret: str) -> None:
        self.clock = clock
        self.key = key
        self.secret = secret
        self.url = ""
        self.kept: dict[str, dict[str, Any]] = {
            name: {} for name in (*OBJECTS.values(), "sessions", "refunds", "disputes")
        }
        self.requests: list[tuple[str, str, str | None]] = []
        self.permissions = True
        self.door: str | None = None
        self.answered: list[int] = []
        self._events: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers: dict[tuple[str, str], tuple[int, str, int, Any]] = {}
        self._count = itertools.count(1)

    @property
    def now(self) -> int:
        return int(self.clock().timestamp())

    def make(self, kind: str, prefix: str, account: str, **more: Any) -> dict[str, Any]:
        """Keep a new object."""
        name = kind.removesuffix("s")
        name = "checkout.session" if kind == "sessions" else name
        one = {
            "id": f"{prefix}_{next(self._count):08}",
            "object": name,
            "created": self.now,
            "livemode": False,
            **more,
        }
        self.kept[kind][one["id"]] = one
        one["_account"] = account
        return one

    # -- what customers and banks do --------------------------------------------------------------

    def page_of(self, our_id: str) -> dict[str, Any]:
        """The page of one of our ids."""
        found = [s for s in self.kept["sessions"].values() if s["client_reference_id"] == our_id]
        assert len(found) == 1, f"there are {len(found)} pages of {our_id}"
        return self._aged(found[0])

    def pay(self, our_id: str, card: str = "good") -> None:
        """Pay (or leave a card) on a page."""
        session = self.page_of(our_id)
        assert session["status"] == "open", session["status"]
        account, asked = session["_account"], session["_asked"]
        customer = asked.get("customer")
        if customer is None and asked.get("customer_creation") == "always":
            customer = self.make("customers", "cus", account, email=asked.get("customer_email"))
            customer = customer["id"]
        method = self.method(card, customer, account)
        if session["mode"] == "setup":
            made = self.make(
                "setup_intents",
                "seti",
                account,
                status="succeeded",
                customer=customer,
                payment_method=method["id"],
                metadata=asked["setup_intent_data"]["metadata"],
            )
            session.update(setup_intent=made["id"], status="complete", customer=customer)
            session["payment_status"] = "no_payment_required"
            self._tell("checkout.session.completed", session)
            return
        if session["payment_intent"] is None:
            data, price = asked["payment_intent_data"], asked["line_items"]["0"]["price_data"]
            made = self._new_intent(
                account,
                amount=int(price["unit_amount"]),
                currency=price["currency"],
                metadata=data["metadata"],
                setup_future_usage=data.get("setup_future_usage"),
            )
            session["payment_intent"] = made["id"]
        intent = self.kept["payment_intents"][session["payment_intent"]]
        intent["customer"] = customer
        self._confirm(intent, method, "good" if card in TAKEN_WHEN_PRESENT else card)
        if intent["status"] == "succeeded":
            session.update(status="complete", payment_status="paid", customer=customer)
            self._tell("checkout.session.completed", session)

    def method(self, card: str, customer: str | None, account: str = "") -> dict[str, Any]:
        """A card as somebody gave it."""
        details = {"brand": "visa", "last4": CARDS[card][0], "exp_month": 12, "exp_year": 2040}
        method = self.make("payment_methods", "pm", account, type="card", card=details)
        method.update(customer=customer, _card=card)
        return method

    def dispute(self, our_id: str) -> None:
        """The customer of a payment tells their bank that it is not theirs."""
        intent = next(i for i in self.charged if i["metadata"]["faregate_payment"] == our_id)
        self.kept["charges"][intent["latest_charge"]]["disputed"] = True
        made = self.make(
            "disputes",
            "dp",
            intent["_account"],
            amount=intent["amount"],
            currency=intent["currency"],
            payment_intent=intent["id"],
            status="needs_response",
        )
        self._tell("charge.dispute.created", made)

    def settle_dispute(self, our_id: str, status: str) -> None:
        """Decide the disputes of a payment."""
        for dispute in self.kept["disputes"].values():
            intent = self.kept["payment_intents"][dispute["payment_intent"]]
            if intent["metadata"]["faregate_payment"] == our_id:
                dispute["status"] = status
                self._tell("charge.dispute.closed", dispute)

    @property
    def charged(self) -> list[dict[str, Any]]:
        """The payments that money was taken for."""
        return [i for i in self.kept["payment_intents"].values() if i["status"] == "succeeded"]

    def event(self, kind: str, told: dict[str, Any], **more: Any) -> bytes:
        """The body of an event."""
        event = {
            "id": f"evt_{next(self._count):08}",
            "object": "event",
            "api_version": VERSION,
            "created": self.now,
            "livemode": False,
            "type": kind,
            "data": {"object": _shown(told)},
            **more,
        }
        return json.dumps(event, indent=2).encode()

    def sign(self, body: bytes, secret: str | None = None) -> dict[str, str]:
        """The headers of an event."""
        signed = f"{self.now}.".encode() + body
        signature = hmac.new((secret or self.secret).encode(), signed, "sha256").hexdigest()
        return {"stripe-signature": f"t={self.now},v1={signature},v0={'0' * 64}"}

    def message(self, our_id: str, **changed: str) -> bytes:
        """The event that tells of a payment, with other metadata if it is changed."""
        session = self.page_of(our_id)
        paid = session["payment_intent"]
        told = session if paid is None else self.kept["payment_intents"][paid]
        kind = "checkout.session.completed" if paid is None else "payment_intent.succeeded"
        return self.event(kind, {**told, "metadata": {**told["metadata"], **changed}})

    def _tell(self, kind: str, told: dict[str, Any]) -> None:
        if self.door is not None:
            account = {"account": told["_account"]} if told["_account"] else {}
            self._events.put(self.event(kind, told, **account))

    def _deliver(self) -> None:
        """Send what is to be told to the door, one after the other, until there is nothing more."""
        with httpx.Client(timeout=30) as http:
            while (body := self._events.get()) is not None:
                assert self.door is not None
                for _ in range(2):
                    headers = self.sign(body)
                    try:
                        answer = http.post(self.door, content=body, headers=headers)
                    except httpx.TransportError:
                        continue
                    self.answered.append(answer.status_code)

    # -- the page ---------------------------------------------------------------------------------

    async def show(self, request: Request) -> Response:
        """Show a page to the customer's browser; or let them pay there, and lead them back."""
        session = self._aged(self.kept["sessions"][request.path_params["session"]])
        problem = ""
        if request.method == "POST" and session["status"] == "open":
            self.pay(
                session["client_reference_id"],
                dict(parse_qsl((await request.body()).decode()))["card"],
            )
            problem = "Your card was declined."
        asked = session["_asked"]
        if session["status"] == "complete":
            return RedirectResponse(asked["success_url"], 303)
        cards = "".join([f'<button name="card" value="{name}">{name}</button>' for name in CARDS])
        return HTMLResponse(
            f'<!doctype html><title>Pay</title><p role="alert">{problem}</p>'
            f'<form method="post">{cards}</form><a href="{asked["cancel_url"]}">Cancel</a>'
        )

    # -- the API ----------------------------------------------------------------------------------

    def create_session(self, asked: dict[str, Any], account: str) -> dict[str, Any]:
        _check(asked, SESSION)
        if "customer" in asked and asked["customer"] not in self.kept["customers"]:
            raise _missing("customer", asked["customer"])
        ends = int(asked["expires_at"])
        if not self.now + 1800 <= ends <= self.now + DAY:
            text = "The `expires_at` timestamp must be 30 minutes to 24 hours from now."
            raise Refused(400, text, param="expires_at")
        if asked["mode"] == "payment":
            price = asked["line_items"]["0"]["price_data"]
            self._check_amount(int(price["unit_amount"]), price["currency"])
        session = self.make("sessions", "cs_test", account, _asked=asked)
        session.update(
            mode=asked["mode"],
            status="open",
            payment_status="unpaid",
            url=f"{self.url}/c/{session['id']}",
            client_reference_id=asked["client_reference_id"],
            metadata=asked["metadata"],
            expires_at=ends,
            payment_intent=None,
            setup_intent=None,
            customer=asked.get("customer"),
        )
        return session

    def create_intent(self, asked: dict[str, Any], account: str) -> dict[str, Any]:
        _check(asked, INTENT)
        method = self.kept["payment_methods"].get(asked["payment_method"])
        if method is None:
            raise _missing("payment_method", asked["payment_method"])
        if method["customer"] != asked["customer"]:
            raise Refused(400, "The payment method belongs to another customer.")
        self._check_amount(int(asked["amount"]), asked["currency"])
        intent = self._new_intent(
            account,
            amount=int(asked["amount"]),
            currency=asked["currency"],
            metadata=asked["metadata"],
            customer=asked["customer"],
        )
        self._confirm(intent, method, method["_card"])
        failure = intent["last_payment_error"]
        if failure is not None:
            more = {"code": failure["code"], "decline_code": failure["decline_code"]}
            raise Refused(402, failure["message"], payment_intent=_shown(intent), **more)
        return intent

    def create_refund(self, asked: dict[str, Any], account: str) -> dict[str, Any]:
        _check(asked, REFUND)
        intent = self.kept["payment_intents"].get(asked["payment_intent"])
        if intent is None:
            raise _missing("payment_intent", asked["payment_intent"])
        given = [
            r
            for r in self.kept["refunds"].values()
            if r["payment_intent"] == intent["id"] and r["status"] != "failed"
        ]
        left = intent["amount_received"] - sum(r["amount"] for r in given)
        if not left:
            text = "Charge has already been refunded."
            raise Refused(400, text, code="charge_already_refunded")
        if int(asked["amount"]) > left:
            text = "Refund amount is greater than unrefunded amount on charge."
            raise Refused(400, text, param="amount")
        made = self.make(
            "refunds",
            "re",
            account,
            amount=int(asked["amount"]),
            currency=intent["currency"],
            payment_intent=intent["id"],
            status="succeeded",
            metadata=asked["metadata"],
        )
        self._tell("refund.created", made)
        return made

    def _new_intent(self, account: str, **more: Any) -> dict[str, Any]:
        intent = self.make("payment_intents", "pi", account, status="requires_payment_method")
        empty = ("customer", "payment_method", "latest_charge", "last_payment_error", "next_action")
        intent.update(amount_received=0, setup_future_usage=None, **dict.fromkeys(empty))
        intent.update(more)
        return intent

    def _confirm(self, intent: dict[str, Any], method: dict[str, Any], card: str) -> None:
        _, code, decline = CARDS[card]
        if code is not None:
            failure = {"code": code, "decline_code": decline, "message": "It was declined."}
            intent.update(last_payment_error={**failure, "type": "card_error"})
            self._tell("payment_intent.payment_failed", intent)
            return
        charge = self.make("charges", "ch", intent["_account"], payment_intent=intent["id"])
        charge["disputed"] = False
        intent.update(
            status="succeeded",
            amount_received=intent["amount"],
            latest_charge=charge["id"],
            payment_method=method["id"],
            last_payment_error=None,
        )
        self._tell("payment_intent.succeeded", intent)
        if card == "disputed":
            self.dispute(intent["metadata"]["faregate_payment"])

    def _check_amount(self, amount: int, currency: str) -> None:
        if currency == "usd" and amount < 50:
            text = "The amount must be at least $0.50 usd."
            raise Refused(400, text, code="amount_too_small", param="amount")

    def _aged(self, session: dict[str, Any]) -> dict[str, Any]:
        if session["status"] == "open" and self.now >= session["expires_at"]:
            session.update(status="expired", url=None)
        return session

    def _page(self, kind: str, asked: dict[str, Any], account: str) -> list[dict[str, Any]]:
        """The objects of a list, the newest first."""
        found = [o for o in reversed(self.kept[kind].values()) if o["_account"] == account]
        for name in ("payment_intent", "customer"):
            if name in asked:
                found = [o for o in found if o.get(name) == asked[name]]
        since = int(asked.get("created", {}).get("gte", 0))
        return [o for o in found if o["created"] >= since]

    def _search(self, asked: dict[str, Any], account: str) -> list[dict[str, Any]]:
        query = re.fullmatch(r"metadata\['(\w+)'\]:'([\w:-]+)'", asked["query"])
        assert query is not None, asked["query"]
        found = self._page("payment_intents", {}, account)
        return [i for i in found if i["metadata"].get(query[1]) == query[2]]

    def _expanded(self, one: dict[str, Any], paths: list[str]) -> dict[str, Any]:
        shown = _shown(one)
        for path in paths:
            name, _, rest = path.partition(".")
            if isinstance(shown.get(name), str):
                shown[name] = _shown(self.kept[OBJECTS[name]][shown[name]])
            if rest and isinstance(shown.get(name), dict):
                shown[name] = self._expanded(shown[name], [rest])
        return shown

    def answer(self, method: str, path: str, asked: dict[str, Any], account: str) -> Any:
        """Do what a request asks."""
        paths = list(asked.pop("expand", {}).values())
        creates = {
            "checkout/sessions": self.create_session,
            "payment_intents": self.create_intent,
            "refunds": self.create_refund,
        }
        if method == "POST":
            return self._expanded(creates[path](asked, account), paths)
        if path == "payment_intents/search":
            found, kind = self._search(asked, account), "search_result"
        else:
            path = path.removeprefix("checkout/")
            name, _, identifier = path.partition("/")
            if identifier:
                one = self.kept[name].get(identifier)
                if one is None or one["_account"] != account:
                    raise _missing("id", identifier)
                return self._expanded(self._aged(one) if name == "sessions" else one, paths)
            found, kind = self._page(path, asked, account), "list"
            if "starting_after" in asked:
                ids = [o["id"] for o in found]
                found = found[ids.index(asked["starting_after"]) + 1 :]
        limit = int(asked.get("limit", 10))
        inner = [p.removeprefix("data.") for p in paths]
        data = [self._expanded(o, inner) for o in found[:limit]]
        return {"object": kind, "url": path, "has_more": len(found) > limit, "data": data}

    async def serve(self, request: Request) -> Response:
        """Answer one request."""
        path = request.path_params["path"]
        key = request.headers.get("idempotency-key")
        self.requests.append((request.method, path, key))
        status, body = 200, None
        text = (await request.body()).decode() or request.url.query
        account = request.headers.get("stripe-account", "")
        try:
            self._check_caller(request)
            known = self._answers.get((account, key or ""))
            if known is not None and self.now < known[2] + DAY:
                if known[1] != text:
                    error = Refused(400, "Keys for idempotent requests need the same parameters.")
                    error.body["error"]["type"] = "idempotency_error"
                    raise error
                status, body = known[0], known[3]
                return JSONResponse(body, status)
            try:
                body = self.answer(request.method, path, _unflattened(text), account)
            except Refused as error:
                if error.status != 402:
                    raise  # Parameters that are refused are not kept.
                status, body = error.status, error.body
            if request.method == "POST":
                assert key is not None, "every request that changes something has a key"
                self._answers[account, key] = (status, text, self.now, json.loads(json.dumps(body)))
        except Refused as error:
            status, body = error.status, error.body
        return JSONResponse(body, status, {"request-id": f"req_{next(self._count)}"})

    def _check_caller(self, request: Request) -> None:
        assert request.headers["stripe-version"] == VERSION
        given = request.headers["authorization"].removeprefix("Bearer ")
        if given != self.key:
            raise Refused(401, f"Invalid API Key provided: {given[:12]}****{given[-4:]}")
        if not self.permissions:
            text = f"The provided key '{given[:12]}****{given[-4:]}' does not have the required "
            need = "permissions. Having 'rak_checkout_session_write' would allow this request."
            raise Refused(403, text + need)


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if not name.startswith("_")}


def _check(asked: dict[str, Any], known: set[str]) -> None:
    for name in asked.keys() - known:
        raise Refused(400, f"Received unknown parameter: {name}", code="parameter_unknown")


def _missing(param: str, identifier: str) -> Refused:
    text = f"No such {param}: '{identifier}'"
    return Refused(404 if param == "id" else 400, text, code="resource_missing", param=param)


def _unflattened(text: str) -> dict[str, Any]:
    """Read `a[b][0]=c` as {"a": {"b": {"0": "c"}}}."""
    asked: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *path, last = re.findall(r"[^\[\]]+", name)
        inner = asked
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return asked


@contextmanager
def stripe_double(clock: Callable[[], datetime], key: str, secret: str) -> Iterator[StripeDouble]:
    """Run Stripe on a free loopback port until the block ends."""
    double = StripeDouble(clock, key, secret)
    routes = [
        Route("/v1/{path:path}", double.serve, methods=["GET", "POST"]),
        Route("/c/{session}", double.show, methods=["GET", "POST"]),
    ]
    app = Starlette(routes=routes)
    listener = listen("127.0.0.1", 0)
    double.url = address_of(listener)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    serving = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
    )
    telling = threading.Thread(target=double._deliver, daemon=True)
    serving.start()
    telling.start()
    try:
        yield double
    finally:
        double._events.put(None)
        telling.join(10)
        server.should_exit = True
        serving.join(10)
