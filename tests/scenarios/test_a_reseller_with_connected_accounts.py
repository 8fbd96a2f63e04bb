"""A reseller with connected accounts lives a year: the platform charges its sellers for their seats
and acts for one of them, the other one comes with a key of its own. All three use the same names
for their products, events and payments, each by a clock of its own, and nothing crosses."""

from decimal import Decimal

import pytest
from tests.ledger.shop import Clock, assert_clean, tell
from tests.scenarios.year import Year, a_year, at, begin_year, fixed, included, usage

from faregate import Engine
from faregate.core.problems import FaregateError
from faregate.customers.types import CreateCustomer
from faregate.platform.accounts import CreateAccount

MONTHS = [f"2026-{month:02}-01" for month in range(2, 13)] + ["2026-12-31"]
"""The days to which a clock goes; each time after a month's use."""


async def talk(year: Year, customers: list[str]) -> None:
    """A month of the seller of calls, 0.03 USD a minute: 100 minutes of one, 50 of the other."""
    for customer, minutes in zip(customers, (100, 50), strict=True):
        await year.use(customer, "call", minutes=minutes)


async def draw(year: Year, customer: str) -> None:
    """A month of the seller of images: 8 at 10 credits each, and 10 calls at 0.10 USD each."""
    for _ in range(8):
        await year.use(customer, "image")
    for _ in range(10):
        await year.use(customer, "call", minutes=1000)


async def counts(year: Year) -> list[int]:
    """How many things an account has: customers, products, clocks."""
    engine, context = year.engine, year.context
    pages = [
        await engine.list_customers(context=context),
        await engine.list_products(context=context),
        await engine.list_test_clocks(context=context),
    ]
    return [page.total_count for page in pages]


def test_a_reseller_lives_a_year_with_two_connected_accounts(database_url: str):
    async def story() -> None:
        async with a_year(database_url) as platform:
            engine, own = platform.engine, platform.context

            # The platform acts for the seller of calls; the seller of images has a key.
            made = await engine.create_account(CreateAccount("Calls", "seller-1"))
            calls = await begin_year(engine, database_url, await engine.acting_for(made.id, "test"))
            made = await engine.create_account(CreateAccount("Images", "seller-2"))
            _, secret = await engine.create_key("test", "admin", "app", account_id=made.id)
            key = await engine.find_key(secret)
            assert key is not None
            images = await begin_year(engine, database_url, key.context)
            assert key.context == await engine.acting_for(made.id, "test")

            # Each has a product of the same code; what it costs is each one's own affair.
            await platform.sell("calls", fixed("15"))
            per_minute = usage("call", "USD", {"volume_rate": Decimal("0.03")}, field="minutes")
            await calls.sell("calls", per_minute)
            await images.credits()
            per_call = usage("call", "USD", {"unit_price": Decimal("0.10")})
            await images.sell("calls", per_call)
            image = usage("image", "CREDITS", {"unit_price": 10})
            basis = {"revenue_basis": Decimal("0.2")}
            plan = included(100, accounting=basis)
            await images.sell("studio", fixed("20"), image, entitlements=[plan])

            sellers = [await platform.customer(name) for name in ("Calls", "Images")]
            for seller in sellers:
                await platform.pay(seller, "200")
                await platform.subscribe(seller, "calls")
            ada, ben = [await calls.customer(name) for name in ("Ada", "Ben")]
            for customer, amount in ((ada, "200"), (ben, "50")):
                await calls.pay(customer, amount)
                await calls.subscribe(customer, "calls")
            cleo = await images.customer("Cleo")
            await images.pay(cleo, "300")
            await images.subscribe(cleo, "studio")
            await images.subscribe(cleo, "calls")

            # The first seller's half year passes, the second one's clock stands still.
            for month in MONTHS[:6]:
                await talk(calls, [ada, ben])
                await calls.go(month)
            assert await calls.balance(ada) == 200 - 6 * 3
            assert await images.balance(cleo) == 300 - 20
            assert await images.balance(cleo, "CREDITS") == 100
            assert [await platform.balance(seller) for seller in sellers] == [185, 185]
            for month in MONTHS:
                await draw(images, cleo)
                await images.go(month)
            for month in MONTHS[6:]:
                await talk(calls, [ada, ben])
                await calls.go(month)
            await platform.go("2026-12-31")

            # The platform: 2 sellers x 12 x 15 = 360.
            assert [await platform.balance(seller) for seller in sellers] == [20, 20]
            assert await platform.books() == {
                "USD adjustments": Decimal(-400),
                "USD revenue": Decimal(360),
                "USD wallets": Decimal(40),
            }
            # Calls: 12 x (100 + 50) x 0.03 = 54, of which 36 are Ada's.
            assert [await calls.balance(ada), await calls.balance(ben)] == [164, 32]
            assert await calls.books() == {
                "USD adjustments": Decimal(-250),
                "USD revenue": Decimal(54),
                "USD wallets": Decimal(196),
            }
            # Images: 12 x 20 for the plan and 12 x 10 x 0.10 for calls are 252. Of 12 x 100
            # credits 960 were used, 20 broke at each of 11 renewals, and December's 20 are left.
            assert await images.balance(cleo) == 48
            assert await images.balance(cleo, "CREDITS") == 20
            assert await images.books() == {
                "USD adjustments": Decimal(-300),
                "USD revenue": Decimal(252),
                "USD wallets": Decimal(48),
                "CREDITS entitlements": Decimal(-1200),
                "CREDITS revenue": Decimal(960),
                "CREDITS breakage": Decimal(220),
                "CREDITS wallets": Decimal(20),
            }
            (credit,) = await engine.credit_revenue(context=images.context)
            assert (credit.earned_revenue, credit.broken_revenue) == (192, 44)
            assert await engine.credit_revenue(context=calls.context) == []
            assert await engine.credit_revenue(context=own) == []

            # Nothing crossed: each has what it made, and what the others have is not there.
            assert await counts(platform) == [2, 1, 1]
            assert await counts(calls) == [2, 1, 1]
            assert await counts(images) == [1, 2, 1]
            shops = {calls: ada, images: cleo, platform: sellers[0]}
            for shop in shops:
                for other, customer in shops.items():
                    if other is not shop:
                        with pytest.raises(FaregateError, match="there is no customer"):
                            await shop.balance(customer)
                        with pytest.raises(FaregateError, match="there is no customer"):
                            await shop.pay(customer, "1")
            await assert_clean(engine)

    tell(story())


def test_what_is_due_for_a_connected_account_is_found_and_done(database_url: str):
    async def story() -> None:
        clock = Clock(at("2026-01-01"))
        async with Engine.open(database_url, clock=clock) as engine:
            made = await engine.create_account(CreateAccount("Seller"))
            context = await engine.acting_for(made.id, "test")
            shop = Year(engine, database_url, context)
            await shop.sell("seats", fixed("15"))
            customer = await engine.create_customer(CreateCustomer("Ada"), context=context)
            await shop.pay(customer.id, "100")
            await shop.subscribe(customer.id, "seats")
            assert not await engine.has_due_work()
            clock.move(days=40)
            assert await engine.has_due_work()
            assert (await engine.list_due_work()).total_count == 0
            assert (await engine.list_due_work(context=context)).total_count == 1
            assert await engine.work() == 1
            assert not await engine.has_due_work()
            assert await shop.balance(customer.id) == 70

    tell(story())
