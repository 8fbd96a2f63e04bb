"""20 long jobs start at once on a wallet that can pay for 3: 3 run, 17 are declined before they
cost anything; and a job that a card is to pay for does not start when that is declined.

Seen at octopusreview/octopus#506.
"""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.api.caller import calling, product
from tests.api.conftest import running_server
from tests.ledger.shop import (
    USD,
    Clock,
    assert_clean,
    available,
    give,
    make_customer,
    sell_tokens,
    tell,
    use,
)
from tests.scenarios.cards import (
    DECLINES_LATER,
    GOOD,
    agree,
    ask,
    charged,
    customer,
    leave_card,
    standing,
    top_ups,
    work,
)

from faregate import Engine
from faregate.core.hold_requests import CaptureRequest, HoldRequest

TOKENS = 10
"""What a job uses; at 1 USD each, 32 USD pay for three jobs and a bit."""


class Vendor:
    """The company that does the work, which is paid for whatever it is asked to do."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.done = asyncio.Event()

    async def work(self, job: str) -> None:
        self.jobs.append(job)
        await self.done.wait()


async def run(engine: Engine, customer_id: str, vendor: Vendor, job: str) -> str:
    """A job as a careful caller writes it: ask, work, settle. Returns what was answered."""
    request = HoldRequest(job, event_type="llm", data={"n": TOKENS}, expires_in_seconds=86_400)
    hold = await engine.authorize(customer_id, request)
    if hold.status != "authorized":
        assert hold.decline is not None
        return hold.decline.code
    await vendor.work(job)
    settled = CaptureRequest(f"{job} done", events=[use(job, TOKENS)])
    return (await engine.capture(customer_id, hold.id, settled)).hold.status


async def until_all_but(jobs: list[asyncio.Task[str]], count: int) -> None:
    """Wait until all but so many jobs have ended."""
    waiting = set(jobs)
    while len(waiting) > count:
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


def test_of_20_jobs_on_a_wallet_for_3_three_run_and_17_never_reach_the_vendor(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "32")
            vendor = Vendor()
            jobs = [
                asyncio.create_task(run(engine, customer_id, vendor, f"job {n}")) for n in range(20)
            ]
            await until_all_but(jobs, 3)
            # The 17 know it while the 3 still work: nothing is charged yet, and no more is there.
            account = await engine.get_account(customer_id, USD)
            assert (account.available, account.pending_out) == (2, 30)
            assert (await engine.list_events(1)).total_count == 0
            # Whoever comes now is told the same, and what would help.
            request = HoldRequest("late", event_type="llm", data={"n": TOKENS})
            late = await engine.authorize(customer_id, request)
            assert late.decline is not None
            assert late.decline.top_up_units == 8 * 10**9
            vendor.done.set()
            counted = Counter(await asyncio.gather(*jobs))
            assert counted == {"captured": 3, "insufficient_funds": 17}
            assert len(vendor.jobs) == 3
            assert (await engine.list_events(1)).total_count == 3
            account = await engine.get_account(customer_id, USD)
            assert (account.available, account.pending_out) == (2, 0)
            await assert_clean(engine)

    tell(story())


def test_a_job_that_was_declined_runs_after_a_top_up_when_it_asks_anew(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "2")
            vendor = Vendor()
            vendor.done.set()
            assert await run(engine, customer_id, vendor, "job") == "insufficient_funds"
            await give(engine, customer_id, "8", "top-up")
            # The answer is kept under its id: a job that only repeats itself is not let in later.
            assert await run(engine, customer_id, vendor, "job") == "insufficient_funds"
            assert vendor.jobs == []
            assert await run(engine, customer_id, vendor, "job, again") == "captured"
            assert vendor.jobs == ["job, again"]
            assert await available(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())


def test_a_job_whose_process_died_gives_its_money_to_the_next_one_at_its_expiry(
    database_url: str,
):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "10")
            request = HoldRequest("dead", event_type="llm", data={"n": TOKENS})
            assert (await engine.authorize(customer_id, request)).status == "authorized"
            vendor = Vendor()
            vendor.done.set()
            clock.move(seconds=899)
            assert await run(engine, customer_id, vendor, "too early") == "insufficient_funds"
            clock.move(seconds=1)
            assert await run(engine, customer_id, vendor, "in time") == "captured"
            assert await available(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())


@pytest.mark.parametrize("seconds", [0, 30])
def test_a_declined_auto_top_up_stops_the_next_job(database_url: str, seconds: int):
    clock = Clock()
    with running_server(database_url, clock) as server, calling(server) as shop:
        shop.made("products", product())
        ada = customer(shop, "15")
        leave_card(shop, server, ada, DECLINES_LATER)
        agree(shop, ada)
        waiting = {"wait_for_top_up_seconds": seconds} if seconds else {}
        # The first job takes the balance below the threshold: its own money is there, so it runs.
        assert ask(shop, ada, 10, "first", **waiting)["status"] == "authorized"
        asked = standing(shop, ada)["in_flight"]
        work(server)
        assert shop.get(f"top-ups/{asked}").body["problem"] == "The card was declined."
        # Nobody works on what the card was to pay, and nobody waits for a card that was declined.
        for number in range(5):
            next_job = ask(shop, ada, 10, f"next {number}", **waiting)
            assert (next_job["status"], next_job["decline_code"], next_job["top_up_needed"]) == (
                "declined",
                "insufficient_funds",
                5,
            )
        assert len(top_ups(shop, ada)) == 1
        # The customer leaves a card that works: the next try pays, and jobs run again.
        leave_card(shop, server, ada, GOOD)
        clock.move(minutes=5)
        work(server)
        assert [one["status"] for one in top_ups(shop, ada)] == ["succeeded", "failed"]
        assert ask(shop, ada, 10, "after the card", **waiting)["status"] == "authorized"
        assert charged(shop, server, ada) == 50
        assert server.wait(server.engine.verify()).is_clean


def test_of_20_jobs_that_the_card_is_to_pay_none_runs_when_it_is_declined(database_url: str):
    with running_server(database_url, Clock()) as server, calling(server) as shop:
        shop.made("products", product())
        ada = customer(shop, "32")
        leave_card(shop, server, ada, DECLINES_LATER)
        agree(shop, ada, threshold=1)
        with ThreadPoolExecutor(20) as threads:
            jobs = [
                threads.submit(ask, shop, ada, TOKENS, f"job {number}", wait_for_top_up_seconds=30)
                for number in range(20)
            ]
            # 3 run on what is there; the others wait, and the card says no.
            while "in_flight" not in standing(shop, ada):
                pass
            work(server)
            counted = Counter(job.result()["status"] for job in jobs)
        assert counted == {"authorized": 3, "declined": 17}
        assert len(top_ups(shop, ada)) == 1
        assert shop.available(ada) == 2
        assert server.wait(server.engine.verify()).is_clean
