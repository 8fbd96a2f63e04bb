"""The pages of customers, over a real port: who is found, what is shown of one, and each change."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from tests.scenarios.year import fixed
from tests.web.forms import errors_of, send
from tests.web.live import LiveServer
from tests.web.test_page import text_of

from faregate.catalog.coupons import CreateCoupon
from faregate.catalog.types import CreateProduct, CreateVersion
from faregate.core.codec import from_dict
from faregate.core.hold_requests import HoldRequest
from faregate.customers.types import CreateCustomer
from faregate.payments.types import InitiateTopUp


def page_of(customer_id: str, tab: str = "") -> str:
    return f"/test/customers/{customer_id}/{tab}".rstrip("/")


def hidden(client: httpx.Client, page: str, name: str) -> str:
    """What a form has in a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]+)"', client.get(page).text)
    assert found
    return found[1]


def listed(client: httpx.Client, **query: str) -> list[str]:
    shown = client.get("/test/customers", params=query).text
    return [html.unescape(name) for name in re.findall(r'/customers/cust_\w+">([^<]*)</a>', shown)]


def add_plan(server: LiveServer, *amounts: str) -> None:
    """Sell the product `pro` for so much a month, a version for each."""
    first, *others = amounts
    product = {"name": "Pro", "code": "pro", "publish": True, "prices": [fixed(first)]}
    server.run(lambda engine: engine.create_product(from_dict(CreateProduct, product)))
    for amount in others:
        version = from_dict(CreateVersion, {"publish": True, "prices": [fixed(amount)]})
        server.run(lambda engine, made=version: engine.create_version("pro", made))


def subscription_of(server: LiveServer, customer_id: str, place: int = -1) -> Any:
    return server.run(lambda engine: engine.list_subscriptions(customer_id))[place]


def available(server: LiveServer, customer_id: str) -> Decimal:
    account = server.run(lambda engine: engine.get_account(customer_id, "default:USD"))
    return Decimal(account.available)


def test_customers_are_searched_filtered_and_paged_by_the_address(
    client: httpx.Client, server: LiveServer
):
    assert "No customers yet" in client.get("/test/customers").text
    server.add_product()
    ben = server.add_customer("Ben", "0.01")
    server.use(ben)
    ada = server.add_customer("Ada & Sons")
    server.run(lambda engine: engine.block_customer(ada, "fraud"))
    for number in range(26):
        server.add_customer_without_product(f"Nobody {number}")
    assert len(listed(client)) == 25
    assert listed(client, offset="25") == ["Nobody 0", "Ada & Sons", "Ben"]
    assert listed(client, offset="x'") == listed(client)
    assert listed(client, q="sons aDa") == ["Ada & Sons"]
    assert listed(client, state="red") == ["Ben"]
    assert listed(client, state="blocked") == ["Ada & Sons"]
    product = server.run(lambda engine: engine.get_product("calls")).id
    assert listed(client, product=product) == ["Ada & Sons", "Ben"]
    assert listed(client, q="nob", product=product) == []
    shown = client.get("/test/customers", params={"q": "nob"}).text
    assert "q=nob&amp;offset=25" in shown
    assert "26 customers found" in text_of(shown)
    assert "Nobody is found" in client.get("/test/customers", params={"q": "zzz"}).text
    red = text_of(client.get("/test/customers", params={"state": "red"}).text)
    assert "-$0.0025 in the red 1" in red


