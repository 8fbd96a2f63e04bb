"""What a seller gives beside a top-up: so many percent of what it brings, or an amount by steps.
All amounts are of the asset that is credited, whatever currency pays for it. Of several rules that
apply, the one that gives most counts, alone.

Which bonus a payment has is settled when it begins (`bonus_for`). That a customer gets the bonus
of some rules only once is decided when it is booked (`payments`): two checkouts may be open.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.amounts import MAX_UNITS, AmountError, Number, power_of_ten, scaled, to_units
from faregate.core.assets import Asset
from faregate.core.given import Instant
from faregate.core.problems import Problem, invalid

MAX_RULES: Final = 20
MAX_STEPS: Final = 20
MAX_PERCENT: Final = 1000
PERCENT_DECIMALS: Final = 6
MAX_DAYS: Final = 3650
RuleName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,49}\Z")]


class Bonus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rule gives beside a payment: units (> 0) of the same account, as a promotion. A
    customer gets the bonus of a rule that `is_once` once."""

    rule: str
    units: int
    is_once: bool = False
    expires_at: datetime | None = None


class BonusStep(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """From a top-up of `amount` on, `bonus` is given (both in the asset)."""

    amount: Number
    bonus: Number


class TopUpBonus(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A rule: `percent` of a top-up, or `steps`, each higher than the one before, of which the
    highest that is reached counts. It applies to top-ups of `minimum` to `maximum` (both included)
    that begin at `valid_from` or later and before `valid_to`; with `once_per_customer` each
    customer has it once. The bonus expires `expires_in_days` after the top-up began."""

    id: RuleName
    percent: Number | None = None
    steps: Annotated[tuple[BonusStep, ...], Meta(max_length=MAX_STEPS)] = ()
    minimum: Number | None = None
    maximum: Number | None = None
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    once_per_customer: bool = False
    expires_in_days: Annotated[int, Meta(ge=1, le=MAX_DAYS)] | None = None


TopUpBonuses = Annotated[tuple[TopUpBonus, ...], Meta(max_length=MAX_RULES)]


def check_bonuses(rules: Sequence[TopUpBonus], asset: Asset) -> Problem | None:
    """Refuse rules that say nothing, or more than one thing, or that can never apply."""
    for index, rule in enumerate(rules):
        path = f"top_up_bonus[{index}]"
        if rule.id in [earlier.id for earlier in rules[:index]]:
            return invalid(f"{path}.id", f"{rule.id!r} is listed twice: name each rule once")
        problem = _check_gift(path, rule, asset) or _check_range(path, rule, asset)
        if problem is not None:
            return problem
    return None


def _check_gift(path: str, rule: TopUpBonus, asset: Asset) -> Problem | None:
    if (rule.percent is None) == (not rule.steps):
        return invalid(f"{path}.percent", "or steps says what is given: send one of them")
    if rule.percent is not None and not _is_percent(rule.percent):
        remedy = f"send more than 0, at most {MAX_PERCENT}, with {PERCENT_DECIMALS} decimals"
        return invalid(f"{path}.percent", f"is {rule.percent}: {remedy} at most")
    before = Decimal(0)
    for number, step in enumerate(rule.steps):
        at = f"{path}.steps[{number}]"
        problem = _check_amount(f"{at}.amount", step.amount, asset)
        problem = problem or _check_amount(f"{at}.bonus", step.bonus, asset)
        if problem is not None:
            return problem
        if step.amount <= before:
            return invalid(
                f"{at}.amount", f"is {step.amount}: send more than {before}, the step before"
            )
        before = step.amount
    return None


def _is_percent(percent: Decimal) -> bool:
    try:
        units = scaled(percent, PERCENT_DECIMALS)
    except AmountError:
        return False
    return units is not None and 0 < units <= MAX_PERCENT * power_of_ten(PERCENT_DECIMALS)


def _check_range(path: str, rule: TopUpBonus, asset: Asset) -> Problem | None:
    for name, amount in (("minimum", rule.minimum), ("maximum", rule.maximum)):
        problem = None if amount is None else _check_amount(f"{path}.{name}", amount, asset)
        if problem is not None:
            return problem
    if rule.minimum is not None and rule.maximum is not None and rule.maximum < rule.minimum:
        shown = f"is {rule.maximum}, below the minimum of {rule.minimum}"
        return invalid(f"{path}.maximum", f"{shown}: send at least that")
    begins, ends = rule.valid_from, rule.valid_to
    if begins is not None and ends is not None and ends <= begins:
        shown = f"is {ends.isoformat()}, not after valid_from, {begins.isoformat()}"
        return invalid(f"{path}.valid_to", f"{shown}: send a later instant")
    return None


def _check_amount(path: str, amount: Decimal, asset: Asset) -> Problem | None:
    try:
        units = to_units(amount, asset.scale)
    except AmountError as error:
        return invalid(path, f"{amount} {error}")
    if not 0 < units <= MAX_UNITS:
        return invalid(path, f"is {amount}: send more than 0, and what the ledger can hold")
    return None


def bonus_for(
    rules: Sequence[TopUpBonus], units: int, asset: Asset, had: Collection[str], now: datetime
) -> Bonus | None:
    """Return what is given beside a top-up of `units` (> 0) of the asset that begins now; None if
    nothing is. `had` are the rules that the customer has had.

    Percents are of what a customer sees: rounded down to the asset's own decimals, e.g. 10% of
    12.35 USD are 1.23 USD.
    """
    found: Bonus | None = None
    for rule in rules:
        given = _given(rule, units, asset) if _applies(rule, units, asset, had, now) else 0
        if given > 0 and (found is None or given > found.units):
            ends = rule.expires_in_days
            expires_at = None if ends is None else now + timedelta(days=ends)
            found = Bonus(rule.id, given, rule.once_per_customer, expires_at)
    return found


def _applies(
    rule: TopUpBonus, units: int, asset: Asset, had: Collection[str], now: datetime
) -> bool:
    if rule.once_per_customer and rule.id in had:
        return False
    if rule.minimum is not None and units < to_units(rule.minimum, asset.scale):
        return False
    if rule.maximum is not None and units > to_units(rule.maximum, asset.scale):
        return False
    has_begun = rule.valid_from is None or rule.valid_from <= now
    return has_begun and (rule.valid_to is None or now < rule.valid_to)


def _given(rule: TopUpBonus, units: int, asset: Asset) -> int:
    if rule.percent is not None:
        parts = to_units(rule.percent, PERCENT_DECIMALS)
        exact = units * parts // (100 * power_of_ten(PERCENT_DECIMALS))
        return min(MAX_UNITS, exact - exact % power_of_ten(asset.scale - asset.precision))
    reached = [s.bonus for s in rule.steps if to_units(s.amount, asset.scale) <= units]
    return to_units(reached[-1], asset.scale) if reached else 0
