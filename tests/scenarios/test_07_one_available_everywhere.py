"""100.00 prepaid; 30.00 of real-time fees; 12.00 for a fixed price paid from the wallet. Available
is 58.00 at each place where it is shown; nothing is subtracted twice.

Seen at getlago/lago-api#2542 and #3338.
"""

from datetime import timedelta

from tests.ledger.plans import member, monthly
from tests.ledger.shop import NOON, USD, Clock, assert_clean, book, tell, usage_price, use

from faregate import Engine
from faregate.catalog.types import CreateProduct
from faregate.core.amounts import Number
from faregate.core.codec import decode, encode
from faregate.core.hold_requests import HoldRequest


def test_what_is_left_is_the_same_wherever_it_is_shown(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            product = {
                "name": "Pro",
                "code": "pro",
                "publish": True,
                "prices": [monthly(12), usage_price("1")],
            }
            await engine.create_product(decode(CreateProduct, encode(product)))
            ada = await member(engine, "100")
            result = await book(engine, ada, use("thirty", 30, NOON))
            assert result.balances == {USD: 58 * 10**9}
            assert (await engine.get_account(ada, USD)).available == 58
            (account,) = (await engine.get_wallet(ada)).accounts
            assert (account.available, account.pending_out) == (58, 0)
            grants = (await engine.list_grants(ada, USD)).items
            assert sum(grant.available for grant in grants) == 58
            hold = await engine.authorize(
                ada, HoldRequest("h", max_amount=Number("58"), asset="USD")
            )
            assert (hold.status, hold.available_units) == ("authorized", 0)
            await engine.void_hold(ada, hold.id)
            # A month later the next 12 are due: shown so before and after somebody wrote it down.
            clock.now = NOON + timedelta(days=31)
            assert (await engine.get_account(ada, USD)).available == 46
            await engine.work()
            assert (await engine.get_account(ada, USD)).available == 46
            await assert_clean(engine)

    tell(story())
