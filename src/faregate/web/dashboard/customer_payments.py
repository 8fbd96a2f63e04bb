"""What a customer has paid: top-ups with their receipts and refunds, saved cards, and what is
charged to a card by itself."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec
from starlette.responses import Response

from faregate.core.accounts import DEFAULT_ACCOUNT, account_id
from faregate.core.codec import from_dict
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.payments.types import AutoTopUpState, AutoTopUpTerms, CreateRefund, TopUp
from faregate.web.dashboard.customer_frame import (
    Frame,
    customer_of,
    form_page,
    frame_of,
    new_key,
    page_of,
    pretty,
)
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.rendering import show_plain
from faregate.web.typed import Typed, given

PAID: Final = 25
KINDS: Final = {"top_up": "Top-up", "auto": "Auto top-up", "subscription": "Subscription"}
STATES: Final = {
    "initiated": "info",
    "pending": "info",
    "succeeded": "good",
    "failed": "bad",
    "expired": "",
}


class PaidRow(msgspec.Struct, frozen=True):
    """A payment, what of it can still go back, and where its receipt is."""

    paid: TopUp
    left: Decimal
    receipt: str | None


async def show(visit: Visit) -> Response:
    """Show the tab of payments."""
    frame = await frame_of(visit)
    engine, mine, context = visit.engine, frame.customer.id, visit.context
    found = await engine.list_top_ups(mine, PAID, visit.offset, context=context)
    rows = [await _row(visit, paid) for paid in found.items]
    wallet = await engine.get_wallet(mine, context=context)
    ids = [account.id for account in wallet.accounts]
    autos = {account: await _auto(visit, account) for account in ids or [_usual()]}
    return page_of(
        visit,
        frame,
        "payments",
        "customer_payments.html",
        found=found,
        rows=rows,
        kinds=KINDS,
        states=STATES,
        cards=await engine.list_payment_methods(mine, context=context),
        autos=autos,
        providers=engine.payment_providers(context),
        raw=pretty(found.items),
        link=lambda at: f"{frame.at('payments')}?offset={at}",
    )


def _usual() -> str:
    return account_id(DEFAULT_ACCOUNT, "USD")


async def _row(visit: Visit, paid: TopUp) -> PaidRow:
    left = paid.amount - (paid.refunded or 0) - (paid.disputed or 0)
    if paid.status != "succeeded":
        return PaidRow(paid, Decimal(0), None)
    receipt = await visit.engine.get_receipt(
        paid.id, base_url=visit.base_url, context=visit.context
    )
    return PaidRow(paid, left, receipt.url)


async def _auto(visit: Visit, account: str) -> AutoTopUpState | None:
    try:
        return await visit.engine.get_auto_top_up(
            customer_of(visit), account, context=visit.context
        )
    except FaregateError as error:
        if error.problem.kind is not NOT_FOUND:
            raise
        return None


async def _paid(visit: Visit) -> tuple[Frame, TopUp]:
    """Return the payment that the path names, if it is this customer's. Raises 404."""
    frame = await frame_of(visit)
    paid = await visit.engine.get_top_up(visit.path["top_up_id"], context=visit.context)
    if paid.customer_id != frame.customer.id:
        raise FaregateError(Problem(NOT_FOUND, f"the customer has no payment {paid.id!r}"))
    return frame, paid


async def show_refund(visit: Visit) -> Response:
    """Show the form to give money back."""
    return await _refund_page(visit, Form([("key", new_key())]))


async def refund(visit: Visit) -> Response:
    """Give money back, once per form: all that is left, or a part."""
    form = await visit.form()
    frame, paid = await _paid(visit)
    typed = Typed(form)
    is_part = form.get("how") == "part"
    amount = typed.number("amount") if is_part else None
    try:
        if is_part and amount is None and not typed.errors:
            typed.refuse("amount", "is empty: write how much, or give all back")
        typed.check()
        body = given(amount=amount, description=typed.text("description"))
        made = await visit.engine.refund_top_up(
            paid.id,
            from_dict(CreateRefund, body),
            idempotency_key=form.get("key") or None,
            context=visit.context,
        )
    except FaregateError as error:
        return await _refund_page(visit, form, error.problem)
    visit.has_made = made.id
    shown = frame.money(made.amount, made.currency)
    words = "goes back" if made.status == "pending" else "went back"
    return visit.go(f"customers/{frame.customer.id}/payments", f"{shown} {words}.")


