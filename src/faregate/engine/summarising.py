"""Sums behind the commits: the worker adds what was booked to the sums that pages read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from typing import Final

from faregate.engine.base import EngineBase
from faregate.ledger import summaries

SHARE_WHEN_BUSY: Final = 0.1
"""The part of its time that a process gives to sums while charges come in."""


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

    async def sum_up_beside(self) -> int:
        """Do the same beside charges, which come first: as long as some come in, sums have a tenth
        of the time, and what they lack is added up by whoever reads."""
        done = 0
        for lane in self._lanes:
            while lane.has_lease:
                booked, begun = lane.statistics.events, time.perf_counter()
                added = await summaries.sum_up(self._store, lane.number, self._product_of)
                if not added:
                    break
                done += added
                if lane.statistics.events != booked:
                    took = time.perf_counter() - begun
                    await asyncio.sleep(took / SHARE_WHEN_BUSY - took)
        return done

    def _product_of(self, environment_id: int, price_id: str) -> Hashable:
        price = self._catalog.view(environment_id).prices.get(price_id)
        return None if price is None else (price.product_id, price.product_version)
