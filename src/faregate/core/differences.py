"""What one version of a product has that another has not, in sentences for whoever has to agree to
it. Prices, entitlements and commitments are matched by their names, else by what they are
about. How two prices that match differ is in `price_differences`, how two commitments do in
`commitment_differences`, how two entitlements do is here. Ids do not count, and neither does the
order in which things are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import structs

from faregate.core.commitment_differences import compare_commitments, describe_commitment
from faregate.core.grants import DEFAULT_PRIORITY
from faregate.core.price_differences import compare_prices, describe_price
from faregate.core.prices import (
    Commitment,
    Entitlement,
    FixedPrice,
    GrantScope,
    Price,
    UsageBasedPrice,
)
from faregate.core.wording import Amount, digits, every, listed

T = TypeVar("T", bound=msgspec.Struct)
Kind = Callable[[Any], object]


class Offer(msgspec.Struct, frozen=True):
    """What a version of a product offers."""

    prices: tuple[Price, ...] = ()
    entitlements: tuple[Entitlement, ...] = ()
    commitments: tuple[Commitment, ...] = ()


def differences(before: Offer, after: Offer) -> list[str]:
    """Return what has changed from one version to another, a sentence each; nothing if they offer
    the same."""
    parts: tuple[tuple[str, Sequence[Any], Sequence[Any], _Words], ...] = (
        ("price", before.prices, after.prices, _PRICES),
        ("entitlement", before.entitlements, after.entitlements, _ENTITLEMENTS),
        ("commitment", before.commitments, after.commitments, _COMMITMENTS),
    )
    found: list[str] = []
    for what, olds, news, words in parts:
        for old, new in _paired(olds, news, words.kinds):
            if old is None:
                found.append(f'Added {what} "{new.name}": {words.describe(new)}')
            elif new is None:
                found.append(f'Removed {what} "{old.name}": {words.describe(old)}')
            else:
                found += [f"{new.name}: {said}" for said in words.compare(old, new)]
    return found


def _content(item: Price | Entitlement | Commitment) -> object:
    return structs.replace(item, id=None)


def _name(item: Price | Entitlement | Commitment) -> object:
    return type(item), item.name


def _measured(price: Price) -> object:
    if isinstance(price, FixedPrice):
        return type(price), type(price.billing_model)
    return price.usage_calculation.event_type, price.usage_calculation.usage_type


def _event_type(price: Price) -> object:
    # Fixed prices that are due in different ways are different ones.
    return price.usage_calculation.event_type if isinstance(price, UsageBasedPrice) else object()


def _asset(item: Entitlement | Commitment) -> object:
    return item.asset


def _paired(
    before: Sequence[T], after: Sequence[T], kinds: Sequence[Kind]
) -> list[tuple[Any, Any]]:
    """Pair what is of the same kind, by the first of these kinds first, each once. What is new has
    nothing before it, what is gone comes last and has nothing after it."""
    left = list(before)
    partners: dict[int, T] = {}
    for kind in kinds:
        for index, item in enumerate(after):
            if index in partners:
                continue
            place = next((n for n, old in enumerate(left) if kind(old) == kind(item)), None)
            if place is not None:
                partners[index] = left.pop(place)
    pairs: list[tuple[Any, Any]] = [(partners.get(index), item) for index, item in enumerate(after)]
    return pairs + [(item, None) for item in left]


def _amount(entitlement: Entitlement) -> Amount:
    return Amount(entitlement.amount, entitlement.asset)


def _lasts(entitlement: Entitlement) -> str:
    lifecycle = entitlement.lifecycle
    shown = every(lifecycle.duration, lifecycle.duration_count)
    return f"a {shown}" if shown == lifecycle.duration else shown


def _given(entitlement: Entitlement) -> str:
    refresh = entitlement.lifecycle.refresh
    if refresh is None:
        return "once"
    left = "rolls over" if refresh.strategy == "rollover" else "expires"
    return f"each period, what is left {left}"


def _describe(entitlement: Entitlement) -> str:
    shown = f"{_amount(entitlement)} ({entitlement.purpose}) for {_lasts(entitlement)}"
    return f"{shown}, given {_given(entitlement)}"


def _compare(was: Entitlement, now: Entitlement) -> Iterator[str]:
    if was.name != now.name:
        yield f'was called "{was.name}"'
    if (was.amount, was.asset) != (now.amount, now.asset):
        yield _amount(was).became(_amount(now))
    for what, one, other in (
        ("purpose", was.purpose, now.purpose),
        ("lasts", _lasts(was), _lasts(now)),
        ("given", _given(was), _given(now)),
        ("rolls over at most", *_both(_max_rollover, was, now)),
        ("rolls over for at most", *_both(_max_periods, was, now)),
        ("priority", *_both(_priority, was, now)),
        ("earns", *_both(_earns, was, now)),
        ("limited to", _scope(was.limited_to), _scope(now.limited_to)),
    ):
        if one != other:
            yield f"{what} {one} → {other}"


def _both(ask: Callable[[Entitlement], str], was: Entitlement, now: Entitlement) -> tuple[str, str]:
    return ask(was), ask(now)


def _max_rollover(entitlement: Entitlement) -> str:
    refresh = entitlement.lifecycle.refresh
    if refresh is None or refresh.max_amount is None:
        return "any amount"
    return f"{digits(refresh.max_amount)} {entitlement.asset}"


def _max_periods(entitlement: Entitlement) -> str:
    refresh = entitlement.lifecycle.refresh
    count = None if refresh is None else refresh.max_periods
    return "any time" if count is None else f"{count} period{'' if count == 1 else 's'}"


def _priority(entitlement: Entitlement) -> str:
    return str(DEFAULT_PRIORITY if entitlement.priority is None else entitlement.priority)


def _earns(entitlement: Entitlement) -> str:
    accounting = entitlement.accounting
    if accounting is None:
        return "nothing"
    return f"{Amount(accounting.revenue_basis, accounting.currency)} per unit used"


def _scope(scope: GrantScope | None) -> str:
    if scope is None:
        return "any use"
    parts = []
    if scope.products:
        parts.append(f"products {listed(sorted(scope.products))}")
    if scope.event_types:
        parts.append(f"event types {listed(sorted(scope.event_types))}")
    if scope.dimensions:
        pairs = [f"{name}={value}" for name, value in sorted(scope.dimensions.items())]
        parts.append(f"events with {listed(pairs)}")
    return " and ".join(parts) or "any use"


class _Words(msgspec.Struct, frozen=True):
    """How things of one sort are matched, described and compared."""

    kinds: Sequence[Kind]
    describe: Callable[[Any], str]
    compare: Callable[[Any, Any], Iterator[str]]


_PRICES: Final = _Words((_content, _name, _measured, _event_type), describe_price, compare_prices)
_ENTITLEMENTS: Final = _Words((_content, _name, _asset), _describe, _compare)
_COMMITMENTS: Final = _Words((_content, _name, _asset), describe_commitment, compare_commitments)
