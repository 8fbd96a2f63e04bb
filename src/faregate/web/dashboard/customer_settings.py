"""What a customer is called, whether they are let in, and how far accounts may go below zero."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.core.amounts import Number
from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem
from faregate.customers.types import Overdraft, UpdateCustomer, WalletAccount
from faregate.web.dashboard.customer_frame import customer_of, form_page, frame_of, pretty
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.rendering import show_plain
from faregate.web.typed import Typed, given

POLICIES: Final = (
    ("allow", "Let it go below zero", "What has happened is charged. For contracts and postpaid."),
    ("limit", "Only so far", "Refuses what would go further."),
    ("reject", "Never below zero", "Refuses what the balance does not cover."),
)


async def show(visit: Visit) -> Response:
    """Show the tab of settings."""
    return await _page(visit)


async def save(visit: Visit) -> Response:
    """Change what the customer is called."""
    form = await visit.form()
    typed = Typed(form)
    body = given(
        name=form.get("name"), external_id=typed.text("external_id"), email=typed.text("email")
    )
    try:
        await visit.engine.update_customer(
            customer_of(visit), from_dict(UpdateCustomer, body), context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    return visit.go(f"customers/{customer_of(visit)}/settings", "Saved.")


async def block(visit: Visit) -> Response:
    """Decline all holds of the customer from now on."""
    form = await visit.form()
    reason = form.get("reason")
    await visit.engine.block_customer(customer_of(visit), reason[:500], context=visit.context)
    return visit.go(f"customers/{customer_of(visit)}/settings", "Blocked: holds are declined.")


async def unblock(visit: Visit) -> Response:
    """Let the customer in again."""
    await visit.engine.block_customer(customer_of(visit), None, context=visit.context)
    return visit.go(f"customers/{customer_of(visit)}/settings", "No longer blocked.")


async def _page(visit: Visit, form: Form | None = None, problem: Problem | None = None) -> Response:
    frame = await frame_of(visit)
    customer = frame.customer
    if form is None:
        known = {
            "name": customer.name,
            "external_id": customer.external_id or "",
            "email": customer.email or "",
        }
        form = Form(list(known.items()))
    wallet = await visit.engine.get_wallet(customer.id, context=visit.context)
    return form_page(
        visit,
        frame,
        "settings",
        "customer_settings.html",
        form,
        problem,
        accounts=wallet.accounts,
        policies={key: label for key, label, _ in POLICIES},
        raw=pretty(customer),
    )


async def show_account(visit: Visit) -> Response:
    """Show how far an account may go below zero, and when it is low."""
    account = await _account(visit)
    known = {
        "policy": account.overdraft.policy,
        "limit": "" if account.overdraft.limit is None else show_plain(account.overdraft.limit),
        "low_balance_threshold": ""
        if account.low_balance_threshold is None
        else show_plain(account.low_balance_threshold),
    }
    return await _account_page(visit, account, Form(list(known.items())))


async def save_account(visit: Visit) -> Response:
    """Say how far an account may go below zero, and when it is low."""
    form = await visit.form()
    typed = Typed(form)
    account = await _account(visit)
    limit, low = typed.number("limit"), typed.number("low_balance_threshold")
    policy = form.get("policy")
    try:
        if policy == "limit" and limit is None and not typed.errors:
            typed.refuse("limit", "is empty: write how far below zero, e.g. 20")
        typed.check()
        wanted = given(policy=policy, limit=limit if policy == "limit" else None)
        await visit.engine.update_account(
            customer_of(visit),
            account.id,
            from_dict(Overdraft, wanted),
            None if low is None else Number(low),
            context=visit.context,
        )
    except FaregateError as error:
        return await _account_page(visit, account, form, error.problem)
    return visit.go(f"customers/{customer_of(visit)}/settings", f"{account.id} is changed.")


async def _account(visit: Visit) -> WalletAccount:
    return await visit.engine.get_account(
        customer_of(visit), visit.path["account_id"], context=visit.context
    )


async def _account_page(
    visit: Visit, account: WalletAccount, form: Form, problem: Problem | None = None
) -> Response:
    return form_page(
        visit,
        await frame_of(visit),
        "settings",
        "customer_account.html",
        form,
        problem,
        heading=f"Account {account.id}",
        account=account,
        policies=POLICIES,
    )


_ACCOUNT: Final = "customers/{customer_id}/accounts/{account_id}"
PAGES: Final = (
    Page("customers/{customer_id}/settings", show),
    Page("customers/{customer_id}/settings", save, "POST", needs="support"),
    Page("customers/{customer_id}/block", block, "POST", needs="support"),
    Page("customers/{customer_id}/unblock", unblock, "POST", needs="support"),
    Page(_ACCOUNT, show_account, needs="support"),
    Page(_ACCOUNT, save_account, "POST", needs="support"),
)