async def _refund_page(visit: Visit, form: Form, problem: Problem | None = None) -> Response:
    frame, paid = await _paid(visit)
    back = await visit.engine.list_refunds(paid.id, 100, context=visit.context)
    return form_page(
        visit,
        frame,
        "payments",
        "customer_refund.html",
        form,
        problem,
        heading="Give money back",
        paid=paid,
        left=(await _row(visit, paid)).left,
        back=back.items,
    )


async def make_default(visit: Visit) -> Response:
    """Let a card pay what is charged by itself."""
    await visit.engine.make_default_method(
        customer_of(visit), visit.path["method_id"], context=visit.context
    )
    said = "That card pays from now on."
    return visit.go(f"customers/{customer_of(visit)}/payments", said)


async def remove_card(visit: Visit) -> Response:
    """Forget a card."""
    await visit.engine.remove_payment_method(
        customer_of(visit), visit.path["method_id"], context=visit.context
    )
    said = "The card is forgotten: nothing is charged to it any more."
    return visit.go(f"customers/{customer_of(visit)}/payments", said)


async def show_auto(visit: Visit) -> Response:
    """Show what an account asks of the card by itself."""
    known = await _auto(visit, visit.path["account_id"])
    typed: list[tuple[str, str]] = [("enabled", "yes"), ("per_hour", "")]
    if known is not None:
        typed = [
            ("threshold", show_plain(known.threshold)),
            ("amount", show_plain(known.amount)),
            ("currency", known.currency),
            ("monthly_cap", "" if known.monthly_cap is None else show_plain(known.monthly_cap)),
            ("per_hour", str(known.per_hour)),
            *([("enabled", "yes")] if known.enabled else []),
        ]
    return await _auto_page(visit, Form(typed))


async def save_auto(visit: Visit) -> Response:
    """Agree on what an account asks of the card by itself."""
    form = await visit.form()
    typed = Typed(form)
    account = visit.path["account_id"]
    threshold, amount = typed.number("threshold"), typed.number("amount")
    try:
        for name, value in (("threshold", threshold), ("amount", amount)):
            if value is None and name not in typed.errors:
                typed.refuse(name, "is empty: write how much")
        cap, per_hour = typed.number("monthly_cap"), typed.whole("per_hour")
        typed.check()
        body = given(
            enabled=typed.is_ticked("enabled"),
            threshold=threshold,
            amount=amount,
            currency=typed.text("currency"),
            monthly_cap=cap,
            per_hour=per_hour,
        )
        await visit.engine.set_auto_top_up(
            customer_of(visit), account, from_dict(AutoTopUpTerms, body), context=visit.context
        )
    except FaregateError as error:
        return await _auto_page(visit, form, error.problem)
    said = f"Auto top-up of {account} is {'on' if typed.is_ticked('enabled') else 'off'}."
    return visit.go(f"customers/{customer_of(visit)}/payments", said)


async def _auto_page(visit: Visit, form: Form, problem: Problem | None = None) -> Response:
    account = await visit.engine.get_account(
        customer_of(visit), visit.path["account_id"], context=visit.context
    )
    return form_page(
        visit,
        await frame_of(visit),
        "payments",
        "customer_auto_top_up.html",
        form,
        problem,
        heading=f"Auto top-up of {account.id}",
        account=account,
    )


_PAYMENT: Final = "customers/{customer_id}/payments/{top_up_id}"
_CARD: Final = "customers/{customer_id}/cards/{method_id}"
_AUTO: Final = "customers/{customer_id}/accounts/{account_id}/auto-top-up"
PAGES: Final = (
    Page("customers/{customer_id}/payments", show),
    Page(f"{_PAYMENT}/refund", show_refund, needs="support"),
    Page(f"{_PAYMENT}/refund", refund, "POST", needs="support"),
    Page(f"{_CARD}/default", make_default, "POST", needs="support"),
    Page(f"{_CARD}/remove", remove_card, "POST", needs="support"),
    Page(_AUTO, show_auto, needs="support"),
    Page(_AUTO, save_auto, "POST", needs="support"),
)
