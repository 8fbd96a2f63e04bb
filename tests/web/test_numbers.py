"""The page's own arithmetic: amounts in pieces, the minute's ring, and answers that are kept."""

import asyncio
from decimal import Decimal

import pytest

from faregate.core.assets import CURRENCIES, Asset
from faregate.web.kept import Kept
from faregate.web.money import show_amount, show_sum
from faregate.web.rate import SECONDS, Rate
from faregate.web.sparkline import draw


@pytest.mark.parametrize(
    ("amount", "asset", "main", "fine"),
    [
        ("0", "USD", "$0.00", ""),
        ("1234.5", "USD", "$1,234.50", ""),
        ("-0.000000001", "USD", "-$0.000000001", ""),
        ("1E+3", "JPY", "¥1,000", ""),
        ("0.25", "JPY", "¥0.25", ""),
        ("7.25", "JPY", "¥7", ".25"),
    ],
)
def test_an_amount_is_shown_exactly(amount: str, asset: str, main: str, fine: str):
    shown = show_amount(Decimal(amount), CURRENCIES[asset])
    assert (shown.main, shown.fine) == (main, fine)


def test_a_credit_without_decimals_is_shown_without_a_point():
    assert str(show_amount(Decimal(1200), Asset("TOK", "Tokens", 0, 0))) == "1,200 TOK"


def test_each_second_has_what_was_counted_in_it():
    count, second = [0], [100.0]
    rate = Rate(lambda: count[0], lambda: second[0])
    for rise in (5, 0, 7):
        count[0] += rise
        second[0] += 1
        rate.sample()
        rate.sample()
    assert list(rate.per_second[-3:]) == [5, 0, 7]
    assert len(rate.per_second) == SECONDS
    assert rate.recent == pytest.approx(12 / 5)


def test_seconds_that_nobody_sampled_share_what_was_counted():
    count, second = [0], [0.0]
    rate = Rate(lambda: count[0], lambda: second[0])
    count[0], second[0] = 7, 3.0
    rate.sample()
    assert list(rate.per_second[-3:]) == [3, 2, 2]
    second[0] += 10_000
    rate.sample()
    assert sum(rate.per_second) == 0


def test_the_highest_second_touches_the_top_and_an_idle_minute_lies_on_the_ground():
    assert draw([0, 10]).line == "M0.0,95.0 L600.0,6.0"
    assert draw([0, 0]).line == "M0.0,95.0 L600.0,95.0"


def test_a_sum_is_rounded_unless_it_is_so_small_that_this_would_tell_another_story():
    amounts = ("1234.5650", "-0.5595784", "0.1", "0.0962", "0.00031")
    shown = [show_sum(Decimal(amount), CURRENCIES["USD"]).main for amount in amounts]
    assert shown == ["$1,234.56", "-$0.56", "$0.10", "$0.09", "$0.00031"]
    assert show_sum(Decimal("0.0962"), CURRENCIES["USD"]).fine == "62"


def test_whoever_asks_within_a_moment_gets_the_same_answer():
    second, asked = [0.0], [0]
    kept = Kept(lambda: second[0])

    async def ask() -> int:
        await asyncio.sleep(0)
        asked[0] += 1
        return asked[0]

    async def story() -> None:
        assert await asyncio.gather(*[kept.get("a", 1, ask) for _ in range(5)]) == [1] * 5
        assert await kept.get("b", 1, ask) == 2
        second[0] = 0.9
        assert await kept.get("a", 1, ask) == 1
        second[0] = 1.0
        assert await kept.get("a", 1, ask) == 3
        # What takes long is shown a little older, and asked for once meanwhile.
        second[0] = 9.0
        again = [kept.get("a", 1, ask, stale_seconds=10) for _ in range(5)]
        assert await asyncio.gather(*again) == [3] * 5
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await kept.get("a", 1, ask, stale_seconds=10) == 4
        second[0] = 19.0
        assert await kept.get("a", 1, ask, stale_seconds=10) == 5
        second[0] = 25.0
        async with kept.renewing():
            assert await kept.get("a", 1, ask, stale_seconds=10) == 5
        assert asked[0] == 5

    asyncio.run(story())
