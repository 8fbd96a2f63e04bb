"""The API's calls. Each is built and checked before anything travels, by the structs that the
server reads it with, and is a value: its body is written once, every try sends the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final, Generic, Literal, TypeVar, Unpack
from urllib.parse import quote, urlencode

import msgspec
from msgspec.structs import replace

from faregate.client.asked import (
    AskedAdjustment,
    AskedCharge,
    AskedCustomer,
    AskedHold,
    UsedSoFar,
    Wanted,
)
from faregate.client.errors import refused_here
from faregate.client.fresh import new_id
from faregate.core.codec import checked, decode, encode, from_dict
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import (
    CaptureRequest,
    ExtendRequest,
    HoldRequest,
    UpdateRequest,
)
from faregate.core.outcomes import Outcome
from faregate.core.problems import FaregateError
from faregate.core.transactions import AdjustmentRequest, ChargeRequest
from faregate.customers.types import CreateCustomer, CustomerCreated, Hold, Wallet, WalletAccount
from faregate.customers.wire import (
    BookedResult,
    HoldCaptured,
    HoldPage,
    HoldsAuthorized,
    HoldsRequest,
    HoldUpdated,
    OutcomeSettled,
    SettleOutcome,
    TransactionCreated,
    UsageBooked,
    UsageRequest,
)

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_JSON: Final = {"content-type": "application/json"}
_EACH: Final = {**_JSON, "prefer": "return=representation"}
_EACH_ALONE: Final = {**_JSON, "prefer": "handling=lenient, return=representation"}


class Request(msgspec.Struct, Generic[T], frozen=True):
    """One request, and how its answer is read."""

    method: str
    path: str
    read: Callable[[bytes], T]
    body: bytes | None = None
    headers: Mapping[str, str] = {}


def record_events(
    customer_id: str | None,
    events: Sequence[UsageEvent],
    *,
    external_id: str | None = None,
    is_lenient: bool = False,
) -> Request[list[BookedResult]]:
    """Book usage events of one customer, named by id or by external id: all or none.

    With `is_lenient` each event stands alone: one that is refused has its `problem` and takes
    no other with it.
    """
    body = _written(UsageRequest(tuple(events), customer_id, external_id))
    headers = _EACH_ALONE if is_lenient else _EACH
    return Request("POST", "/events", _read_results, body, headers)


def record_written(
    payer: Mapping[str, str], events: Sequence[bytes]
) -> Request[list[BookedResult]]:
    """Book events that were checked and written before, each for itself."""
    body = encode({**payer, "events": [msgspec.Raw(event) for event in events]})
    return Request("POST", "/events", _read_results, body, _EACH_ALONE)


def settle_outcome(
    event_id: str,
    outcome: Outcome,
    *,
    data: Mapping[str, Any] | None = None,
    customer_id: str | None = None,
    external_id: str | None = None,
    description: str | None = None,
    transaction_id: str | None = None,
) -> Request[OutcomeSettled]:
    """Say what became of an event, once per id: `confirmed`, `changed` (with the `data` that is
    otherwise now) or `withdrawn`. Name its customer if several have used the event's id."""
    fields = {
        "transaction_id": transaction_id,
        "outcome": outcome,
        "data": data,
        "description": description,
        "customer_id": customer_id,
        "customer_external_id": external_id,
    }
    request = _from(SettleOutcome, _with_id(fields))
    return _post(f"/events/{_quoted(event_id)}/outcome", OutcomeSettled, request)


def create_customer(
    name: str, *, idempotency_key: str | None = None, **more: Unpack[AskedCustomer]
) -> Request[CustomerCreated]:
    """Make a customer, once per idempotency key (made if you give none)."""
    body = _written(_from(CreateCustomer, {"name": name, **more}))
    key = new_id("key") if idempotency_key is None else idempotency_key
    headers = {**_JSON, "idempotency-key": key}
    return Request("POST", "/customers", partial(decode, CustomerCreated), body, headers)


def get_wallet(customer_id: str) -> Request[Wallet]:
    """Read a customer's accounts with their balances."""
    return _get(_wallet(customer_id), Wallet)


def get_account(customer_id: str, account_id: str) -> Request[WalletAccount]:
    """Read one account, e.g. `default:USD`."""
    return _get(_wallet(customer_id, account_id), WalletAccount)


def adjust(
    customer_id: str,
    amount: Decimal | int,
    asset: str,
    reason: Literal["gift", "external_topup", "external_refund", "other"] = "other",
    **more: Unpack[AskedAdjustment],
) -> Request[TransactionCreated]:
    """Credit a wallet (a positive amount) or debit it (a negative one), once per id."""
    given = {**_with_id(more), "amount": amount, "asset": asset, "reason": reason}
    path = _wallet(customer_id, "adjustments")
    return _post(path, TransactionCreated, _from(AdjustmentRequest, given))


def charge(
    customer_id: str, amount: Decimal | int, asset: str, **more: Unpack[AskedCharge]
) -> Request[TransactionCreated]:
    """Charge a fee without an event, once per id."""
    given = {**_with_id(more), "amount": amount, "asset": asset}
    path = _wallet(customer_id, "charges")
    return _post(path, TransactionCreated, _from(ChargeRequest, given))


