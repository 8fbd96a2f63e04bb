"""An auto top-up that is switched off never charges, also when the threshold is crossed in the same
second as the switch.

Seen at useautumn/autumn#3339.
"""

from concurrent.futures import ThreadPoolExecutor

from tests.api.caller import Caller, calling, product
from tests.api.conftest import RunningServer, running_server
from tests.ledger.shop import Clock
from tests.scenarios.cards import agree, charged, customer, leave_card, spend, standing, work


def subscriber(shop: Caller, server: RunningServer, credit: str = "12") -> str:
    """Somebody with a card and a bit more credit than the threshold."""
    ada = customer(shop, credit)
    leave_card(shop, server, ada)
    agree(shop, ada)
    return ada


def is_clean(server: RunningServer) -> bool:
    return server.wait(server.engine.verify()).is_clean


def test_who_switches_off_before_the_threshold_is_crossed_pays_nothing(database_url: str):
    clock = Clock()
    with running_server(database_url, clock) as server, calling(server) as shop:
        shop.made("products", product())
        ada = subscriber(shop, server)
        agree(shop, ada, enabled=False)
        # The same instant: the clock stands still.
        spend(shop, server, ada, 5, "crosses")
        for _ in range(3):
            work(server)
            clock.move(days=20)
        assert charged(shop, server, ada) == 0
        assert shop.available(ada) == 7
        assert shop.get(f"top-ups?customer_id={ada}").body["total_count"] == 0
        assert is_clean(server)


def test_who_switches_off_right_after_it_was_crossed_pays_nothing_either(database_url: str):
    clock = Clock()
    with running_server(database_url, clock) as server, calling(server) as shop:
        shop.made("products", product())
        ada = subscriber(shop, server)
        spend(shop, server, ada, 5, "crosses")
        asked = standing(shop, ada)["in_flight"]
        agree(shop, ada, enabled=False)
        work(server)
        assert charged(shop, server, ada) == 0
        assert shop.get(f"top-ups/{asked}").body["status"] == "failed"
        shown = standing(shop, ada)
        assert ("in_flight" in shown, shown["month_amount"], shown["failures"]) == (False, 0, 0)
        # Switched on again, it asks anew: what was stopped is not charged later.
        agree(shop, ada)
        work(server)
        assert charged(shop, server, ada) == 50
        assert shop.available(ada) == 57
        assert is_clean(server)


def test_whoever_crosses_it_while_others_switch_it_off_pays_nothing_after_the_answer(
    database_url: str,
):
    clock = Clock()
    with running_server(database_url, clock) as server, calling(server) as shop:
        shop.made("products", product())
        for race in range(5):
            ada = subscriber(shop, server)
            with ThreadPoolExecutor(4) as threads:
                spent = [
                    threads.submit(spend, shop, server, ada, 2, f"{race}, {number}")
                    for number in range(3)
                ]
                threads.submit(agree, shop, ada, enabled=False).result()
                # Answered: whatever was asked before, nothing is charged from now on.
                work(server)
                for one in spent:
                    one.result()
            work(server)
            assert charged(shop, server, ada) == 0
            assert shop.available(ada) == 6
        assert is_clean(server)
