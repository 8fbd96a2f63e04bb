"""Connected accounts, by the published client and over a real port: the platform makes them and
acts for them, each has its own, and nobody else's key opens them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from corehttp.credentials import ServiceKeyCredential
from corehttp.exceptions import HttpResponseError
from credytapi import CredytApiClient
from tests.api.caller import (
    SOLD,
    Caller,
    adjustment,
    adjustments,
    calling,
    event,
    is_problem,
    product,
    usage,
)
from tests.api.conftest import INGEST_KEY, LIVE_KEY, READ_KEY, TEST_KEY, RunningServer

from faregate import Engine
from faregate.core.problems import FaregateError
from faregate.platform.accounts import CreateAccount
from faregate.rest.headers import RequestHeaders
from faregate.rest.hot import HotRoutes

HEADER = "X-Credyt-Account"


def connect(me: Caller, name: str = "Seller", **more: Any) -> str:
    """Make a connected account; returns its id."""
    return str(me.made("accounts", {"name": name, **more})["id"])


def key_of(server: RunningServer, account_id: str, mode: Any = "test", role: Any = "admin") -> str:
    """Make a key of an account's own."""
    made = server.engine.create_key(mode, role, "own", account_id=account_id)
    return server.wait(made)[1]


def test_accounts_are_made_listed_and_found_with_the_published_client(
    client: CredytApiClient,
) -> None:
    first = client.accounts.create(
        {"name": "First", "external_id": "shop-1", "metadata": {"region": "EU"}}
    )
    second = client.accounts.create({"name": "Second"})
    assert first.id.startswith("acc_")
    page = client.accounts.list()
    assert (page.total_count, page.limit, page.offset) == (2, 20, 0)
    assert [(a.id, a.name, a.external_id, a.metadata) for a in page.items_property] == [
        (second.id, "Second", None, None),
        (first.id, "First", "shop-1", {"region": "EU"}),
    ]
    assert [a.id for a in client.accounts.list(limit=1, offset=1).items_property] == [first.id]
    assert [a.id for a in client.accounts.list(external_id="shop-1").items_property] == [first.id]
    assert client.accounts.list(external_id="shop-2").total_count == 0
    shown = client.accounts.get(first.id)
    assert (shown.id, shown.name, shown.external_id) == (first.id, "First", "shop-1")
    assert shown.created_at == page.items_property[1].created_at
    own = client.accounts.get_context()
    assert own.account_id not in (first.id, second.id)
    acting = client.accounts.get_context(headers={HEADER: first.id})
    assert (acting.account_id, acting.name, acting.environment) == (first.id, "First", "test")


def test_the_published_client_acts_for_an_account_by_a_header_or_by_its_own_key(
    server: RunningServer, client: CredytApiClient
) -> None:
    account_id = client.accounts.create({"name": "Seller"}).id
    acting = {HEADER: account_id}
    made = client.customers.create({"name": "Ada", "external_id": "ada"}, headers=acting)
    gift = {"transaction_id": "g", "asset": "USD", "amount": 7, "reason": "gift"}
    wallets = client.wallets.customer_wallet_ops
    wallets.create_adjustment(made.id, gift, headers=acting)
    own = CredytApiClient(
        credential=ServiceKeyCredential(key_of(server, account_id)),
        endpoint=f"{server.url}/v1",
        retry_total=0,
    )
    account = own.wallets.customer_wallet_ops.get_account(made.id, "default:USD")
    assert str(account.available) == "7"
    assert own.accounts.get_context().account_id == account_id
    assert [c.id for c in own.customers.list(external_id="ada").items_property] == [made.id]
    assert client.customers.list().total_count == 0
    with pytest.raises(HttpResponseError) as raised:
        wallets.get_account(made.id, "default:USD")
    assert raised.value.response.status_code == 404


def test_an_external_id_is_given_once_among_all_accounts(client: CredytApiClient) -> None:
    client.accounts.create({"name": "First", "external_id": "shop"})
    with pytest.raises(HttpResponseError) as raised:
        client.accounts.create({"name": "Second", "external_id": "shop"})
    answer = raised.value.response
    assert (answer.status_code, list(answer.json()["errors"])) == (409, ["external_id"])
    assert client.accounts.list().total_count == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "Shop", "external_id": ""}, "external_id"),
        ({"name": "Shop", "metadata": {"a": 1}}, "metadata.a"),
        ({"name": "Shop", "metadata": {"a": "x" * 16_384}}, "metadata"),
        ({"name": "Shop", "color": "red"}, "color"),
    ],
)
def test_what_is_wrong_with_an_account_is_named(
    server: RunningServer, body: dict[str, Any], field: str
) -> None:
    with calling(server) as me:
        answer = me.post("accounts", body)
        assert (answer.status, answer.fields) == (422, [field]), answer.body
        assert me.get("accounts").body["total_count"] == 0


