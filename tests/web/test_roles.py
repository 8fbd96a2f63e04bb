"""Who may do what in the dashboard, over all its routes, and what of it is written down."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from tests.web.forms import send
from tests.web.live import LiveServer

from faregate.web.dashboard.sections import PAGES
from faregate.web.dashboard.visit import Page

CHANGES = [page for page in PAGES if page.method == "POST"]


def signed_in(server: LiveServer, role: str) -> httpx.Client:
    cookies = {"faregate_session": server.add_operator(role)}
    return httpx.Client(base_url=server.url, cookies=cookies)


def csrf_of(client: httpx.Client) -> str:
    found = re.search(r'name="csrf" value="(\w+)"', client.get("/test/account").text)
    assert found is not None
    return found[1]


def address(page: Page) -> str:
    return "/test/" + re.sub(r"{\w+}", "nothing", page.path)


@pytest.fixture
def finance(server: LiveServer) -> Iterator[httpx.Client]:
    with signed_in(server, "finance") as client:
        yield client


@pytest.fixture
def support(server: LiveServer) -> Iterator[httpx.Client]:
    with signed_in(server, "support") as client:
        yield client


def test_finance_changes_nothing_and_support_only_what_helps_customers(
    server: LiveServer, finance: httpx.Client, support: httpx.Client
):
    for client, allowed in ((finance, {"own"}), (support, {"own", "support"})):
        token = csrf_of(client)
        refused = 0
        for page in CHANGES:
            if not page.is_change or page.needs in allowed:
                continue
            answer = client.post(address(page), data={"csrf": token})
            assert answer.status_code == 403, page.path
            assert "which does not allow this" in answer.text
            refused += 1
        assert refused
        for page in PAGES:
            if page.method == "GET" and page.needs == "admin":
                assert client.get(address(page)).status_code == 403, page.path
        shown = client.get("/test").text
        assert "Margins" in shown
        assert 'href="/test/team"' not in shown
        assert 'href="/test/keys"' not in shown
    entries = server.run(lambda engine: engine.list_audit_entries())
    assert [entry.action for entry in entries] == []


def test_a_change_that_says_nothing_of_who_may_is_for_admins():
    async def handler(_visit):  # type: ignore[no-untyped-def]
        raise AssertionError

    assert Page("x", handler, "POST").needed == "admin"
    assert Page("x", handler, "POST", "support").needed == "support"
    assert Page("x", handler, "POST", "own").needed == "own"
    assert Page("x", handler, "POST", is_change=False).needed == "read"
    assert Page("x", handler).needed == "read"
    assert Page("a/{b}/c", handler, "POST").words == "a c"


def test_no_change_is_made_by_a_form_without_its_proof(client: httpx.Client):
    for page in CHANGES:
        answer = client.post(address(page), data={})
        assert answer.status_code == 403, page.path
        assert "nothing was changed" in answer.text


def test_each_change_is_in_the_audit_log_with_who_what_and_how_it_ended(
    client: httpx.Client, server: LiveServer
):
    assert send(client, "/test/account", "/test/account/name", name="Olga O.").status_code == 303
    assert send(client, "/live/settings", "/live/settings/timezone", timezone="Mars").is_error
    names = ("current_password", "password", "password_again")
    wrong = dict.fromkeys(names, "Zq7xSecretSecret")
    assert send(client, "/test/account", "/test/account/password", **wrong).is_error
    made = send(client, "/test/keys", name="the backend", role="read")
    found = re.search(r"fg_test_\w[\w-]+", made.text)
    assert found
    entries = server.run(lambda engine: engine.list_audit_entries())
    told = [(entry.action, entry.outcome, entry.mode) for entry in entries]
    assert told == [
        ("make an API key", "done", "test"),
        ("change own password", "refused", "test"),
        ("set the timezone", "refused", "live"),
        ("change own name", "done", "test"),
    ]
    assert entries[0].object_id.startswith("key_")
    assert entries[0].request == {"path": "/test/keys", "name": "the backend", "role": "read"}
    assert entries[2].detail.startswith("timezone")
    assert "Olga Operator <olga@example.com>" in entries[3].actor.name
    assert entries[3].address == "127.0.0.1"
    page = client.get("/test/audit").text
    for text in (page, client.get("/test/audit.csv").text, repr(entries)):
        assert "change own password" in text
        assert "Zq7x" not in text
        assert found[0] not in text
    assert found[0] not in client.get("/test/keys").text
    assert "All 8 rows of the log are as they were written" in send(client, "/test/audit").text


def test_the_audit_log_is_filtered_by_its_address_and_says_what_cannot_be_read(
    client: httpx.Client,
):
    send(client, "/test/account", "/test/account/name", name="Olga O.")
    send(client, "/live/keys", name="other", role="read")
    for query, words, no_words in (
        ("who=olga&mode=live", "make an API key", "change own name"),
        ("what=own%20name", "change own name", "make an API key"),
        ("object=key_none", "No entry fits", "change own name"),
        ("from=2020-01-01&to=2020-12-31", "No entry fits", "change own name"),
        ("to=2999-01-01", "change own name", "No entry fits"),
    ):
        shown = client.get(f"/test/audit?{query}")
        assert shown.status_code == 200
        assert words in shown.text, query
        assert no_words not in shown.text, query
        csv = client.get(f"/test/audit.csv?{query}")
        assert ("change own name" in csv.text) == (words == "change own name"), query
    for query in ("from=yesterday", "to=2026-13-01", "from=0001-01-01"):
        shown = client.get(f"/test/audit?{query}")
        assert shown.status_code == 422
        assert "is no day: write it like 2026-11-27" in shown.text
        assert client.get(f"/test/audit.csv?{query}").status_code == 422
    assert client.get("/test/audit?before=x&who=%00").status_code == 200


def test_whoever_is_disabled_is_out_with_the_next_click(
    client: httpx.Client, server: LiveServer, support: httpx.Client
):
    assert support.get("/test").status_code == 200
    people = server.run(lambda engine: engine.list_operators())
    (otto,) = [one for one in people if one.role == "support"]
    assert send(client, "/test/team", f"/test/team/{otto.id}/disable").status_code == 303
    assert support.get("/test").status_code == 303
    assert "Otto was signed out everywhere" in client.get("/test/team").text
    (olga,) = [one for one in people if one.role == "admin"]
    last = send(client, "/test/team", f"/test/team/{olga.id}/role", role="support")
    assert last.status_code == 409
    assert "the last admin cannot take the role support" in last.text


def test_names_that_are_scripts_are_shown_and_not_run(client: httpx.Client, server: LiveServer):
    evil = "\"><script>alert(1)</script>'{{ 7*7 }}"
    server.add_operator("support", evil)
    send(client, "/test/account", "/test/account/name", name=evil)
    send(client, "/test/keys", name=evil, role="read")
    server.run(lambda engine: engine.invite_operator("x@example.com", "support", by=None))
    for path in ("/test", "/test/team", "/test/account", "/test/keys", "/test/audit"):
        page = client.get(f"{path}?who={evil}&next={evil}").text
        assert "<script>alert" not in page, path
        assert "49" not in re.findall(r"&lt;/script&gt;&#39;(.{0,8})", page), path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in client.get("/test/team").text


def test_an_invitation_is_made_shown_once_and_withdrawn(client: httpx.Client):
    made = send(client, "/test/team", "/test/team/invite", email="Ben@Example.com", role="finance")
    link = re.search(r'<code id="link">(http[^<]+)</code>', made.text)
    assert link
    assert link[1] not in client.get("/test/team").text
    assert "ben@example.com" in client.get("/test/team").text
    assert "Join the team" in httpx.get(link[1]).text
    gone = send(client, "/test/team", "/test/team/withdraw", email="ben@example.com")
    assert gone.status_code == 303
    assert httpx.get(link[1]).status_code == 404
    for email, role, words in (
        ("olga@example.com", "support", "is an operator already"),
        ("nobody", "support", "is not an e-mail address"),
        ("a@b.c", "king", "is no role"),
    ):
        answer = send(client, "/test/team", "/test/team/invite", email=email, role=role)
        assert answer.is_error
        assert words in answer.text
        assert f'value="{email}"' in answer.text


def test_keys_are_of_their_mode_alone(client: httpx.Client, server: LiveServer):
    send(client, "/live/keys", name="live one", role="admin")
    assert "live one" in client.get("/live/keys").text
    assert "live one" not in client.get("/test/keys").text
    (key,) = server.run(lambda engine: engine.list_keys())
    other = send(client, "/live/keys", f"/test/keys/{key.id}/revoke")
    assert other.status_code == 404
    assert send(client, "/live/keys", f"/live/keys/{key.id}/revoke").status_code == 303
    (key,) = server.run(lambda engine: engine.list_keys())
    assert key.revoked_at is not None
    bad = send(client, "/live/keys", name="", role="admin")
    assert bad.status_code == 422
    assert "say in 1 to 100" in bad.text
