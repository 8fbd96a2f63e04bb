"""Operations on how an account wants its customers' portal: name, colour, logo, where it may be
embedded, and what customers may change by themselves."""

from __future__ import annotations

import msgspec

from faregate.catalog import products
from faregate.core.codec import checked
from faregate.core.pictures import check_picture
from faregate.core.portal import PortalSettings, check_portal, said_of_accent
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.engine.base import EngineBase
from faregate.platform import brands
from faregate.platform.brands import Logo
from faregate.platform.environments import AccountContext


class PortalBrand(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an account's portal looks. `name` is what customers read, `logo_digest` names its logo
    (None: there is none), and `remarks` say where the colour cannot be read as it is."""

    account_id: str
    name: str
    settings: PortalSettings
    logo_digest: str | None = None
    remarks: list[str] = msgspec.field(default_factory=list)


class BrandOperations(EngineBase):
    """The portal's settings."""

    async def get_portal_brand(self, *, context: AccountContext | None = None) -> PortalBrand:
        """Return how the account's portal looks, in both of its modes."""
        acts = context or self.context
        settings, digest = await brands.read_settings(self._store, acts.account_id)
        remarks = [] if settings.accent is None else said_of_accent(settings.accent)
        name = settings.name or acts.name
        return PortalBrand(acts.account_id, name, settings, digest, remarks)

    async def set_portal_settings(
        self, settings: PortalSettings, *, context: AccountContext | None = None
    ) -> PortalBrand:
        """Say how the account's portal is from now on, in place of what was said before; the logo
        stays. Raises 422."""
        settings = checked(settings)
        acts = context or self.context
        problem = check_portal(settings)
        if problem is not None:
            raise FaregateError(problem)
        for index, name in enumerate(settings.plans):
            try:
                products.find_product(self._catalog, acts.environment_id, name)
            except FaregateError:
                # Settings are for both modes, of which each has its own products: a product that
                # is only in the other one is named there by the same code.
                if not self._is_in_other_mode(acts, name):
                    remedy = "is no product of this account: send its code or id"
                    problem = invalid(f"plans[{index}]", f"{name[:100]!r} {remedy}")
                    raise FaregateError(problem) from None
        async with self._store.transaction() as transaction:
            await brands.write_settings(transaction, acts.account_id, settings)
        return await self.get_portal_brand(context=context)

    async def set_portal_logo(
        self,
        content: bytes | None,
        *,
        field: str = "logo",
        context: AccountContext | None = None,
    ) -> PortalBrand:
        """Show this picture in the account's portal; None: none any more. Raises 422, which names
        the `field`, for what is no PNG, JPEG or WebP, or too large."""
        acts, logo = context or self.context, None
        if content is not None:
            kind = check_picture(field, content)
            if isinstance(kind, Problem):
                raise FaregateError(kind)
            logo = Logo.of(kind, content)
        async with self._store.transaction() as transaction:
            await brands.write_logo(transaction, acts.account_id, logo)
        return await self.get_portal_brand(context=context)

    async def find_portal_brand(self, account_id: str) -> PortalBrand | None:
        """Return how the portal of an account looks; None: there is no such account. Anybody may
        know it: it is what their browser is told before it is known who they are."""
        found = [c for c in self._contexts.values() if c.account_id == account_id]
        return await self.get_portal_brand(context=found[0]) if found else None

    async def find_portal_logo(self, account_id: str) -> Logo | None:
        """Return an account's logo; None: it has none."""
        return await brands.read_logo(self._store, account_id)

    def _is_in_other_mode(self, acts: AccountContext, name: str) -> bool:
        for other in self._contexts.values():
            if other.account_id == acts.account_id and other != acts:
                try:
                    products.find_product(self._catalog, other.environment_id, name)
                except FaregateError:
                    continue
                return True
        return False
