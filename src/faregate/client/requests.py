"""The requests that the client sends, as values: built and checked before anything travels, the
same for both clients. The body is written once; every try sends the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from faregate.client.answers import (
    CustomerCreated,
    Hold,
    HoldCaptured,
    HoldPage,
    HoldsAuthorized,
    HoldUpdated,
    TransactionCreated,
    UsageBooked,
    Wallet,
    WalletAccount,
)
from faregate.client.asked import (
    AskedAdjustment,
    AskedCharge,
    AskedCustomer,
    AskedHold,
    UsedSoFar,
    Wanted,
    read,
    with_id,
)
from faregate.client.errors import refused_here
from faregate.client.fresh import new_id
from faregate.core.codec import checked, encode
from faregate.core.events import MAX_EVENTS, Id, UsageEvent
from faregate.core.hold_requests import (
    MAX_HOLDS,
    CaptureRequest,
    ExtendRequest,
    HoldRequest,
    UpdateRequest,
)
from faregate.core.problems import FaregateError
from faregate.core.transactions import AdjustmentRequest, ChargeRequest
from faregate.customers.types import CreateCustomer

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

JSON: Final = {"content-type": "application/json"}
EACH: Final = {"prefer": "return=representation"}
EACH_ALONE: Final = {"prefer": "handling=lenient, return=representation"}


class Request(msgspec.Struct, Generic[T], frozen=True):
    """One request and the type of its answer."""

    method: str
    path: str
    answer: type[T]
    body: bytes | None = None
    headers: Mapping[str, str] = {}


class Usage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Events of one customer, named by id or by external id."""

    events: Annotated[list[UsageEvent], Meta(min_length=1, max_length=MAX_EVENTS)]
    customer_id: Id | None = None
    customer_external_id: Id | None = None


class Holds(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Holds of one customer, each for itself, in order."""

    holds: Annotated[list[HoldRequest], Meta(min_length=1, max_length=MAX_HOLDS)]


def record_events(
    customer_id: str | None,
    events: Sequence[UsageEvent],
    external_id: str | None,
    *,
    is_lenient: bool,
) -> Request[UsageBooked]:
    """Book events: all or none, or each alone."""
    body = written(Usage(list(events), customer_id, external_id))
    headers = EACH_ALONE if is_lenient else EACH
    return Request("POST", "/events", UsageBooked, body, {**JSON, **headers})


def create_customer(name: str, key: str | None, fields: AskedCustomer) -> Request[CustomerCreated]:
    """Make a customer, once per key."""
    customer = read(CreateCustomer, {"name": name, **fields})
    headers = {**JSON, "idempotency-key": new_id("key") if key is None else key}
    return Request("POST", "/customers", CustomerCreated, written(customer), headers)


def get_wallet(customer_id: str) -> Request[Wallet]:
    """Read a customer's accounts."""
    return Request("GET", _wallet(customer_id), Wallet)


def get_account(customer_id: str, account_id: str) -> Request[WalletAccount]:
    """Read one account."""
    return Request("GET", _wallet(customer_id, account_id), WalletAccount)


def adjust(
    customer_id: str, amount: Decimal | int, asset: str, reason: str, fields: AskedAdjustment
) -> Request[TransactionCreated]:
    """Credit or debit a wallet."""
    given = {**with_id(fields), "amount": amount, "asset": asset, "reason": reason}
    request = read(AdjustmentRequest, given)
    return _post(_wallet(customer_id, "adjustments"), TransactionCreated, request)


def charge(
    customer_id: str, amount: Decimal | int, asset: str, fields: AskedCharge
) -> Request[TransactionCreated]:
    """Charge a wallet."""
    request = read(ChargeRequest, {**with_id(fields), "amount": amount, "asset": asset})
    return _post(_wallet(customer_id, "charges"), TransactionCreated, request)


def authorize(customer_id: str, asked: AskedHold) -> Request[Hold]:
    """Ask for a hold."""
    request = read(HoldRequest, with_id(asked))
    return _post(_wallet(customer_id, "holds"), Hold, request)


def authorize_batch(customer_id: str, holds: Sequence[AskedHold]) -> Request[HoldsAuthorized]:
    """Ask for many."""
    asked = Holds([read(HoldRequest, with_id(hold)) for hold in holds])
    return _post(_wallet(customer_id, "holds", "batch"), HoldsAuthorized, asked)


def capture(
    customer_id: str,
    hold_id: str,
    amount: Decimal | int | None,
    events: Sequence[UsageEvent] | None,
    final: bool = True,
    transaction_id: str | None = None,
) -> Request[HoldCaptured]:
    """Charge what was used."""
    fields = {"transaction_id": transaction_id, "amount": amount, "final": final}
    request = read(CaptureRequest, with_id(fields))
    if events is not None:
        request = replace(request, events=list(events))
    return _post(_wallet(customer_id, "holds", hold_id, "capture"), HoldCaptured, request)


def update_hold(
    customer_id: str,
    hold_id: str,
    want: Wanted,
    used: UsedSoFar | None = None,
    transaction_id: str | None = None,
) -> Request[HoldUpdated]:
    """Settle a slice and ask for the next one."""
    given = used or {}
    fields = {
        "transaction_id": transaction_id,
        "want": want,
        "used": {"amount": given.get("amount")},
    }
    request = read(UpdateRequest, with_id(fields))
    events = given.get("events")
    if events is not None:
        request = replace(request, used=replace(request.used, events=list(events)))
    return _post(_wallet(customer_id, "holds", hold_id, "update"), HoldUpdated, request)


def extend(customer_id: str, hold_id: str, seconds: int) -> Request[Hold]:
    """Let a hold expire later."""
    return _post(_wallet(customer_id, "holds", hold_id, "extend"), Hold, ExtendRequest(seconds))


def void(customer_id: str, hold_id: str) -> Request[Hold]:
    """Let go of a hold."""
    return Request("POST", _wallet(customer_id, "holds", hold_id, "void"), Hold, b"{}", JSON)


def get_hold(customer_id: str, hold_id: str) -> Request[Hold]:
    """Read a hold."""
    return Request("GET", _wallet(customer_id, "holds", hold_id), Hold)


def list_holds(
    customer_id: str, status: str | None, subject: str | None, limit: int, offset: int
) -> Request[HoldPage]:
    """Read a page of holds."""
    query: dict[str, Any] = {"limit": limit, "offset": offset, "status": status, "subject": subject}
    given = urlencode({name: value for name, value in query.items() if value is not None})
    return Request("GET", f"{_wallet(customer_id, 'holds')}?{given}", HoldPage)


def written(request: S) -> bytes:
    """Write a request as JSON. Raises `FaregateClientError` (422) where the API would refuse it."""
    try:
        return encode(checked(request))
    except FaregateError as error:
        refusal = refused_here(error)
    raise refusal


def checked_event(event: UsageEvent) -> tuple[UsageEvent, bytes]:
    """Return an event as the API will read it, and as JSON. Raises `FaregateClientError` (422)."""
    try:
        event = checked(event)
        return event, encode(event)
    except FaregateError as error:
        refusal = refused_here(error)
    raise refusal


def _post(path: str, answer: type[T], request: msgspec.Struct) -> Request[T]:
    return Request("POST", path, answer, written(request), JSON)


def _wallet(customer_id: str, *rest: str) -> str:
    parts = [quote(part, safe="") for part in (customer_id, *rest)]
    for part, text in zip(parts, (customer_id, *rest), strict=True):
        if part in ("", ".", ".."):
            raise ValueError(f"{text!r} is no id: it names nothing")
    return "/".join(["/customers", parts[0], "wallet", *parts[1:]])
