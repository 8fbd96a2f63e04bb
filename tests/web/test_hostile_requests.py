"""Requests that no page of ours has made and no browser would: each gets an answer in words, never
a fault of ours, whoever sends it."""

from __future__ import annotations

import html
import json
import re
import shlex
from pathlib import Path

import httpx
from tests.web.forms import errors_of, send
from tests.web.live import TOKEN, LiveServer
from tests.web.test_portal_door import csrf_of as csrf_of_portal
from tests.web.test_portal_door import enter, link_for, token_of
from tests.web.test_roles import csrf_of, signed_in

from faregate.web.dashboard.sections import PAGES
from faregate.web.portal.sections import PAGES as PORTAL_PAGES

NUL = "a%00b"
BOUNDARY = "multipart/form-data; boundary=x"


def parts(**fields: str) -> bytes:
    """Write a form with files, as bytes; a value's backslashes stay as they are."""
    head = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    return ("".join(head.format(*field) for field in fields.items()) + "--x--\r\n").encode()


def test_a_forms_text_is_utf_8_whatever_the_request_calls_it(
    client: httpx.Client, server: LiveServer
):
    """Other codecs make text that no database keeps (lone surrogates), take a time that grows with
    the square of their input (punycode), or fail in ways of their own."""
    page = "/test/account"
    proof = csrf_of(client)
    link = token_of(link_for(server, server.add_customer_without_product("Ada")))
    for charset in ("undefined", "punycode", "unicode_escape", "utf-7", "no-such"):
        headers = {"content-type": f"{BOUNDARY}; charset={charset}"}
        body = parts(csrf=proof, name=r"Olga \ud800 +2AA-")
        assert client.post(f"{page}/name", content=body, headers=headers).status_code == 303
        assert r"Olga \ud800 +2AA-" in client.get(page).text, charset
        wrong = parts(**dict.fromkeys(("email", "password", "link"), r"\ud800"))
        assert client.post("/sign-in", content=wrong, headers=headers).status_code in (422, 429)
        assert client.post("/portal/enter", content=wrong, headers=headers).status_code == 404
    headers = {"content-type": f"{BOUNDARY}; charset=punycode"}
    came = client.post("/portal/enter", content=parts(link=link), headers=headers)
    assert came.status_code == 303


def test_the_portals_door_says_in_words_that_a_form_cannot_be_read(
    server: LiveServer, stranger: httpx.Client
):
    link = token_of(link_for(server, server.add_customer_without_product("Ada")))
    for body, kind in (
        (b"--x--", "multipart/form-data"),
        (b"link=" + b"x" * 5_000, "application/x-www-form-urlencoded"),
        (b"link=%00", "application/x-www-form-urlencoded"),
    ):
        answer = stranger.post("/portal/enter", content=body, headers={"content-type": kind})
        assert answer.status_code == 404
        assert "This link does not work" in answer.text
        assert "set-cookie" not in answer.headers
    assert stranger.post("/portal/enter", data={"link": link}).status_code == 303


def test_an_origin_that_is_none_is_another_sites(client: httpx.Client, server: LiveServer):
    foreign = {"origin": "http://["}
    for where in ("/sign-in", "/sign-out", "/test/account/name"):
        answer = client.post(where, data={"csrf": csrf_of(client)}, headers=foreign)
        assert answer.status_code in (303, 403), where
    assert client.get("/test").status_code == 200
    assert not server.run(lambda engine: engine.list_audit_entries())


def test_a_form_as_deep_as_its_size_allows_is_answered(client: httpx.Client, server: LiveServer):
    deep = {"price-1-" * 3_000 + "name": "x"}
    with signed_in(server, "finance") as finance:
        shown = finance.post("/test/preview-product", data={"csrf": csrf_of(finance), **deep})
        assert shown.status_code == 200
    assert send(client, "/test/new-product", do="add:price", **deep).status_code == 200


