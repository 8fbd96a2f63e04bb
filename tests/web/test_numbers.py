"""The page's own arithmetic: amounts in pieces, the minute's ring, and running totals."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.web.live import LiveServer

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.assets import CURRENCIES, Asset
from faregate.core.events import UsageEvent
from faregate.core.transactions import ChargeRequest
from faregate.ledger import totals as ledger_totals
from faregate.web.money import show_amount
from faregate.web.rate import SECONDS, Rate
from faregate.web.sparkline import draw
from faregate.web.tally import Tally


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


def test_each_charge_is_counted_once(server: LiveServer):
    server.add_product()
    ada, ben = server.add_customer("Ada"), server.add_customer("Ben")
    totals = Tally(server.engine, server.engine.context_of("test"))
    for times in (1, 20, 3, 0, 40):
        for _ in range(times):
            server.use(ada)
        server.use(ben, 2)
        server.run(lambda _: totals.refresh())
    assert (totals.events, totals.is_whole) == (64 + 10, True)
    assert totals.units == {"USD": 74 * 12_500_000}
    assert totals.customers[ben] == {"USD": 10 * 12_500_000}
    assert totals.heaviest(1)[0][0] == ada


def test_a_charge_without_an_event_and_another_asset_are_counted(server: LiveServer):
    ada, ben = (server.add_customer_without_product(name) for name in ("Ada", "Ben"))
    totals = Tally(server.engine, server.engine.context_of("test"))
    charges = [
        (ada, "USD", "2.5"),
        (ada, "EUR", "0.000000001"),
        (ada, "EUR", "8999999999"),
        (ben, "EUR", "9000000000"),
    ]
    for customer_id, asset, amount in charges:
        charge = ChargeRequest(f"{asset}-{amount}", asset, Number(amount))
        server.run(lambda engine, c=customer_id, charge=charge: engine.charge(c, charge))
    server.run(lambda _: totals.refresh())
    assert totals.events == 0
    assert totals.units == {"USD": 2_500_000_000, "EUR": 17_999_999_999_000_000_001}


def test_the_other_mode_is_not_counted(server: LiveServer):
    server.add_product()
    server.use(server.add_customer("Ada"), 3)
    totals = Tally(server.engine, server.engine.context_of("live"))
    server.run(lambda _: totals.refresh())
    assert (totals.events, dict(totals.units)) == (0, {})


def test_a_refresh_while_a_writer_works_misses_nothing(server: LiveServer):
    server.add_product()
    ada = server.add_customer("Ada")
    totals = Tally(server.engine, server.engine.context_of("test"))

    async def write_and_count(engine: Engine) -> None:
        async def write() -> None:
            for n in range(200):
                event = UsageEvent(f"w-{n}", "api_call", datetime.now(UTC))
                await engine.record_events(ada, [event])

        writer = asyncio.create_task(write())
        while not writer.done():
            await totals.refresh()
        await totals.refresh()

    server.run(write_and_count)
    assert totals.events == 200
    assert totals.units == {"USD": 200 * 12_500_000}


def test_a_history_too_long_to_go_through_is_left_out_and_said_so(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ledger_totals, "MAX_ROWS", 10)
    server.add_product()
    ada = server.add_customer("Ada")
    server.use(ada, 50)
    totals = Tally(server.engine, server.engine.context_of("test"))
    server.run(lambda _: totals.refresh())
    assert not totals.is_whole
    assert totals.units["USD"] < 50 * 12_500_000
    counted = totals.events
    server.use(ada, 4)
    server.run(lambda _: totals.refresh())
    assert totals.events == counted + 4
    assert not totals.is_whole
