"""What others may be told of by webhook: each topic, when it is told, and a sample of its data.
Whoever makes a notice registers its topic here; a test holds the page about them to this table.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from faregate.core.limiting import LimitReached
from faregate.core.renewing import SubscriptionNotice


class Topic(NamedTuple):
    """A topic: when it is told, and what such a notice looks like."""

    name: str
    description: str
    sample: Any


_AT: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
_CUSTOMER: Final = "cust_01k8zq4w2h7p8v3c5d6e7f8g9h"
_PLAN: Final = SubscriptionNotice(_CUSTOMER, "sub_01k8zq4w2h7p8v3c5d6e7f8g9h", _AT)
_UNPAID: Final = SubscriptionNotice(
    _CUSTOMER, _PLAN.subscription_id, _AT, "default:USD lacks 10 USD for the renewal"
)
_LIMIT: Final = LimitReached(
    _CUSTOMER,
    "lim_01k8zq4w2h7p8v3c5d6e7f8g9h",
    "soft",
    "amount",
    "USD",
    Decimal(100),
    Decimal("100.25"),
    _AT,
    name="Spend per day",
    resets_at=datetime(2026, 3, 3, tzinfo=UTC),
)

TOPICS: Final[tuple[Topic, ...]] = (
    Topic("subscription.activated", "A subscription has begun", _PLAN),
    Topic("subscription.deactivated", "A subscription has ended", _PLAN),
    Topic("subscription.renewed", "A new period of a subscription has begun", _PLAN),
    Topic(
        "subscription.action_required",
        "A subscription cannot begin: the balance does not cover what is due first",
        _UNPAID,
    ),
    Topic("subscription.payment_failed", "A renewal could not be paid; it is tried again", _UNPAID),
    Topic("limit.reached", "A limit is reached, or was in the way; once in its window", _LIMIT),
)
BY_NAME: Final = {topic.name: topic for topic in TOPICS}
