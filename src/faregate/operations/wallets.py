"""Wallets over REST: balances, grants, adjustments, charges, transactions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from faregate.core.amounts import Number, to_decimal
from faregate.core.assets import Asset
from faregate.core.gate import SettledHold
from faregate.core.given import Instant
from faregate.core.grants import Grant
from faregate.core.outcomes import SettledOutcome
from faregate.core.payments import (
    BookedPayment,
    PaymentCredit,
    PaymentFailed,
    PaymentReturn,
    ReturnSettled,
)
from faregate.core.plan_fees import BookedPlanFee
from faregate.core.transactions import AdjustmentRequest, ChargeRequest
from faregate.customers.subscribing import show_plan_fee
from faregate.customers.types import (
    Overdraft,
    ShownFeeLine,
    ShownGrant,
    Wallet,
    WalletAccount,
)
from faregate.customers.wire import TransactionCreated
from faregate.engine import BookedFee, Page
from faregate.operations.operation import ADMIN, READ, Call, Limit, Offset, Operation


class GrantsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which grants; the bounds of instants are included."""

    limit: Limit = 20
    offset: Offset = 0
    purpose: Literal["promotion", "bundled", "paid"] | None = None
    exclude_expired: bool | None = None
    effective_from: Instant | None = None
    effective_to: Instant | None = None
    expired_from: Instant | None = None
    expired_to: Instant | None = None


class GrantPage(msgspec.Struct, frozen=True):
    """A page of grants."""

    items: list[ShownGrant]
    total_count: int
    limit: int
    offset: int


class ConvertedFrom(msgspec.Struct, omit_defaults=True, frozen=True):
    """What was paid, or what a fee is, in its own asset; one of that is `exchange_rate` of the
    account's."""

    asset: str
    amount: Decimal
    exchange_rate: Decimal
    is_rounded_down: bool | None = None


class Transaction(msgspec.Struct, omit_defaults=True, frozen=True):
    """An adjustment (`amount` is signed: what the account gained) or a fee (what was taken); that
    of a subscription has `lines`."""

    id: str
    type: Literal["adjustment", "fee"]
    account_id: str
    asset: str
    amount: Decimal
    created_at: datetime
    executed_at: datetime
    description: str | None = None
    metadata: dict[str, str] | None = None
    payment_id: str | None = None
    lines: list[ShownFeeLine] | None = None
    converted_from: ConvertedFrom | None = None


