"""Payments that Mollie collects (docs.mollie.com), by its official library. The customer pays on
Mollie's page; a payment that may be repeated is a *first* one, which leaves a mandate, and charges
with nobody there are *recurring* ones under it.

Mollie's messages carry an id and no signature: whoever knows an id can send one. That does no
harm: an id that is none of our payments is not even asked about, and of one that is, Mollie is
asked what has become of it, which is what would have happened later anyway.

Its idempotency keys live for an hour only (docs.mollie.com/overview/api-idempotency). So before
money is moved by us, it is looked whether it has been: each payment and refund carries our id.
The library blocks, so it is called on threads of its own, and every call ends in bounded time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from mollie.api.client import Client
from mollie.api.error import Error, ResponseError

from faregate.core.amounts import to_decimal
from faregate.core.ids import instant_of
from faregate.payments.provider import (
    BadMessage,
    Begun,
    CheckoutAsked,
    Merchant,
    Message,
    Money,
    Payer,
    PaymentState,
    PaymentStatus,
    ProviderDown,
    ProviderRefused,
    RefundAsked,
    Returned,
    ReturnStatus,
    SavedCard,
    SavedCharge,
    SetupAsked,
    Sought,
)

T = TypeVar("T")
TIMEOUT_SECONDS: Final = (3, 10)
"""To connect, and between two bytes of an answer."""
AT_ONCE: Final = 8
PAGE: Final = 250
MAX_PAGES: Final = 8
SKEW: Final = timedelta(hours=1)
"""How far Mollie's clock may be behind ours, generously."""
MAX_MESSAGE_BYTES: Final = 1024
_KEY: Final = re.compile(r"(test|live)_\w{8,}\Z", re.ASCII)
_PAYMENT: Final = re.compile(r"tr_\w{1,64}\Z", re.ASCII)
_RESOURCE: Final = re.compile(r"[a-z]+_[\w-]{1,64}\Z", re.ASCII)
_VALUE: Final = re.compile(r"\d{1,15}(\.\d{1,4})?\Z", re.ASCII)

