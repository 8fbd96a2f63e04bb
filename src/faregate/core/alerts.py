"""When a seller wants to be warned: below which balance an account is low, asset by asset, and how
long before it expires credit is announced. An account may have a threshold of its own
(`accounts.Watch`). What is then told, and when, is in `telling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.amounts import AmountError, Number, to_units
from faregate.core.assets import Asset
from faregate.core.prices import Key
from faregate.core.problems import Problem, invalid

MAX_EXPIRING_HOURS: Final = 8784


class Alerts(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Below which balance the accounts of an asset are low, by its code (none: never), and how many
    hours before they expire grants are announced (0: never)."""

    low_balances: Annotated[dict[Key, Number], Meta(max_length=100)] = {}
    grant_expiring_hours: Annotated[int, Meta(ge=0, le=MAX_EXPIRING_HOURS)] = 168

    @property
    def expiring_before(self) -> timedelta | None:
        """How long before they expire grants are announced; None: never."""
        hours = self.grant_expiring_hours
        return timedelta(hours=hours) if hours else None

    def low_units(self, assets: Mapping[str, Asset]) -> dict[str, int]:
        """Return the thresholds in units; those of assets that are not there are left out."""
        return {
            code: to_units(amount, assets[code].scale)
            for code, amount in self.low_balances.items()
            if code in assets
        }


ALERTS: Final = Alerts()


def check_alerts(alerts: Alerts, assets: Mapping[str, Asset]) -> Problem | None:
    """Refuse thresholds of assets that are not there, or that are no amounts of them."""
    for code, amount in alerts.low_balances.items():
        field = f"alerts.low_balances.{code}"
        if code not in assets:
            return invalid(field, f"{code!r} is no asset: GET /v1/assets lists those there are")
        problem = check_threshold(field, amount, assets[code].scale)
        if problem is not None:
            return problem
    return None


def check_threshold(field: str, amount: Number, scale: int) -> Problem | None:
    """Refuse a threshold that is below 0, or that its asset cannot express."""
    if amount < 0:
        return invalid(field, f"{amount} is below 0: send 0 or more; 0 turns it off")
    try:
        to_units(amount, scale)
    except AmountError as error:
        return invalid(field, f"{amount} {error}")
    return None