class UpdateAccount(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What can be set of an account. It is low below `low_balance_threshold` (0: never, null: as
    its asset says)."""

    overdraft: Overdraft | UnsetType = UNSET
    low_balance_threshold: Number | UnsetType | None = UNSET


async def _wallet(call: Call) -> Wallet:
    return await call.engine.get_wallet(call.path["customer_id"], context=call.context)


async def _account(call: Call) -> WalletAccount:
    return await call.engine.get_account(
        call.path["customer_id"], call.path["account_id"], context=call.context
    )


async def _update_account(call: Call) -> WalletAccount:
    body: UpdateAccount = call.body
    return await call.engine.update_account(
        call.path["customer_id"],
        call.path["account_id"],
        body.overdraft,
        body.low_balance_threshold,
        context=call.context,
    )


async def _grants(call: Call) -> Page:
    query: GrantsQuery = call.query

    def keep(grant: Grant, now: datetime) -> bool:
        ends, begins = grant.expires_at, grant.effective_at
        return (
            (query.purpose is None or grant.purpose == query.purpose)
            and not (query.exclude_expired and ends is not None and ends <= now)
            and (query.effective_from is None or begins >= query.effective_from)
            and (query.effective_to is None or begins <= query.effective_to)
            and (query.expired_from is None or (ends is not None and ends >= query.expired_from))
            and (query.expired_to is None or (ends is not None and ends <= query.expired_to))
        )

    return await call.engine.list_grants(
        call.path["customer_id"],
        call.path["account_id"],
        query.limit,
        query.offset,
        keep,
        context=call.context,
    )


async def _adjust(call: Call) -> TransactionCreated:
    booked = await call.engine.adjust(call.path["customer_id"], call.body, context=call.context)
    converted = booked.converted
    if converted is None:
        return TransactionCreated(booked.id, booked.created_at)
    scale = call.engine.catalog_view(call.context).assets[converted.asset].scale
    return TransactionCreated(
        booked.id,
        booked.created_at,
        converted.asset,
        to_decimal(converted.units, scale),
        converted.rate,
        converted.is_rounded_down,
    )


async def _charge(call: Call) -> TransactionCreated:
    booked = await call.engine.charge(call.path["customer_id"], call.body, context=call.context)
    return TransactionCreated(booked.id, booked.created_at)


async def _transaction(call: Call) -> Transaction:
    found = await call.engine.get_transaction(
        call.path["customer_id"], call.path["transaction_id"], context=call.context
    )
    assets = call.engine.catalog_view(call.context).assets
    if isinstance(found, BookedFee):
        fee = found.fee
        paid_in = fee.account_id.rpartition(":")[2]
        amount = to_decimal(fee.debited_units, assets[paid_in].scale)
        at = found.created_at
        source: ConvertedFrom | None = None
        if fee.exchange_rate is not None:
            of = to_decimal(fee.units, assets[fee.asset].scale)
            source = ConvertedFrom(fee.asset, of, fee.exchange_rate)
        return Transaction(
            fee.id, "fee", fee.account_id, paid_in, amount, at, at, converted_from=source
        )
    if isinstance(found, SettledHold):
        asset = found.account_id.rpartition(":")[2]
        amount, at = to_decimal(-found.units, assets[asset].scale), found.created_at
        return Transaction(found.id, "fee", found.account_id, asset, amount, at, at)
    if isinstance(found, BookedPlanFee):
        shown = show_plan_fee(found, assets)
        return Transaction(
            found.id,
            "fee",
            found.account_id,
            shown.asset,
            shown.amount,
            found.created_at,
            found.created_at,
            lines=shown.lines,
        )
    if isinstance(found, SettledOutcome):
        asset, at = found.account_id.rpartition(":")[2], found.created_at
        net = found.answer.net_units.get(asset, 0)
        amount = to_decimal(net, assets[asset].scale) if asset else Decimal(0)
        said = found.request.description
        return Transaction(found.id, "fee", found.account_id, asset, amount, at, at, said)
    if isinstance(found, BookedPayment):
        return _shown_payment(found, assets)
    request, is_adjustment = found.request, found.kind == "adjustment"
    units = found.units if is_adjustment else -found.units
    asset, converted = found.account_id.rpartition(":")[2], found.converted
    return Transaction(
        found.id,
        "adjustment" if is_adjustment else "fee",
        found.account_id,
        asset,
        to_decimal(units, assets[asset].scale),
        found.created_at,
        found.created_at,
        request.description,
        request.metadata,
        converted_from=None
        if converted is None
        else ConvertedFrom(
            request.asset, request.amount, converted.rate, converted.is_rounded_down
        ),
    )


def _shown_payment(booked: BookedPayment, assets: Mapping[str, Asset]) -> Transaction:
    asset, request = booked.account_id.rpartition(":")[2], booked.request
    return Transaction(
        booked.id,
        "adjustment",
        booked.account_id,
        asset,
        to_decimal(booked.units, assets[asset].scale),
        booked.created_at,
        booked.created_at,
        _said_of(request),
        request.metadata if isinstance(request, PaymentCredit) else None,
        payment_id=request.payment_id,
    )


def _said_of(
    request: PaymentCredit | PaymentReturn | PaymentFailed | ReturnSettled,
) -> str | None:
    if isinstance(request, PaymentCredit):
        return request.description
    return request.problem if isinstance(request, PaymentFailed) else request.reason


WALLET = "/customers/{customer_id}/wallet"

READ_WALLET = Operation(
    "GET",
    WALLET,
    _wallet,
    "Wallets",
    "Get a customer's accounts with their balances",
    READ,
    answer=Wallet,
    errors=(404,),
)
READ_ACCOUNT = Operation(
    "GET",
    f"{WALLET}/{{account_id}}",
    _account,
    "Wallets",
    "Get one account, e.g. `default:USD`",
    READ,
    answer=WalletAccount,
    errors=(404,),
)

OPERATIONS = (
    READ_WALLET,
    Operation(
        "POST",
        f"{WALLET}/adjustments",
        _adjust,
        "Wallets",
        "Credit (a positive amount) or debit (a negative one) a wallet, once per transaction_id",
        ADMIN,
        201,
        body=AdjustmentRequest,
        answer=TransactionCreated,
        errors=(402, 404, 409),
    ),
    Operation(
        "POST",
        f"{WALLET}/charges",
        _charge,
        "Wallets",
        "Charge an ad-hoc fee, once per transaction_id",
        ADMIN,
        201,
        body=ChargeRequest,
        answer=TransactionCreated,
        errors=(402, 404, 409),
    ),
    Operation(
        "GET",
        f"{WALLET}/transactions/{{transaction_id:path}}",
        _transaction,
        "Wallets",
        "Get an adjustment, charge or fee, by its id or your transaction_id",
        READ,
        answer=Transaction,
        errors=(404,),
    ),
    Operation(
        "GET",
        f"{WALLET}/{{account_id}}/grants",
        _grants,
        "Wallets",
        "List an account's grants, the newest first",
        READ,
        query=GrantsQuery,
        answer=GrantPage,
        errors=(404,),
    ),
    READ_ACCOUNT,
    Operation(
        "PATCH",
        f"{WALLET}/{{account_id}}",
        _update_account,
        "Wallets",
        "Set how far an account may go below zero, and below what it is low",
        ADMIN,
        body=UpdateAccount,
        answer=WalletAccount,
        errors=(404,),
    ),
)