def test_a_customer_is_made_once_however_often_the_form_is_sent(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    product = server.run(lambda engine: engine.get_product("calls")).id
    page = "/test/customers/new"
    typed = {"name": "Ada", "external_id": "u-1", "email": "no address", "product": product}
    wrong = send(client, page, **typed)
    assert wrong.status_code == 422
    assert any("e-mail address" in said for said in errors_of(wrong))
    assert 'value="u-1"' in wrong.text
    typed |= {"email": "ada@example.com", "key": hidden(client, page, "key")}
    first, again = send(client, page, **typed), send(client, page, **typed)
    assert first.status_code == again.status_code == 303
    assert first.headers["location"] == again.headers["location"]
    shown = client.get(first.headers["location"]).text
    assert "Ada is a customer now." in shown
    assert "Calls" in shown
    assert listed(client) == ["Ada"]
    taken = send(client, page, name="Eve", external_id="u-1")
    assert taken.status_code == 409
    assert any("belongs to another customer" in said for said in errors_of(taken))


def test_credit_is_given_once_per_form_and_shows_its_place_in_the_order_of_use(
    client: httpx.Client, server: LiveServer
):
    ada = server.add_customer_without_product("Ada")
    send(
        client,
        page_of(ada, "credit"),
        transaction_id="paid",
        amount="50",
        account="default:USD",
        reason="external_topup",
    )
    overview = client.get(page_of(ada)).text
    offered = re.search(r'href="([^"]+)">Give \$10<', overview)
    assert offered
    form = html.unescape(offered[1])
    assert 'value="10"' in client.get(form).text
    fields = {
        "transaction_id": hidden(client, form, "transaction_id"),
        "amount": "10",
        "account": "default:USD",
        "reason": "gift",
        "description": "Sorry",
        "expires_at": (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M"),
    }
    to = page_of(ada, "credit")
    assert send(client, form, to, **fields).status_code == 303
    assert "$10.00 USD given to Ada." in text_of(client.get(page_of(ada, "money")).text)
    assert send(client, form, to, **fields).status_code == 303
    assert available(server, ada) == 60
    shown = text_of(client.get(page_of(ada)).text)
    assert "1 promotion priority 100 Used first: promotion goes before paid. $10.00" in shown
    assert "2 paid priority 100 After the one above: promotion goes before paid. $50.00" in shown
    changed = send(client, form, to, **fields | {"amount": "11"})
    assert changed.status_code == 409
    assert any("use a new one" in said for said in errors_of(changed))


def test_what_cannot_be_booked_is_said_beside_its_field_and_nothing_is_booked(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    ada = server.add_customer("Ada")
    to = page_of(ada, "credit")
    for fields, said in (
        ({"amount": "ten"}, "write a number"),
        ({"amount": ""}, "is empty"),
        ({"amount": "-1"}, "write more than 0"),
        ({"amount": "0.0000000001"}, "decimals"),
        ({"amount": "1", "account": "default:XXQ"}, "create the asset first"),
        ({"amount": "1", "account": "no name!:USD"}, "letters, digits"),
        ({"amount": "1", "expires_at": "2020-01-01T00:00"}, "later instant"),
        ({"amount": "1", "priority": "-1"}, "from 0"),
        ({"amount": "1", "reason": "because"}, "gift"),
    ):
        typed = {"transaction_id": "t", "account": "default:USD", "reason": "gift", **fields}
        answer = send(client, to, **typed)
        assert answer.status_code == 422, fields
        assert any(said in words for words in errors_of(answer)), (fields, errors_of(answer))
        assert f'value="{fields["amount"]}"' in answer.text
    assert available(server, ada) == 10


def test_credit_is_taken_and_a_fee_is_charged_and_both_stand_in_the_history(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    ada = server.add_customer("Ada")
    shared = {"amount": "2.5", "account": "default:USD"}
    taken = {**shared, "transaction_id": "d", "reason": "other", "description": "Booked twice"}
    assert send(client, page_of(ada, "debit"), **taken).status_code == 303
    charged = {**shared, "transaction_id": "c", "description": "Onboarding"}
    assert send(client, page_of(ada, "charge"), **charged).status_code == 303
    assert available(server, ada) == 5
    shown = text_of(client.get(page_of(ada, "money")).text)
    assert "Charge Onboarding default:USD -$2.50 chg_" in shown
    assert "Correction Booked twice default:USD -$2.50 adj_" in shown
    assert "Gift default:USD +$10.00 adj_" in shown
    assert errors_of(
        send(client, page_of(ada, "charge"), **charged | {"transaction_id": "x", "amount": "-1"})
    )
    for number in range(25):
        send(
            client,
            page_of(ada, "charge"),
            **charged | {"transaction_id": f"c{number}", "amount": "0.01"},
        )
    assert "1–25 of 28 entries" in client.get(page_of(ada, "money")).text
    assert "Gift" in client.get(page_of(ada, "money"), params={"offset": "25"}).text


def test_an_open_hold_is_shown_with_its_time_and_let_go(client: httpx.Client, server: LiveServer):
    server.add_product()
    ada = server.add_customer("Ada")
    wanted = from_dict(HoldRequest, {"transaction_id": "run", "max_amount": 4, "asset": "USD"})
    hold = server.run(lambda engine: engine.authorize(ada, wanted))
    money = page_of(ada, "money")
    assert re.search(r"run an amount \$4.00 \$0.00 in 1[45] min", text_of(client.get(money).text))
    void = page_of(ada, f"holds/{hold.id}/void")
    ben = server.add_customer("Ben")
    assert send(client, money, page_of(ben, f"holds/{hold.id}/void")).status_code == 404
    assert available(server, ada) == 6
    assert send(client, money, void).status_code == 303
    assert "The hold is voided." in client.get(money).text
    assert available(server, ada) == 10
    assert "No open holds" in client.get(money).text


def test_a_limit_is_added_changed_and_removed(client: httpx.Client, server: LiveServer):
    server.add_product()
    ada = server.add_customer("Ada")
    page = page_of(ada, "limits")
    fields = {"amount": "1", "period": "day", "measure": "fees", "asset": "USD", "mode": "hard"}
    key = {"key": hidden(client, page, "key")}
    for _ in range(2):
        assert send(client, page, **fields, **key).status_code == 303
    server.use(ada, 20)
    shown = text_of(client.get(page).text)
    assert shown.count("All use, per day") == 1
    assert "$0.25 USD of $1.00 USD" in shown
    for wrong, said in (
        ({"amount": "a lot"}, "write a number"),
        ({"mode": "free"}, "volume or events"),
        ({"measure": "volume"}, "is missing"),
        ({"mode": "soft", "rejects_events": "yes"}, "leave it out"),
    ):
        answer = send(client, page, **fields | wrong)
        assert answer.status_code == 422
        assert any(said in words for words in errors_of(answer)), errors_of(answer)
    limit = server.run(lambda engine: engine.customer_limits(ada))[0].limit
    one = f"{page}/{limit.id}"
    assert 'value="1"' in client.get(one).text
    changed = send(client, one, amount="2", mode="soft", name="Daily")
    assert changed.status_code == 303
    assert "$0.25 USD of $2.00 USD, all use, per day" in text_of(client.get(page).text)
    assert errors_of(send(client, one, amount="", mode="soft"))
    ben = server.add_customer("Ben")
    assert client.get(f"{page_of(ben, 'limits')}/{limit.id}").status_code == 404
    assert send(client, page, f"{one}/remove").status_code == 303
    assert "No limits" in client.get(page).text


def test_a_subscription_goes_from_its_beginning_to_its_end(
    client: httpx.Client, server: LiveServer
):
    add_plan(server, "5", "8")
    coupon = from_dict(CreateCoupon, {"code": "HALF", "percent": 50})
    server.run(lambda engine: engine.create_coupon(coupon))
    ada = server.add_customer_without_product("Ada")
    gift = {"transaction_id": "t", "amount": "100", "account": "default:USD", "reason": "gift"}
    send(client, page_of(ada, "credit"), **gift)
    plan = page_of(ada, "plan")
    assert "No subscription" in client.get(plan).text
    product = server.run(lambda engine: engine.get_product("pro")).id
    asked = send(client, f"{plan}/new", f"{plan}/new/preview", product=product)
    assert "$5.00 charged at once" in text_of(asked.text)
    assert "No subscription" in client.get(plan).text
    new = {"product": f"{product}@1", "key": hidden(client, f"{plan}/new", "key")}
    for _ in range(2):
        assert send(client, f"{plan}/new", **new).status_code == 303
    assert available(server, ada) == 95
    wrong = send(client, f"{plan}/new", product=product, coupon="NONE", trial_days="x")
    assert wrong.status_code == 422
    assert any("write a number" in said for said in errors_of(wrong))
    assert errors_of(send(client, f"{plan}/new", product=f"{product}@x"))
    assert errors_of(send(client, f"{plan}/new", product=f"{product}@{'9' * 5_000}"))
    one = f"{plan}/{subscription_of(server, ada).id}"
    assert "version 1" in text_of(client.get(plan).text)

    asked = send(
        client, f"{one}/change", f"{one}/change/preview", product=f"{product}@2", effective="now"
    )
    assert re.search(r"\$[23]\.\d+ charged at once", text_of(asked.text))
    assert available(server, ada) == 95
    moved = send(client, f"{one}/change", product=f"{product}@2", effective="now")
    assert moved.status_code == 303
    assert re.search(r"Changed\. \$[23]\.\d+ USD charged at once", text_of(client.get(plan).text))
    for wrong in (
        {"effective": "whenever"},
        {"product": "prp_none@1"},
        {"product": f"{product}@x"},
        {"quantity": "3"},
    ):
        bad = send(client, f"{one}/change", **{"product": f"{product}@2"} | wrong)
        assert bad.status_code in (404, 422)
        assert errors_of(bad), wrong
    assert send(client, plan, f"{one}/discount", coupon="HALF").status_code == 303
    assert "HALF 50% off" in text_of(client.get(plan).text)
    assert send(client, plan, f"{one}/discount/remove", coupon="HALF").status_code == 303
    assert "50% off" not in client.get(plan).text

    assert send(client, f"{one}/pause", resumes_at="2020-01-01T00:00").status_code == 422
    assert send(client, f"{one}/pause").status_code == 303
    assert "Paused since" in text_of(client.get(plan).text)
    assert send(client, plan, f"{one}/resume").status_code == 303
    assert send(client, f"{one}/cancel", at="period_end").status_code == 303
    assert "Undo the cancellation" in client.get(plan).text
    assert send(client, plan, f"{one}/reactivate").status_code == 303
    assert subscription_of(server, ada).ends_at is None
    assert send(client, plan, f"{one}/collection", method="charge_automatically").status_code == 303
    assert "the saved card, for what the balance lacks" in client.get(plan).text
    asked = send(client, f"{one}/cancel", f"{one}/cancel/preview", at="now", gives_back="yes")
    assert "given back at once" in text_of(asked.text)
    assert subscription_of(server, ada).status == "active"
    ended = send(client, f"{one}/cancel", at="now", gives_back="yes")
    assert ended.status_code == 303
    shown = text_of(client.get(plan).text)
    assert "given back at once" in shown
    assert "Pro Ended" in shown
    ben = server.add_customer_without_product("Ben")
    foreign = page_of(ben, f"plan/{subscription_of(server, ada).id}/cancel")
    assert client.get(foreign).status_code == 404


def test_a_subscription_that_waits_shows_the_link_for_the_customer(
    client: httpx.Client, server: LiveServer
):
    add_plan(server, "20")
    product = server.run(lambda engine: engine.get_product("pro")).id
    made = send(client, "/test/customers/new", name="Ada", product=product)
    assert "begins when it is paid" in client.get(made.headers["location"]).text
    shown = client.get(f"{made.headers['location']}/plan").text
    link = re.search(r'id="action-[^"]+" href="([^"]+)"', shown)
    assert link
    assert "Pay $20.00" in client.get(link[1]).text


@pytest.fixture
def paid(server: LiveServer) -> tuple[str, str]:
    """A customer who has paid 25 USD with a card; their id and the payment's."""
    ada = server.add_customer_without_product("Ada")
    wanted = {
        "customer_id": ada,
        "amount": 25,
        "currency": "USD",
        "return_url": "https://shop.example/ok",
        "failure_url": "https://shop.example/no",
    }
    request = from_dict(InitiateTopUp, wanted)
    begun = server.run(lambda engine: engine.initiate_top_up(request, base_url=server.url))
    card = ("4242424242424242", "12/40", "123")
    server.run(lambda engine: engine.pay_checkout(begun.id, *card))
    return ada, begun.id


def test_a_payment_has_its_receipt_and_goes_back_in_parts_once_per_form(
    client: httpx.Client, server: LiveServer, paid: tuple[str, str]
):
    ada, top_up = paid
    page = page_of(ada, "payments")
    shown = client.get(page).text
    receipt = re.search(r'href="([^"]+/receipts/[^"]+)"', shown)
    assert receipt
    assert client.get(html.unescape(receipt[1])).status_code == 200
    refund = page_of(ada, f"payments/{top_up}/refund")
    fields = {"how": "part", "amount": "5", "key": hidden(client, refund, "key")}
    for _ in range(2):
        assert send(client, refund, **fields).status_code == 303
    assert available(server, ada) == 20
    assert "refunded in part" in client.get(page).text
    for amount in ("30", "", "0.001"):
        wrong = send(client, refund, how="part", amount=amount)
        assert wrong.status_code == 422
        assert errors_of(wrong)
    ben = server.add_customer_without_product("Ben")
    foreign = page_of(ben, f"payments/{top_up}/refund")
    assert client.get(foreign).status_code == 404
    assert send(client, refund, foreign, how="all").status_code == 404
    assert available(server, ada) == 20
    assert send(client, refund, how="all").status_code == 303
    assert available(server, ada) == 0
    assert "Nothing is left to give back" in client.get(refund).text
    assert "Refund default:USD -$20.00" in text_of(client.get(page_of(ada, "money")).text)


def test_cards_and_auto_top_ups_are_agreed_on_and_forgotten(
    client: httpx.Client, server: LiveServer, paid: tuple[str, str]
):
    ada, _ = paid
    page = page_of(ada, "payments")
    assert "Visa ending in 4242" in text_of(client.get(page).text)
    auto = page_of(ada, "accounts/default:USD/auto-top-up")
    wrong = send(client, auto, enabled="yes", threshold="5", amount="20", monthly_cap="10")
    assert any("less than one amount" in said for said in errors_of(wrong))
    assert 'value="20"' in wrong.text
    assert errors_of(send(client, auto, enabled="yes", threshold="", amount="x"))
    assert send(client, auto, enabled="yes", threshold="5", amount="20").status_code == 303
    assert "Below $5.00 the card pays $20.00" in text_of(client.get(page).text)
    assert send(client, auto, threshold="5", amount="20").status_code == 303
    assert "default:USD off" in text_of(client.get(page).text)
    method = server.run(lambda engine: engine.list_payment_methods(ada))[0].id
    ben = server.add_customer_without_product("Ben")
    card = f"cards/{method}"
    assert send(client, auto, page_of(ben, f"{card}/remove")).status_code == 404
    assert send(client, auto, page_of(ada, f"{card}/default")).status_code == 303
    assert send(client, auto, page_of(ada, f"{card}/remove")).status_code == 303
    assert "ending in 4242" not in text_of(client.get(page).text)


def test_a_customer_is_renamed_blocked_and_bounded(client: httpx.Client, server: LiveServer):
    server.add_product()
    ada = server.add_customer("Ada")
    server.add_customer_without_product("Ben")
    page = page_of(ada, "settings")
    renamed = {"name": "Countess", "external_id": "u-1", "email": "ada@example.com"}
    assert send(client, page, **renamed).status_code == 303
    assert listed(client, q="countess u-1") == ["Countess"]
    wrong = send(client, page, name="", external_id="u-1")
    assert wrong.status_code == 422
    assert errors_of(wrong)
    assert send(client, page, page_of(ada, "block"), reason="chargeback").status_code == 303
    assert "because: chargeback" in client.get(page_of(ada)).text
    assert send(client, page, page_of(ada, "unblock")).status_code == 303
    assert "Blocked: holds" not in client.get(page_of(ada)).text
    account = page_of(ada, "accounts/default:USD")
    assert errors_of(send(client, account, policy="limit", limit=""))
    assert errors_of(send(client, account, policy="reject", low_balance_threshold="-1"))
    saved = send(client, account, policy="limit", limit="3", low_balance_threshold="2")
    assert saved.status_code == 303
    shown = text_of(client.get(page).text)
    assert "Only so far: $3.00 $2.00" in shown
    too_much = {"transaction_id": "t", "amount": "14", "account": "default:USD"}
    refused = send(client, page_of(ada, "charge"), **too_much)
    assert refused.status_code == 402
    assert errors_of(refused)
    assert client.get(page_of(ada, "accounts/default:XXQ")).status_code == 404


def test_the_feed_says_what_each_event_cost_and_stands_still_when_it_is_paused(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    ada = server.add_customer("Ada")
    assert "No events yet" in client.get(page_of(ada, "events")).text
    server.use(ada)
    server.use(ada, event_type="unknown")
    rows = text_of(client.get(page_of(ada, "feed")).text)
    assert re.search(
        r"unknown no fee no price for .* api_call \$0.0125 "
        r"1 use × \$0.0125 = \$0.0125, from promotion grant",
        rows,
    )
    assert "left then: $9.9875" in rows
    assert 'hx-trigger="every 3s"' in client.get(page_of(ada, "events")).text
    paused = client.get(page_of(ada, "feed"), params={"paused": "yes"}).text
    assert "hx-trigger" not in paused
    assert "Go on" in paused
    assert 'hx-trigger="every 3s"' in client.get(page_of(ada, "feed"), params={"going": "yes"}).text
    assert (
        client.get(page_of(ada, "events"), params={"paused": "yes"}).text.count("hx-trigger") == 0
    )


def test_a_link_to_the_portal_lets_the_customer_in(client: httpx.Client, server: LiveServer):
    ada = server.add_customer_without_product("Ada")
    made = send(client, page_of(ada, "settings"), page_of(ada, "portal-link"))
    assert made.status_code == 200
    link = re.search(r'id="portal-link">([^<]+)<', made.text)
    assert link
    assert link[1].startswith(f"{server.url}/portal/enter?link=")
    token = link[1].partition("link=")[2]
    seen = server.run(lambda engine: engine.look_at_portal_link(token))
    assert (seen.state, seen.customer_id) == ("open", ada)
    assert client.get(link[1]).status_code == 200


TABS = ("", "events", "feed", "money", "payments", "plan", "limits", "settings", "credit")


def test_nobody_of_the_other_mode_is_shown_or_changed(client: httpx.Client, server: LiveServer):
    live = server.engine.context_of("live")
    livia = server.run(
        lambda engine: engine.create_customer(CreateCustomer("Livia"), context=live)
    ).id
    for tab in TABS:
        answer = client.get(page_of(livia, tab))
        assert answer.status_code == 404, tab
        assert "Livia" not in answer.text
        assert client.get(f"/live/customers/{livia}/{tab}".rstrip("/")).status_code == 200, tab
    gift = {"transaction_id": "t", "amount": "1", "account": "default:USD", "reason": "gift"}
    for to, fields in (
        ("credit", gift),
        ("block", {}),
        ("settings", {"name": "Eve"}),
        ("limits", {"amount": "1", "period": "day", "measure": "events", "mode": "hard"}),
    ):
        answer = send(client, "/test/customers/new", page_of(livia, to), **fields)
        assert answer.status_code == 404, to
    found = server.run(lambda engine: engine.get_customer(livia, context=live))
    assert (found.name, found.is_blocked) == ("Livia", False)
    assert server.run(lambda engine: engine.get_wallet(livia, context=live)).accounts == []
    assert listed(client) == []


def test_what_others_have_written_is_text_and_nothing_else(
    client: httpx.Client, server: LiveServer
):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    server.add_product()
    body = {
        "name": evil,
        "external_id": evil,
        "metadata": {evil: evil},
        "subscriptions": [{"products": [{"code": "calls"}]}],
    }
    ada = server.run(lambda engine: engine.create_customer(from_dict(CreateCustomer, body))).id
    fields = {"transaction_id": evil, "amount": "5", "account": "default:USD", "reason": "gift"}
    send(client, page_of(ada, "credit"), **fields, description=evil)
    wanted = {"transaction_id": evil, "max_amount": 1, "asset": "USD", "subject": evil}
    hold = from_dict(HoldRequest, wanted)
    server.run(lambda engine: engine.authorize(ada, hold))
    send(
        client,
        page_of(ada, "limits"),
        amount="1",
        period="day",
        measure="fees",
        asset="USD",
        mode="hard",
        name=evil,
        subject=evil,
    )
    send(client, page_of(ada, "settings"), page_of(ada, "block"), reason=evil)
    server.use(ada, event_type=evil[:60])
    pages = [page_of(ada, tab) for tab in TABS]
    pages += ["/test/customers", f"/test/customers?q={evil}&state={evil}&product={evil}"]
    pages += [page_of(ada, f"credit?amount={evil}&account={evil}")]
    for page in pages:
        shown = client.get(page)
        assert shown.status_code == 200, page
        assert "<script>alert" not in shown.text, page
        assert "<img" not in shown.text.replace('<img src="/static/icon.svg"', ""), page
    assert "alert(1)" in client.get(page_of(ada)).text
