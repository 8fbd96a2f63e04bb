"""How an assistant mends a call that was refused: in the words of tools. What is wrong the rules
say themselves; here is which tool shows the id that is not there, whose key may do it, and what to
call first. None of it repeats what the caller, or a customer, has written.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from faregate.core.problems import (
    FORBIDDEN,
    INSUFFICIENT_FUNDS,
    INTERNAL,
    INVALID,
    LIMIT_EXCEEDED,
    MALFORMED,
    NOT_FOUND,
    OVERLOADED,
    UNAVAILABLE,
    Kind,
    Problem,
)
from faregate.mcp.tool import Tool

_FINDERS: Final = {
    "customer": "list_customers shows customers; find yours by external_id or name",
    "product": "list_products shows products; `product_id` takes an id or a code",
    "version": "get_product shows a product's versions",
    "asset": "list_assets shows assets; create_asset makes one",
    "vendor": "list_vendors shows vendors; create_vendor makes one",
    "coupon": "look_up with action coupons shows them; manage_coupons makes one",
    "discount": "get_customer shows subscriptions with their discounts",
    "limit": "look_up with action limits shows the account's limits, look_up_customer with action "
    "limits a customer's (then send `customer_id`, too)",
    "account": "get_wallet shows a customer's accounts such as default:USD; look_up with action "
    "connected_accounts shows connected ones",
    "connected account": "look_up with action connected_accounts shows them",
    "model price": "look_up with action model_prices shows yours; manage_model_prices makes one",
    "source": "a source is one of otlp, cloudevents, litellm, import",
    "test clock": "look_up with action test_clocks shows them; manage_test_clocks makes one",
    "event": "list_events shows events; `event_id` is the id that was sent with it",
    "transaction": "`transaction_id` is what you sent, or the id in the answer to it",
    "subscription": "look_up_customer with action subscriptions shows a customer's",
    "hold": "list_holds shows a customer's holds; authorize makes one",
    "payment": "list_top_ups shows top-ups",
    "receipt": "a top-up has a receipt when its status is succeeded; list_top_ups shows it",
    "payment method": "look_up_customer with action payment_methods shows saved cards",
    "card": "look_up_customer with action payment_methods shows saved cards",
    "destination": "look_up with action webhooks shows them",
    "webhook": "look_up with action webhooks shows them",
    "topic": "the topics are in docs/topics.md; look_up with action webhooks shows those in use",
}
"""Which tool shows what there is, by what is missing."""
_QUOTED: Final = re.compile(r"'[^']*'")
_UNKNOWN: Final = re.compile(r"is unknown|is no |there is no|is nobody's|not subscribed")
_THINGS: Final = sorted(_FINDERS, key=len, reverse=True)
_BY_PLACE: Final = {
    "customer_id": "customer",
    "product_id": "product",
    "version": "version",
    "asset_code": "asset",
    "vendor_id": "vendor",
    "coupon_code": "coupon",
    "limit_id": "limit",
    "account_id": "account",
    "connected_account_id": "connected account",
    "clock_id": "test clock",
    "model_price_id": "model price",
    "source": "source",
    "event_id": "event",
    "transaction_id": "transaction",
    "subscription_id": "subscription",
    "hold_id": "hold",
    "top_up_id": "payment",
    "payment_method_id": "payment method",
    "webhook_id": "webhook",
    "topic": "topic",
}
_MODE: Final = "What was made with a key of the other mode (test or live) is not seen with this one"
_ALWAYS: Final[dict[Kind, str]] = {
    INSUFFICIENT_FUNDS: "get_wallet shows what there is; create_top_up lets the customer pay, "
    "adjust_wallet gives credit, manage_payments with action set_account_terms lets the account go "
    "below zero. Then make the same call again",
    LIMIT_EXCEEDED: "look_up_customer with action limits shows what is used; manage_limits "
    "changes a limit. Then make the same call again",
    FORBIDDEN: "nothing that you call can change this: ask the person for a key that may "
    "(`faregate keys create --role admin`)",
    OVERLOADED: "nothing was done: make the same call again in a second",
    UNAVAILABLE: "make the same call again, with the same ids: nothing is done twice",
    INTERNAL: "tell the person the request_id; look whether it was done before you repeat it",
    MALFORMED: "send the arguments as one JSON object",
}
_WORDS: Final = (
    ("GET /v1/assets lists", "list_assets shows"),
    ("GET /v1/accounts lists", "look_up with action connected_accounts shows"),
    ("or use /v1/limits", "or leave customer_id out"),
    ("GET …/subscribers lists", "look_up with action subscribers shows"),
    ("Idempotency-Key", "idempotency_key"),
    ("POST /events", "send_events"),
)
"""What the rules say in the words of REST, and the same in those of tools."""


class Refusal(msgspec.Struct, omit_defaults=True, frozen=True):
    """A refusal as assistants read it: nothing was done. `errors` has messages by argument."""

    error: str
    type: str
    detail: str
    errors: dict[str, list[str]] = {}
    advice: str = ""
    request_id: str = ""


def refusal(problem: Problem, tool: Tool, request_id: str) -> Refusal:
    """Return a problem in the words of tools, with what to do about it."""
    return Refusal(
        problem.kind.title,
        problem.kind.urn,
        in_tools_words(problem.detail),
        {field: [in_tools_words(m) for m in said] for field, said in problem.errors.items()},
        _advice(problem, tool),
        request_id,
    )


def in_tools_words(said: str) -> str:
    """Say the same without a word of REST."""
    for rest, tools in _WORDS:
        said = said.replace(rest, tools)
    return said


def _advice(problem: Problem, tool: Tool) -> str:
    if problem.kind is NOT_FOUND:
        return f"{_finder(problem.detail, tool)}. {_MODE}."
    if problem.kind is INVALID:
        thing = _unknown(problem.detail)
        return f"{_FINDERS[thing]}." if thing else ""
    said = _ALWAYS.get(problem.kind, "")
    return f"{said}." if said else ""


def _unknown(detail: str) -> str:
    """Return what is named by an argument and is not there."""
    said = _QUOTED.sub("", detail)
    if not _UNKNOWN.search(said):
        return ""
    return next((thing for thing in _THINGS if re.search(rf"\b{thing}\b", said)), "")


def _finder(detail: str, tool: Tool) -> str:
    # In quotes is what the caller wrote.
    said = _QUOTED.sub("", detail)
    for thing in _THINGS:
        if re.search(rf"\b(?:no|not an?|no such) {thing}\b", said):
            return _FINDERS[thing]
    place = next((choice.places[-1] for choice in tool.choices if choice.places), "")
    return _FINDERS.get(_BY_PLACE.get(place, ""), "the lists show what there is")
