"""What is attached to an event that tells of a model's call: one cost, by the seller's own price
where there is one, else by the providers' table, with the working in its metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from faregate.core.amounts import FIAT_SCALE, Number, to_decimal
from faregate.core.costs import Cost
from faregate.core.model_prices import Costing, Part, PricedUse, PriceList, missing, price_use
from faregate.core.model_uses import ModelUse, read_use
from faregate.core.own_model_prices import ModelPrice, choose, matching
from faregate.costing.table import MAX_REMEMBERED, PriceTable

COST_ID: Final = "model"
CATEGORY: Final = "model"
NOBODY: Final = "own-models"
"""Whom a call is paid to of which neither event nor price names the provider."""


@cache
def installed_table() -> PriceTable:
    """Return the table that is installed, read once."""
    return PriceTable()


async def load_table() -> None:
    """Read the table, if it is not read yet, while others are served: it takes a third of a
    second."""
    if not installed_table.cache_info().currsize:
        await asyncio.to_thread(installed_table)


class Attaching:
    """Says of events what the call that they tell of has cost. `own` are the seller's prices."""

    def __init__(self, own: Sequence[ModelPrice], table: PriceTable | None = None) -> None:
        self._own = own
        self._matching: dict[tuple[str, str | None], tuple[ModelPrice, ...]] = {}
        self._lists: dict[tuple[str, bool], PriceList] = {}
        self._table = table or installed_table()

    def __call__(self, data: Mapping[str, Any], at: datetime) -> Costing | None:
        """Return what is attached to an event with this data that occurred at `at`; None: it tells
        of no call of a model."""
        use = read_use(data)
        if use is None:
            return None
        if isinstance(use, str):
            return Costing(warning=use)
        own = self._own_price(use, at) if self._own else None
        if own is not None:
            return self._by_own(use, own)
        return self._by_table(use, at) if use.is_counted else None

    def _own_price(self, use: ModelUse, at: datetime) -> ModelPrice | None:
        key = (use.model, use.provider)
        found = self._matching.get(key)
        if found is None:
            # Names are what callers send: not all are remembered for ever.
            if len(self._matching) >= MAX_REMEMBERED:
                self._matching.clear()
            found = self._matching[key] = matching(self._own, use)
        return choose(found, at)

    def _list_of(self, own: ModelPrice, *, is_batch: bool) -> PriceList:
        key = (own.id, is_batch)
        if key not in self._lists:
            self._lists[key] = own.prices(is_batch=is_batch)
        return self._lists[key]

    def _by_own(self, use: ModelUse, own: ModelPrice) -> Costing | None:
        prices = self._list_of(own, is_batch=use.is_batch)
        if not use.is_counted and "request" not in prices.rates:
            return None
        priced = price_use(use, prices)
        if isinstance(priced, str):
            return Costing(warning=missing(use, f"{priced} (own price {own.id})"))
        vendor = own.provider or use.provider or NOBODY
        known = {"model_price": own.id, "model": own.model}
        return Costing([_cost(use, vendor, priced, known)], own.id)

    def _by_table(self, use: ModelUse, at: datetime) -> Costing:
        table = self._table
        listed = table.find(use.provider, use.model, at, is_batch=use.is_batch)
        if listed is None:
            return Costing(warning=missing(use, f"no price is known ({table.version})"))
        prices = listed.prices
        priced = prices if isinstance(prices, str) else price_use(use, prices)
        if isinstance(priced, str):
            return Costing(warning=missing(use, f"{priced} ({table.version})"))
        known = {"price_table": table.version, "model": listed.model}
        if listed.rule is not None:
            known["rule"] = listed.rule
        return Costing([_cost(use, listed.provider, priced, known)], table.version)


def _cost(use: ModelUse, vendor: str, priced: PricedUse, known: dict[str, Any]) -> Cost:
    if use.is_batch:
        known["batch"] = True
    known["parts"] = [_shown(part) for part in priced.parts]
    amount = Number(to_decimal(priced.units, FIAT_SCALE))
    return Cost(COST_ID, amount, None, vendor, CATEGORY, metadata=known)


def _shown(part: Part) -> dict[str, Any]:
    return {"kind": part.kind, "count": part.count, "price": part.price, "per": part.per}
