"""Customers, and the caller's own account, over REST."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from faregate.core.alerts import Alerts
from faregate.core.limits import Timezone
from faregate.core.payment_rules import PaymentRules
from faregate.core.subscriptions import RenewalRules
from faregate.customers.types import (
    BlockCustomer,
    CreateCustomer,
    Customer,
    CustomerCreated,
    UpdateCustomer,
)
from faregate.operations.operation import ADMIN, READ, READ_ALL, Call, Limit, Offset, Operation

Filter = Annotated[str, Meta(min_length=1, max_length=200)]


class UpdateAccount(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """In which timezone (an IANA name) the account's days, weeks and months begin, for what is set
    up from now on; what happens when a balance does not cover a renewal; how payments are taken in
    the key's mode; when the account wants to be warned; and whether events of the key's mode that
    name a model and count tokens get what the call has cost you."""

    timezone: Timezone | None = None
    renewals: RenewalRules | None = None
    payments: PaymentRules | None = None
    alerts: Alerts | None = None
    attach_costs: bool | None = None


class UnblockCustomer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Nothing needs to be said: send `{}`."""


class CustomersQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which customers."""

    limit: Limit = 20
    offset: Offset = 0
    customer_id: Filter | None = None
    external_id: Filter | None = None
    email: Filter | None = None
    name: Filter | None = None
    status: Literal["active", "inactive"] | None = None


class CustomerSummary(msgspec.Struct, omit_defaults=True, frozen=True):
    """A customer in a list."""

    id: str
    name: str
    active_subscription_count: int
    external_id: str | None = None
    email: str | None = None


class CustomerPage(msgspec.Struct, frozen=True):
    """A page of customers."""

    items: list[CustomerSummary]
    total_count: int
    limit: int
    offset: int


class OwnAccount(msgspec.Struct, frozen=True):
    """In whose name the key acts."""

    account_id: str
    environment: Literal["test", "live"]
    name: str
    timezone: str
    renewals: RenewalRules
    payments: PaymentRules
    alerts: Alerts
    attach_costs: bool


async def _create(call: Call) -> CustomerCreated:
    return await call.engine.create_customer(
        call.body,
        idempotency_key=call.idempotency_key,
        base_url=call.base_url,
        context=call.context,
    )


async def _list(call: Call) -> CustomerPage:
    query: CustomersQuery = call.query
    filters = {
        field: value
        for field in ("customer_id", "external_id", "email", "name", "status")
        if (value := getattr(query, field)) is not None
    }
    page = await call.engine.list_customers(
        query.limit, query.offset, filters, context=call.context
    )
    items = [
        CustomerSummary(c.id, c.name, c.active_subscription_count, c.external_id, c.email)
        for c in page.items
    ]
    return CustomerPage(items, page.total_count, page.limit, page.offset)


async def _get(call: Call) -> Customer:
    return await call.engine.get_customer(
        call.path["customer_id"], base_url=call.base_url, context=call.context
    )


async def _update(call: Call) -> None:
    await call.engine.update_customer(call.path["customer_id"], call.body, context=call.context)


async def _block(call: Call) -> None:
    await call.engine.block_customer(
        call.path["customer_id"], call.body.reason, context=call.context
    )


async def _unblock(call: Call) -> None:
    await call.engine.block_customer(call.path["customer_id"], None, context=call.context)


async def _own_account(call: Call) -> OwnAccount:
    context = call.context
    view = call.engine.catalog_view(context)
    return OwnAccount(
        context.account_id,
        context.environment,
        context.name,
        view.timezone,
        view.renewals,
        view.payments,
        view.alerts,
        view.costing is not None,
    )


async def _update_account(call: Call) -> None:
    body: UpdateAccount = call.body
    await call.engine.change_settings(
        body.timezone,
        body.renewals,
        body.payments,
        body.alerts,
        attach_costs=body.attach_costs,
        context=call.context,
    )


OPERATIONS = (
    Operation(
        "POST",
        "/customers",
        _create,
        "Customers",
        "Create a customer, with subscriptions",
        ADMIN,
        201,
        body=CreateCustomer,
        answer=CustomerCreated,
        errors=(409,),
    ),
    Operation(
        "GET",
        "/customers",
        _list,
        "Customers",
        "List customers",
        READ_ALL,
        query=CustomersQuery,
        answer=CustomerPage,
    ),
    Operation(
        "GET",
        "/customers/{customer_id}",
        _get,
        "Customers",
        "Get a customer",
        READ,
        answer=Customer,
        errors=(404,),
    ),
    Operation(
        "PATCH",
        "/customers/{customer_id}",
        _update,
        "Customers",
        "Change a customer's name, e-mail, external id or metadata",
        ADMIN,
        204,
        body=UpdateCustomer,
        errors=(404, 409),
    ),
    Operation(
        "POST",
        "/customers/{customer_id}/block",
        _block,
        "Customers",
        "Decline all holds of a customer; what they have used is charged as ever",
        ADMIN,
        204,
        body=BlockCustomer,
        errors=(404,),
    ),
    Operation(
        "POST",
        "/customers/{customer_id}/unblock",
        _unblock,
        "Customers",
        "Let a customer ask for holds again",
        ADMIN,
        204,
        body=UnblockCustomer,
        errors=(404,),
    ),
    Operation(
        "GET",
        "/accounts/self",
        _own_account,
        "Accounts",
        "Get the account and mode that the key acts in",
        READ,
        answer=OwnAccount,
    ),
    Operation(
        "PATCH",
        "/accounts/self",
        _update_account,
        "Accounts",
        "Set the account's timezone, what happens to unpaid renewals, how payments are taken, "
        "when to warn you, and whether events get what models cost",
        ADMIN,
        204,
        body=UpdateAccount,
    ),
)