def test_a_list_that_begins_nowhere_begins_at_its_start_or_has_ended(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    one = f"customers/{server.add_customer_without_product('Ada')}"
    lists = ["customers", f"{one}/money", f"{one}/payments", "products", "vendors", "margins"]
    for path in (*lists, "products/calls/subscribers", "jobs"):
        for offset in ("9" * 30, "9" * 5_000, "-1", "%C2%B2", "1e9", "%00"):
            shown = client.get(f"/test/{path}?offset={offset}")
            assert shown.status_code == 200, (path, offset[:40])


def test_a_number_that_is_beyond_all_amounts_is_refused_beside_its_field(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    one = f"/test/customers/{server.add_customer('Ada')}"
    for number in ("1e999999999", "-1e999999999", "1e-999999999", "0e999999999"):
        for kind, field in (("credit", "amount"), ("debit", "amount"), ("credit", "priority")):
            given = {"amount": "1", "account": "default:USD", "reason": "gift", field: number}
            answer = send(client, f"{one}/{kind}", **given)
            assert answer.status_code == 422, (kind, field, number)
            assert any("write a" in said for said in errors_of(answer)), (kind, field, number)
        answer = send(client, f"{one}/plan/new", product="calls", quantity=number)
        assert answer.status_code == 422
    assert "$10" in client.get(one).text


def test_a_payment_page_reads_no_form_that_is_none(stranger: httpx.Client):
    for where in ("/checkout/pay_nothing", "/pay/cust_nothing/sub_nothing"):
        for body in ("a=1&" * 50, "x" * 100_000):
            assert stranger.post(where, content=body).status_code == 404


def test_a_nul_is_looked_for_on_no_page_and_kept_by_no_form(database_url: str, tmp_path: Path):
    """PostgreSQL takes none, and a browser sends none."""
    with LiveServer(tmp_path, database_url) as server, httpx.Client(base_url=server.url) as client:
        client.get("/", params={"token": TOKEN})
        for page in (page for page in PAGES if page.method == "GET"):
            path = re.sub(r"{\w+}", NUL, page.path)
            answer = client.get(f"/test/{path}".rstrip("/"))
            assert answer.status_code in (200, 404), page.path
        form = csrf_of(client)
        for page in (page for page in PAGES if page.method == "POST"):
            path = re.sub(r"{\w+}", "nothing", page.path)
            given = {"csrf": form, "email": "a\0b", "key": "a\0b"}
            answer = client.post(f"/test/{path}", data=given)
            assert answer.status_code == 422, page.path
            assert "NUL character: remove it" in answer.text
        assert not server.run(lambda engine: engine.list_audit_entries())
        for path in ("customers?q=", "events?subject=", "audit?who=", "margins?currency="):
            assert client.get(f"/test/{path}{NUL}").status_code in (200, 422), path
        for path in (f"pay/{NUL}/{NUL}", f"checkout/{NUL}", f"receipts/{NUL}?key={NUL}"):
            assert client.get(f"/{path}").status_code == 404, path
        for path in (f"join/{NUL}", f"portal/logo?account={NUL}", f"portal/enter?link={NUL}"):
            assert client.get(f"/{path}").status_code == 404, path


def test_a_call_that_is_copied_runs_nothing_of_what_was_typed(
    client: httpx.Client, server: LiveServer
):
    one = f"/test/customers/{server.add_customer_without_product('Ada')}/credit"
    reason = "gift'; touch /tmp/taken; '"
    shown = send(client, one, reason=reason, amount="1", account="default:USD")
    call = re.search(r'id="call-curl"[^>]*>(.*?)</', shown.text, re.S)
    assert call is not None
    body = json.loads(shlex.split(html.unescape(call[1]))[-1])
    assert body["reason"] == reason


def test_the_portal_changes_nothing_by_a_form_without_its_proof(
    server: LiveServer, stranger: httpx.Client
):
    enter(stranger, link_for(server, server.add_customer_without_product("Ada")))
    own = ("leave", "language")
    changes = [page.path for page in PORTAL_PAGES if page.method == "POST"]
    for path in (*own, *changes):
        where = f"/portal/{re.sub('{[^}]+}', 'nothing', path)}".rstrip("/")
        proof = csrf_of_portal(stranger.get("/portal"))
        for data, headers in (
            ({}, {}),
            ({"csrf": "0" * 64}, {}),
            ({"csrf": proof}, {"sec-fetch-site": "cross-site"}),
            ({"csrf": proof}, {"sec-fetch-site": "same-site"}),
            ({"csrf": proof}, {"origin": "http://evil.example"}),
            ({"csrf": proof}, {"origin": "null"}),
        ):
            answer = stranger.post(where, data=data, headers=headers)
            assert answer.status_code == 403, (path, headers)
            assert "Nothing was changed" in answer.text
