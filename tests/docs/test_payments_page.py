"""The page about payments: its test cards are those of the sandbox, its bonuses what they come to,
and its settings are taken."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from faregate.catalog.types import UpdateAsset
from faregate.core.assets import CURRENCIES
from faregate.core.bonuses import bonus_for, check_bonuses
from faregate.core.codec import decode_request
from faregate.core.payment_rules import PaymentRules, check_payments
from faregate.payments.cards import CARDS

PAGE = (Path(__file__).parents[2] / "docs/payments.md").read_text()
SETTINGS, BONUS = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| (\d+) \| (\d+)(?: \(`(\w+)`\))? \| (\d+)(?: \(`(\w+)`\))? \|$", PAGE, re.M)


def test_the_table_of_cards_is_the_sandboxes() -> None:
    listed = re.findall(r"^\| `(\d{16})` \| (.*) \|$", PAGE, re.M)
    assert listed == [(card.number, card.shown) for card in CARDS]


def test_the_settings_are_taken() -> None:
    rules = decode_request(PaymentRules, json.dumps(json.loads(SETTINGS)["payments"]).encode())
    assert check_payments(rules, CURRENCIES) is None
    assert rules.blocks_on_dispute


def test_bonuses_come_to_what_the_table_says() -> None:
    usd, now = CURRENCIES["USD"], datetime(2026, 3, 2, tzinfo=UTC)
    rules = decode_request(UpdateAsset, BONUS.encode()).top_up_bonus
    assert check_bonuses(rules, usd) is None
    assert len(ROWS) == 4
    for amount, first, first_rule, later, later_rule in ROWS:
        for had, bonus, rule in (((), first, first_rule), (("first",), later, later_rule)):
            found = bonus_for(rules, int(amount) * 10**9, usd, had, now)
            shown = (0, "") if found is None else (found.units, found.rule)
            assert shown == (int(bonus) * 10**9, rule)
