"""The sandbox's checkout, as customers see it: an amount, a card, and what became of it; and, where
a payment is disputed, the part of the bank, which nobody else plays here.

Whoever has the link may pay, as with any checkout. The forms carry no token against forged
requests: such a token protects what a browser may do by itself, by a cookie or a password that it
sends along, and this page asks for none. Who can name the page, whose id is random, can open it,
and needs nobody's browser for that; and no money moves but test money.

The test cards fill the form without a script: a button names one by its last four digits, and the
page comes back with the form filled. What was typed is in no address.

Whoever has just paid is led back to the shop at once, by the page and not by a redirect of the
form: browsers hold those against `form-action` of the content security policy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from faregate.engine import Checkout, Engine
from faregate.payments.cards import CARDS, TestCard
from faregate.web.money import show_amount

MAX_FORM_BYTES: Final = 4_096

Render = Callable[..., Response]


class CheckoutPages:
    """The checkout's handlers. `render` makes a page of a template's name, a status and values."""

    def __init__(self, engine: Engine, render: Render) -> None:
        self._engine = engine
        self._render = render

    async def show(self, request: Request) -> Response:
        """Show a payment as it stands."""
        payment_id = request.path_params["payment_id"]
        chosen = request.query_params.get("card")
        filled = next((card for card in CARDS if card.last4 == chosen), None)
        return await self._show(self._engine.get_checkout(payment_id), filled=filled)

    async def pay(self, request: Request) -> Response:
        """Take a form: a card, the answer to the question whether it is really them, or how a
        dispute ends."""
        payment_id = request.path_params["payment_id"]
        form = await read_form(request)
        answer = form.get("answer")
        if answer is not None:
            is_confirmed = answer == "confirm"
            work = self._engine.confirm_checkout(payment_id, is_confirmed=is_confirmed)
            return await self._show(work, leads_back=True)
        ends = form.get("dispute")
        if ends in ("won", "lost"):
            is_won = ends == "won"
            return await self._show(self._engine.decide_dispute(payment_id, is_won=is_won))
        given = [form.get(name, "") for name in ("number", "expiry", "code")]
        return await self._show(self._engine.pay_checkout(payment_id, *given), leads_back=True)

    async def _show(
        self,
        work: Awaitable[Checkout | None],
        *,
        leads_back: bool = False,
        filled: TestCard | None = None,
    ) -> Response:
        checkout = await work
        if checkout is None:
            return self._render("not_found.html", 404, is_payment=True)
        assets = self._engine.catalog_view().assets
        amount = None
        if checkout.amount is not None:
            amount = show_amount(checkout.amount, assets[checkout.currency])
        return self._render(
            "checkout.html",
            200,
            checkout=checkout,
            amount=amount,
            cards=CARDS,
            filled=filled,
            leads_back=leads_back and checkout.stage == "succeeded",
        )


async def read_form(request: Request) -> dict[str, str]:
    """Return a form's fields; none if it is too large, or has more of them than ours."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return {}
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0].strip() for name, values in fields.items()}
