"""A customer's money: what is in the wallet, credit given and taken, charges, holds, and what moved
it all beside use."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec
from starlette.responses import Response

from faregate.core.accounts import DEFAULT_ACCOUNT, account_id
from faregate.core.codec import from_dict
from faregate.core.decision import Transaction
from faregate.core.payments import PaymentCredit, PaymentReturn
from faregate.core.plan_fees import BookedPlanFee
from faregate.core.problems import FaregateError, Problem
from faregate.core.transactions import AdjustmentRequest, BookedTransaction, ChargeRequest
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
from faregate.web.money import Money
from faregate.web.typed import Typed, given

HISTORY: Final = 25
HOLDS: Final = 50
PRESETS: Final = ("5", "10", "25", "100")
REASONS: Final = (
    ("gift", "Gift", "Goodwill, a trial, an apology. Used before what was paid for."),
    ("other", "Correction", "Something was booked wrong. Counts as paid credit."),
    ("external_topup", "Paid elsewhere", "Money came in outside, e.g. by bank transfer."),
)
TAKEN: Final = (
    ("other", "Correction", "Something was booked wrong."),
    ("external_refund", "Paid back elsewhere", "Money went back outside, e.g. by bank transfer."),
)
_SAID: Final = {
    "gift": "Gift",
    "other": "Correction",
    "external_topup": "Paid elsewhere",
    "external_refund": "Paid back elsewhere",
}


class HistoryRow(msgspec.Struct, frozen=True):
    """What moved money: what it was, in words, and how much came or went."""

    id: str
    what: str
    words: str
    amount: Money
    exact: str
    is_plus: bool
    account_id: str
    transaction: Transaction


async def show(visit: Visit) -> Response:
    """Show the tab of money."""
    frame = await frame_of(visit)
    engine, mine = visit.engine, customer_of(visit)
    accounts = await engine.order_of_use(mine, context=visit.context)
    holds = await engine.open_holds(mine, context=visit.context)
    offset = visit.offset
    history = await engine.list_transactions(mine, HISTORY, offset, context=visit.context)
    wallet = await engine.get_wallet(mine, context=visit.context)
    return page_of(
        visit,
        frame,
        "money",
        "customer_money.html",
        accounts=accounts,
        holds=holds[:HOLDS],
        hold_count=len(holds),
        history=history,
        rows=[_row(one, frame) for one in history.items],
        raw=pretty(wallet),
        presets=PRESETS,
        usual=usual_account(accounts),
        link=lambda at: f"{frame.at('money')}?offset={at}#history",
    )


def usual_account(accounts: list[Any]) -> str:
    """Return the account that credit is given to unless another is chosen."""
    return accounts[0].account.id if accounts else account_id(DEFAULT_ACCOUNT, "USD")


def _row(found: Transaction, frame: Frame) -> HistoryRow:
    asset = found.account_id.rpartition(":")[2]
    what, words = _in_words(found)
    amount = frame.units(found.units, asset)
    return HistoryRow(
        found.id, what, words, amount, str(found.units), found.units > 0, found.account_id, found
    )


def _in_words(found: Transaction) -> tuple[str, str]:
    if isinstance(found, BookedTransaction):
        said = found.request.description or ""
        if isinstance(found.request, AdjustmentRequest):
            return _SAID[found.request.reason], said
        return "Charge", said
    if isinstance(found, BookedPlanFee):
        names = ", ".join(dict.fromkeys(line.name for line in found.request.lines))
        return ("Subscription" if found.units <= 0 else "Subscription, given back"), names
    request = found.request
    if isinstance(request, PaymentCredit):
        return ("Given again" if request.is_restored else "Top-up"), request.description or ""
    if isinstance(request, PaymentReturn):
        return ("Refund" if request.reason == "refund" else "Dispute"), ""
    return "Note on a payment", getattr(request, "problem", None) or ""


async def void_hold(visit: Visit) -> Response:
    """Let go of a hold."""
    hold = await visit.engine.void_hold(
        customer_of(visit), visit.path["hold_id"], context=visit.context
    )
    return visit.go(f"customers/{customer_of(visit)}/money", f"The hold is {hold.status}.")


async def show_credit(visit: Visit) -> Response:
    """Show the form to give credit; an amount and an account may be in the query."""
    return await _form(visit, "credit", _begun(visit))


async def show_debit(visit: Visit) -> Response:
    """Show the form to take credit."""
    return await _form(visit, "debit", _begun(visit))


async def show_charge(visit: Visit) -> Response:
    """Show the form to charge an ad-hoc fee."""
    return await _form(visit, "charge", _begun(visit))


def _begun(visit: Visit) -> Form:
    known = [(name, visit.query.get(name, "")) for name in ("amount", "account")]
    return Form([("transaction_id", new_key()), *known])


async def give_credit(visit: Visit) -> Response:
    """Give credit, once per form."""
    form = await visit.form()
    typed = Typed(form)
    amount, expires_at = typed.number("amount"), typed.instant("expires_at")
    if amount is not None and amount <= 0:
        typed.refuse("amount", f"is {form.get('amount')}: to give, write more than 0")
    priority = typed.whole("priority")
    more = given(expires_at=expires_at, priority=priority)
    return await _adjust(visit, "credit", typed, amount, more)


async def take_credit(visit: Visit) -> Response:
    """Take credit, once per form."""
    form = await visit.form()
    typed = Typed(form)
    amount = typed.number("amount")
    if amount is not None and amount <= 0:
        typed.refuse("amount", f"is {form.get('amount')}: to take, write more than 0")
    return await _adjust(visit, "debit", typed, None if amount is None else -amount, {})


async def _adjust(
    visit: Visit, kind: str, typed: Typed, amount: Decimal | None, more: dict[str, object]
) -> Response:
    form = await visit.form()
    name, _, asset = form.get("account").rpartition(":")
    try:
        if amount is None and not typed.errors:
            typed.refuse("amount", "is empty: write how much")
        typed.check()
        body = given(
            transaction_id=form.get("transaction_id"),
            asset=asset,
            account_name=name or None,
            amount=amount,
            reason=form.get("reason"),
            description=typed.text("description"),
            **more,
        )
        booked = await visit.engine.adjust(
            customer_of(visit), from_dict(AdjustmentRequest, body), context=visit.context
        )
    except FaregateError as error:
        return await _form(visit, kind, form, error.problem)
    visit.has_made = booked.id
    frame = await frame_of(visit)
    shown = frame.units(abs(booked.units), asset)
    verb = "given to" if booked.units > 0 else "taken from"
    return visit.go(
        f"customers/{frame.customer.id}/money", f"{shown} {verb} {frame.customer.name}."
    )


async def charge(visit: Visit) -> Response:
    """Charge an ad-hoc fee, once per form."""
    form = await visit.form()
    typed = Typed(form)
    name, _, asset = form.get("account").rpartition(":")
    amount = typed.number("amount")
    try:
        if amount is None and not typed.errors:
            typed.refuse("amount", "is empty: write how much")
        typed.check()
        body = given(
            transaction_id=form.get("transaction_id"),
            asset=asset,
            account_name=name or None,
            amount=amount,
            description=typed.text("description"),
            subject=typed.text("subject"),
        )
        booked = await visit.engine.charge(
            customer_of(visit), from_dict(ChargeRequest, body), context=visit.context
        )
    except FaregateError as error:
        return await _form(visit, "charge", form, error.problem)
    visit.has_made = booked.id
    frame = await frame_of(visit)
    shown = frame.units(-booked.units, asset)
    return visit.go(
        f"customers/{frame.customer.id}/money", f"{shown} charged to {frame.customer.name}."
    )


_HEADINGS: Final = {
    "credit": "Give credit",
    "debit": "Take credit",
    "charge": "Charge a fee",
}


async def _form(visit: Visit, kind: str, form: Form, problem: Problem | None = None) -> Response:
    frame = await frame_of(visit)
    known = await visit.engine.get_wallet(frame.customer.id, context=visit.context)
    mine = [
        (one.id, one.asset if one.name == DEFAULT_ACCOUNT else one.id) for one in known.accounts
    ]
    custom = [code for code, asset in frame.assets.items() if not asset.is_currency]
    more = [account_id(DEFAULT_ACCOUNT, code) for code in ("USD", "EUR", "GBP", *custom)]
    have = {one[0] for one in mine}
    others = [(one, one.partition(":")[2]) for one in more if one not in have]
    return form_page(
        visit,
        frame,
        "money",
        "customer_money_form.html",
        form,
        problem,
        heading=_HEADINGS[kind],
        names={"asset": "account", "account_name": "account"},
        kind=kind,
        accounts=mine + others,
        reasons=REASONS if kind == "credit" else TAKEN,
    )


PAGES: Final = (
    Page("customers/{customer_id}/money", show),
    Page("customers/{customer_id}/credit", show_credit, needs="support"),
    Page("customers/{customer_id}/credit", give_credit, "POST", needs="support"),
    Page("customers/{customer_id}/debit", show_debit, needs="support"),
    Page("customers/{customer_id}/debit", take_credit, "POST", needs="support"),
    Page("customers/{customer_id}/charge", show_charge, needs="support"),
    Page("customers/{customer_id}/charge", charge, "POST", needs="support"),
    Page("customers/{customer_id}/holds/{hold_id}/void", void_hold, "POST", needs="support"),
)
