"""Mollie, as far as we speak with it: its wire format (docs.mollie.com/reference) on a real port,
over a state that the test moves. What happens on its page, and at the customer's bank, the test
does. Its clock is the test's, and it forgets idempotency keys after an hour, as Mollie does.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "test_double1234567890"
KEY_LIFE = timedelta(hours=1)
DECIMALS = {"JPY": 0, "ISK": 0}
RECURRING = {"good": None, "declined": "card_declined", "confirms": "authentication_required"}


class Refusal(Exception):
    """An answer that says no."""

    def __init__(self, status: int, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.body = {"status": status, "title": "Refused", "detail": detail}
        if field is not None:
            self.body["field"] = field


class Mollie:
    """A Mollie that answers at `url`. `faults` are what becomes of the next requests."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.url = ""
        self.clock = clock
        self.faults: list[str | None] = []
        self.is_down = False
        self.requests: list[tuple[str, str]] = []
        self.payments: dict[str, dict[str, Any]] = {}
        self.customers: dict[str, dict[str, Any]] = {}
        self.mandates: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, list[dict[str, Any]]] = {}
        self.chargebacks: dict[str, list[dict[str, Any]]] = {}
        self.page_limit = 250
        self._answers: dict[tuple[str, str], tuple[datetime, int, Any]] = {}
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def running(cls, clock: Callable[[], datetime]) -> Iterator[Mollie]:
        """Answer until the block ends."""
        double = cls(clock)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                double._serve(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        double.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    # -- what happens outside -------------------------------------------------------------------

    def of(self, payment_id: str) -> dict[str, Any]:
        """Return the payment that carries our id."""
        found = [p for p in self.payments.values() if p["metadata"]["payment_id"] == payment_id]
        return found[-1]

    def pay(self, payment: dict[str, Any], card: str = "good") -> None:
        """Let the customer pay on the page. A declined card leaves it open for another one."""
        if card == "declined" or payment["status"] != "open":
            return
        payment["status"] = "paid"
        payment["details"] = {"cardLabel": "Visa", "cardNumber": "4242"}
        if payment["sequenceType"] == "first":
            payment["mandateId"] = self.mandate(payment["customerId"])
        if card == "disputed":
            self.charge_back(payment)

    def mandate(self, customer: str, card: str = "good") -> str:
        """Let a customer have a card that may be charged again."""
        identifier = f"mdt_{len(self.mandates) + 1}"
        self.mandates[identifier] = {
            "resource": "mandate",
            "id": identifier,
            "status": "valid",
            "method": "creditcard",
            "customer": customer,
            "card": card,
            "details": {
                "cardLabel": "Visa",
                "cardNumber": "4242",
                "cardExpiryDate": "2030-11-30",
            },
        }
        return identifier

    def charge_back(self, payment: dict[str, Any]) -> None:
        """Let the customer's bank take a payment back."""
        known = self.chargebacks.setdefault(payment["id"], [])
        known.append(
            {
                "resource": "chargeback",
                "id": f"chb_{payment['id']}_{len(known)}",
                "amount": payment["amount"],
                "paymentId": payment["id"],
                "createdAt": self._now(),
                "reversedAt": None,
            }
        )

    @property
    def times_charged(self) -> int:
        """How many payments have brought money."""
        return sum(
            p["status"] == "paid" and float(p["amount"]["value"]) > 0
            for p in self.payments.values()
        )

    # -- its API --------------------------------------------------------------------------------

    def _now(self) -> str:
        return self.clock().strftime("%Y-%m-%dT%H:%M:%S+00:00")

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        with self._lock:
            fault = self.faults.pop(0) if self.faults else None
            if self.is_down:
                handler.close_connection = True
                return
            if fault == "answers 500":
                self._answer(handler, 500, Refusal(500, "Internal error").body)
                return
            status, answer = self._answered(handler, body)
        if fault == "times out after it was done":
            handler.close_connection = True
            return
        self._answer(handler, status, answer)

    def _answer(self, handler: BaseHTTPRequestHandler, status: int, answer: Any) -> None:
        sent = json.dumps(answer).encode()
        kind = "application/hal+json" if status < 400 else "application/problem+json"
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(sent)))
        handler.end_headers()
        handler.wfile.write(sent)

    def _answered(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any]:
        if handler.headers["Authorization"] != f"Bearer {KEY}":
            return 401, Refusal(401, "Missing authentication, or failed to authenticate").body
        parts = urlsplit(handler.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        self.requests.append((handler.command, parts.path))
        key = (handler.headers.get("Idempotency-Key", ""), parts.path)
        first = self._answers.get(key) if handler.command == "POST" else None
        if first is not None and self.clock() - first[0] < KEY_LIFE:
            return first[1], first[2]
        try:
            given = json.loads(body) if body else {}
            answer = self._route(handler.command, parts.path, query, given)
            status = 201 if handler.command == "POST" else 200
        except Refusal as error:
            status, answer = int(error.body["status"]), error.body
        answer = json.loads(json.dumps(answer))
        if handler.command == "POST":
            self._answers[key] = (self.clock(), status, answer)
        return status, answer

    def _route(self, method: str, path: str, query: dict[str, str], given: dict[str, Any]) -> Any:
        one = r"([a-z]+_\w+)"
        routes: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("POST", r"/v2/customers", lambda: self._make_customer(given)),
            ("POST", r"/v2/payments", lambda: self._make_payment(given)),
            ("GET", r"/v2/payments", lambda: self._list("payments", None, query)),
            ("GET", rf"/v2/payments/{one}", lambda ref: self._shown(ref, query)),
            ("GET", rf"/v2/payments/{one}/refunds", self._list_refunds),
            ("POST", rf"/v2/payments/{one}/refunds", lambda ref: self._refund(ref, given)),
            (
                "GET",
                rf"/v2/customers/{one}/payments",
                lambda ref: self._list(f"customers/{ref}/payments", ref, query),
            ),
            ("GET", rf"/v2/customers/{one}/mandates/{one}", self._mandate),
        )
        for allowed, pattern, answer in routes:
            found = re.fullmatch(pattern, path)
            if found is not None and allowed == method:
                return answer(*found.groups())
        raise Refusal(404, f"No such resource: {method} {path}")

    def _make_customer(self, given: dict[str, Any]) -> dict[str, Any]:
        identifier = f"cst_{len(self.customers) + 1}"
        self.customers[identifier] = {"resource": "customer", "id": identifier, **given}
        return self.customers[identifier]

    def _make_payment(self, given: dict[str, Any]) -> dict[str, Any]:
        amount = given["amount"]
        decimals = DECIMALS.get(amount["currency"], 2)
        if not re.fullmatch(r"\d+" + (rf"\.\d{{{decimals}}}" if decimals else ""), amount["value"]):
            raise Refusal(422, "The amount contains an invalid value", "amount")
        webhook = given.get("webhookUrl", "https://a.b")
        if urlsplit(webhook).hostname in ("localhost", "127.0.0.1"):
            raise Refusal(422, "The webhook URL is invalid because it is unreachable", "webhookUrl")
        sequence = given.get("sequenceType", "oneoff")
        if sequence != "oneoff" and given["customerId"] not in self.customers:
            raise Refusal(422, "The customer id is invalid", "customerId")
        if float(amount["value"]) == 0 and sequence != "first":
            raise Refusal(422, "The amount is lower than the minimum", "amount")
        identifier = f"tr_{len(self.payments) + 1}"
        payment = {
            "resource": "payment",
            "mode": "test",
            **given,
            "id": identifier,
            "createdAt": self._now(),
            "expiresAt": (self.clock() + timedelta(hours=24)).isoformat(),
            "status": "open",
            "sequenceType": sequence,
            "_links": {
                "checkout": {
                    "href": f"https://pay.example/checkout/{identifier}",
                    "type": "text/html",
                }
            },
        }
        if sequence == "recurring":
            self._charge(payment)
        self.payments[identifier] = payment
        return payment

    def _charge(self, payment: dict[str, Any]) -> None:
        mandate = self.mandates.get(payment["mandateId"])
        if mandate is None or mandate["status"] != "valid":
            raise Refusal(422, "The mandate is not valid", "mandateId")
        reason = RECURRING[mandate["card"]]
        payment["_links"] = {}
        payment["status"] = "paid" if reason is None else "failed"
        payment["details"] = {"cardLabel": "Visa", "cardNumber": "4242"}
        if reason is not None:
            payment["details"] |= {"failureReason": reason, "failureMessage": "It was refused."}

    def _found(self, ref: str) -> dict[str, Any]:
        payment = self.payments.get(ref)
        if payment is None:
            raise Refusal(404, f"No payment exists with token {ref}.")
        ends = datetime.fromisoformat(payment["expiresAt"])
        if payment["status"] == "open" and self.clock() >= ends:
            payment["status"] = "expired"
        return payment

    def _shown(self, ref: str, query: dict[str, str]) -> dict[str, Any]:
        payment = self._found(ref)
        wanted = query.get("embed", "").split(",")
        lists = {"refunds": self.refunds, "chargebacks": self.chargebacks}
        embedded = {name: known.get(ref, []) for name, known in lists.items() if name in wanted}
        return {**payment, "_embedded": embedded}

    def _list(self, path: str, customer: str | None, query: dict[str, str]) -> dict[str, Any]:
        newest = [
            p
            for p in reversed(self.payments.values())
            if customer is None or p.get("customerId") == customer
        ]
        ids = [p["id"] for p in newest]
        start = ids.index(query["from"]) if "from" in query else 0
        limit = min(int(query.get("limit", "50")), self.page_limit)
        following = None
        if start + limit < len(ids):
            address = f"{self.url}/v2/{path}?from={ids[start + limit]}&limit={limit}"
            following = {"href": address, "type": "application/hal+json"}
        page = newest[start : start + limit]
        return {
            "count": len(page),
            "_embedded": {"payments": page},
            "_links": {"previous": None, "next": following},
        }

    def _list_refunds(self, ref: str) -> dict[str, Any]:
        self._found(ref)
        known = self.refunds.get(ref, [])
        return {"count": len(known), "_embedded": {"refunds": known}, "_links": {}}

    def _refund(self, ref: str, given: dict[str, Any]) -> dict[str, Any]:
        payment, known = self._found(ref), self.refunds.setdefault(ref, [])
        left = float(payment["amount"]["value"]) - sum(float(r["amount"]["value"]) for r in known)
        if payment["status"] != "paid" or float(given["amount"]["value"]) > left:
            raise Refusal(422, "The amount is higher than the maximum", "amount")
        made = {
            "resource": "refund",
            "id": f"re_{ref}_{len(known)}",
            "paymentId": ref,
            "status": "pending",
            "createdAt": self._now(),
            **given,
        }
        known.append(made)
        return made

    def _mandate(self, customer: str, mandate: str) -> dict[str, Any]:
        found = self.mandates.get(mandate)
        if found is None or found["customer"] != customer:
            raise Refusal(404, f"No mandate exists with token {mandate}.")
        return {key: value for key, value in found.items() if key not in ("customer", "card")}
