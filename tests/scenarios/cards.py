"""Customers who pay by a saved card, as the stories over a real port have them: cards that are left
on the sandbox's page, what an account has agreed to, and what the cards were charged."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.api.caller import USD, Caller, event, usage
from tests.api.conftest import RunningServer

GOOD, DECLINES_LATER = "4242424242424242", "4000000000000341"
SHOP = {"return_url": "https://shop.example/thanks", "failure_url": "https://shop.example/sorry"}


def customer(shop: Caller, credit: str) -> str:
    """Make a customer who uses tokens from now on, with this much credit; returns the id."""
    body = {"name": "Ada", "subscriptions": [{"products": [{"code": "tokens"}]}]}
    made = str(shop.made("customers", body)["id"])
    shop.give(made, credit)
    return made


def leave_card(shop: Caller, server: RunningServer, customer: str, number: str = GOOD) -> None:
    """Let the customer leave a card on the page for it."""
    page = shop.made(f"customers/{customer}/payment-methods", SHOP)["id"]
    server.wait(server.engine.pay_checkout(page, number, "12/40", "123"))


def agree(shop: Caller, customer: str, **more: Any) -> Any:
    """Below 10 USD the card pays 50, unless something else is said; returns where that stands."""
    terms = {"enabled": True, "threshold": 10, "amount": 50, **more}
    answer = shop.send("PUT", f"customers/{customer}/wallet/{USD}/auto-top-up", terms)
    assert answer.status == 200, answer.body
    return answer.body


def standing(shop: Caller, customer: str) -> Any:
    """Where the account's auto top-up stands."""
    return shop.get(f"customers/{customer}/wallet/{USD}/auto-top-up").body


def spend(shop: Caller, server: RunningServer, customer: str, tokens: int, name: str) -> None:
    """Use tokens at 1 USD each, which are booked."""
    used = event(name, tokens, occurred_at=server.engine.now().isoformat())
    assert shop.post("events", usage(customer, used)).status == 204


def ask(shop: Caller, customer: str, amount: int, name: str, **more: Any) -> Any:
    """Ask for a hold of this many USD."""
    request = {"transaction_id": name, "max_amount": amount, "asset": "USD", **more}
    return shop.post(f"customers/{customer}/wallet/holds", request).body


def work(server: RunningServer) -> None:
    """Do what is due, as the server does by itself every second."""
    for each in (server.engine.work, server.engine.take_up_collections):
        server.wait(each())
    server.wait(server.engine.reconcile_payments())


def top_ups(shop: Caller, customer: str) -> list[Any]:
    """The customer's top-ups, the newest first."""
    return list(shop.get(f"top-ups?customer_id={customer}&limit=100").body["items"])


def charged(shop: Caller, server: RunningServer, customer: str) -> Decimal:
    """What of the customer's top-ups has come in, by the books of whoever collected it."""
    total = Decimal(0)
    for one in top_ups(shop, customer):
        found = server.wait(server.engine.sandbox.find(one["id"]))
        if found is not None and found[1].stage == "succeeded" and found[1].money is not None:
            total += Decimal(found[1].money.minor) / 100
    return total