def authorize(customer_id: str, **asked: Unpack[AskedHold]) -> Request[Hold]:
    """Ask for a hold. A decline is an answer here: look at its `status`. (`hold` raises it.)"""
    return _post(_wallet(customer_id, "holds"), Hold, _from(HoldRequest, _with_id(asked)))


def authorize_batch(customer_id: str, holds: Sequence[AskedHold]) -> Request[list[Hold]]:
    """Ask for up to 100 holds, each for itself, in order; if one is wrong, none is made."""
    asked = HoldsRequest([_from(HoldRequest, _with_id(hold)) for hold in holds])
    path = _wallet(customer_id, "holds", "batch")
    return Request("POST", path, _read_holds, _written(asked), _JSON)


def capture(
    customer_id: str,
    hold_id: str,
    *,
    amount: Decimal | int | None = None,
    events: Sequence[UsageEvent] | None = None,
    final: bool = True,
    transaction_id: str | None = None,
) -> Request[HoldCaptured]:
    """Charge what was used, as `events` or as an `amount`; `final` lets the rest go back."""
    fields = {"transaction_id": transaction_id, "amount": amount, "final": final}
    request = _from(CaptureRequest, _with_id(fields))
    if events is not None:
        request = replace(request, events=list(events))
    return _post(_wallet(customer_id, "holds", hold_id, "capture"), HoldCaptured, request)


def update_hold(
    customer_id: str,
    hold_id: str,
    *,
    want: Wanted,
    used: UsedSoFar | None = None,
    transaction_id: str | None = None,
) -> Request[HoldUpdated]:
    """Settle what was `used` of a slice and set aside what the next one will `want`."""
    given = used or {}
    spent = {"amount": given.get("amount")}
    fields = {"transaction_id": transaction_id, "want": want, "used": spent}
    request = _from(UpdateRequest, _with_id(fields))
    events = given.get("events")
    if events is not None:
        request = replace(request, used=replace(request.used, events=list(events)))
    return _post(_wallet(customer_id, "holds", hold_id, "update"), HoldUpdated, request)


def extend(customer_id: str, hold_id: str, expires_in_seconds: int) -> Request[Hold]:
    """Let a hold expire so many seconds from now, if that is later than it would."""
    request = ExtendRequest(expires_in_seconds)
    return _post(_wallet(customer_id, "holds", hold_id, "extend"), Hold, request)


def void(customer_id: str, hold_id: str) -> Request[Hold]:
    """Let go of a hold. A repeat is harmless."""
    path = _wallet(customer_id, "holds", hold_id, "void")
    return Request("POST", path, partial(decode, Hold), b"{}", _JSON)


def get_hold(customer_id: str, hold_id: str) -> Request[Hold]:
    """Read a hold as it is now."""
    return _get(_wallet(customer_id, "holds", hold_id), Hold)


def list_holds(
    customer_id: str,
    *,
    status: str | None = None,
    subject: str | None = None,
    limit: int = 20,
    offset: int = 0,
) -> Request[HoldPage]:
    """Read a page of a customer's holds, the newest first."""
    query: dict[str, Any] = {"limit": limit, "offset": offset, "status": status, "subject": subject}
    given = urlencode({name: value for name, value in query.items() if value is not None})
    return _get(f"{_wallet(customer_id, 'holds')}?{given}", HoldPage)


def write_event(event: UsageEvent) -> tuple[UsageEvent, bytes]:
    """Return an event as the API will read it, and as JSON. Raises `FaregateClientError` (422)."""
    try:
        event = checked(event)
        return event, encode(event)
    except FaregateError as error:
        refusal = refused_here(error)
    raise refusal


def _written(request: msgspec.Struct) -> bytes:
    """Write a request as JSON. Raises `FaregateClientError` (422) where the API would refuse it."""
    try:
        return encode(checked(request))
    except FaregateError as error:
        refusal = refused_here(error)
    raise refusal


def _from(kind: type[S], fields: Mapping[str, Any]) -> S:
    """Build a request. Raises `FaregateClientError` (422) naming a field that is wrong."""
    try:
        return from_dict(kind, fields)
    except FaregateError as error:
        refusal = refused_here(error)
    raise refusal


def _with_id(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields under a `transaction_id`: theirs, or a new one."""
    if fields.get("transaction_id") is None:
        return {**fields, "transaction_id": new_id("txn")}
    return dict(fields)


def _read_results(body: bytes) -> list[BookedResult]:
    return decode(UsageBooked, body).events


def _read_holds(body: bytes) -> list[Hold]:
    return decode(HoldsAuthorized, body).holds


def _get(path: str, answer: type[T]) -> Request[T]:
    return Request("GET", path, partial(decode, answer))


def _post(path: str, answer: type[T], request: msgspec.Struct) -> Request[T]:
    return Request("POST", path, partial(decode, answer), _written(request), _JSON)


def _wallet(customer_id: str, *rest: str) -> str:
    parts = [_quoted(part) for part in (customer_id, *rest)]
    return "/".join(["/customers", parts[0], "wallet", *parts[1:]])


def _quoted(part: str) -> str:
    """Quote one part of a path. Raises `ValueError` for what would name something else."""
    if not isinstance(part, str) or part in ("", ".", ".."):
        raise ValueError(f"{part!r} is no id: it names nothing")
    return quote(part, safe="")
