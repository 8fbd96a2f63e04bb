"""Operations on who has a product: its subscribers, and taking away what nobody has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from faregate.catalog import products
from faregate.catalog.memory import ProductRow
from faregate.catalog.products import VersionName
from faregate.core.problems import FaregateError, conflict, invalid
from faregate.core.subscriptions import in_force
from faregate.customers import directory
from faregate.engine.base import EngineBase, Page
from faregate.ledger import reading, subscribers
from faregate.ledger.subscribers import Chosen
from faregate.platform.environments import AccountContext
from faregate.store.protocol import Queries

MAX_COUNTED: Final = 100
"""Products whose subscribers are counted at once."""


class ProductSubscriber(msgspec.Struct, omit_defaults=True, frozen=True):
    """A customer's subscription to a product; `version` is the one in force now."""

    customer_id: str
    customer_name: str
    subscription_id: str
    subscription_status: str
    started_at: datetime | None
    product_rate_plan_id: str
    version: int
    external_id: str | None = None
    email: str | None = None
    renews_at: datetime | None = None


class SubscriberOperations(EngineBase):
    """A product's subscribers."""

    async def list_subscribers(
        self,
        product: str,
        limit: int = 20,
        offset: int = 0,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List the subscriptions to a product that are not over, by customer. Raises 404."""
        environment = await self._look(context)
        found = products.find_product(self._catalog, environment, product)
        rows, total = await subscribers.list_subscribers(
            self._store, Chosen(found.id, self._clock()), limit, offset
        )
        view = self._catalog.view(environment)
        states = await reading.read_customers(
            self._store, [(row.lane, row.customer_id) for row in rows]
        )
        customers = await directory.read_customers(
            self._store, environment, [row.customer_id for row in rows]
        )
        items = []
        for row in rows:
            present = reading.as_of(states[row.customer_id], view, self._lanes[row.lane].now())
            subscription = next(s for s in present.subscriptions if s.id == row.subscription_id)
            binding = next(
                b for b in in_force(subscription.bindings, present.now) if b.product_id == found.id
            )
            version = view.version_at(found.id, binding.version, present.now).version
            customer = customers.get(row.customer_id)
            if customer is None:
                continue  # It is being made: its subscriptions are written first.
            started = [stretch.from_at for stretch in subscription.stretches]
            items.append(
                ProductSubscriber(
                    customer.id,
                    customer.name,
                    subscription.id,
                    subscription.status(present.now),
                    started[0] if started else None,
                    f"{found.id}:{version}",
                    version,
                    customer.external_id,
                    customer.email,
                    subscription.next_renewal_at,
                )
            )
        return Page(items, total, limit, offset)

    async def count_subscribers(
        self, products_named: Sequence[str], *, context: AccountContext | None = None
    ) -> dict[str, dict[int, int]]:
        """Count the subscriptions to products (ids or codes, at most `MAX_COUNTED`) that are not
        over, by product id and version; version 0: they follow the default. Raises 404, 422."""
        if len(products_named) > MAX_COUNTED:
            remedy = f"has {len(products_named)}: send at most {MAX_COUNTED}"
            raise FaregateError(invalid("products", remedy))
        environment = await self._look(context)
        ids = [
            products.find_product(self._catalog, environment, name).id for name in products_named
        ]
        found: dict[str, dict[int, int]] = {product_id: {} for product_id in ids}
        for product_id, version, count in await subscribers.count_by_version(
            self._store, list(found), self._clock()
        ):
            found[product_id][version] = count
        return found

    async def archive_version(
        self, product: str, version: VersionName, *, context: AccountContext | None = None
    ) -> None:
        """Archive a version that nobody has any more, or take a draft away for good.

        Raises 404, or 409 if somebody has it, or if it is the default beside other versions.
        """
        found = products.find_product(self._catalog, self._environment(context), product)
        row = products.find_version(found, version)
        async with self._catalog_change() as change:
            present = await products.read_again(change, found)
            row = products.find_version(present, row.version)
            products.check_archive(present, row)
            if row.status == "draft":
                await products.delete_version(change, found.id, row.version)
                return
            # Those who follow the default have this version while it is the default.
            is_default = present.default_version == row.version
            numbers = (row.version, 0) if is_default else (row.version,)
            what = f"version {row.version} of {found.code!r}"
            await self._refuse_if_used(change, found, what, numbers)
            await products.archive_versions(change, found.id, [row.version])

    async def delete_product(self, product: str, *, context: AccountContext | None = None) -> None:
        """Take a product away for good that nobody ever had; archive one that is not used any more.

        Raises 404, or 409 if somebody has it.
        """
        found = products.find_product(self._catalog, self._environment(context), product)
        async with self._catalog_change() as change:
            present = await products.read_again(change, found)
            what, numbers = f"product {found.code!r}", (0, *present.versions)
            await self._refuse_if_used(change, found, what, numbers)
            if await subscribers.was_subscribed_to(change, found.id):
                await products.archive_versions(change, found.id, list(present.versions))
            else:
                await products.delete_product(change, found.id)

    async def _refuse_if_used(
        self, change: Queries, product: ProductRow, what: str, numbers: tuple[int, ...]
    ) -> None:
        """Raise 409 if somebody has one of these versions.

        Nobody is overlooked: a commit that writes subscribers has ended before a change of the
        catalog begins, or is decided anew, on the changed catalog, when that has ended.
        """
        count = await subscribers.count_subscribers(change, product.id, self._clock(), numbers)
        field = what.partition(" ")[0]
        field = "product_id" if field == "product" else field
        if count:
            have = "subscription has" if count == 1 else "subscriptions have"
            remedy = "move or cancel them first (GET …/subscribers lists them)"
            raise FaregateError(conflict(field, f"{count} {have} {what}: {remedy}"))
