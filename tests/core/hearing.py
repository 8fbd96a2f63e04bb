"""Somebody who hears everything that is told of a customer, and nothing else; and what they must
know then, by looking at the wallet itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tests.core.builders import Book

from faregate.core.accounts import BREAKAGE
from faregate.core.amounts import to_decimal
from faregate.core.codec import encode
from faregate.core.limiting import Notice
from faregate.core.timeline import advance
from faregate.core.topics import BY_NAME


class Heard:
    """What notices say: which accounts are low or depleted, which grants and holds there were."""

    def __init__(self, notices: Iterable[Notice]) -> None:
        self.low: set[str] = set()
        self.depleted: set[str] = set()
        self.created: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.announced: Counter[tuple[str, Any]] = Counter()
        self.expired_holds: Counter[str] = Counter()
        for notice in notices:
            self.hear(notice)

    def hear(self, notice: Notice) -> None:
        assert type(notice.data) is BY_NAME[notice.topic].shape, notice.topic
        encode(notice.data)
        data = notice.data
        if notice.topic == "wallet.balance_low":
            assert data.account_id not in self.low
            self.low.add(data.account_id)
        elif notice.topic == "wallet.depleted":
            assert data.account_id not in self.depleted
            self.depleted.add(data.account_id)
            self.low.discard(data.account_id)
        elif notice.topic == "wallet.recovered":
            assert data.account_id in self.low | self.depleted
            self.depleted.discard(data.account_id)
            self.low.discard(data.account_id)
            if data.is_low:
                self.low.add(data.account_id)
        elif notice.topic == "grant.created":
            self.created[data.grant_id] += 1
        elif notice.topic == "grant.expired":
            assert data.amount > 0
            self.lost[data.grant_id] += data.amount
        elif notice.topic == "grant.expiring":
            assert data.remaining > 0
            assert data.at < data.expires_at
            self.announced[data.grant_id, data.expires_at] += 1
        elif notice.topic == "hold.expired":
            self.expired_holds[data.hold_id] += 1


def assert_heard(book: Book, had: set[str]) -> None:
    """Hold what was told against the wallet. `had` are the accounts that had something after some
    command; those that have it now are added."""
    heard = Heard(book.notices)
    for read in book.state.accounts.values():
        # One that was just read back is not brought forward yet.
        account = advance(read, book.decided_at).account
        if account.left_units > 0:
            had.add(account.id)
        low = account.watch.low_units
        if low is None:
            low = book.catalog.low_units.get(account.asset, 0)
        is_depleted = account.id in had and account.left_units <= 0
        assert (account.id in heard.depleted) == is_depleted
        is_below = 0 < account.left_units < low
        assert (account.id in heard.low) == is_below
    assert heard.created == dict.fromkeys(book.grants, 1)
    broken: Counter[str] = Counter()
    for transfer in book.transfers:
        if transfer.to_account == BREAKAGE:
            scale = book.catalog.assets[transfer.asset].scale
            broken[transfer.reference] += to_decimal(transfer.units, scale)  # type: ignore[assignment]
    assert heard.lost == broken
    assert all(isinstance(lost, Decimal) for lost in heard.lost.values())
    assert set(heard.announced.values()) <= {1}
    assert set(heard.expired_holds.values()) <= {1}
    expired = {hold.id for hold in book.holds.values() if hold.status == "expired"}
    assert expired <= set(heard.expired_holds)
    for name in heard.expired_holds:
        assert book.state.open_hold(name) is None
