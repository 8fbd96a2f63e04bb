"""What a person has to confirm before an assistant's call does it: whatever moves money, changes
what is charged or tells somebody else of it, in live mode. Every operation that is not a mere read
is named here, in one of two lists, so that a new one cannot be forgotten; those that need nobody
say why.

An assistant reads texts that others have written, and may follow what stands in them. What it can
do on its own is therefore only what does no harm when it is done wrongly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from faregate.core.problems import OVERLOADED, FaregateError, Kind, Problem
from faregate.engine import Engine
from faregate.operations.acting import Acting
from faregate.operations.operation import Call, Operation
from faregate.operations.table import OPERATIONS
from faregate.platform.audit import Actor
from faregate.platform.confirmations import Asked, Confirmation

Condition = Callable[[Any], bool]

CONFIRMATION_NEEDED: Final = Kind(
    "confirmation-needed",
    403,
    "A person has to confirm this first",
    "Nothing was done. Ask for it to be confirmed at the address, then make the same call again.",
)

_WALLET: Final = "/customers/{customer_id}/wallet"
_HOLD: Final = f"{_WALLET}/holds/{{hold_id}}"
_SUBSCRIPTION: Final = "/customers/{customer_id}/subscriptions/{subscription_id}"
_VERSION: Final = "/products/{product_id}/{version}"
_METHOD: Final = "/customers/{customer_id}/payment-methods/{payment_method_id}"


def _always(_body: Any) -> bool:
    return True


def _publishes(body: Any) -> bool:
    # A draft is had by nobody.
    return bool(body.publish)


def _subscribes(body: Any) -> bool:
    # An external account may have a card that pays.
    return bool(body.subscriptions or body.external_accounts)


def _renames(body: Any) -> bool:
    # Use is reported by the external id, and limits choose customers by their metadata.
    return body.external_id is not None or body.metadata is not None


def _leads_elsewhere(body: Any) -> bool:
    # What is not told for a while can be told again for 30 days.
    return body.url is not None


def _is_for_real(body: Any) -> bool:
    return not body.dry_run


CONFIRMED: Final[Mapping[str, Condition]] = {
    "PATCH /assets/{asset_code}": _always,
    "POST /assets/{asset_code}/rates": _always,
    "POST /products": _publishes,
    "POST /products/{product_id}": _publishes,
    "DELETE /products/{product_id}": _always,
    f"DELETE {_VERSION}": _always,
    f"PATCH {_VERSION}": _always,
    "POST /products/{product_id}/subscribers/migrate": _is_for_real,
    "POST /customers": _subscribes,
    "PATCH /customers/{customer_id}": _renames,
    "POST /customers/{customer_id}/block": _always,
    "POST /customers/{customer_id}/unblock": _always,
    "PATCH /accounts/self": _always,
    "POST /customers/{customer_id}/subscriptions": _always,
    f"PATCH {_SUBSCRIPTION}": _always,
    f"PATCH {_SUBSCRIPTION}/products/{{product_id}}": _always,
    f"POST {_SUBSCRIPTION}/pause": _always,
    f"POST {_SUBSCRIPTION}/resume": _always,
    f"POST {_SUBSCRIPTION}/cancel": _always,
    f"POST {_SUBSCRIPTION}/reactivate": _always,
    f"POST {_SUBSCRIPTION}/discounts": _always,
    f"DELETE {_SUBSCRIPTION}/discounts/{{coupon_code}}": _always,
    "POST /events": _always,
    "POST /events/{event_id:path}/outcome": _always,
    # What is held does not count as there, so a hold may make a saved card pay (auto top-up).
    f"POST {_WALLET}/holds": _always,
    f"POST {_WALLET}/holds/batch": _always,
    f"POST {_HOLD}/capture": _always,
    f"POST {_HOLD}/update": _always,
    # What runs under a hold that is gone may find nothing to pay it.
    f"POST {_HOLD}/void": _always,
    "POST /limits": _always,
    "PATCH /limits/{limit_id}": _always,
    "DELETE /limits/{limit_id}": _always,
    "POST /customers/{customer_id}/limits": _always,
    "PATCH /customers/{customer_id}/limits/{limit_id}": _always,
    "DELETE /customers/{customer_id}/limits/{limit_id}": _always,
    "POST /coupons": _always,
    "DELETE /coupons/{coupon_code}": _always,
    # What models cost the seller is the base of prices that are a markup on it.
    "POST /model-prices": _always,
    "DELETE /model-prices/{model_price_id}": _always,
    # They say who is charged for what others tell.
    "PUT /ingestion/{source}/rules": _always,
    "DELETE /ingestion/{source}/rules": _always,
    "POST /ingestion/import": _always,
    f"POST {_WALLET}/adjustments": _always,
    f"POST {_WALLET}/charges": _always,
    f"PATCH {_WALLET}/{{account_id}}": _always,
    "POST /top-ups": _always,
    "POST /top-ups/{top_up_id}/refunds": _always,
    f"PATCH {_METHOD}": _always,
    f"DELETE {_METHOD}": _always,
    f"PUT {_WALLET}/{{account_id}}/auto-top-up": _always,
    # Whoever has the link spends the customer's money as the customer does.
    "POST /billing-portal/sessions": _always,
    "PUT /billing-portal/settings": _always,
    # From then on that address hears of every customer, and of what each pays.
    "POST /webhooks": _always,
    "PATCH /webhooks/{webhook_id}": _leads_elsewhere,
}
"""Operations that a person confirms in live mode, each with what of it is meant."""

IN_BOTH_MODES: Final[Mapping[str, Condition]] = {
    "PATCH /accounts/self": lambda body: bool(body.timezone or body.renewals),
    "PUT /billing-portal/settings": _always,
}
"""What holds for both modes of an account, so a person confirms it in test mode, too."""

FREE: Final[Mapping[str, str]] = {
    "POST /assets": "a new asset: nobody has any of it, and nothing is charged in it",
    "POST /assets/{asset_code}/quote": "changes nothing",
    f"POST {_VERSION}/simulate-usage": "changes nothing",
    "POST /model-prices/quote": "changes nothing",
    "POST /ingestion/{source}/preview": "changes nothing",
    "POST /test-clocks": "exists in test mode only",
    "POST /test-clocks/{clock_id}/advance": "exists in test mode only",
    f"POST {_HOLD}/extend": "sets nothing more aside; comes back by itself a little later",
    "POST /vendors": "a name for whom you pay; no customer is charged by it",
    "POST /customers/{customer_id}/payment-methods": "only the customer can enter a card there",
    "DELETE /customers/{customer_id}/billing-portal-sessions": "they sign in again",
    "PUT /billing-portal/logo": "a picture",
    "DELETE /billing-portal/logo": "a picture",
    "POST /accounts": "a new account: nothing is in it",
    "POST /webhooks/test/{topic}": "sends a sample",
    "POST /webhooks/test/{topic}/{connected_account_id}": "sends a sample",
    "POST /webhooks/{webhook_id}/test/{topic}": "sends a sample",
    "POST /webhooks/{webhook_id}/test/{topic}/{connected_account_id}": "sends a sample",
    "POST /webhooks/{webhook_id}/rotate-secret": "what others check messages by; moves nothing",
    "POST /webhooks/{webhook_id}/redeliver": "tells again what happened",
    "DELETE /webhooks/{webhook_id}": "tells no longer what happened; moves nothing",
}
"""Operations that need nobody, each with the reason."""

_SECRET_ANSWERS: Final = frozenset(("POST /billing-portal/sessions", "POST /webhooks"))


def name_of(operation: Operation) -> str:
    """Return what an operation is called here: its method and path."""
    return f"{operation.method} {operation.path}"


def summary_of(name: str) -> str:
    """Return in words what an operation of this name does."""
    for operation in OPERATIONS:
        if name_of(operation) == name:
            return operation.summary
    return name


def needs_confirmation(operation: Operation, mode: str, body: Any) -> bool:
    """Tell whether a person has to confirm what is asked. An operation that is in none of the lists
    does."""
    if operation.method == "GET" or name_of(operation) in FREE:
        return False
    rules = CONFIRMED if mode == "live" else IN_BOTH_MODES
    condition = rules.get(name_of(operation), _always if mode == "live" else None)
    return condition is not None and condition(body)


class Assistant(msgspec.Struct, frozen=True):
    """Who asks, as the audit log and people see them; `address` is where they call from."""

    actor: Actor
    address: str


async def perform_confirmed(
    acting: Acting,
    assistant: Assistant,
    call: Call,
    operation: Operation,
    tool: str,
    arguments: str,
    work: Callable[[Call], Awaitable[bytes]],
) -> bytes:
    """Do what a call asks with `work`; if a person has to confirm it, only once they did. Raises
    `FaregateError` (`CONFIRMATION_NEEDED`, with the address at which they do) until then.

    `arguments` is the JSON object that the tool was called with. A repeat of a call with an id that
    was done within the last 15 minutes gets the answer that it had.
    """
    context = call.context
    if not needs_confirmation(operation, context.environment, call.body):
        return await work(call)
    asked = Asked(
        context.environment_id,
        context.account_id,
        context.environment,
        call.key.id,
        assistant.actor.name,
        tool,
        name_of(operation),
        arguments,
        _has_id(call, operation),
    )
    engine = acting.engine
    found = await _find_or_ask(engine, asked, assistant)
    if found.outcome == "done":
        return found.answer.encode()
    if found.state not in ("confirmed", "used"):
        raise FaregateError(_not_yet(found, tool, call.base_url))
    # Whatever it creates, a repeat after the process died does not create twice.
    sure = msgspec.structs.replace(call, idempotency_key=call.idempotency_key or found.id)
    answer = await engine.do_confirmed(
        found,
        asked,
        assistant.actor,
        lambda: work(sure),
        is_answer_kept=name_of(operation) not in _SECRET_ANSWERS,
        address=assistant.address,
    )
    if answer is None:
        detail = (
            "the same call is being done at this moment, or was cut short: make it again in a "
            "minute, and you get its answer"
        )
        raise FaregateError(Problem(CONFIRMATION_NEEDED, detail, {}, 60))
    return answer


def _has_id(call: Call, operation: Operation) -> bool:
    """Tell whether a call says by an id of its own that it is one and the same."""
    return (
        call.idempotency_key is not None
        or getattr(call.body, "transaction_id", None) is not None
        or name_of(operation) == "POST /events"
    )


async def _find_or_ask(engine: Engine, asked: Asked, assistant: Assistant) -> Confirmation:
    try:
        return await engine.find_or_ask_confirmation(asked, assistant.actor, assistant.address)
    except FaregateError as error:
        problem = error.problem
        if problem.kind is not OVERLOADED:
            raise
        # It is people who have no time: to try again soon is no way out.
        said = msgspec.structs.replace(problem, kind=CONFIRMATION_NEEDED)
        raise FaregateError(said) from None


def _not_yet(found: Confirmation, tool: str, base_url: str) -> Problem:
    if found.state == "refused":
        detail = (
            f"nothing was done: {found.decided_name} refused it. Ask your user what they want "
            "instead; do not ask for the same again"
        )
        return Problem(CONFIRMATION_NEEDED, detail)
    detail = (
        f"nothing was done: a person has to confirm it. Ask your user to open "
        f"{base_url}/{found.mode}/confirmations?id={found.id} before {found.until:%H:%M} UTC, and "
        f"wait until they tell you that it is confirmed; then call {tool} again with exactly the "
        "same arguments"
    )
    return Problem(CONFIRMATION_NEEDED, detail)
