"""Moments in time. Inside they are aware UTC datetimes; where they are stored, microseconds since
1970 UTC in an integer, which sorts and compares the same on every database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)


def is_in_range(moment: datetime) -> bool:
    """Tell whether a caller's instant lies between 1970 and 9000, where every zone can show it."""
    return EPOCH <= moment < LATEST


def out_of_range(moment: datetime) -> str:
    """Say what is wrong with an instant that is not in range."""
    return f"is {moment.isoformat()}, outside the years 1970 to 8999: send another instant"


def to_us(moment: datetime) -> int:
    """Return microseconds since 1970 UTC."""
    return (moment - EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Return the aware UTC datetime of microseconds since 1970 UTC."""
    return EPOCH + timedelta(microseconds=microseconds)
