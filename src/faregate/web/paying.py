"""The page where a customer does what their subscription needs: they pay what is missing, or leave
another card, on the page of whoever collects. Whoever has the link may do so; there is no session,
so nothing can be forged in one.

They are led on by the page and not by a redirect of the form: browsers hold those against
`form-action` of the content security policy.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from faregate.core.assets import CURRENCIES
from faregate.core.problems import FaregateError
from faregate.engine import Engine
from faregate.web.checkout import Render, read_form
from faregate.web.money import show_amount

_LINK: Final = re.compile(r"https?://\S{1,2000}")


class PayPages:
    """The page's handlers. `render` makes a page of a template's name, a status and values."""

    def __init__(self, engine: Engine, render: Render) -> None:
        self._engine = engine
        self._render = render

    async def show(self, request: Request) -> Response:
        """Show what a subscription needs."""
        return await self._show(request)

    async def act(self, request: Request) -> Response:
        """Lead on to where the customer pays, or leaves a card."""
        customer_id, subscription_id = self._named(request)
        context = await self._engine.context_of_customer(customer_id)
        if context is None:
            return self._render("not_found.html", 404, is_payment=True)
        form = await read_form(request)
        base = str(request.base_url).rstrip("/")
        page = f"{base}{request.url.path}"
        begin = self._engine.begin_paying
        if form.get("action") == "card":
            begin = self._engine.begin_leaving_card
        try:
            url = await begin(customer_id, subscription_id, page, base_url=base, context=context)
        except FaregateError as error:
            return await self._show(request, problem=error.problem.detail)
        return self._render("leading_on.html", 200, url=url)

    def _named(self, request: Request) -> tuple[str, str]:
        given = request.path_params
        return given["customer_id"], given["subscription_id"]

    async def _show(self, request: Request, problem: str | None = None) -> Response:
        customer_id, subscription_id = self._named(request)
        context = await self._engine.context_of_customer(customer_id)
        if context is None:
            return self._render("not_found.html", 404, is_payment=True)
        try:
            found = await self._engine.get_to_pay(customer_id, subscription_id, context=context)
        except FaregateError:
            return self._render("not_found.html", 404, is_payment=True)
        amount = None
        if found.amount is not None:
            amount = show_amount(found.amount, CURRENCIES[found.currency])
        back = found.return_url if _LINK.fullmatch(found.return_url or "") else None
        status = 200 if problem is None else 409
        return self._render(
            "pay.html", status, found=found, amount=amount, problem=problem, back=back
        )
