"""Asking for holds in the small shop, and looking at what they have done to a wallet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.api.caller import USD, Caller


def holds(customer: str, *rest: str) -> str:
    """The path of a customer's holds, of one of them, or of what is done with it."""
    return "/".join([f"customers/{customer}/wallet/holds", *rest])


def asked(transaction_id: str, tokens: Any = 3, **more: Any) -> dict[str, Any]:
    """A hold for this many tokens, at 1 USD each."""
    return {
        "transaction_id": transaction_id,
        "event_type": "llm",
        "data": {"tokens": tokens},
        **more,
    }


def amounting(transaction_id: str, amount: Any = 3, **more: Any) -> dict[str, Any]:
    """A hold of so many USD."""
    return {"transaction_id": transaction_id, "max_amount": amount, "asset": "USD", **more}


def rich(me: Caller, credit: str = "10") -> str:
    """A customer with so much credit."""
    customer = me.customer()
    me.give(customer, credit)
    return customer


def held(me: Caller, customer: str, body: Any) -> Any:
    """Ask for a hold; returns the answer, granted or declined."""
    answer = me.post(holds(customer), body)
    assert answer.status == 200, answer.body
    return answer.body


def balance(me: Caller, customer: str) -> tuple[Decimal, Decimal]:
    """What the wallet has available, and what is set aside."""
    account = me.get(f"customers/{customer}/wallet/{USD}").body
    return Decimal(account["available"]), Decimal(account["pending_out"])


def books(me: Caller, customer: str) -> list[Any]:
    """Everything of a customer that a refusal at the gate could have changed."""
    path = f"customers/{customer}"
    paths = (
        path,
        f"{path}/wallet",
        f"{path}/wallet/{USD}/grants",
        holds(customer),
        f"events?customer_id={customer}",
    )
    return [me.get(path).body for path in paths]
