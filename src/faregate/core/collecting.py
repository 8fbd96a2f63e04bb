"""What an account asks of its customer's saved card by itself. Whoever has agreed to it is topped
up when the balance falls below a threshold: the command that takes it there asks for a *collection*
in its own commit. Somebody then charges the card, and says by a command what has become of it.

An account has one collection in flight at most, from the commit that asks for it to the one that
books its credit or says that it failed. After a failure it waits (`BACK_OFF`), and stops for good
after `MOST_FAILURES` in a row. What it may ask is bounded twice, against a customer who drains as
fast as the card fills: by what it has asked in the month, and by how often in an hour.

What does not live here: cards, and who charges them (`payments`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import structs

from faregate.core.ids import IdSource
from faregate.core.windows import calendar_window

BACK_OFF: Final = (timedelta(minutes=5), timedelta(hours=1))
"""How long it waits after the first failure in a row, and after the second."""
MOST_FAILURES: Final = 3
DEFAULT_PER_HOUR: Final = 5
MOST_PER_HOUR: Final = 60
_HOUR: Final = timedelta(hours=1)


class AutoTopUp(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was agreed for an account: below `threshold_units` (of the account's asset; >= 0) the
    card pays `amount_units` (> 0) of `currency`, in a month at most `monthly_cap_units` of it, and
    at most `per_hour` times in any hour."""

    currency: str
    threshold_units: int
    amount_units: int
    is_enabled: bool = True
    monthly_cap_units: int | None = None
    per_hour: int = DEFAULT_PER_HOUR


class InFlight(msgspec.Struct, frozen=True):
    """A collection that was asked for and of which it is not known yet what becomes of it."""

    payment_id: str
    units: int
    asked_at: datetime


