"""Saved cards and auto top-ups over REST: what is charged with nobody there."""

from __future__ import annotations

from typing import Final

import msgspec

from faregate.engine.base import page_of
from faregate.operations.operation import ADMIN, READ, Call, Operation, PageQuery
from faregate.payments.methods import PaymentMethod
from faregate.payments.types import (
    AutoTopUpState,
    AutoTopUpTerms,
    BeginSetup,
    ChangeMethod,
    SetupBegun,
    ShownCard,
)

METHODS: Final = "/customers/{customer_id}/payment-methods"
METHOD: Final = f"{METHODS}/{{payment_method_id}}"
AUTO: Final = "/customers/{customer_id}/wallet/{account_id}/auto-top-up"


class CardPage(msgspec.Struct, frozen=True):
    """A page of saved cards, the default first."""

    items: list[ShownCard]
    total_count: int
    limit: int
    offset: int


def show_card(method: PaymentMethod) -> ShownCard:
    """Return a saved card as the API shows it: nothing that it could be charged with."""
    card = method.card
    return ShownCard(
        method.id,
        method.provider,
        method.is_default,
        method.created_at,
        card.brand,
        card.last4,
        card.exp_month,
        card.exp_year,
    )


async def _begin(call: Call) -> SetupBegun:
    return await call.engine.begin_setup(
        call.path["customer_id"], call.body, base_url=call.base_url, context=call.context
    )


async def _list(call: Call) -> CardPage:
    found = await call.engine.list_payment_methods(call.path["customer_id"], context=call.context)
    page = page_of([show_card(one) for one in found], call.query.limit, call.query.offset)
    return CardPage(page.items, page.total_count, page.limit, page.offset)


async def _change(call: Call) -> ShownCard:
    method = await call.engine.make_default_method(
        call.path["customer_id"], call.path["payment_method_id"], context=call.context
    )
    return show_card(method)


async def _remove(call: Call) -> None:
    await call.engine.remove_payment_method(
        call.path["customer_id"], call.path["payment_method_id"], context=call.context
    )


async def _set_auto(call: Call) -> AutoTopUpState:
    return await call.engine.set_auto_top_up(
        call.path["customer_id"], call.path["account_id"], call.body, context=call.context
    )


async def _get_auto(call: Call) -> AutoTopUpState:
    return await call.engine.get_auto_top_up(
        call.path["customer_id"], call.path["account_id"], context=call.context
    )


OPERATIONS = (
    Operation(
        "POST",
        METHODS,
        _begin,
        "Top-ups",
        "Begin to save a customer's card: returns the page where they leave it",
        ADMIN,
        201,
        body=BeginSetup,
        answer=SetupBegun,
        errors=(404, 409),
    ),
    Operation(
        "GET",
        METHODS,
        _list,
        "Top-ups",
        "List a customer's saved cards, the default first",
        READ,
        query=PageQuery,
        answer=CardPage,
        errors=(404,),
    ),
    Operation(
        "PATCH",
        METHOD,
        _change,
        "Top-ups",
        "Let a saved card pay what is collected from now on",
        ADMIN,
        body=ChangeMethod,
        answer=ShownCard,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        METHOD,
        _remove,
        "Top-ups",
        "Forget a saved card",
        ADMIN,
        204,
        errors=(404,),
    ),
    Operation(
        "GET",
        AUTO,
        _get_auto,
        "Top-ups",
        "Get an account's auto top-up, and where it stands",
        READ,
        answer=AutoTopUpState,
        errors=(404,),
    ),
    Operation(
        "PUT",
        AUTO,
        _set_auto,
        "Top-ups",
        "Let a saved card top an account up when little is left, or no longer",
        ADMIN,
        body=AutoTopUpTerms,
        answer=AutoTopUpState,
        errors=(404,),
    ),
)