_STATUSES: Final[Mapping[str, PaymentStatus]] = {
    "open": "open",
    "pending": "processing",
    "authorized": "processing",
    "paid": "succeeded",
    "failed": "failed",
    "canceled": "failed",
    "expired": "expired",
}
_REFUNDS: Final[Mapping[str, ReturnStatus]] = {
    "queued": "pending",
    "pending": "pending",
    "processing": "pending",
    "refunded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
_CODES: Final = {
    "authentication_required": "authentication_required",
    "card_expired": "expired_card",
    "insufficient_funds": "insufficient_funds",
}


class _Amount(msgspec.Struct, frozen=True):
    value: str
    currency: str

    @property
    def minor(self) -> int:
        """Minor units: Mollie writes as many decimals as the currency has."""
        if _VALUE.match(self.value) is None:
            raise msgspec.ValidationError("an amount is not readable")
        return int(self.value.replace(".", ""))


class _Refund(msgspec.Struct, frozen=True):
    id: str
    status: str
    amount: _Amount
    metadata: Any = None


class _Chargeback(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    amount: _Amount
    reversed_at: str | None = None


class _Embedded(msgspec.Struct, frozen=True):
    refunds: list[_Refund] = []
    chargebacks: list[_Chargeback] = []


class _Link(msgspec.Struct, frozen=True):
    href: str


class _Links(msgspec.Struct, frozen=True):
    checkout: _Link | None = None


class _Details(msgspec.Struct, frozen=True, rename="camel"):
    card_label: str | None = None
    card_number: str | None = None
    card_expiry_date: str | None = None
    failure_reason: str | None = None
    failure_message: str | None = None


class _Mandate(msgspec.Struct, frozen=True):
    id: str
    status: str
    details: _Details | None = None


class _Payment(msgspec.Struct, frozen=True, rename="camel"):
    """A payment as Mollie writes it, as far as it is read."""

    id: str
    status: str
    created_at: datetime
    amount: _Amount
    sequence_type: str = "oneoff"
    customer_id: str | None = None
    mandate_id: str | None = None
    metadata: Any = None
    details: _Details | None = None
    links: _Links = msgspec.field(name="_links", default=_Links())
    embedded: _Embedded = msgspec.field(name="_embedded", default=_Embedded())

    def is_ours(self, payment_id: str, merchant: Merchant) -> bool:
        """Tell whether it carries our id, and our environment's."""
        return bool(self.metadata == _metadata(payment_id, merchant))


class MollieProvider:
    """Mollie, for the platform's own account, by one API key for each mode (empty: none).

    `api_base` is where its API is, if elsewhere; `public_url` is where it reaches us. Raises
    `ValueError` for a key that is none, without telling it.
    """

    name = "mollie"

    def __init__(
        self,
        test_key: str = "",
        live_key: str = "",
        *,
        api_base: str = "",
        public_url: str = "",
        timeout_seconds: tuple[int, int] = TIMEOUT_SECONDS,
    ) -> None:
        for mode, key in (("test", test_key), ("live", live_key)):
            if key and (_KEY.match(key) is None or not key.startswith(mode)):
                raise ValueError(f"is no key of Mollie's {mode} mode, which begins with {mode}_")
        self._keys = {False: test_key, True: live_key}
        self._api_base = api_base
        self._public_url = public_url
        self._timeout = timeout_seconds
        self._pool = ThreadPoolExecutor(AT_ONCE, "mollie")
        self._local = threading.local()

    def __repr__(self) -> str:
        return "MollieProvider()"

    def serves(self, merchant: Merchant) -> bool:
        """Collect for the platform's own account, in the modes that have a key."""
        return merchant.is_platform and bool(self._keys[merchant.is_live])

    async def begin_checkout(self, asked: CheckoutAsked) -> Begun:
        """Make a payment, whose page is Mollie's. After it, the customer comes to `return_url`
        whatever became of it, and to `failure_url` if they went back."""

        def call(client: Client) -> Begun:
            wanted: dict[str, Any] = {}
            if asked.saves_card:
                customer = _customer(client, asked.payer, asked.payment_id)
                wanted = {"customerId": customer, "sequenceType": "first"}
            return _begin(
                client, self._request(asked, asked.payment_id, asked.money) | wanted, asked
            )

        return await self._ask(asked.merchant, call)

    async def begin_setup(self, asked: SetupAsked) -> Begun:
        """Make a first payment of nothing, by card, which leaves a mandate."""

        def call(client: Client) -> Begun:
            wanted = {
                "customerId": _customer(client, asked.payer, asked.setup_id),
                "sequenceType": "first",
                "method": "creditcard",
            }
            nothing = Money(0, "EUR", 2)
            return _begin(client, self._request(asked, asked.setup_id, nothing) | wanted, asked)

        return await self._ask(asked.merchant, call)

    async def charge(self, asked: SavedCharge) -> PaymentState:
        """Charge under a mandate, once."""

        def call(client: Client) -> PaymentState:
            customer, _, mandate = asked.method_ref.partition("/")
            if not (customer.startswith("cst_") and mandate.startswith("mdt_")):
                raise ProviderRefused("card_declined", "There is no such saved card.")
            known = client.payments.perform_api_call(
                "GET", f"customers/{customer}/payments", params={"limit": PAGE}
            )
            found = _search(client, known, asked.payment_id, asked.merchant)
            if found is None:
                wanted = {
                    "amount": _amount(asked.money),
                    "description": asked.description[:255],
                    "metadata": _metadata(asked.payment_id, asked.merchant),
                    "customerId": customer,
                    "mandateId": mandate,
                    "sequenceType": "recurring",
                    **self._webhook(asked.merchant, self._public_url),
                }
                try:
                    found = _payment(
                        client.payments.create(wanted, idempotency_key=asked.payment_id)
                    )
                except ResponseError as error:
                    if error.status != 422:
                        raise
                    # It is the card (the mandate has ended), or the amount is too much for it.
                    return PaymentState("failed", code="card_declined", text=str(error)[:200])
            return _state(client, found)

        return await self._ask(asked.merchant, call)

    async def refund(self, asked: RefundAsked) -> Returned:
        """Give money back, once. Mollie sends it later: the refund is `pending` until then."""

        def call(client: Client) -> Returned:
            path = f"payments/{asked.payment_ref}/refunds"
            known = client.refunds.perform_api_call("GET", path, params={"limit": PAGE})
            for one in msgspec.convert(known.get("_embedded", {}), _Embedded).refunds:
                if _refund_id(one) == asked.refund_id:
                    return _refunded(one)
            wanted = {
                "amount": _amount(asked.money),
                "description": asked.refund_id,
                "metadata": {"refund_id": asked.refund_id},
            }
            try:
                made = client.refunds.perform_api_call(
                    "POST", path, wanted, idempotency_key=asked.refund_id
                )
            except ResponseError as error:
                if error.status != 422:
                    raise
                raise ProviderRefused("not_refundable", str(error)[:200]) from None
            return _refunded(msgspec.convert(made, _Refund))

        return await self._ask(asked.merchant, call)

    async def look_up(self, sought: Sought) -> PaymentState | None:
        """Say where a payment stands. One whose id at Mollie we never learned is searched for among
        the payments since we made ours."""

        def call(client: Client) -> PaymentState | None:
            ref = sought.payment_ref or sought.checkout_ref
            if ref is None:
                known = client.payments.perform_api_call("GET", "payments", params={"limit": PAGE})
                found = _search(client, known, sought.payment_id, sought.merchant)
                if found is None:
                    return None
                ref = found.id
            try:
                payment = _payment(client.payments.get(ref, embed="refunds,chargebacks"))
            except ResponseError as error:
                if error.status != 404:
                    raise
                return None
            if not payment.is_ours(sought.payment_id, sought.merchant):
                return None
            return _state(client, payment)

        return await self._ask(sought.merchant, call)

    def read_message(
        self, headers: Mapping[str, str], body: bytes, merchant: Merchant, now: datetime
    ) -> Message:
        """Read an id (`id=tr_…`, as a form). What is about something else than a payment names
        none."""
        if len(body) > MAX_MESSAGE_BYTES or not body.isascii():
            raise BadMessage("it is no form with an id")
        try:
            ids = parse_qs(body.decode("ascii"), max_num_fields=8).get("id", [])
        except ValueError:
            ids = []
        if len(ids) != 1 or _RESOURCE.match(ids[0]) is None:
            raise BadMessage("it is no form with an id")
        return Message(ids[0], ref=ids[0] if _PAYMENT.match(ids[0]) else None)

    def _request(
        self, asked: CheckoutAsked | SetupAsked, payment_id: str, money: Money
    ) -> dict[str, Any]:
        description = asked.description if isinstance(asked, CheckoutAsked) else "Save a card"
        return {
            "amount": _amount(money),
            "description": description[:255],
            "redirectUrl": asked.return_url,
            "cancelUrl": asked.failure_url,
            "metadata": _metadata(payment_id, asked.merchant),
            **self._webhook(asked.merchant, self._public_url or asked.base_url),
        }

    def _webhook(self, merchant: Merchant, base_url: str) -> dict[str, str]:
        # Mollie refuses a payment whose webhook it cannot reach. Without one we ask by the clock.
        if not _is_public(base_url):
            return {}
        mode = "live" if merchant.is_live else "test"
        url = f"{base_url.rstrip('/')}/payments/messages/mollie/{merchant.account_id}/{mode}"
        return {"webhookUrl": url}

    async def _ask(self, merchant: Merchant, call: Callable[[Client], T]) -> T:
        """Call Mollie on a thread. Raises `ProviderDown`, `ProviderRefused`."""

        def run() -> T:
            try:
                return call(self._client(merchant.is_live))
            except ResponseError as error:
                raise _refusal(error) from None
            except Error:
                # Its text may hold a whole answer: it is not told on.
                raise ProviderDown("Mollie does not answer, or not readably") from None
            except msgspec.ValidationError as error:
                raise ProviderDown(f"Mollie's answer is not understood: {error}") from None

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    def _client(self, is_live: bool) -> Client:
        """Return this thread's client: its connections are not made for several threads."""
        clients: dict[bool, Client] = self._local.__dict__.setdefault("clients", {})
        if is_live not in clients:
            client = Client(self._api_base, timeout=self._timeout, retry=0)
            client.set_api_key(self._keys[is_live])
            clients[is_live] = client
        return clients[is_live]


def _begin(client: Client, wanted: dict[str, Any], asked: CheckoutAsked | SetupAsked) -> Begun:
    key = asked.payment_id if isinstance(asked, CheckoutAsked) else asked.setup_id
    made = _payment(client.payments.create(wanted, idempotency_key=key))
    if made.links.checkout is None:
        raise ProviderDown("Mollie made a payment without a page")
    return Begun(made.id, made.links.checkout.href, asked.expires_at)


def _customer(client: Client, payer: Payer, key: str) -> str:
    """Return Mollie's id of a customer; they are made there if they are not known to be."""
    if payer.provider_ref is not None and payer.provider_ref.startswith("cst_"):
        return payer.provider_ref
    wanted = {"name": payer.name, "metadata": {"customer_id": payer.customer_id}}
    if payer.email is not None:
        wanted["email"] = payer.email
    made = client.customers.create(wanted, idempotency_key=f"{key}:customer")
    return msgspec.convert(made["id"], str)


def _metadata(payment_id: str, merchant: Merchant) -> dict[str, str]:
    return {"payment_id": payment_id, "environment": str(merchant.environment_id)}


def _amount(money: Money) -> dict[str, str]:
    value = f"{to_decimal(money.minor, money.digits):.{money.digits}f}"
    return {"currency": money.currency, "value": value}


def _payment(answer: Any) -> _Payment:
    return msgspec.convert(dict(answer), _Payment)


def _pages(client: Client, first: dict[str, Any]) -> Iterator[list[_Payment]]:
    answer = first
    for _ in range(MAX_PAGES):
        found = (answer.get("_embedded") or {}).get("payments", [])
        yield [_payment(one) for one in found]
        following = (answer.get("_links") or {}).get("next")
        if not following:
            return
        # Of the address only the place in the list is believed.
        path = urlsplit(following["href"])
        name = path.path.partition("/v2/")[2]
        query = {k: v[0] for k, v in parse_qs(path.query).items() if k in ("from", "limit")}
        answer = client.payments.perform_api_call("GET", name, params=query)
    raise ProviderDown("there are too many payments since to find it among them")


def _search(
    client: Client, first: dict[str, Any], payment_id: str, merchant: Merchant
) -> _Payment | None:
    """Search a list of payments, the newest first, for ours."""
    earliest = instant_of(payment_id)
    for page in _pages(client, first):
        for payment in page:
            if payment.is_ours(payment_id, merchant):
                return payment
            if earliest is not None and payment.created_at < earliest - SKEW:
                return None
    return None


def _state(client: Client, payment: _Payment) -> PaymentState:
    status = _STATUSES.get(payment.status)
    if status is None:
        raise ProviderDown(f"Mollie's status {payment.status[:40]!r} is not known")
    details = payment.details or _Details()
    code = text = None
    if status == "failed":
        code = _CODES.get(details.failure_reason or "", "card_declined")
        text = details.failure_message or "The payment failed."
        if payment.status == "canceled":
            text = "The payment was canceled."
    is_paid = status == "succeeded"
    return PaymentState(
        status,
        payment.id,
        payment.amount.minor if is_paid else 0,
        payment.amount.currency,
        _card(client, payment) if is_paid else None,
        (
            *[_refunded(one) for one in payment.embedded.refunds],
            *[_disputed(one) for one in payment.embedded.chargebacks],
        ),
        code,
        text,
    )


def _card(client: Client, payment: _Payment) -> SavedCard | None:
    """Return what a first payment has left: whoever is charged by it, card or bank account."""
    if payment.sequence_type != "first" or not (payment.customer_id and payment.mandate_id):
        return None
    try:
        path = f"customers/{payment.customer_id}/mandates/{payment.mandate_id}"
        mandate = msgspec.convert(client.payments.perform_api_call("GET", path), _Mandate)
    except ResponseError as error:
        if error.status not in (404, 410):
            raise
        return None
    if mandate.status != "valid":
        return None
    details = mandate.details or _Details()
    label = None if details.card_label is None else details.card_label.lower()
    last4 = None if details.card_number is None else details.card_number[-4:]
    ends = (details.card_expiry_date or "").split("-")
    year, month = (int(ends[0]), int(ends[1])) if len(ends) == 3 else (None, None)
    reference = f"{payment.customer_id}/{mandate.id}"
    return SavedCard(reference, payment.customer_id, label, last4, month, year)


def _refund_id(refund: _Refund) -> str | None:
    found = refund.metadata.get("refund_id") if isinstance(refund.metadata, dict) else None
    return found if isinstance(found, str) else None


def _refunded(refund: _Refund) -> Returned:
    status = _REFUNDS.get(refund.status, "pending")
    return Returned(refund.id, "refund", refund.amount.minor, status, _refund_id(refund))


def _disputed(chargeback: _Chargeback) -> Returned:
    """A chargeback takes the money at once, and is open for as long as it may be reversed."""
    status: ReturnStatus = "open" if chargeback.reversed_at is None else "won"
    return Returned(chargeback.id, "dispute", chargeback.amount.minor, status)


def _refusal(error: ResponseError) -> ProviderDown | ProviderRefused:
    status = error.status or 0
    if status in (408, 409, 425, 429) or status >= 500:
        return ProviderDown(f"Mollie answers {status}")
    if status in (401, 403):
        return ProviderRefused("misconfigured", "Mollie does not accept the API key.")
    if status in (404, 410):
        return ProviderRefused("no_such_payment", "Mollie does not know it.")
    return ProviderRefused("misconfigured", f"Mollie refuses it: {str(error)[:200]}")


def _is_public(url: str) -> bool:
    """Tell whether an address can be one that Mollie reaches."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".localhost", ".internal"))
