"""A payment provider reports one payment eight times at once, and once more after an hour: the
customer has the credit once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.api.caller import calling
from tests.api.conftest import running_server
from tests.ledger.shop import Clock

WAYS_BACK = {"return_url": "https://shop.example/ok", "failure_url": "https://shop.example/no"}


def test_one_payment_reported_nine_times_is_one_grant(database_url: str) -> None:
    clock = Clock()
    with (
        running_server(database_url, clock) as server,
        calling(server) as shop,
        calling(server, None) as provider,
    ):
        ada = shop.made("customers", {"name": "Ada"})["id"]
        asked = {"customer_id": ada, "amount": 25, "currency": "USD", **WAYS_BACK}
        top_up = shop.made("top-ups", asked)["id"]
        account = server.engine.context
        door = f"/payments/messages/sandbox/{account.account_id}/test"

        def report() -> int:
            headers, body = server.engine.sandbox.message(top_up, account.environment_id)
            return provider.post(door, body, headers).status

        server.wait(server.engine.sandbox.pay(top_up, "4242 4242 4242 4242"))
        with ThreadPoolExecutor(8) as threads:
            statuses = [one.result() for one in [threads.submit(report) for _ in range(8)]]
        clock.move(hours=1)
        statuses.append(report())

        assert statuses == [200] * 9
        grants = shop.get(f"customers/{ada}/wallet/default:USD/grants").body
        assert [(g["purpose"], g["amount"]) for g in grants["items"]] == [("paid", 25)]
        assert shop.available(ada) == 25
        assert shop.get(f"top-ups/{top_up}").body["status"] == "succeeded"
        assert server.wait(server.engine.verify()).is_clean
