"""One year of each business model, by a test clock. Each ends with balances, revenue, what is
deferred and what broke, worked out by hand, and with books that balance."""

from datetime import timedelta
from decimal import Decimal

import pytest
from tests.ledger.shop import tell
from tests.scenarios.year import Year, a_year, fixed, included, usage

from faregate.core.problems import FaregateError
from faregate.customers.types import UpdateSubscribedProduct
from faregate.platform.accounts import CreateAccount
from faregate.platform.clocks import CreateTestClock

MONTHS = [f"2026-{month:02}-01" for month in range(2, 13)] + ["2027-01-01"]


def test_pay_as_you_go(database_url: str):
    """Tokens at 2 USD a million, from 10 million a month on at 1; topped up when it runs low."""

    async def story() -> None:
        async with a_year(database_url) as year:
            tiers = (
                {"up_to": 10_000_000, "volume_rate": 2, "package_size": 1_000_000},
                {"volume_rate": 1, "package_size": 1_000_000},
            )
            price = usage(
                "llm",
                "USD",
                *tiers,
                field="tokens",
                pricing_model="tiered",
                tiering={"basis": "volume", "period": "monthly"},
            )
            await year.sell("tokens", price)
            ada = await year.customer()
            await year.subscribe(ada, "tokens")
            top_ups = 0
            for month in MONTHS:
                for _ in range(4):
                    if await year.balance(ada) < 10:
                        await year.pay(ada, "50")
                        top_ups += 1
                    await year.use(ada, "llm", tokens=4_000_000)
                await year.go(month)
            # 16 million a month: 10 x 2 + 6 x 1 = 26 USD, 312 a year; 50 at a time are 7 top-ups.
            assert top_ups == 7
            assert await year.balance(ada) == 350 - 312
            assert await year.books() == {
                "USD adjustments": Decimal(-350),
                "USD revenue": Decimal(312),
                "USD wallets": Decimal(38),
            }

    tell(story())


def test_a_subscription_with_seats(database_url: str):
    """30 USD a seat and month: 2 seats, 5 from mid-April on, 3 from August on."""

    async def story() -> None:
        async with a_year(database_url) as year:
            await year.sell("team", fixed("30", seats=1))
            ada = await year.customer()
            await year.pay(ada, "2000")
            subscription = await year.subscribe(ada, "team", quantity=2)
            product = (await year.engine.list_products()).items[0].id

            async def seats(quantity: int) -> object:
                request = UpdateSubscribedProduct(quantity=quantity)
                return await year.engine.move_subscription(ada, subscription, product, request)

            await year.go("2026-04-16")
            # April has 30 days, 15 are left: 3 seats x 30 / 2.
            raised = await seats(5)
            assert [fee.amount for fee in raised.fees] == [45]
            await year.go("2026-07-10")
            lowered = await seats(3)
            assert lowered.fees == []
            assert f"{lowered.effective_at:%m-%d}" == "08-01"
            await year.go("2026-12-31")
            # January to April 4 x 60, 45 in April, May to July 3 x 150, August to December 5 x 90.
            assert await year.balance(ada) == 2000 - (240 + 45 + 450 + 450)
            assert (await year.books())["USD revenue"] == 1185

    tell(story())


