"""Operations on finding customers, with what a list of them shows."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from faregate.core.instants import to_us
from faregate.customers import directory, searching
from faregate.customers.searching import CustomerFilters
from faregate.customers.types import Customer, WalletAccount
from faregate.engine.customers import CustomerOperations
from faregate.engine.wallets import show_account
from faregate.ledger import reading
from faregate.platform.environments import AccountContext

EVERYBODY = CustomerFilters()


class FoundCustomer(msgspec.Struct, frozen=True):
    """A customer with their accounts' balances now; `is_in_the_red`: in one of these they have
    used more than their credit."""

    customer: Customer
    accounts: list[WalletAccount]
    is_in_the_red: bool


class FoundCustomers(msgspec.Struct, frozen=True):
    """A page of what was found. `is_cut`: more than `total_count` were found, which is then the
    most that is shown."""

    items: list[FoundCustomer]
    total_count: int
    limit: int
    offset: int
    is_cut: bool = False


class SearchOperations(CustomerOperations):
    """Finding customers."""

    async def customer_names(
        self, customer_ids: Iterable[str], *, context: AccountContext | None = None
    ) -> dict[str, str]:
        """Return what these customers are called, by id; without those that there are not."""
        environment = await self._look(context)
        found = await directory.names(self._store, environment, list(dict.fromkeys(customer_ids)))
        return {customer_id: name for customer_id, (name, _) in found.items()}

    async def search_customers(
        self,
        text: str = "",
        filters: CustomerFilters = EVERYBODY,
        limit: int = 20,
        offset: int = 0,
        *,
        context: AccountContext | None = None,
    ) -> FoundCustomers:
        """Find customers by any part of name, external id or e-mail address, or by how an id
        begins, the newest first; with an empty text all. Upper and lower case are the same, and of
        several words each must be found. Looks at the newest 200,000 customers, and returns at
        most the first 1,000 that it finds."""
        environment = await self._look(context)
        is_cut = False
        if text.strip() or filters != EVERYBODY:
            # It may look at many rows: beside the loop, so that charges go on.
            async with self._store.snapshot() as snapshot:
                now_us = to_us(self._clock())
                found = await searching.find(snapshot, environment, text, filters, now_us)
            ids, total, is_cut = found.ids[offset : offset + limit], len(found.ids), found.is_cut
            known = await directory.read_customers(self._store, environment, ids)
            rows = [known[customer_id] for customer_id in ids if customer_id in known]
        else:
            rows, total = await directory.list_customers(
                self._store, environment, {}, limit, offset, self._clock()
            )
        states = await reading.read_customers(self._store, [(row.lane, row.id) for row in rows])
        view = self._catalog.view(environment)
        items = []
        for row in rows:
            state = states[row.id]
            present = reading.as_of(state, view, self._lanes[row.lane].now())
            accounts = present.accounts.values()
            items.append(
                FoundCustomer(
                    self._show_customer(row, state, environment),
                    [show_account(a, view.assets[a.asset].scale) for a in accounts],
                    any(a.overdraft_units > 0 for a in accounts),
                )
            )
        return FoundCustomers(items, total, limit, offset, is_cut)
