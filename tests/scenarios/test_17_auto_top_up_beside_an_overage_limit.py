"""An account with both an auto top-up and a limit of how far it may go below zero gets both looked
at: that one of them has nothing to do does not skip the other.

Seen at useautumn/autumn#3479.
"""

from typing import Any

import pytest
from tests.api.caller import USD, Caller, calling, product
from tests.api.conftest import RunningServer, running_server
from tests.ledger.shop import Clock
from tests.scenarios.cards import (
    DECLINES_LATER,
    GOOD,
    agree,
    ask,
    charged,
    customer,
    leave_card,
    spend,
    standing,
    work,
)


def subscriber(
    shop: Caller, server: RunningServer, limit: int, number: str = GOOD, **terms: Any
) -> str:
    """Somebody with 20 USD who may go this far below zero, and whose card pays below 10."""
    ada = customer(shop, "20")
    leave_card(shop, server, ada, number)
    overdraft = {"overdraft": {"policy": "limit", "limit": limit}}
    assert shop.patch(f"customers/{ada}/wallet/{USD}", overdraft).status == 200
    agree(shop, ada, **terms)
    return ada


def test_the_card_pays_although_the_limit_has_room_and_the_limit_holds_although_the_card_pays(
    database_url: str,
):
    with running_server(database_url, Clock()) as server, calling(server) as shop:
        shop.made("products", product())
        ada = subscriber(shop, server, limit=30)
        # Within the limit there is nothing to refuse: the card is asked nevertheless.
        spend(shop, server, ada, 25, "below zero")
        assert shop.available(ada) == -5
        assert "in_flight" in standing(shop, ada)
        # While the card is asked there is nothing more to ask of it: the limit is looked at.
        assert ask(shop, ada, 26, "too much")["status"] == "declined"
        assert ask(shop, ada, 25, "to the last unit")["status"] == "authorized"
        work(server)
        assert charged(shop, server, ada) == 50
        assert ask(shop, ada, 50, "what the card has paid")["status"] == "authorized"
        assert ask(shop, ada, 1, "one too many")["status"] == "declined"
        assert server.wait(server.engine.verify()).is_clean


def test_a_charge_that_crosses_the_threshold_and_meets_the_limit_does_both(database_url: str):
    with running_server(database_url, Clock()) as server, calling(server) as shop:
        shop.made("products", product())
        ada = subscriber(shop, server, limit=5, threshold=1)
        # One hold takes all that there may be: it is granted, and the card is asked.
        assert ask(shop, ada, 25, "all")["status"] == "authorized"
        assert "in_flight" in standing(shop, ada)
        assert ask(shop, ada, 1, "more")["status"] == "declined"
        work(server)
        assert charged(shop, server, ada) == 50
        assert ask(shop, ada, 50, "after the card")["status"] == "authorized"


@pytest.mark.parametrize("why", ["the card is declined", "the cap is reached", "it is off"])
def test_what_keeps_the_card_from_paying_leaves_the_limit_as_it_is(database_url: str, why: str):
    with running_server(database_url, Clock()) as server, calling(server) as shop:
        shop.made("products", product())
        number = DECLINES_LATER if why == "the card is declined" else GOOD
        ada = subscriber(shop, server, 10, number, monthly_cap=50, enabled=why != "it is off")
        if why == "the cap is reached":
            spend(shop, server, ada, 15, "once")
            work(server)
            assert charged(shop, server, ada) == 50
            spend(shop, server, ada, 35, "down to 20 again")
        before = charged(shop, server, ada)
        spend(shop, server, ada, 20, "to zero")
        work(server)
        assert charged(shop, server, ada) == before
        assert ask(shop, ada, 11, "beyond the limit")["status"] == "declined"
        assert ask(shop, ada, 10, "up to the limit")["status"] == "authorized"
        assert server.wait(server.engine.verify()).is_clean
