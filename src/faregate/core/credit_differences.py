"""What has changed in the credit that comes with a version, in words: how much, for what, and for
how long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from faregate.core.assets import Asset
from faregate.core.grants import DEFAULT_PRIORITY
from faregate.core.plan_differences import renamed
from faregate.core.prices import Entitlement, GrantScope
from faregate.core.wording import (
    Priced,
    change,
    digits,
    every,
    instead,
    money,
    others,
    said,
    several,
)

Assets = Mapping[str, Asset]
CREDIT_FIELDS: Final = (
    "name",
    "id",
    "asset",
    "amount",
    "purpose",
    "lifecycle",
    "accounting",
    "priority",
    "limited_to",
)


def _credit_amount(credit: Entitlement, assets: Assets) -> Priced:
    lifecycle = credit.lifecycle
    is_once = lifecycle.refresh is None
    when = "once" if is_once else every(lifecycle.duration, lifecycle.duration_count)
    return money(credit.amount, credit.asset, assets, when)


def _duration(credit: Entitlement) -> str:
    return several(credit.lifecycle.duration_count or 1, credit.lifecycle.duration)


def _what_is_left(credit: Entitlement, assets: Assets) -> str:
    refresh = credit.lifecycle.refresh
    if refresh is None:
        return f"expires after {_duration(credit)}"
    if refresh.strategy != "rollover":
        return "expires when new credit comes"
    most = refresh.max_amount
    amount = "" if most is None else f", at most {money(most, credit.asset, assets)}"
    periods = refresh.max_periods
    time = "" if periods is None else f", for at most {several(periods, 'period')}"
    return f"rolls over{amount}{time}"


def _scope(scope: GrantScope | None) -> str:
    if scope is None:
        return "everything"
    parts = []
    if scope.products is not None:
        parts.append(f"products {', '.join(scope.products)}")
    if scope.event_types is not None:
        parts.append(f"events of type {', '.join(scope.event_types)}")
    if scope.dimensions is not None:
        parts.append(", ".join(f"{key}={text}" for key, text in scope.dimensions.items()))
    return " with ".join(parts) or "everything"


def _revenue(credit: Entitlement, assets: Assets) -> Priced | None:
    accounting = credit.accounting
    if accounting is None:
        return None
    return money(accounting.revenue_basis, accounting.currency, assets, "per credit used")


def credit_words(credit: Entitlement, assets: Assets) -> str:
    """Say the most important of an entitlement."""
    shown = f"{_credit_amount(credit, assets)}, {credit.purpose}"
    limited = "" if credit.limited_to is None else f", only for {_scope(credit.limited_to)}"
    return f"{shown}; what is left {_what_is_left(credit, assets)}{limited}"


def credit_changes(before: Entitlement, after: Entitlement, assets: Assets) -> list[str]:
    """Say how an entitlement has changed."""
    name = after.name
    found = renamed(before, after)
    found += said(change(name, _credit_amount(before, assets), _credit_amount(after, assets)))
    found += instead(name, "is", f"{before.purpose} credit", f"{after.purpose} credit")
    left = [_what_is_left(credit, assets) for credit in (before, after)]
    if left[0] != left[1]:
        found.append(f"{name}: what is left {left[1]}; before, it {left[0]}")
    found += said(change(name, _revenue(before, assets), _revenue(after, assets), "earns"))
    priorities = [
        digits(DEFAULT_PRIORITY if credit.priority is None else credit.priority)
        for credit in (before, after)
    ]
    found += instead(name, "has in the order of use the priority", *priorities)
    found += instead(name, "is for", _scope(before.limited_to), _scope(after.limited_to))
    return found + others(name, before, after, CREDIT_FIELDS)
