"""What customers set for themselves: limits on what they spend, beside those of the seller, which
hold all the same. A limit of their own may be lower than the seller's, never higher: it would look
as if more could be spent than can.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, structs

from faregate.core.amounts import Number, plain, to_decimal
from faregate.core.limits import Limit, LimitChange, LimitRequest
from faregate.core.prices import WILDCARD, Key
from faregate.core.problems import Problem, invalid
from faregate.core.windows import Period


class OwnLimit(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """At most `amount` of an asset per period, for all that is used or for one `subject` (`"*"`:
    for each by itself). `hard` declines what would pass it, `soft` says so once."""

    amount: Number
    asset: Key
    period: Period = "month"
    mode: Literal["hard", "soft"] = "hard"
    subject: Annotated[str, Meta(min_length=1, max_length=200)] | None = None

    def request(self) -> LimitRequest:
        """Return it as any limit is asked for."""
        return LimitRequest(
            self.amount, self.period, self.mode, asset=self.asset, subject=self.subject
        )


class OwnLimitChange(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What is given is changed, what was counted stays."""

    amount: Number | None = None
    mode: Literal["hard", "soft"] | None = None

    def change(self) -> LimitChange:
        """Return it as any limit is changed."""
        return LimitChange(self.amount, self.mode)


def own(limit: Limit) -> Limit:
    """Return a limit as one that the customer has set."""
    return structs.replace(limit, set_by="customer")


def check_own_limit(limit: Limit, others: Iterable[Limit]) -> Problem | None:
    """Refuse a customer's limit that is above one of the seller's for the same."""
    for other in others:
        if other.set_by == "seller" and _is_above(limit, other):
            most = plain(to_decimal(other.amount_units, other.scale))
            shown = plain(to_decimal(limit.amount_units, limit.scale))
            per = "in all" if other.period == "lifetime" else f"per {other.period}"
            detail = f"is {shown}, and {most} {other.unit} {per} is the limit that holds already"
            return invalid("amount", f"{detail}: send less")
    return None


def _is_above(limit: Limit, other: Limit) -> bool:
    """Tell whether a limit lets more pass than another one that holds for the same use."""
    if other.mode != "hard" or other.measure != "fees" or other.asset != limit.asset:
        return False
    if (other.period, other.window) != (limit.period, limit.window):
        return False
    if other.event_type is not None or other.dimensions is not None:
        return False
    # One for each subject holds for a single one as well.
    is_same = other.subject in (None, limit.subject) or (
        other.subject == WILDCARD and limit.subject is not None
    )
    return is_same and limit.amount_units > other.amount_units
