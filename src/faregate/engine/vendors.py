"""Operations on who the seller pays."""

from __future__ import annotations

from faregate.catalog import vendors
from faregate.catalog.vendors import CreateVendor, Vendor, VendorCreated
from faregate.core.codec import checked
from faregate.engine.base import EngineBase, Key, Page
from faregate.platform.environments import AccountContext


class VendorOperations(EngineBase):
    """Vendors."""

    async def create_vendor(
        self,
        request: CreateVendor,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> VendorCreated:
        """Create a vendor. Raises 409 if its external id is taken."""
        request = checked(request)
        environment = self._environment(context)
        async with self._store.transaction() as transaction:
            return await self._once(
                Key("vendors", idempotency_key, environment),
                transaction,
                request,
                VendorCreated,
                lambda: vendors.insert_vendor(
                    transaction, environment, request, self._ticked(), self._clock()
                ),
            )

    async def get_vendor(self, vendor_id: str, *, context: AccountContext | None = None) -> Vendor:
        """Return a vendor. Raises 404."""
        return await vendors.get_vendor(self._store, self._environment(context), vendor_id)

    async def list_vendors(
        self,
        limit: int = 20,
        offset: int = 0,
        external_id: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List vendors, the newest first."""
        environment = self._environment(context)
        items, count = await vendors.list_vendors(
            self._store, environment, limit, offset, external_id
        )
        return Page(items, count, limit, offset)