class Collecting(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an account stands with its collections.

    Nothing is asked before `next_try_at`. `month_units` were asked, and not refused, in the month
    that began at `month_from`; `recent` are the instants of what was asked in the last hour.
    `stopped_because` says why it stopped by itself.
    """

    terms: AutoTopUp
    in_flight: InFlight | None = None
    failures: int = 0
    next_try_at: datetime | None = None
    month_from: datetime | None = None
    month_units: int = 0
    recent: tuple[datetime, ...] = ()
    stopped_because: str | None = None

    @property
    def is_on(self) -> bool:
        """Tell whether it may ask for anything."""
        return self.terms.is_enabled and self.stopped_because is None


CardNeed = Literal["payment", "payment_method"]
Accounts = Mapping[str, Collecting]
"""By the account's id."""


class Collection(msgspec.Struct, frozen=True):
    """A collection that is asked for: `units` (> 0) of `currency`, for an account; by one of the
    customer's subscriptions, or else by the account's auto top-up."""

    payment_id: str
    account_id: str
    currency: str
    units: int
    asked_at: datetime
    subscription_id: str | None = None


class CollectingNotice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of an account's auto top-up, and why."""

    customer_id: str
    account_id: str
    at: datetime
    reason: str
    failures: int = 0


class SetAutoTopUp(msgspec.Struct, frozen=True):
    """Agree on an account's auto top-up, or on another one. What it has asked so far still counts,
    what has failed does not."""

    customer_id: str
    account_id: str
    terms: AutoTopUp


class BeginCollection(msgspec.Struct, frozen=True):
    """Ask whether a card may be charged now for what was asked. The answer is None if it may not:
    it was switched off since, or nothing is known of it any more."""

    customer_id: str
    payment_id: str


class CollectionFailed(msgspec.Struct, frozen=True):
    """Say that a collection has come to nothing, and why, in words; `needs` says what the customer
    can do about it: pay themselves, or leave another card."""

    customer_id: str
    payment_id: str
    reason: str
    needs: CardNeed = "payment_method"


class AwaitsTopUp(msgspec.Struct, frozen=True):
    """The answer to a hold that may wait: an account lacks what it needs, and a collection is in
    flight. Nothing was decided: ask again when credit has come."""

    account_id: str


CollectingCommand = SetAutoTopUp | BeginCollection | CollectionFailed


class Told(msgspec.Struct, frozen=True):
    """What is to be told: the topic's last part, of which account, and why."""

    topic: str
    account_id: str
    reason: str
    failures: int = 0


def change_collecting(
    accounts: Accounts, command: CollectingCommand, now: datetime
) -> tuple[Accounts, Collecting | InFlight | None, list[Told]]:
    """Decide a command; returns where the accounts stand then, the answer, and what is told."""
    if isinstance(command, SetAutoTopUp):
        before = accounts.get(command.account_id)
        after = Collecting(command.terms)
        if before is not None:
            if before.terms == command.terms and before.is_on:
                # A repeat must not undo what a failure has put off.
                return accounts, before, []
            after = structs.replace(
                before, terms=command.terms, failures=0, next_try_at=None, stopped_because=None
            )
            if before.terms.currency != command.terms.currency:
                after = structs.replace(after, month_from=None, month_units=0)
        return {**accounts, command.account_id: after}, after, []
    found = _in_flight(accounts, command.payment_id)
    if found is None:
        return accounts, None, []
    account_id, collecting, in_flight = found
    if isinstance(command, BeginCollection):
        if collecting.is_on:
            return accounts, in_flight, []
        after = _without(collecting, in_flight)
        return {**accounts, account_id: after}, None, []
    after = _without(collecting, in_flight)
    if not collecting.is_on:
        return {**accounts, account_id: after}, None, []
    failures = collecting.failures + 1
    after = structs.replace(after, failures=failures)
    told = [Told("failed", account_id, command.reason, failures)]
    if failures >= MOST_FAILURES:
        after = structs.replace(after, stopped_because=command.reason)
        told.append(Told("disabled", account_id, command.reason, failures))
    else:
        after = structs.replace(after, next_try_at=now + BACK_OFF[failures - 1])
    return {**accounts, account_id: after}, None, told


def _in_flight(accounts: Accounts, payment_id: str) -> tuple[str, Collecting, InFlight] | None:
    for account_id, collecting in accounts.items():
        in_flight = collecting.in_flight
        if in_flight is not None and in_flight.payment_id == payment_id:
            return account_id, collecting, in_flight
    return None


def _without(collecting: Collecting, in_flight: InFlight) -> Collecting:
    """Take away what is in flight, whose money has not come and does not count for the month."""
    asked_this_month = (
        collecting.month_from is not None and in_flight.asked_at >= collecting.month_from
    )
    left = collecting.month_units - (in_flight.units if asked_this_month else 0)
    # A month in another currency was begun anew.
    return structs.replace(collecting, in_flight=None, month_units=max(0, left))


def collected(accounts: Accounts, payment_id: str) -> Accounts:
    """Return where the accounts stand when a payment's credit is booked: what was in flight has
    come, and what has failed before it is forgotten."""
    found = _in_flight(accounts, payment_id)
    if found is None:
        return accounts
    account_id, collecting, _ = found
    after = structs.replace(collecting, in_flight=None, failures=0, next_try_at=None)
    return {**accounts, account_id: after}


def collect(
    accounts: Accounts,
    available_units: Callable[[str], int],
    now: datetime,
    timezone: str,
    ids: IdSource,
    needed: str | None = None,
) -> tuple[Accounts, list[Collection], list[Told]]:
    """Ask for what accounts lack: returns where they stand then, the collections, and what is told.
    `available_units` says what an account has now; the one that is `needed` lacks something
    wherever its threshold is. Accounts of which nothing changes stay the same value."""
    changed: dict[str, Collecting] = {}
    asked: list[Collection] = []
    told: list[Told] = []
    for account_id, collecting in accounts.items():
        if not collecting.is_on or collecting.in_flight is not None:
            continue
        waits_until = collecting.next_try_at
        if waits_until is not None and now < waits_until:
            continue
        has_enough = available_units(account_id) >= collecting.terms.threshold_units
        if has_enough and account_id != needed:
            if waits_until is not None:
                changed[account_id] = structs.replace(collecting, next_try_at=None)
            continue
        after, collection, why = _ask(account_id, collecting, now, timezone, ids)
        changed[account_id] = after
        if collection is not None:
            asked.append(collection)
        if why is not None:
            told.append(why)
    return ({**accounts, **changed} if changed else accounts), asked, told


def month_so_far(collecting: Collecting, now: datetime, timezone: str) -> tuple[datetime, int]:
    """Return when the month of `now` began, and what was asked in it and not refused, in units of
    what the card pays."""
    month_from, _ = calendar_window("month", timezone, now)
    return month_from, collecting.month_units if collecting.month_from == month_from else 0


def _ask(
    account_id: str, collecting: Collecting, now: datetime, timezone: str, ids: IdSource
) -> tuple[Collecting, Collection | None, Told | None]:
    """Ask for what was agreed on; where a bound is in the way, say when it no longer is."""
    terms = collecting.terms
    _, month_ends = calendar_window("month", timezone, now)
    month_from, spent = month_so_far(collecting, now, timezone)
    recent = tuple([at for at in collecting.recent if at > now - _HOUR])[-terms.per_hour :]
    collecting = structs.replace(
        collecting, month_from=month_from, month_units=spent, recent=recent, next_try_at=None
    )
    if terms.monthly_cap_units is not None and spent + terms.amount_units > terms.monthly_cap_units:
        reason = "the monthly cap is reached"
        waiting = structs.replace(collecting, next_try_at=month_ends)
        return waiting, None, Told("limited", account_id, reason)
    if len(recent) >= terms.per_hour:
        reason = f"it was topped up {terms.per_hour} times within an hour"
        waiting = structs.replace(collecting, next_try_at=recent[0] + _HOUR)
        return waiting, None, Told("limited", account_id, reason)
    payment_id = ids.next("tup")
    after = structs.replace(
        collecting,
        in_flight=InFlight(payment_id, terms.amount_units, now),
        month_units=spent + terms.amount_units,
        recent=(*recent, now),
    )
    return after, Collection(payment_id, account_id, terms.currency, terms.amount_units, now), None


def next_try(accounts: Accounts) -> datetime | None:
    """Return when an account may ask again by itself; None: nothing waits."""
    waiting = [
        c.next_try_at
        for c in accounts.values()
        if c.next_try_at is not None and c.is_on and c.in_flight is None
    ]
    return min(waiting, default=None)
