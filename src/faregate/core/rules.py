"""What holds for one customer alone: their own limits, whether they are blocked, and the metadata
by which they belong to cohorts.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import msgspec
from msgspec import structs

from faregate.core.collecting import Collecting
from faregate.core.limits import MAX_LIMITS, Limit, LimitChange, SetBy, changed_limit
from faregate.core.problems import NOT_FOUND, Problem, conflict

MAX_DISPUTED: Final = 100
"""Disputed payments of a customer that are remembered: the last ones."""
MAX_OWN_LIMITS: Final = 10
"""Limits that a customer may set for themselves."""
MAX_REMOVED: Final = 100
"""Limits of which it is remembered that they were taken away: a late repeat of their making must
not bring them back."""


class CustomerRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """A customer's own rules; `blocked_because` is None for one who is not blocked, `removed` has
    the ids of the limits that were taken away last, `clock_id` is the test clock that the customer
    lives by, `bonuses` has the rules of bonuses on payments that count once, and did,
    `disputed` the payments whose disputes block the customer; `margin_told_on` is the day on which
    it was last told that an event costs more than it earns, `collecting` says where accounts stand
    that a saved card tops up."""

    limits: tuple[Limit, ...] = ()
    metadata: dict[str, str] = {}
    blocked_because: str | None = None
    removed: tuple[str, ...] = ()
    clock_id: str | None = None
    bonuses: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()
    collecting: dict[str, Collecting] = {}
    margin_told_on: date | None = None


NO_RULES: Final = CustomerRules()


class SetLimit(msgspec.Struct, frozen=True):
    """Give a customer a limit. One that is there under the same id is a repeat, and so is one that
    was taken away since."""

    customer_id: str
    limit: Limit


class ChangeLimit(msgspec.Struct, frozen=True):
    """Change a customer's limit; what it has counted stays. The customer (`by`) finds only those
    that they have set themselves."""

    customer_id: str
    limit_id: str
    change: LimitChange
    by: SetBy = "seller"


class RemoveLimit(msgspec.Struct, frozen=True):
    """Take a limit away. One that is not there, or no longer, is not found; nor is, for the
    customer, one that they have not set themselves."""

    customer_id: str
    limit_id: str
    by: SetBy = "seller"


class BlockCustomer(msgspec.Struct, frozen=True):
    """Decline all holds of a customer from now on, for a reason; None: no longer."""

    customer_id: str
    reason: str | None


class DescribeCustomer(msgspec.Struct, frozen=True):
    """Say which metadata a customer has (None: as before), and which test clock they live by."""

    customer_id: str
    metadata: dict[str, str] | None = None
    clock_id: str | None = None


RulesCommand = SetLimit | ChangeLimit | RemoveLimit | BlockCustomer | DescribeCustomer
RulesAnswer = CustomerRules | Limit


def change_rules(
    rules: CustomerRules, command: RulesCommand
) -> tuple[CustomerRules, RulesAnswer] | Problem:
    """Decide a change of a customer's rules; returns them as they are then, and the answer."""
    if isinstance(command, BlockCustomer):
        disputed = () if command.reason is None else rules.disputed
        rules = structs.replace(rules, blocked_because=command.reason, disputed=disputed)
        return rules, rules
    if isinstance(command, DescribeCustomer):
        rules = structs.replace(
            rules,
            metadata=rules.metadata if command.metadata is None else command.metadata,
            clock_id=command.clock_id or rules.clock_id,
        )
        return rules, rules
    if isinstance(command, SetLimit):
        return _set(rules, command.limit)
    found = next((limit for limit in rules.limits if limit.id == command.limit_id), None)
    if found is None or (command.by == "customer" and found.set_by != "customer"):
        own = " of their own" if command.by == "customer" else ""
        return Problem(NOT_FOUND, f"the customer has no limit{own} {command.limit_id[:100]!r}")
    if isinstance(command, RemoveLimit):
        kept = [limit for limit in rules.limits if limit is not found]
        removed = (*rules.removed, found.id)[-MAX_REMOVED:]
        return structs.replace(_with_limits(rules, kept), removed=removed), found
    changed = changed_limit(found, command.change)
    if isinstance(changed, Problem):
        return changed
    limits = [changed if limit is found else limit for limit in rules.limits]
    return _with_limits(rules, limits), changed


def with_dispute(rules: CustomerRules, payment_id: str) -> CustomerRules:
    """Block a customer because a payment is disputed; whoever is blocked for another reason stays
    so for that one."""
    disputed = (*rules.disputed, payment_id)[-MAX_DISPUTED:]
    reason = rules.blocked_because
    if reason is None:
        reason = _disputed(payment_id)
    return structs.replace(rules, disputed=disputed, blocked_because=reason)


def without_dispute(rules: CustomerRules, payment_id: str) -> CustomerRules:
    """Block a customer no longer because of a payment whose dispute is won, unless another one is
    disputed."""
    if payment_id not in rules.disputed:
        return rules
    others = tuple([other for other in rules.disputed if other != payment_id])
    reason = rules.blocked_because
    if reason is not None and reason in map(_disputed, rules.disputed):
        reason = _disputed(others[0]) if others else None
    return structs.replace(rules, disputed=others, blocked_because=reason)


def _disputed(payment_id: str) -> str:
    return f"the payment {payment_id} is disputed"


def _set(rules: CustomerRules, limit: Limit) -> tuple[CustomerRules, RulesAnswer] | Problem:
    prior = next((other for other in rules.limits if other.id == limit.id), None)
    if prior is not None:
        return rules, prior
    if limit.id in rules.removed:
        return rules, limit
    own = sum(other.set_by == "customer" for other in rules.limits)
    if limit.set_by == "customer" and own >= MAX_OWN_LIMITS:
        detail = f"there are {MAX_OWN_LIMITS} limits of your own already: take one away first"
        return conflict("amount", detail)
    if len(rules.limits) >= MAX_LIMITS:
        return conflict("customer_id", f"the customer has {MAX_LIMITS} limits: delete one first")
    return _with_limits(rules, [*rules.limits, limit]), limit


def _with_limits(rules: CustomerRules, limits: list[Limit]) -> CustomerRules:
    return structs.replace(rules, limits=tuple(limits))
