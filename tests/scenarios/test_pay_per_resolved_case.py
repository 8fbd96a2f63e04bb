"""Two businesses whose fees follow the outcome, worked out by hand: an agent that is paid per
resolved case (a simple one costs 1 USD, a complex one 3, nothing before it is known that it was
resolved), and a plan whose credit comes back."""

from decimal import Decimal

import pytest
from tests.ledger.shop import tell
from tests.scenarios.year import a_year, at, included, usage

from faregate.core.problems import INVALID, FaregateError

MONTHS = [f"2026-{month:02}" for month in range(1, 13)] + ["2027-01"]
KINDS = [
    {"dimensions": {"kind": "simple"}, "values": [{"unit_price": 1}]},
    {"dimensions": {"kind": "complex"}, "values": [{"unit_price": 3}]},
]


def case_price() -> dict[str, object]:
    price = usage("case", "USD", *KINDS)
    price["usage_calculation"]["billable_dimensions"] = ["kind"]
    return price


def test_pay_per_resolved_case(database_url: str):
    """30 cases on the first of each month. On the 10th of the next one 24 are confirmed, 2 turn out
    to be complex, and 4 were not resolved; on the 20th one that was paid is opened again."""

    async def story() -> None:
        async with a_year(database_url) as year:
            await year.sell("desk", case_price())
            ada = await year.customer()
            await year.subscribe(ada, "desk")
            forgotten = await year.case(ada, "case", kind="simple")
            before: list[str] = []
            for number, month in enumerate(MONTHS):
                await year.go(f"{month}-01")
                if number % 3 == 0 and number < 12:
                    await year.pay(ada, "100")
                opened = []
                if number < 12:
                    opened = [await year.case(ada, "case", kind="simple") for _ in range(30)]
                if number == 1:
                    ends_at = at("2026-02-15")
                    await year.pay(ada, "20", reason="gift", expires_at=ends_at)
                await year.go(f"{month}-10")
                balance = await year.balance(ada)
                for case in before[:24]:
                    await year.settle(ada, case, "confirmed")
                for case in before[24:26]:
                    await year.settle(ada, case, "changed", kind="complex")
                for case in before[26:]:
                    await year.settle(ada, case, "withdrawn")
                # 24 x 1 + 2 x 3.
                assert await year.balance(ada) == balance - (30 if before else 0)
                await year.go(f"{month}-20")
                if before:
                    reopened = await year.settle(ada, before[0], "withdrawn")
                    # The first one was paid by the gift, which is over since the 15th.
                    anew = [text for text in reopened.warnings if "granted anew" in text]
                    assert len(anew) == (number == 1)
                    assert reopened.net_units == {"USD": -(10**9)}
                if month == "2026-05":
                    with pytest.raises(FaregateError) as late:
                        await year.settle(ada, forgotten, "confirmed")
                    assert late.value.problem.kind is INVALID
                before = opened
            # Twelve months of 30, less the twelve that were opened again: 348 of 4 x 100 and a
            # gift of 20. What came back of the gift paid in March, came back on the 20th once more,
            # and was over on the 22nd.
            assert await year.balance(ada) == 420 - 348 - 1
            assert await year.books() == {
                "USD adjustments": Decimal(-420),
                "USD revenue": Decimal(348),
                "USD wallets": Decimal(71),
                "USD breakage": Decimal(1),
            }
            shown = (await year.engine.list_events(100, 0, {"has_fees": True})).total_count
            assert shown == 12 * 25
            _, waits = await year.engine.get_event(forgotten)
            assert (waits.outcome, waits.result.fees) == ("pending", ())

    tell(story())


def test_plan_credit_that_comes_back_after_its_month_is_not_earned(database_url: str):
    """100 credits a month, each worth 0.1 when it is used; a film of 60 is withdrawn late."""

    async def story() -> None:
        async with a_year(database_url) as year:
            await year.credits()
            entitlement = included(100, accounting={"revenue_basis": Decimal("0.1")})
            film = usage("film", "CREDITS", {"unit_price": 60})
            await year.sell("studio", film, entitlements=[entitlement])
            ada = await year.customer()
            await year.subscribe(ada, "studio")
            made = await year.use(ada, "film")

            async def credit() -> tuple[Decimal, ...]:
                (found,) = await year.engine.credit_revenue()
                return found.granted, found.used, found.left, found.broken, found.earned_revenue

            assert await credit() == (100, 60, 40, 0, 6)
            await year.go("2026-02-10")
            assert await credit() == (200, 60, 100, 40, 6)
            await year.settle(ada, made.event_id, "withdrawn")
            # February's 100, and 60 of January's that are there again until 12 March.
            assert await year.balance(ada, "CREDITS") == 160
            assert await credit() == (200, 0, 160, 40, 0)
            await year.go("2026-04-01")
            assert await credit() == (400, 0, 100, 40 + 60 + 200, 0)
            await year.books()

    tell(story())