def test_an_account_that_is_sent_again_under_its_key_is_made_once(server: RunningServer) -> None:
    with calling(server) as me:
        headers = {"Idempotency-Key": "an account"}
        body = {"name": "Shop", "external_id": "shop"}
        answers = [me.post("accounts", body, headers) for _ in range(2)]
        assert [answer.status for answer in answers] == [201, 201]
        assert answers[0].body == answers[1].body
        other = me.post("accounts", {**body, "name": "Another"}, headers)
        assert (other.status, other.fields) == (409, ["name"])
        assert me.get("accounts").body["total_count"] == 1


def test_accounts_that_are_made_at_the_same_time_do_not_get_in_each_others_way(
    server: RunningServer,
) -> None:
    async def make() -> list[Any]:
        names = [f"shop {number}" for number in range(8)]
        requests = [CreateAccount("Shop", external_id=name) for name in [*names, *names]]
        made = [server.engine.create_account(request) for request in requests]
        return await asyncio.gather(*made, return_exceptions=True)

    answers = server.wait(make())
    refused = [answer for answer in answers if isinstance(answer, FaregateError)]
    assert [error.problem.kind.status for error in refused] == [409] * 8
    with calling(server) as me:
        items = me.get("accounts").body["items"]
        assert len({item["id"] for item in items}) == 8
        for item in items:
            with calling(server, LIVE_KEY, item["id"]) as acting:
                shown = acting.get("accounts/self").body
                assert (shown["account_id"], shown["environment"]) == (item["id"], "live")


def test_only_a_platform_makes_and_sees_connected_accounts(server: RunningServer) -> None:
    with calling(server) as me:
        account_id = connect(me)
        before = me.get("accounts").body
    own_key = key_of(server, account_id)
    for key, account in ((TEST_KEY, account_id), (own_key, None), (own_key, account_id)):
        with calling(server, key, account) as caller:
            answers = [
                caller.post("accounts", {"name": "A part of it"}),
                caller.get("accounts"),
                caller.get(f"accounts/{account_id}"),
            ]
            for answer in answers:
                assert is_problem(answer, 403)
                assert "connected account" in answer.body["detail"]
    with calling(server) as me:
        assert me.get("accounts").body == before
        # The platform is not connected to itself.
        platform = me.get("accounts/self").body["account_id"]
        assert is_problem(me.get(f"accounts/{platform}"), 404)


def test_the_header_acts_for_the_account_in_the_mode_of_the_key(server: RunningServer) -> None:
    with calling(server) as me:
        account_id = connect(me)
    with (
        calling(server, TEST_KEY, account_id) as test,
        calling(server, LIVE_KEY, account_id) as live,
    ):
        made = test.made("customers", {"name": "Ada", "external_id": "ada"})["id"]
        assert test.get("accounts/self").body["environment"] == "test"
        assert live.get("accounts/self").body["environment"] == "live"
        assert live.get("customers").body["total_count"] == 0
        assert is_problem(live.get(f"customers/{made}"), 404)
        assert live.made("customers", {"name": "Ada", "external_id": "ada"})["id"] != made
    # The key's role stays what it is.
    with calling(server, READ_KEY, account_id) as reader:
        assert reader.get("customers").body["total_count"] == 1
        assert is_problem(reader.post("customers", {"name": "Eve"}), 403)
    with calling(server, INGEST_KEY, account_id) as ingest:
        assert ingest.post("events", usage(made, event("e"))).status == 204
        assert is_problem(ingest.get("customers"), 403)


