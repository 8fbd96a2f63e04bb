"""When a slice of a stream is used up. No I/O: both clients' `stream` ask this."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from faregate.client.tally import Tally, exact, is_number
from faregate.client.use import Use

Data = Mapping[str, Any]


class Pace:
    """Counts what is used of one slice after the other.

    A slice ends as soon as one of its numbers is reached. Under an upper bound that is
    `max_tokens` where `tokens` are counted. Raises `ValueError` if a slice has no
    number, or the hold no price.
    """

    def __init__(self, use: Use, slice: Data | None) -> None:
        if not use.is_priced:
            raise ValueError("slices have a price: ask for event_type and data, not for max_amount")
        self.slice = use.data if slice is None else slice
        self._use = use
        self._ends = {
            name.removeprefix("max_") if use.is_upper_bound else name: Decimal(exact(name, value))
            for name, value in self.slice.items()
            if is_number(value)
        }
        if not any(end > 0 for end in self._ends.values()):
            raise ValueError(
                f"a slice is {dict(self.slice)}: say how much, e.g. {{'tokens': 1000}}"
            )
        self._used = Tally({})

    def count(self, used: Data | None) -> None:
        """Add what an item used; None: nothing."""
        if used is not None:
            self._use.add(used)
            self._used.add(used)

    def is_used_up(self) -> bool:
        """Tell whether a slice has ended, and begin to count the next one if so."""
        data = self._used.data
        is_over = any(
            is_number(data.get(name)) and end > 0 and data[name] >= end
            for name, end in self._ends.items()
        )
        if is_over:
            self._used = Tally({})
        return is_over
