"""Operations on revenue that is not earned yet: credit that was sold, and what became of it."""

from __future__ import annotations

from faregate.engine.base import EngineBase
from faregate.ledger.credit_use import CreditUse, credit_use
from faregate.platform.environments import AccountContext


class RevenueOperations(EngineBase):
    """Deferred revenue."""

    async def credit_revenue(
        self, customer_id: str | None = None, *, context: AccountContext | None = None
    ) -> list[CreditUse]:
        """Return what became of credit with a revenue basis, and the revenue that it makes: earned,
        deferred, broken; of one customer or of all. Raises 404."""
        environment = await self._look(context)
        if customer_id is not None:
            await self._lane_of(environment, customer_id)
        view, now = self._catalog.view(environment), max(lane.now() for lane in self._lanes)
        assets = dict(view.assets)
        return await credit_use(self._store, environment, assets, now, view.clocks, customer_id)
