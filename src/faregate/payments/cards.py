"""The sandbox's cards: numbers that nobody has, and what becomes of whoever pays with them. They
are those that Stripe documents for its test mode (docs.stripe.com/testing), which people know.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import msgspec


class TestCard(msgspec.Struct, frozen=True):
    """A card: its brand, what a charge comes to (None: success; else a `ProviderRefused` code and
    its text), whether the customer must confirm when present, or always, and whether a successful
    charge is disputed afterwards."""

    number: str
    brand: str
    shown: str
    code: str | None = None
    text: str | None = None
    confirms: bool = False
    confirms_always: bool = False
    fails_later: bool = False
    is_disputed: bool = False

    @property
    def spelled(self) -> str:
        """Return the number in groups of four, as cards show it."""
        return " ".join([self.number[at : at + 4] for at in range(0, len(self.number), 4)])

    @property
    def last4(self) -> str:
        """Return the last four digits, which no other test card has."""
        return self.number[-4:]


_DECLINED: Final = "The card was declined."

CARDS: Final = (
    TestCard("4242424242424242", "visa", "succeeds"),
    TestCard("5555555555554444", "mastercard", "succeeds"),
    TestCard("4000000000000002", "visa", "is declined", "card_declined", _DECLINED),
    TestCard(
        "4000000000009995",
        "visa",
        "has insufficient funds",
        "insufficient_funds",
        "The card has insufficient funds.",
    ),
    TestCard("4000000000000069", "visa", "has expired", "expired_card", "The card has expired."),
    TestCard("4000002500003155", "visa", "is confirmed once (3-D Secure)", confirms=True),
    TestCard(
        "4000002760003184",
        "visa",
        "is confirmed each time (3-D Secure)",
        confirms=True,
        confirms_always=True,
    ),
    TestCard(
        "4000000000000341",
        "visa",
        "is saved, and declined when it is charged later",
        "card_declined",
        _DECLINED,
        fails_later=True,
    ),
    TestCard("4000000000000259", "visa", "succeeds, and is disputed", is_disputed=True),
)
BY_NUMBER: Final = {card.number: card for card in CARDS}


def find_card(number: str) -> TestCard | None:
    """Find a test card; spaces and hyphens in the number do not count."""
    return BY_NUMBER.get(number.replace(" ", "").replace("-", ""))


_EXPIRY: Final = re.compile(r"\s*(\d{1,2})\s*[/-]?\s*(?:20)?(\d{2})\s*")
_CODE: Final = re.compile(r"\s*\d{3,4}\s*")
_CENTURY: Final = 2000
_MONTHS: Final = 12


def wrong_details(expiry: str, code: str, now: datetime) -> str | None:
    """Say what is wrong with a card's expiry (`12/40`) or its security code; None: nothing."""
    found = _EXPIRY.fullmatch(expiry)
    if found is None or not 1 <= int(found[1]) <= _MONTHS:
        return "The expiry date is not readable: write month and year, e.g. 12/40."
    if (_CENTURY + int(found[2]), int(found[1])) < (now.year, now.month):
        return "The expiry date is in the past: any month to come will do."
    if _CODE.fullmatch(code) is None:
        return "The security code has three or four digits: any will do."
    return None
