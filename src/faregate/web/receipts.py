"""A receipt as people read it. Its link has a seal: whoever has the link may look."""

from __future__ import annotations

from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response

from faregate.core.assets import CURRENCIES
from faregate.core.problems import FaregateError
from faregate.engine import Engine
from faregate.web.checkout import Render
from faregate.web.money import show_amount


class ReceiptPages:
    """The receipts' handler. `render` makes a page of a template's name, a status and values."""

    def __init__(self, engine: Engine, render: Render) -> None:
        self._engine = engine
        self._render = render

    async def show(self, request: Request) -> Response:
        """Show a receipt to whoever has its link."""
        try:
            receipt = await self._engine.find_receipt(
                request.path_params["top_up_id"], request.query_params.get("key", "")
            )
        except FaregateError:
            return self._render("not_found.html", 404, is_payment=True)
        currency = CURRENCIES[receipt.currency]

        def show(amount: Decimal) -> str:
            return str(show_amount(amount, currency))

        return self._render("receipt.html", 200, receipt=receipt, show=show)
