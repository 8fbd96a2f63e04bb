"""What a use of the demo's products is reported as. An agent's run is some calls of a real service
in a row, as a published trace has them (`trace`); everything else is made up, the same each time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, Final

from faregate.cli.crowd import SEED, Buyer
from faregate.cli.shop import AGENTS, ENTERPRISE, PICTURE_PRICES, PICTURES, SPARKS, STUDIO, TEAM
from faregate.cli.trace import TraceRequest
from faregate.cli.vendor_prices import gpu_costs, minute_costs, token_costs, voice_costs
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.ids import IdSource

_MODELS: Final = ("fern-mini", "fern-pro", "fern-long")
_WEIGHTS: Final = (46, 50, 4)
"""How often a run takes each model."""
_CALLS: Final = (8, 90)
"""The fewest and most calls of a run."""
_CASE_EVERY: Final = 0.55
"""Of a contract's uses, so many are cases; the others are runs."""
_SIZES: Final = tuple(PICTURE_PRICES)


class Uses:
    """Makes events."""

    def __init__(self, trace: Sequence[TraceRequest]) -> None:
        self.luck = random.Random(SEED)  # noqa: S311 - a story, no secret
        self._ids = IdSource(self.luck.getrandbits)
        self._read = list(accumulate([r.context_tokens for r in trace], initial=0))
        self._written = list(accumulate([r.generated_tokens for r in trace], initial=0))
        self._place = 0

    def events(self, buyer: Buyer, instants: Sequence[datetime]) -> list[UsageEvent]:
        """Return a customer's uses at these instants, in their order."""
        return [self.event(buyer, at) for at in sorted(instants)]

    def event(self, buyer: Buyer, at: datetime) -> UsageEvent:
        """Return one use of what a customer buys."""
        event_type, data, costs = self._use(buyer)
        self._ids.tick(at)
        is_case = event_type == "case"
        return UsageEvent(
            self._ids.next("use"),
            event_type,
            at,
            subject=self.luck.choice(buyer.subjects),
            data=data,
            costs=costs,
            outcome="pending" if is_case else None,
        )

    def _use(self, buyer: Buyer) -> tuple[str, dict[str, Any], list[Cost]]:
        luck = self.luck
        data: dict[str, Any]
        if buyer.product == AGENTS:
            return self._run(buyer)
        if buyer.product == PICTURES:
            size, quality = luck.choices(_SIZES, (5, 3, 2, 1))[0]
            seconds = luck.randint(4, 11) * (2 if size == "2048" else 1)
            data = {"size": size, "quality": quality}
            return "picture", data, gpu_costs(seconds)
        if buyer.product == STUDIO:
            return "scene", {"frames": luck.randint(24, 120)}, gpu_costs(luck.randint(15, 70))
        if buyer.product == SPARKS:
            seconds = luck.randint(20, 900)
            return "voice", {"seconds": seconds}, voice_costs(seconds)
        if buyer.product == TEAM:
            minutes = luck.randint(3, 90)
            return "transcript", {"minutes": minutes}, minute_costs(minutes)
        if buyer.product == ENTERPRISE and luck.random() < _CASE_EVERY:
            read, written, _ = self._tokens((6, 20))
            data = {"channel": luck.choice(("chat", "e-mail", "phone"))}
            return "case", data, token_costs("fern-pro", read, written)
        read, written, calls = self._tokens(_CALLS)
        data = {"model": "fern-pro", "tokens": read + written, "calls": calls}
        return "contract_run", data, token_costs("fern-pro", read, written)

    def _run(self, buyer: Buyer) -> tuple[str, dict[str, Any], list[Cost]]:
        model = self.luck.choices(_MODELS, _WEIGHTS)[0]
        if buyer.role == "loses_money":
            model = "fern-long"
        read, written, calls = self._tokens(_CALLS)
        data = {"model": model, "input_tokens": read, "output_tokens": written, "calls": calls}
        return "agent_run", data, token_costs(model, read, written)

    def _tokens(self, bounds: tuple[int, int]) -> tuple[int, int, int]:
        """Take the next calls of the trace: tokens read and written, and how many calls."""
        calls = self.luck.randint(*bounds)
        if self._place + calls >= len(self._read):
            self._place = 0
        begins, self._place = self._place, self._place + calls
        read = self._read[self._place] - self._read[begins]
        return read, self._written[self._place] - self._written[begins], calls
