"""Who buys from the demo's company: sixty customers, made up, of whom some have a story. How much
each uses follows a long tail; when, an office's week, and a company that grows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final, Literal

import msgspec

from faregate.cli.shop import AGENTS, ENTERPRISE, PICTURES, SPARKS, STUDIO, TEAM

Role = Literal[
    "auto_top_up",
    "blocked",
    "card_fails",
    "has_not_paid",
    "hold_open",
    "in_the_red",
    "limit_reached",
    "loses_money",
    "leaves",
    "on_trial",
    "refunded",
]
SEED: Final = 11

# Name, what is bought, the day on which they come (0: they are there from the start), and a role.
_CROWD: Final[tuple[tuple[str, str, int, Role | None], ...]] = (
    ("Halden Robotics", AGENTS, 0, "auto_top_up"),
    ("Corvid Analytics", AGENTS, 0, "card_fails"),
    ("Brightwater Legal", AGENTS, 0, "loses_money"),
    ("Tidal Health", AGENTS, 0, "limit_reached"),
    ("Ostra Research", AGENTS, 0, "loses_money"),
    ("Juniper Freight", AGENTS, 0, "hold_open"),
    ("Pale Fox Games", AGENTS, 0, "in_the_red"),
    ("Mirage Bots", AGENTS, 3, "blocked"),
    ("Larch & Lowe", AGENTS, 0, "refunded"),
    ("Nimbus Tutors", AGENTS, 0, None),
    ("Cobalt Claims", AGENTS, 0, None),
    ("Saltmarsh Energy", AGENTS, 0, None),
    ("Kestrel Insure", AGENTS, 0, None),
    ("Aster Biotech", AGENTS, 1, None),
    ("Plover Travel", AGENTS, 2, None),
    ("Granite Payroll", AGENTS, 4, None),
    ("Sable Security", AGENTS, 6, None),
    ("Wren Recruiting", AGENTS, 9, None),
    ("Harbour Pilots", AGENTS, 12, None),
    ("Mossley Foods", AGENTS, 15, None),
    ("Quarry Data", AGENTS, 18, None),
    ("Elder Grove Care", AGENTS, 22, None),
    ("Tern Mobility", AGENTS, 25, None),
    ("Blue Gate Press", AGENTS, 28, None),
    ("Pixel Orchard", PICTURES, 0, "auto_top_up"),
    ("Velvet Poster", PICTURES, 0, None),
    ("Marlow Interiors", PICTURES, 0, None),
    ("Foxglove Fashion", PICTURES, 0, None),
    ("Copper Kettle Ads", PICTURES, 5, None),
    ("Atlas Realty", PICTURES, 11, None),
    ("Nori Kitchens", PICTURES, 19, None),
    ("Ivy Lane Gifts", PICTURES, 26, None),
    ("Ada Sorensen", STUDIO, 0, None),
    ("Tomasz Wilk", STUDIO, 0, None),
    ("Priya Nair", STUDIO, 0, None),
    ("Jonas Brandt", STUDIO, 0, "leaves"),
    ("Camille Roux", STUDIO, 2, None),
    ("Mateo Rivas", STUDIO, 7, None),
    ("Lena Okafor", STUDIO, 10, None),
    ("Hiro Tanabe", STUDIO, 16, None),
    ("Sofia Lindqvist", STUDIO, 21, None),
    ("Omar Haddad", STUDIO, 27, "on_trial"),
    ("Nightjar Podcasts", SPARKS, 0, None),
    ("Lantern Audiobooks", SPARKS, 0, None),
    ("Polyglot Radio", SPARKS, 0, None),
    ("Hearthside Stories", SPARKS, 8, None),
    ("Canto Language", SPARKS, 13, None),
    ("Reef Museum", SPARKS, 20, None),
    ("Bell & Tower Tours", SPARKS, 24, None),
    ("Northbank Clinics", TEAM, 0, None),
    ("Alder Partners", TEAM, 0, None),
    ("City of Elmsford", TEAM, 0, None),
    ("Rowan University", TEAM, 0, None),
    ("Beacon Mediation", TEAM, 4, None),
    ("Sunday Assembly Co-op", TEAM, 14, None),
    ("Kiln Street Studio", TEAM, 17, None),
    ("Tollgate Surveyors", TEAM, 23, "has_not_paid"),
    ("Meridian Airlines", ENTERPRISE, 0, None),
    ("Hollis Bank", ENTERPRISE, 0, None),
    ("Stonebridge Telecom", ENTERPRISE, 6, None),
)
# How much of all events are of a product.
_SHARES: Final = {
    AGENTS: 0.44,
    PICTURES: 0.17,
    STUDIO: 0.1,
    SPARKS: 0.07,
    TEAM: 0.1,
    ENTERPRISE: 0.12,
}
_PEOPLE: Final = ("ana", "ben", "chi", "dov", "eva", "finn", "gita", "hugo", "ines", "jun")
_FEWEST, _MOST = 2, 6
_SEATS: Final = (3, 11)
# Of a day's uses, how many fall into each hour (UTC).
_HOURS: Final = (
    *(2.2, 1.6, 1.3, 1.2, 1.4, 2.0, 3.2, 5.2),
    *(7.4, 8.6, 8.9, 8.3, 7.6, 8.8, 9.6, 9.4),
    *(8.4, 7.0, 5.6, 4.7, 4.2, 3.8, 3.3, 2.7),
)
_SATURDAY: Final = 5
_WEEKEND: Final = 0.42
_GROWTH: Final = 0.9
"""So much more is used at the end of the month than at its beginning."""


class Buyer(msgspec.Struct):
    """A customer. `weight` is their share of all uses, once they are there; `id` is what the engine
    calls them, once it does."""

    name: str
    product: str
    joins_on: int
    role: Role | None
    weight: float
    external_id: str
    email: str
    subjects: tuple[str, ...]
    seats: int
    renews_after_days: float
    """Where their periods begin: each customer on a day of their own."""
    id: str = ""
    is_gone: bool = False
    left: dict[str, Decimal] = {}
    """What was left in each account when it was looked at last."""

    @property
    def uses(self) -> bool:
        """Whether they use anything."""
        return bool(self.id) and not self.is_gone and self.role != "has_not_paid"


def crowd() -> list[Buyer]:
    """Return all customers, the same each time."""
    luck = random.Random(SEED)  # noqa: S311 - a story, no secret
    places: dict[str, int] = {}
    shares: dict[str, float] = {}
    buyers: list[Buyer] = []
    for number, (name, product, day, role) in enumerate(_CROWD):
        places[product] = place = places.get(product, 0) + 1
        weight = 1 / place**0.8
        shares[product] = shares.get(product, 0.0) + weight
        slug = "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
        people = luck.sample(_PEOPLE, luck.randint(_FEWEST, _MOST))
        subjects = tuple(f"user_{person}" for person in sorted(people))
        external = f"org_{1042 + 7 * number}"
        email = f"billing@{slug}.example"
        seats, renews = luck.randint(*_SEATS), luck.uniform(3, 27)
        buyers.append(
            Buyer(name, product, day, role, weight, external, email, subjects, seats, renews)
        )
    for buyer in buyers:
        buyer.weight *= _SHARES[buyer.product] / shares[buyer.product]
    return buyers


def busyness(at: datetime, begins_at: datetime, ends_at: datetime) -> float:
    """Return how much is used around an instant, compared with others of the month."""
    weekend = _WEEKEND if at.weekday() >= _SATURDAY else 1.0
    return _HOURS[at.hour] * weekend * (1 + _GROWTH * ((at - begins_at) / (ends_at - begins_at)))


class Planned:
    """Deals a month's uses out, so that they come to about as many as are wanted."""

    def __init__(self, buyers: Sequence[Buyer], steps: Sequence[datetime], events: int) -> None:
        self._buyers = buyers
        self._begins_at, self._ends_at = steps[0], steps[-1]
        self._luck = random.Random(SEED)  # noqa: S311 - a story, no secret
        self._owed = {buyer.name: self._luck.random() for buyer in buyers}
        busy = sum(
            busyness(at, steps[0], steps[-1]) * ((at - before).total_seconds())
            for before, at in pairwise(steps)
        )
        self._per_busy_second = events / busy

    def between(self, before: datetime, at: datetime) -> Iterator[tuple[Buyer, int]]:
        """Yield who uses how much between two instants."""
        seconds = (at - before).total_seconds()
        busy = busyness(at, self._begins_at, self._ends_at) * seconds * self._per_busy_second
        for buyer in self._buyers:
            self._owed[buyer.name] += busy * buyer.weight * self._luck.uniform(0.4, 1.6)
            due = int(self._owed[buyer.name])
            if due:
                self._owed[buyer.name] -= due
                if buyer.uses:
                    yield buyer, due
