"""The pages about how it runs: webhooks, vendors, test clocks, coupons, assets."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import httpx
from tests.web.forms import errors_of, send
from tests.web.live import LiveServer

from faregate.core.codec import from_dict
from faregate.core.events import UsageEvent
from faregate.customers.types import CreateCustomer


def registered(client: httpx.Client, url: str = "https://example.com/hook") -> tuple[str, str]:
    """Register a destination; return the address of its page and its secret."""
    made = send(client, "/test/webhooks/new", url=url, which="all")
    found = re.search(r'href="(/test/webhooks/whd_\w+)"', made.text)
    secret = re.search(r"whsec_[^<]+", made.text)
    assert found
    assert secret
    return found[1], secret[0]


def test_a_destination_is_registered_tested_and_sent_again(client: httpx.Client):
    page, secret = registered(client)
    assert secret not in client.get(page).text
    assert secret not in client.get("/test/webhooks").text
    sent = send(client, page, f"{page}/test", topic="wallet.balance_low")
    assert sent.status_code == 303
    shown = client.get(page).text
    assert "A sample of wallet.balance_low is on its way." in shown
    assert "A sample of" not in client.get(page).text
    delivery = re.search(rf'href="({page}/deliveries/\w+)"', shown)
    assert delivery
    body = client.get(delivery[1])
    assert "&#34;threshold&#34;: 5" in body.text
    assert "Send it again" not in body.text  # it is still on its way
    again = send(client, page, f"{page}/redeliver", time_gte="2026-01-01T00:00", state="failed")
    assert again.status_code == 303
    assert "0 events are on their way again." in client.get(page).text
    assert errors_of(send(client, page, f"{page}/redeliver"))
    assert client.get(f"{page}/deliveries/whe_nothing").status_code == 404
    rotated = send(client, page, f"{page}/rotate", overlap_seconds="3600")
    assert "whsec_" in rotated.text
    assert secret not in rotated.text
    assert "The secret before signs too" in client.get(page).text
    assert send(client, page, f"{page}/disable").status_code == 303
    assert errors_of(send(client, page, f"{page}/test", topic="hold.expired"))
    assert send(client, page, f"{page}/delete").status_code == 303
    assert client.get(page).status_code == 404


def test_an_address_inside_the_house_is_refused_in_words_and_what_was_typed_stays(
    client: httpx.Client,
):
    url = "http://169.254.169.254/latest"
    answer = send(client, "/test/webhooks/new", url=url, which="some", topic="hold.expired")
    assert answer.status_code == 422
    assert errors_of(answer)
    assert f'value="{url}"' in answer.text
    assert re.search(r'value="hold.expired" checked', answer.text)
    assert "Nobody is told yet" in client.get("/test/webhooks").text


def test_what_a_vendor_costs_is_shown_by_day_and_category(client: httpx.Client, server: LiveServer):
    server.add_product()
    ada = server.add_customer("Ada")
    made = send(client, "/test/vendors", name="OpenAI", external_id="openai")
    assert made.status_code == 303
    page = made.headers["location"]
    assert "No costs in the last 30 days" in client.get(page).text
    cost = {"id": "c", "vendor_external_id": "openai", "category": "tokens", "currency": "USD"}
    costs = [cost | {"amount": Decimal("0.25")}]
    event = {"id": "e", "event_type": "api_call", "occurred_at": datetime.now(UTC).isoformat()}
    booked = from_dict(UsageEvent, event | {"costs": costs})
    server.run(lambda engine: engine.record_events(ada, [booked]))
    shown = client.get(page).text
    assert 'data-value="0.25"' in shown
    assert re.search(r'<th scope="row">tokens</th><td class="number" data-sort="0.25">', shown)
    assert "$0.25" in client.get("/test/vendors").text
    taken = send(client, "/test/vendors", name="Other", external_id="openai")
    assert taken.status_code == 409
    assert errors_of(taken)


def test_a_clock_is_moved_and_its_customers_have_lived(client: httpx.Client, server: LiveServer):
    made = send(client, "/test/clocks", name="A year", now="2026-01-01T00:00")
    page = made.headers["location"]
    clock = page.rpartition("/")[2]
    server.run(lambda engine: engine.create_customer(CreateCustomer("Eve", test_clock_id=clock)))
    assert send(client, page, f"{page}/advance", step="month").status_code == 303
    assert "1 Feb 2026, 00:00:00" in client.get(page).text
    back = send(client, page, f"{page}/advance", to="2025-01-01T00:00")
    assert back.status_code == 422
    assert errors_of(back)
    assert errors_of(send(client, page, f"{page}/advance", to="")) == [
        "is empty: say until when, or press a button"
    ]
    assert "Test clocks are for the test mode" in client.get("/live/clocks").text


def test_a_coupon_is_had_until_it_is_deleted(client: httpx.Client):
    half = send(client, "/test/coupons", code="HALF", kind="percent", percent="50", periods="3")
    assert half.status_code == 303
    shown = client.get("/test/coupons").text
    assert "50% off each fee, for 3 periods" in shown
    for wrong, words in (
        ({"percent": "50"}, "HALF"),
        ({"code": "X", "percent": "many"}, "write a number"),
        ({"code": "X", "percent": ""}, "say how much"),
        ({"code": "X", "kind": "amount", "amount": "5", "asset": "USD", "periods": "1.5"}, "whole"),
    ):
        fields = {"code": "HALF", "kind": "percent"} | wrong
        answer = send(client, "/test/coupons", **fields)
        assert answer.status_code in (409, 422)
        assert any(words in error for error in errors_of(answer)), errors_of(answer)
    assert send(client, "/test/coupons", "/test/coupons/HALF/delete").status_code == 303
    assert "No coupons yet" in client.get("/test/coupons").text


def test_a_credit_of_ones_own_has_a_rate_a_quote_and_a_bonus(client: httpx.Client):
    made = send(
        client, "/test/assets", name="Images", code="IMG", source="USD", inverse_rate="1,000"
    )
    page = made.headers["location"]
    assert page == "/test/assets/IMG"
    assert "buys" in client.get(f"{page}?amount=25&source=USD").text
    assert "25,000" in client.get(f"{page}?amount=25&source=USD").text
    assert send(client, page, f"{page}/rates", source="USD", inverse_rate="500").status_code == 303
    assert "12,500" in client.get(f"{page}?amount=25&source=USD").text
    assert errors_of(send(client, page, f"{page}/rates", source="USD", inverse_rate=""))
    given = send(client, page, f"{page}/bonus", percent="20", minimum="100", expires_in_days="30")
    assert given.status_code == 303
    words = "20% on top, for top-ups of 100 or more, to be used within 30 days"
    assert words in client.get(page).text
    assert errors_of(send(client, page, f"{page}/bonus", percent="-1"))
    assert send(client, page, f"{page}/bonus", percent="").status_code == 303
    assert words not in client.get(page).text


def test_a_form_that_is_not_ours_changes_nothing(client: httpx.Client):
    page, _ = registered(client)
    for fields, headers in (
        ({}, {}),
        ({"csrf": "x"}, {}),
    ):
        answer = client.post(f"{page}/delete", data=fields, headers=headers)
        assert answer.status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        csrf = re.search(r'name="csrf" value="([^"]+)"', client.get(page).text)
        assert csrf
        answer = client.post(f"{page}/delete", data={"csrf": csrf[1]}, headers=headers)
        assert answer.status_code == 403
    assert client.get(page).status_code == 200
