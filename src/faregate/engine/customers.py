"""Operations on who pays: customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from faregate.core.codec import checked
from faregate.core.customers import CustomerState
from faregate.core.given import check_free
from faregate.core.problems import (
    FaregateError,
    invalid,
)
from faregate.core.rules import BlockCustomer as Block
from faregate.core.rules import DescribeCustomer
from faregate.core.subscribing import Subscribe, SubscriptionsChanged
from faregate.customers import directory
from faregate.customers.directory import CustomerRow
from faregate.customers.subscribing import new_subscription, pay_page, show_subscription
from faregate.customers.types import (
    CreateCustomer,
    Customer,
    CustomerCreated,
    UpdateCustomer,
)
from faregate.engine.base import EngineBase, Key, Page
from faregate.ledger import reading
from faregate.platform.environments import AccountContext


class CustomerOperations(EngineBase):
    """Customers."""

    async def create_customer(
        self,
        request: CreateCustomer,
        *,
        idempotency_key: str | None = None,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> CustomerCreated:
        """Create a customer with subscriptions.

        The subscriptions are written first, the customer last: whatever happens in between,
        nobody ever sees a customer without them.
        """
        request = checked(request)
        environment = self._environment(context)
        key = Key("customers", idempotency_key, environment)
        first = await self._first_answer(self._store, key, request, CustomerCreated)
        if first is not None:
            return first
        too_large = check_free("metadata", request.metadata)
        if too_large is not None:
            raise FaregateError(too_large)
        if request.external_id is not None:
            try:
                await directory.check_external_id(self._store, environment, request.external_id)
            except FaregateError:
                # It may have been the same request, that somebody else has just done.
                first = await self._first_answer(self._store, key, request, CustomerCreated)
                if first is None:
                    raise
                return first
        ids, view = self._ticked(), self._catalog.view(environment)
        now, clock_id = self._clock(), request.test_clock_id
        if clock_id is not None:
            if clock_id not in view.clocks:
                remedy = f"{clock_id!r} is unknown: make a test clock first"
                raise FaregateError(invalid("test_clock_id", remedy))
            now = view.clocks[clock_id]
        customer_id = ids.next("cust")
        subscriptions = tuple(
            new_subscription(wanted, view, f"subscriptions[{i}].", ids, now)
            for i, wanted in enumerate(request.subscriptions or ())
        )
        lane = self._lane_for(environment, customer_id)
        if request.metadata or clock_id is not None:
            describe = DescribeCustomer(customer_id, request.metadata, clock_id)
            await lane.submit(describe, environment)
        if subscriptions:
            answer = await lane.submit(Subscribe(customer_id, subscriptions), environment)
            subscriptions = cast(SubscriptionsChanged, answer).subscriptions
        page = pay_page(base_url, customer_id)
        shown = [show_subscription(s, view.products, now, page) for s in subscriptions]

        async def insert() -> CustomerCreated:
            await directory.insert_customer(
                transaction, environment, customer_id, lane.number, request, now
            )
            return CustomerCreated(customer_id, shown)

        async with self._store.transaction() as transaction:
            return await self._once(key, transaction, request, CustomerCreated, insert)

    async def customer_id_of(
        self, external_id: str, *, context: AccountContext | None = None
    ) -> str:
        """Return the id of the customer with this external id."""
        environment = self._environment(context)
        return await directory.find_by_external_id(self._store, environment, external_id)

    async def external_ids(
        self, customer_ids: Sequence[str], *, context: AccountContext | None = None
    ) -> dict[str, str | None]:
        """Return the external ids of customers, by id."""
        environment = self._environment(context)
        return await directory.external_ids(self._store, environment, customer_ids)

    async def update_customer(
        self, customer_id: str, request: UpdateCustomer, *, context: AccountContext | None = None
    ) -> None:
        """Change a customer's name, e-mail, external id or metadata.

        Metadata is written for the lane last: limits for cohorts follow what everybody can see.
        """
        request = checked(request)
        too_large = check_free("metadata", request.metadata)
        if too_large is not None:
            raise FaregateError(too_large)
        environment = self._environment(context)
        async with self._store.transaction() as transaction:
            await directory.update_customer(transaction, environment, customer_id, request)
        if request.metadata is not None:
            lane = await self._lane_of(environment, customer_id)
            await lane.submit(DescribeCustomer(customer_id, request.metadata), environment)

    async def block_customer(
        self, customer_id: str, reason: str | None = "", *, context: AccountContext | None = None
    ) -> None:
        """Decline all holds of a customer from now on, for a reason; None: no longer. What they
        have used is charged as ever. Raises 404."""
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        await lane.submit(Block(customer_id, reason), environment)

    async def get_customer(
        self, customer_id: str, *, base_url: str = "", context: AccountContext | None = None
    ) -> Customer:
        """Return a customer with subscriptions."""
        environment = await self._look(context)
        row = await directory.find_customer(self._store, environment, customer_id)
        state = await reading.read_customer(self._store, row.lane, row.id)
        return self._show_customer(row, state, environment, base_url)

    def _show_customer(
        self, row: CustomerRow, state: CustomerState, environment_id: int, base_url: str = ""
    ) -> Customer:
        view = self._catalog.view(environment_id)
        present = reading.as_of(state, view, self._lanes[row.lane].now())
        page = pay_page(base_url, row.id)
        shown = [
            show_subscription(s, view.products, present.now, page) for s in present.subscriptions
        ]
        return Customer(
            id=row.id,
            name=row.name,
            active_subscription_count=sum(s.status == "active" for s in shown),
            created_at=row.created_at,
            external_id=row.external_id,
            email=row.email,
            metadata=row.metadata,
            subscriptions=shown,
            external_accounts=row.external_accounts,
            is_blocked=state.rules.blocked_because is not None,
            blocked_because=state.rules.blocked_because or None,
            test_clock_id=state.rules.clock_id,
        )

    async def list_customers(
        self,
        limit: int = 20,
        offset: int = 0,
        filters: Mapping[str, str] | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List customers, the newest first. Filters: customer_id, external_id, email, name."""
        environment = await self._look(context)
        rows, total = await directory.list_customers(
            self._store, environment, filters or {}, limit, offset, self._clock()
        )
        states = await reading.read_customers(self._store, [(row.lane, row.id) for row in rows])
        items = [self._show_customer(row, states[row.id], environment) for row in rows]
        return Page(items, total, limit, offset)
