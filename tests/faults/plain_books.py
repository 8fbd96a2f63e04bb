"""What a wallet should have, said as plainly as can be: whole numbers, lists, a dictionary, and
none of Faregate's own code, so that it can disagree. Amounts are thousandths of a dollar, instants
whole seconds. A token costs one thousandth, so there is nothing to round.

The rules are those of `docs/holds.md`: gifts are used before what was paid, what expires first
before the rest; a hold keeps of each part where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NEVER = 10**12
MAX_DEPTH = 5

Parts = dict[int, int]
"""Units by the number of the grant that they came from."""


class Refused(Exception):
    """The status that a request is refused with; nothing has changed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Credit:
    """A grant: what is left of it, until when."""

    units: int
    is_gift: bool
    expires: int


@dataclass
class Held:
    """A hold."""

    parent: str | None
    seconds: int
    is_partial: bool
    is_late_rejected: bool
    status: str = "authorized"
    expires: int = 0
    captured: int = 0
    depth: int = 0
    first: int = 0
    """What was set aside when it was asked for."""
    parts: Parts = field(default_factory=dict)

    @property
    def units(self) -> int:
        return sum(self.parts.values())


@dataclass
class Books:
    """One wallet. `may_owe`: what was used may take it below zero."""

    may_owe: bool
    now: int = 0
    debt: int = 0
    credits: list[Credit] = field(default_factory=list)
    holds: dict[str, Held] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)

    # -- what it shows --------------------------------------------------------------------------

    @property
    def available(self) -> int:
        return sum(credit.units for credit in self.credits) - self.debt

    @property
    def pending(self) -> int:
        return sum(hold.units for hold in self.holds.values())

    # -- time -----------------------------------------------------------------------------------

    def look(self, now: int) -> None:
        """Let happen what has happened until now. A clock that was set back changes nothing."""
        last = max(self.now, now)
        while True:
            due = [c.expires for c in self.credits if c.units]
            due += [h.expires for h in self.holds.values() if h.status == "authorized"]
            self.now = min([*due, last])
            for credit in self.credits:
                if credit.expires <= self.now:
                    credit.units = 0
            ended = [n for n, h in self._open() if h.expires <= self.now]
            for name in sorted(ended, key=lambda n: -self.holds[n].depth):
                self._end(name, "expired")
            if self.now == last:
                return

    # -- commands -------------------------------------------------------------------------------

    def credit(self, units: int, is_gift: bool, life: int | None) -> None:
        expires = NEVER if life is None else self.now + life
        self.credits.append(Credit(0, is_gift, expires))
        self._give_back({len(self.credits) - 1: units})

    def spend(self, units: int) -> None:
        """Take what was used: from the credit, then it is owed."""
        if units > sum(credit.units for credit in self.credits) and not self.may_owe:
            raise Refused(402)
        for number in self._in_order(range(len(self.credits))):
            taken = min(units, self.credits[number].units)
            self.credits[number].units -= taken
            units -= taken
        self.debt += units

    def use(self, tokens: dict[str, int]) -> None:
        """Book events, those that are new."""
        new = {name: count for name, count in tokens.items() if name not in self.events}
        self.spend(sum(new.values()))
        self.events.update(new)

    def ask(self, name: str, units: int, hold: Held) -> None:
        """Ask for a hold."""
        above = None if hold.parent is None else self.holds[hold.parent]
        if above is not None:
            hold.depth = above.depth + 1
            if above.status != "authorized" or hold.depth >= MAX_DEPTH:
                raise Refused(422)
        there = max(0, self.available) if above is None else above.units
        if units > there:
            if not (hold.is_partial and there):
                hold.status = "declined"
                self.holds[name] = hold
                return
            units = there
        self.holds[name] = hold
        self._live_longer(hold, hold.seconds)
        self._take_for(hold, units)
        hold.first = units

    def capture(
        self, name: str, amount: int, tokens: dict[str, int], final: bool
    ) -> tuple[int, int]:
        """Charge what was used on a hold; returns what was charged and what was let go."""
        hold = self._usable(name)
        is_open = hold.status == "authorized"
        if is_open and final:
            self._end_below(name, "voided")
        charged = self._charge_on(name, amount, tokens)
        before = self.pending
        if is_open and final:
            self._end(name, "captured")
        return charged, before - self.pending

    def update(
        self, name: str, amount: int, tokens: dict[str, int], want: int
    ) -> tuple[int, int, bool]:
        """Charge a slice and set the next aside; returns what was charged, what is set aside, and
        whether that is the last."""
        hold = self._usable(name)
        charged = self._charge_on(name, amount, tokens)
        if hold.status != "authorized":
            return charged, 0, True
        self._live_longer(hold, hold.seconds)
        above = None if hold.parent is None else self.holds[hold.parent]
        there = max(0, self.available) if above is None else above.units
        is_last = want > hold.units + there
        if is_last:
            want = hold.units + there if hold.is_partial else 0
        if want > hold.units:
            self._take_for(hold, want - hold.units)
            return charged, hold.units, is_last
        kept: Parts = {}
        for number in self._in_order(hold.parts):
            kept[number] = min(want, hold.parts[number])
            want -= kept[number]
        rest = {n: units - kept[n] for n, units in hold.parts.items()}
        hold.parts = {n: units for n, units in kept.items() if units}
        self._release(hold, rest)
        return charged, hold.units, is_last

    def extend(self, name: str, seconds: int) -> None:
        hold = self.holds[name]
        if hold.status != "authorized":
            raise Refused(409)
        self._live_longer(hold, seconds)

    def void(self, name: str) -> None:
        status = self.holds[name].status
        if status == "captured":
            raise Refused(409)
        if status == "authorized":
            self._end(name, "voided")

    # -- how ------------------------------------------------------------------------------------

    def _open(self) -> list[tuple[str, Held]]:
        return [(n, h) for n, h in self.holds.items() if h.status == "authorized"]

    def _in_order(self, numbers: Any) -> list[int]:
        """The numbers of credits, in the order in which they are used."""
        return sorted(
            numbers, key=lambda n: (not self.credits[n].is_gift, self.credits[n].expires, n)
        )

    def _live_longer(self, hold: Held, seconds: int) -> None:
        expires = self.now + seconds
        if hold.parent is not None:
            expires = min(expires, self.holds[hold.parent].expires)
        hold.expires = max(hold.expires, expires)

    def _take_for(self, hold: Held, units: int) -> None:
        """Set units aside that are there: the parent's, or the wallet's."""
        if hold.parent is not None:
            source = self.holds[hold.parent].parts
        else:
            source = {n: credit.units for n, credit in enumerate(self.credits)}
        for number in self._in_order(source):
            taken = min(units, source[number])
            source[number] -= taken
            units -= taken
            if taken:
                hold.parts[number] = hold.parts.get(number, 0) + taken
        if hold.parent is None:
            for number, left in source.items():
                self.credits[number].units = left

    def _usable(self, name: str) -> Held:
        hold = self.holds[name]
        if hold.status == "authorized" or (hold.status == "expired" and not hold.is_late_rejected):
            return hold
        raise Refused(409)

    def _charge_on(self, name: str, amount: int, tokens: dict[str, int]) -> int:
        """Charge what was used: to the hold, to those above it, to the wallet."""
        hold = self.holds[name]
        new = {n: count for n, count in tokens.items() if n not in self.events}
        charged = left = amount + sum(new.values())
        payers = [hold] if hold.status == "authorized" else []
        above = hold.parent
        while above is not None and self.holds[above].status == "authorized":
            payers.append(self.holds[above])
            above = self.holds[above].parent
        for payer in payers:
            for number in self._in_order(payer.parts):
                paid = min(left, payer.parts[number])
                payer.parts[number] -= paid
                left -= paid
            payer.captured += charged
        if hold not in payers:
            hold.captured += charged
        self.spend(left)
        self.events.update(new)
        return charged

    def _end(self, name: str, status: str) -> None:
        hold = self.holds[name]
        if hold.status != "authorized":
            return
        self._end_below(name, "voided" if status == "captured" else status)
        hold.status = status
        parts, hold.parts = hold.parts, {}
        self._release(hold, parts)

    def _end_below(self, name: str, status: str) -> None:
        for child, hold in self._open():
            if hold.parent == name:
                self._end(child, status)

    def _release(self, hold: Held, parts: Parts) -> None:
        if hold.parent is None:
            self._give_back(parts)
            return
        above = self.holds[hold.parent].parts
        for number, units in parts.items():
            above[number] = above.get(number, 0) + units

    def _give_back(self, parts: Parts) -> None:
        """Units go back to where they came from, unless that has expired; what is owed is repaid
        first."""
        for number in self._in_order(parts):
            credit = self.credits[number]
            if credit.expires <= self.now:
                continue
            repaid = min(self.debt, parts[number])
            self.debt -= repaid
            credit.units += parts[number] - repaid
