"""When what comes again is due: every so many days, weeks, months or years from an anchor on, by
the clocks of a timezone. The anchor decides, not the date before: from 31 January on it is the last
day of February and then 31 March again, and from 29 February on 28 February in years without one.

A local time that clocks skip is taken as if they had not been changed yet (half past two becomes
half past three); of one that comes twice, the first is meant.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from faregate.core.instants import LATEST

Interval = Literal["day", "week", "month", "year"]
_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "year": 12}
MEAN_DAYS: Final = {"day": 1.0, "week": 7.0, "month": 30.44, "year": 365.25}


class Cadence(msgspec.Struct, frozen=True):
    """Every `count` intervals from `anchor_at` on, at its local time in `timezone`."""

    interval: Interval
    anchor_at: datetime
    count: int = 1
    timezone: str = "UTC"

    def begins_at(self, number: int) -> datetime:
        """Return when a period begins, in UTC: 0 with the anchor, -1 ends there. What would lie
        beyond `LATEST` never comes, and is `LATEST`."""
        if number == 0:
            return self.anchor_at
        zone = ZoneInfo(self.timezone)
        anchor = self.anchor_at.astimezone(zone).replace(tzinfo=None, fold=0)
        try:
            local = self._shifted(anchor, number * self.count)
            found = local.replace(tzinfo=zone).astimezone(UTC)
        except (OverflowError, ValueError):
            return LATEST
        return min(found, LATEST)

    def _shifted(self, anchor: datetime, intervals: int) -> datetime:
        days = _DAYS.get(self.interval)
        if days is not None:
            return anchor + timedelta(days=intervals * days)
        months = anchor.month - 1 + intervals * _MONTHS[self.interval]
        year, month = anchor.year + months // 12, months % 12 + 1
        day = min(anchor.day, monthrange(year, month)[1])
        return anchor.replace(year=year, month=month, day=day)

    def number_at(self, at: datetime) -> int:
        """Return the number of the period in which an instant lies."""
        days = (at - self.anchor_at) / timedelta(days=1)
        number = int(days // (MEAN_DAYS[self.interval] * self.count))
        while self.begins_at(number) > at:
            number -= 1
        while self.begins_at(number + 1) <= at:
            number += 1
        return number

    def period_at(self, at: datetime) -> tuple[datetime, datetime]:
        """Return the period in which an instant lies: `begins <= at < ends`."""
        number = self.number_at(at)
        return self.begins_at(number), self.begins_at(number + 1)
