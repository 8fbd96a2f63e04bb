"""Two auto top-ups, of which the card pays the first and is declined for the second: a story in
which a process can be killed after each commit, like that of `paying`. (Whether a card may still be
charged is asked without writing anything: it has no point of its own.)
"""

from __future__ import annotations

from tests.ledger.shop import USD, book, use

from faregate import Engine
from faregate.core.amounts import Number
from faregate.payments.types import AutoTopUpTerms, BeginSetup

POINTS = [
    "a use takes the balance below the threshold, and asks",
    "the payment is written",
    "the queue has forgotten what was asked",
    "the card is charged",
    "the credit is booked, and nothing is in flight any more",
    "we know that it has succeeded",
    "the other card is the default",
    "a second use asks",
    "its payment is written",
    "the queue has forgotten that",
    "the card is declined",
    "the failure is booked",
    "it is told that the payment has failed",
    "we know that it has failed",
]
GOOD, DECLINES_LATER = "4242424242424242", "4000000000000341"
CREDIT, AMOUNT, CAP = 100, 50, 100
TERMS = AutoTopUpTerms(True, Number("10"), Number(str(AMOUNT)), monthly_cap=Number(str(CAP)))
SHOP = BeginSetup("https://shop.example/", "https://shop.example/")


async def agree(engine: Engine, customer_id: str) -> None:
    """Leave both cards, the good one as the default, and agree on the auto top-up."""
    for number in (DECLINES_LATER, GOOD):
        page = await engine.begin_setup(customer_id, SHOP)
        await engine.pay_checkout(page.id, number, "12/40", "123")
    await engine.set_auto_top_up(customer_id, USD, TERMS)


async def choose(engine: Engine, customer_id: str, number: str) -> None:
    """Make this card the default."""
    (card,) = [
        card
        for card in await engine.list_payment_methods(customer_id)
        if card.card.last4 == number[-4:]
    ]
    await engine.make_default_method(customer_id, card.id)


async def live(engine: Engine, customer_id: str) -> None:
    """Let it all happen, or what of it did not happen yet."""
    await book(engine, customer_id, use("first", 95))
    await engine.take_up_collections()
    await choose(engine, customer_id, DECLINES_LATER)
    await book(engine, customer_id, use("second", 50))
    await engine.take_up_collections()
