"""Why one grant is used before another, in words: what `grants.order_of_use` decides by, said of
two neighbours.

    >>> why_before(gift, bought)
    'promotion goes before paid'
"""

from __future__ import annotations

from collections.abc import Sequence

from faregate.core.grants import Grant


def why_before(first: Grant, second: Grant) -> str:
    """Say why `first` is used before `second`, which comes later in the order of use."""
    if first.priority != second.priority:
        return f"priority {first.priority:,} goes before {second.priority:,}"
    if first.purpose != second.purpose:
        return f"{first.purpose} goes before {second.purpose}"
    if first.expires_at != second.expires_at:
        if second.expires_at is None:
            return "what expires goes before what does not"
        return "what expires first goes first"
    return "what is older goes first"


def places(grants: Sequence[Grant]) -> list[str]:
    """Say of each of an account's grants, which come in their order of use, why it is where it is:
    of the first why it is before the next one, of the others why they are after the one before."""
    said = []
    for index, grant in enumerate(grants):
        if index:
            words = f"After the one above: {why_before(grants[index - 1], grant)}"
        elif len(grants) > 1:
            words = f"Used first: {why_before(grant, grants[1])}"
        else:
            words = "Used first: there is no other"
        scope = _scope(grant)
        said.append(f"{words}. {scope}" if scope else f"{words}.")
    return said


def _scope(grant: Grant) -> str:
    """Say what a grant is limited to; nothing if it pays for everything."""
    limited = grant.limited_to
    if limited is None:
        return ""
    parts = []
    if limited.event_types is not None:
        parts.append(f"events {', '.join(limited.event_types)}")
    if limited.products is not None:
        parts.append(f"products {', '.join(limited.products)}")
    if limited.dimensions is not None:
        values = [f"{name}={value}" for name, value in limited.dimensions.items()]
        parts.append(", ".join(values))
    return f"Only for {' with '.join(parts)}: everything else passes it by."