@pytest.mark.parametrize("account", ["acc_nobody", "", "cust_1", "acc_\xe9", "x" * 5000])
def test_an_account_that_there_is_not_is_refused_by_every_way_in(
    server: RunningServer, account: str
) -> None:
    with calling(server) as me:
        me.made("products", product())
        customer = me.customer()
        me.give(customer, "5")
        wrong: Any = {"x-credyt-account": account.encode("latin-1")}
        hold = {"transaction_id": "h", "max_amount": 1, "asset": "USD"}
        answers = [
            me.send("POST", "events", usage(customer, event("e1")), wrong),
            me.send("POST", f"customers/{customer}/wallet/holds", hold, wrong),
            me.send("GET", f"customers/{customer}/wallet", headers=wrong),
            me.send("GET", "customers", headers=wrong),
            me.send("GET", "accounts/self", headers=wrong),
        ]
        for answer in answers:
            assert is_problem(answer, 404), answer.body
            assert HEADER in answer.body["detail"]
        assert me.available(customer) == 5
        assert me.get("events").body["total_count"] == 0


def test_two_accounts_in_one_request_are_none(server: RunningServer) -> None:
    with calling(server) as me:
        both = [connect(me, "One"), connect(me, "Two")]
        headers = [("x-credyt-api-key", TEST_KEY), *((HEADER, one) for one in both)]
        answer = me.http.get("/v1/accounts/self", headers=headers)
        assert answer.status_code == 404
        assert HEADER in answer.json()["detail"]


def test_a_connected_accounts_own_key_acts_for_it_and_for_no_other(server: RunningServer) -> None:
    with calling(server) as me:
        mine, other = connect(me, "Mine"), connect(me, "Other")
        platform = me.get("accounts/self").body["account_id"]
        assert me.send("GET", "accounts/self", headers={HEADER: platform}).status == 200
    with calling(server, key_of(server, mine)) as own:
        sent = usage("cust_1", event("e"))
        for named in (mine, None):
            headers = {} if named is None else {HEADER: named}
            answer = own.send("GET", "accounts/self", headers=headers)
            assert answer.body["account_id"] == mine
        for named in (other, platform, "acc_nobody", ""):
            headers = {HEADER: named}
            # Whether there is such an account is not told.
            assert is_problem(own.send("GET", "accounts/self", headers=headers), 403)
            assert is_problem(own.send("GET", "customers", headers=headers), 403)
            assert is_problem(own.send("POST", "events", sent, headers), 403)


def test_charges_for_an_account_go_the_short_way_and_to_that_account(server: RunningServer) -> None:
    with calling(server) as me:
        account_id = connect(me)
    with calling(server) as platform, calling(server, TEST_KEY, account_id) as acting:
        customers = []
        for caller, rate in ((platform, "1"), (acting, "10")):
            caller.made("products", product(rate))
            customer = caller.customer(external_id="ada")
            caller.give(customer, "100")
            customers.append(customer)
        for number in range(5):
            for caller, customer in zip((platform, acting), customers, strict=True):
                assert caller.post("events", usage(customer, event(f"e{number}"))).status == 204
        left = [c.available(one) for c, one in zip((platform, acting), customers, strict=True)]
        assert left == [95, 50]
        assert is_problem(platform.post("events", usage(customers[1], event("e9"))), 404)
        assert is_problem(acting.post("events", usage(customers[0], event("e9"))), 404)


def test_events_with_a_known_account_need_no_task_of_their_own(server: RunningServer) -> None:
    with calling(server) as me:
        account_id = connect(me)
    with calling(server, TEST_KEY, account_id) as acting:
        customer = acting.made("customers", {"name": "Ada"})["id"]
        assert acting.post("events", usage(customer, event("e1"))).status == 204
        body = acting.http.build_request("POST", "/", json=usage(customer, event("e2"))).content
    hot = server.uvicorn.config.loaded_app
    assert isinstance(hot, HotRoutes)
    given = [(b"x-credyt-api-key", TEST_KEY.encode())]

    async def begin(account: str | None) -> bool:
        more = [] if account is None else [(b"x-credyt-account", account.encode())]
        answer = hot.begin(RequestHeaders([*given, *more]), body)
        if answer is not None:
            await answer
        return answer is not None

    assert server.wait(begin(account_id))
    assert not server.wait(begin("acc_nobody"))


