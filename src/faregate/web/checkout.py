"""The sandbox's checkout, as people know it from shops: what is paid, a card, a bank that asks
back; and receipts. The pages work without scripts. Whoever has the link may pay, so it is not what
protects them: a form is taken only with the seal that this payment's page has put into it, and not
from another site.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from faregate.core.assets import CURRENCIES
from faregate.core.problems import INVALID, NOT_FOUND, FaregateError
from faregate.engine import Engine
from faregate.engine.checkouts import Checkout
from faregate.payments.cards import CARDS, find_card
from faregate.payments.provider import Money
from faregate.payments.types import Receipt
from faregate.web.money import show_amount
from faregate.web.signin import read_form

Render = Callable[..., Response]
EXAMPLE_EXPIRY: Final = "12 / 40"
EXAMPLE_CVC: Final = "123"
_EXPIRY: Final = re.compile(r"(\d{1,2})\s*[/-]?\s*(?:20)?(\d{2})")
_CVC: Final = re.compile(r"\d{3,4}")


class CheckoutPages:
    """The handlers, with what they share."""

    def __init__(self, engine: Engine, render: Render) -> None:
        self._engine = engine
        self._render = render

    @property
    def routes(self) -> list[Route]:
        """The addresses of the pages."""
        return [
            Route("/checkout/{payment_id}", self.show, methods=["GET"]),
            Route("/checkout/{payment_id}", self.pay, methods=["POST"]),
            Route("/receipts/{top_up_id}", self.show_receipt, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """Show where a checkout stands."""
        try:
            checkout = await self._engine.find_checkout(request.path_params["payment_id"])
        except FaregateError as error:
            return self._refused(error)
        card = find_card(request.query_params.get("card", "")[:30])
        fields = {}
        if card is not None:
            number = " ".join(re.findall("....", card.number))
            fields = {"number": number, "expiry": EXAMPLE_EXPIRY, "cvc": EXAMPLE_CVC}
        return self._page(checkout, fields, {})

    async def pay(self, request: Request) -> Response:
        """Take the form: a card to pay with, or the answer to the bank."""
        payment_id = request.path_params["payment_id"]
        fields = await read_form(request)
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            fields = {}
        shown = fields.get("seal", "")
        try:
            checkout = await self._engine.find_checkout(payment_id)
            payment, answer = checkout.payment, fields.get("answer")
            if answer == "decline":
                checkout = await self._engine.decline_checkout(payment_id, shown)
            elif answer == "confirm":
                number = payment.card or ""
                if payment.stage == "confirming":
                    checkout = await self._engine.pay_checkout(
                        payment_id, number, shown, is_confirmed=True
                    )
            else:
                errors = check_card(fields, self._engine.now())
                if errors and shown:
                    return self._page(checkout, fields, errors, 422)
                checkout = await self._engine.pay_checkout(
                    payment_id, fields.get("number", ""), shown
                )
        except FaregateError as error:
            if error.problem.errors:
                return self._page(checkout, fields, {"number": str(error)}, 422)
            return self._refused(error)
        is_done = checkout.payment.stage == "succeeded"
        return self._page(checkout, {} if is_done else fields, {}, is_done=is_done)

    async def show_receipt(self, request: Request) -> Response:
        """Show a receipt to whoever has its link."""
        try:
            receipt = await self._engine.find_receipt(
                request.path_params["top_up_id"], request.query_params.get("key", "")
            )
        except FaregateError as error:
            return self._refused(error)
        return self._render(
            "receipt.html", 200, receipt=receipt, show=lambda amount: self._shown(amount, receipt)
        )

    def _shown(self, amount: Decimal, receipt: Receipt) -> str:
        return str(show_amount(amount, CURRENCIES[receipt.currency]))

    def _page(
        self,
        checkout: Checkout,
        fields: dict[str, str],
        errors: dict[str, str],
        status: int = 200,
        *,
        is_done: bool = False,
    ) -> Response:
        payment = checkout.payment
        values: dict[str, Any] = {
            "payment": payment,
            "seller": checkout.seller,
            "seal": checkout.seal,
            "amount": None if payment.money is None else _amount(payment.money),
        }
        if checkout.is_over:
            return self._render("checkout_over.html", 410, **values)
        if payment.stage in ("succeeded", "failed"):
            return self._render("checkout_done.html", status, is_done=is_done, **values)
        if payment.stage == "confirming":
            return self._render("checkout_confirm.html", status, **values)
        if payment.text is not None and not errors:
            errors = {"": payment.text}
        return self._render(
            "checkout.html", status, fields=fields, errors=errors, cards=CARDS, **values
        )

    def _refused(self, error: FaregateError) -> Response:
        kind = error.problem.kind
        what = "gone" if kind is NOT_FOUND else "form" if kind is INVALID else "later"
        return self._render("checkout_refused.html", kind.status, what=what)


def check_card(fields: dict[str, str], now: datetime) -> dict[str, str]:
    """Return what is wrong with a card as it was typed, by field, in words.

    >>> from datetime import UTC
    >>> check_card({"expiry": "13/40"}, datetime(2026, 1, 1, tzinfo=UTC))["expiry"]
    'The expiry is the month and the year, e.g. 12 / 40.'
    """
    errors = {}
    number = re.sub(r"[\s-]", "", fields.get("number", ""))
    if not re.fullmatch(r"[0-9]{12,19}", number):
        errors["number"] = "A card number has 12 to 19 digits."
    expiry = _EXPIRY.fullmatch(fields.get("expiry", ""))
    if expiry is None or not 1 <= int(expiry[1]) <= 12:
        errors["expiry"] = f"The expiry is the month and the year, e.g. {EXAMPLE_EXPIRY}."
    elif (2000 + int(expiry[2]), int(expiry[1])) < (now.year, now.month):
        errors["expiry"] = "The card has expired."
    if not _CVC.fullmatch(fields.get("cvc", "")):
        errors["cvc"] = "The security code has 3 or 4 digits."
    return errors


def _amount(money: Money) -> str:
    return str(show_amount(Decimal(money.minor).scaleb(-money.digits), CURRENCIES[money.currency]))