def test_a_hybrid_of_a_plan_with_credit_and_use_beyond_it(database_url: str):
    """20 USD a month with 1,000 credits, each worth 0.015 when it is used; beyond them, packs."""

    async def story() -> None:
        async with a_year(database_url) as year:
            await year.credits()
            entitlement = included(1000, accounting={"revenue_basis": Decimal("0.015")})
            image = usage("image", "CREDITS", {"unit_price": 10})
            await year.sell("studio", fixed("20"), image, entitlements=[entitlement])
            ada = await year.customer()
            await year.pay(ada, "240")
            await year.subscribe(ada, "studio")
            used = 0
            for number, month in enumerate(MONTHS):
                # 60 images in January, then 10 more each month: from June on more than included.
                for _ in range(60 + 10 * number):
                    used += 10
                    await year.use(ada, "image")
                if number == 4:
                    await year.pay(ada, "4000", "CREDITS")
                if month < "2027":
                    await year.go(month)
            # Of the plan 600, 700, 800, 900 and 1,000 are used, then 1,000 each month.
            assert used == 13_800
            beyond = 100 + 200 + 300 + 400 + 500 + 600 + 700
            assert await year.balance(ada, "CREDITS") == 4000 - beyond
            assert await year.balance(ada) == 0
            books = await year.books()
            assert books["USD revenue"] == 240
            assert books["CREDITS revenue"] == 13_800
            assert books["CREDITS breakage"] == 400 + 300 + 200 + 100
            # 11,000 of the plan's 12,000 were used, 1,000 broke, none is left to be earned.
            (credit,) = await year.engine.credit_revenue()
            assert (credit.granted, credit.used, credit.left, credit.broken) == (
                12_000,
                11_000,
                0,
                1_000,
            )
            revenue = (credit.earned_revenue, credit.deferred_revenue, credit.broken_revenue)
            assert revenue == (165, 0, 15)
            assert sum(revenue) == credit.granted * Decimal("0.015")

    tell(story())


def test_a_reseller_with_connected_accounts(database_url: str):
    """A platform and two shops on it: each sells for itself, and nothing crosses."""

    async def story() -> None:
        async with a_year(database_url) as platform:
            engine = platform.engine
            shops = []
            for name, price in (("Bob", "10"), ("Eve", "25")):
                made = await engine.create_account(CreateAccount(name))
                context = await engine.acting_for(made.id, "test")
                shop = Year(engine, database_url, context)
                clock = await engine.create_test_clock(CreateTestClock(shop.now), context=context)
                shop.clock_id = clock.id
                await shop.sell("plan", fixed(price))
                shops.append(shop)
            bob, eve = shops
            adas = []
            for shop in shops:
                ada = await shop.customer("Ada")
                await shop.pay(ada, "400")
                await shop.subscribe(ada, "plan")
                adas.append(ada)
            await bob.go("2026-12-31")
            # Eve's year has not begun to pass.
            assert (await bob.balance(adas[0]), await eve.balance(adas[1])) == (280, 375)
            await eve.go("2026-07-15")
            assert await eve.balance(adas[1]) == 400 - 7 * 25
            for shop, others in ((bob, adas[1]), (eve, adas[0])):
                with pytest.raises(FaregateError, match="no customer"):
                    await shop.balance(others)
                assert (await engine.list_customers(context=shop.context)).total_count == 1
            # The platform itself has sold nothing.
            assert (await engine.list_customers()).total_count == 0
            assert await platform.books() == {}
            revenues = [(await shop.books())["USD revenue"] for shop in shops]
            assert revenues == [120, 175]

    tell(story())


def test_credit_packs_that_expire(database_url: str):
    """Packs of 500 credits that last 90 days, with 50 more as a gift for 30 days."""

    async def story() -> None:
        async with a_year(database_url) as year:
            await year.credits()
            await year.sell("calls", usage("call", "CREDITS", {"unit_price": 1}))
            ada = await year.customer()
            await year.subscribe(ada, "calls")

            async def pack() -> None:
                ends_at = year.now + timedelta(days=90)
                await year.pay(ada, "500", "CREDITS", expires_at=ends_at)
                gift_ends_at = year.now + timedelta(days=30)
                await year.pay(ada, "50", "CREDITS", reason="gift", expires_at=gift_ends_at)

            await pack()
            for _ in range(120):
                await year.use(ada, "call")
            # The gift burnt first.
            assert await year.balance(ada, "CREDITS") == 430
            await year.go("2026-03-31")
            assert await year.balance(ada, "CREDITS") == 430
            await year.go("2026-04-01")
            # 90 days after 1 January: what was left broke.
            assert await year.balance(ada, "CREDITS") == 0
            await pack()
            await year.go("2026-05-01")
            assert await year.balance(ada, "CREDITS") == 500
            await year.go("2026-06-29 23:59:59")
            for _ in range(300):
                await year.use(ada, "call")
            await year.go("2026-12-31")
            books = await year.books()
            assert books == {
                "CREDITS adjustments": Decimal(-1100),
                "CREDITS revenue": Decimal(420),
                "CREDITS breakage": Decimal(430 + 50 + 200),
            }

    tell(story())
