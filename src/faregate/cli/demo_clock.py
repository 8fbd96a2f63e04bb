"""The demo's clock: it stands thirty days back, is moved forward through the month as fast as that
can be written, and from then on shows the time.
"""

from __future__ import annotations

from datetime import datetime

from faregate.engine import system_clock


class DemoClock:
    """A clock for `Engine.open` that is moved, and then let go."""

    def __init__(self, begins_at: datetime) -> None:
        self._at: datetime | None = begins_at

    def __call__(self) -> datetime:
        """Return the demo's present instant."""
        return system_clock() if self._at is None else self._at

    def move_to(self, at: datetime) -> None:
        """Go on to an instant; one that is not later changes nothing, as time never goes back."""
        if self._at is not None:
            self._at = max(self._at, at)

    def catch_up(self) -> None:
        """Show the time from now on."""
        self._at = None
