"""Sums behind the commits: the worker adds what was booked to the sums that pages read."""

from __future__ import annotations

from collections.abc import Hashable

from faregate.engine.base import EngineBase
from faregate.ledger import summaries


class SummarisingOperations(EngineBase):
    """Sums that are kept."""

    async def sum_up(self) -> int:
        """Add everything that was booked and is in no sum yet, in the lanes that this process
        serves; returns how many numbers of lanes that were."""
        done = 0
        for lane in self._lanes:
            while lane.has_lease:
                added = await summaries.sum_up(self._store, lane.number, self._product_of)
                if not added:
                    break
                done += added
        return done

    def _product_of(self, environment_id: int, price_id: str) -> Hashable:
        price = self._catalog.view(environment_id).prices.get(price_id)
        return None if price is None else (price.product_id, price.product_version)