def test_the_same_names_in_two_accounts_are_two_things(server: RunningServer) -> None:
    with calling(server) as me:
        accounts = [None, connect(me, "One"), connect(me, "Two")]
    found = []
    for number, account in enumerate(accounts, 1):
        with calling(server, TEST_KEY, account) as me:
            once = {"Idempotency-Key": "once"}
            me.made("assets", {"code": "GEMS", "name": "Gems", "precision": number})
            me.made("vendors", {"name": "Acme", "external_id": "acme"})
            me.made("products", product(str(number)))
            body = {"name": f"Ada {number}", "external_id": "ada"}
            answers = [me.post("customers", body, once) for _ in range(2)]
            assert [answer.status for answer in answers] == [201, 201]
            assert answers[0].body == answers[1].body
            customer = answers[0].body["id"]
            products = {"products": [{"code": "tokens"}]}
            me.made(f"customers/{customer}/subscriptions", products)
            me.made(adjustments(customer), adjustment(f"{number}00", transaction_id="gift"))
            by_name = {"customer_external_id": "ada", "events": [event("e1", 2)]}
            for _ in range(2):
                assert me.post("events", by_name).status == 204
            hold = {"transaction_id": "hold", "max_amount": number, "asset": "USD"}
            holds = [me.post(f"customers/{customer}/wallet/holds", hold) for _ in range(2)]
            assert holds[0].body["id"] == holds[1].body["id"]
            found.append((customer, holds[0].body["id"], me.get(SOLD).body["id"]))
    assert len({name for names in found for name in names}) == 9
    for number, (account, (customer, hold_id, _)) in enumerate(
        zip(accounts, found, strict=True), 1
    ):
        with calling(server, TEST_KEY, account) as me:
            assert me.get("assets/GEMS").body["precision"] == number
            shown = me.get("events/e1").body
            assert (shown["customer_id"], shown["fees"][0]["amount"]) == (customer, 2 * number)
            assert me.get("events").body["total_count"] == 1
            # 100 were given, 2 tokens cost 2, and 1 is held; all that times the number.
            assert me.available(customer) == 97 * number
            wallet = f"customers/{customer}/wallet"
            assert me.get(f"{wallet}/transactions/gift").body["amount"] == 100 * number
            listed = me.get(f"{wallet}/holds").body["items"]
            assert [hold["id"] for hold in listed] == [hold_id]


def test_timezone_and_renewals_are_each_accounts_own(server: RunningServer) -> None:
    with calling(server) as me:
        one, two = connect(me, "One"), connect(me, "Two")
        given = {"timezone": "Asia/Tokyo", "renewals": {"retry_hours": [1, 2]}}
        assert me.send("PATCH", "accounts/self", given, {HEADER: one}).status == 204
        for account, timezone in ((one, "Asia/Tokyo"), (two, "UTC"), (None, "UTC")):
            for key in (TEST_KEY, LIVE_KEY):
                with calling(server, key, account) as caller:
                    shown = caller.get("accounts/self").body
                    assert shown["timezone"] == timezone
                    is_set = shown["renewals"].get("retry_hours") == [1, 2]
                    assert is_set == (account == one)
        limit = {"amount": 1, "asset": "USD", "period": "day"}
        for account, timezone in ((one, "Asia/Tokyo"), (two, "UTC")):
            with calling(server, TEST_KEY, account) as caller:
                made = caller.made("limits", limit)
                assert made["timezone"] == timezone


def test_what_tells_of_all_accounts_is_for_the_platform(server: RunningServer) -> None:
    with calling(server) as me:
        account_id = connect(me)
        assert me.get("/metrics").status == 200
    with calling(server, key_of(server, account_id)) as own:
        answer = own.get("/metrics")
        assert is_problem(answer, 403)
        assert "faregate_charges" not in str(answer.body)


def test_an_account_that_another_process_has_made_is_known(
    database_url: str, server: RunningServer
) -> None:
    async def elsewhere() -> tuple[str, str]:
        async with Engine.open(database_url, serves=False) as desk:
            made = await desk.create_account(CreateAccount("Seller"))
            _, secret = await desk.create_key("test", "admin", "own", account_id=made.id)
            return made.id, secret

    account_id, secret = asyncio.run(elsewhere())
    for caller in (calling(server, TEST_KEY, account_id), calling(server, secret)):
        with caller as me:
            assert me.get("accounts/self").body["account_id"] == account_id
            customer = me.made("customers", {"name": "Ada"})["id"]
            me.give(customer, "5")
            assert me.available(customer) == 5


def test_a_server_that_begins_again_knows_its_accounts(
    database_url: str, server: RunningServer
) -> None:
    with calling(server) as me:
        account_id = connect(me)

    async def beside() -> str:
        async with Engine.open(database_url, serves=False) as desk:
            context = await desk.acting_for(account_id, "test")
            return context.name

    assert asyncio.run(beside()) == "Seller"
