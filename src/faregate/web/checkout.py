"""The sandbox's checkout, as customers see it: an amount, a card, and what became of it. Whoever
has the link may pay, as with any checkout; there is no session, so nothing can be forged in one.

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
from faregate.payments.cards import CARDS
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
        return await self._show(self._engine.get_checkout(payment_id))

    async def pay(self, request: Request) -> Response:
        """Take the form: a card, or the answer to the question whether it is really them."""
        payment_id = request.path_params["payment_id"]
        form = await read_form(request)
        answer = form.get("answer")
        if answer is not None:
            is_confirmed = answer == "confirm"
            work = self._engine.confirm_checkout(payment_id, is_confirmed=is_confirmed)
            return await self._show(work, leads_back=True)
        given = [form.get(name, "") for name in ("number", "expiry", "code")]
        return await self._show(self._engine.pay_checkout(payment_id, *given), leads_back=True)

    async def _show(
        self, work: Awaitable[Checkout | None], *, leads_back: bool = False
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
            leads_back=leads_back and checkout.stage == "succeeded",
        )


async def read_form(request: Request) -> dict[str, str]:
    """Return a form's fields; none if it is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return {}
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    return {name: values[0].strip() for name, values in fields.items()}
