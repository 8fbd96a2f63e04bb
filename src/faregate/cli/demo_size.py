"""How large the demo is unless it is told otherwise."""

from typing import Final

EVENTS: Final = 23_000
"""About how many events its month has."""
RATE: Final = 3.0
"""Things that happen in a second once the month is over."""
