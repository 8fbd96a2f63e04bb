"""The dashboard's door: who comes in, who does not, and what nobody can do with somebody else's
browser."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.web.live import EMAIL, PASSWORD, LiveServer

from faregate.platform.throttling import FREE_TRIES
from faregate.web.door import safe_next

GOOD = {"email": EMAIL, "password": PASSWORD}
COOKIE = "faregate_session"


def sign_in(client: httpx.Client, **more: str) -> httpx.Response:
    return client.post("/sign-in", data={**GOOD, **more})


def csrf_of(client: httpx.Client) -> str:
    found = re.search(r'name="csrf" value="(\w+)"', client.get("/test").text)
    assert found is not None
    return found[1]


def test_whoever_is_not_signed_in_sees_a_form_and_nothing_else(stranger: httpx.Client):
    for path in ("/test", "/test/audit?who=ada&x=1", "/live/settings"):
        answer = stranger.get(path)
        assert answer.status_code == 303
        place = urlsplit(answer.headers["location"])
        assert place.path == "/sign-in"
        assert parse_qs(place.query)["next"] == [path]
    for path in ("/", "/sign-in"):
        assert "Password" in stranger.get(path).text
    assert stranger.get("/test/now", headers={"HX-Request": "true"}).status_code == 401
    refused = stranger.post("/test/account/name", data={"name": "Eve"})
    assert refused.status_code == 401
    assert "nothing was changed" in refused.text


def test_signing_in_leads_on_and_leaves_a_cookie_that_scripts_and_other_sites_do_not_get(
    stranger: httpx.Client,
):
    answer = sign_in(stranger, next="/live/events?q=a%20b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/live/events?q=a%20b")
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=1209600"):
        assert part in cookie
    assert stranger.get("/test").status_code == 200
    assert stranger.get("/").headers["location"] == "/test"
    assert stranger.get("/sign-in?next=/test/team").headers["location"] == "/test/team"
    over_tls = stranger.post("/sign-in", data=GOOD, headers={"X-Forwarded-Proto": "https"})
    assert over_tls.headers["set-cookie"].startswith(f"__Host-{COOKIE}=")
    assert "Secure" in over_tls.headers["set-cookie"]


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example", "https://evil.example", "/\\evil.example", "/test\\evil", "javascript:1",
        "/test/\r\nSet-Cookie: a=b", "/testing", "/livestock", "/sign-out", "/test/" + "x" * 4000,
        " /test", "/test/é", "", "@evil.example", "/test@evil.example",
    ],
)  # fmt: skip
def test_after_signing_in_nobody_is_led_elsewhere(path: str):
    assert safe_next(path) == "/"


def test_the_form_itself_does_not_follow_another_site(stranger: httpx.Client):
    assert 'value="/"' in stranger.get("/sign-in", params={"next": "//evil.example"}).text
    assert sign_in(stranger, next="//evil.example").headers["location"] == "/"


def test_a_session_that_somebody_has_put_into_the_browser_is_worth_nothing(
    stranger: httpx.Client, server: LiveServer
):
    with httpx.Client(base_url=server.url) as attacker:
        sign_in(attacker)
        planted = attacker.cookies[COOKIE]
        stranger.cookies.set(COOKIE, planted, domain="127.0.0.1")
        sign_in(stranger)
        assert stranger.cookies[COOKIE] != planted
        # What the browser brought is ended, too.
        assert attacker.get("/test").status_code == 303
    for made_up in ("x", "0" * 64, "é"):
        answer = httpx.get(
            f"{server.url}/test", headers={"Cookie": f"{COOKIE}=".encode() + made_up.encode()}
        )
        assert answer.status_code == 303


def test_a_wrong_password_and_an_unknown_address_are_refused_in_the_same_words(
    stranger: httpx.Client,
):
    pages = []
    for email in (EMAIL, "nobody@example.com"):
        answer = stranger.post("/sign-in", data={"email": email, "password": "wrong password"})
        assert answer.status_code == 422
        assert "set-cookie" not in answer.headers
        assert "wrong password" not in answer.text
        pages.append(answer.text.replace(email, ""))
    assert pages[0] == pages[1]
    assert "E-mail or password is wrong" in pages[0]
    assert stranger.post("/sign-in", content=b"email=" + b"a" * 100_000).status_code == 413


def test_guessing_has_to_wait_and_the_page_says_how_long(stranger: httpx.Client):
    for _ in range(FREE_TRIES):
        wrong = stranger.post("/sign-in", data={"email": EMAIL, "password": "wrong password"})
        assert wrong.status_code == 422
    answer = sign_in(stranger)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert "try again in a second" in answer.text


def test_a_form_that_another_site_sends_changes_nothing(client: httpx.Client):
    token = csrf_of(client)
    form = {"csrf": token, "name": "Renamed"}
    path = "/test/account/name"
    for data, headers in (
        ({"name": "Eve"}, {}),
        ({"csrf": "", "name": "Eve"}, {}),
        ({"csrf": token[:-1] + ("1" if token[-1] == "0" else "0"), "name": "Eve"}, {}),
        ({"csrf": "é", "name": "Eve"}, {}),
        (form, {"Origin": "https://evil.example"}),
        (form, {"Origin": "null"}),
        (form, {"Sec-Fetch-Site": "cross-site"}),
        (form, {"Sec-Fetch-Site": "same-site"}),
    ):
        answer = client.post(path, data=data, headers=headers)
        assert answer.status_code == 403, (data, headers)
        assert "Olga Operator" in client.get("/test").text
    origin = str(client.base_url).rstrip("/")
    good = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    assert client.post(path, data=form, headers=good).status_code == 303
    assert "Renamed" in client.get("/test").text
    by_htmx = client.post(path, data={"name": "Again"}, headers={"X-CSRF": token})
    assert by_htmx.status_code == 303


def test_nobody_is_signed_in_or_out_by_another_site(client: httpx.Client, server: LiveServer):
    foreign = {"Origin": "https://evil.example"}
    assert client.post("/sign-out", data={"csrf": csrf_of(client)}, headers=foreign).is_redirect
    assert client.post("/sign-out").is_redirect
    assert client.get("/test").status_code == 200
    refused = httpx.post(f"{server.url}/sign-in", data=GOOD, headers=foreign)
    assert refused.status_code == 403
    assert "set-cookie" not in refused.headers


def test_signing_out_ends_the_session_also_for_whoever_has_copied_it(client: httpx.Client):
    copied = client.cookies[COOKIE]
    answer = client.post("/sign-out", data={"csrf": csrf_of(client)})
    assert answer.headers["location"] == "/sign-in"
    assert COOKIE not in client.cookies
    client.cookies.set(COOKIE, copied, domain="127.0.0.1")
    assert client.get("/test").status_code == 303


def test_somebody_who_is_invited_joins_by_a_form_and_the_link_is_used_up(
    stranger: httpx.Client, server: LiveServer
):
    made = server.run(lambda e: e.invite_operator("ben@example.com", "finance", by=None))
    path = f"/join/{made.secret}"
    for _ in range(3):
        assert "you may see everything and export it" in stranger.get(path).text
        assert stranger.head(path).status_code == 200
    short = stranger.post(path, data={"name": '"><script>', "password": "short"})
    assert short.status_code == 422
    assert "has 5 characters: use at least 10" in short.text
    assert "&lt;script&gt;" in short.text
    assert 'aria-invalid="true"' in short.text
    foreign = {"Origin": "https://evil.example"}
    assert stranger.post(path, data={}, headers=foreign).status_code == 403
    good = {"name": '"><script>Ben', "password": "correct horse battery"}
    assert stranger.post(path, data=good).headers["location"] == "/"
    entries = server.run(lambda engine: engine.list_audit_entries())
    told = [(entry.action, entry.outcome, entry.actor.name) for entry in entries]
    assert told == [
        ("join the team", "done", "ben@example.com"),
        ("join the team", "refused", "ben@example.com"),
    ]
    assert "correct horse" not in repr(entries)
    assert made.secret not in repr(entries)
    page = stranger.get("/test").text
    assert "&lt;script&gt;Ben" in page
    assert "<script>Ben" not in page
    for again in (stranger.get(path), stranger.post(path, data=good)):
        assert again.status_code == 404
        assert "opens nothing any more" in again.text


def test_looking_at_a_sign_in_link_does_not_use_it_up_but_on_this_machine(
    stranger: httpx.Client, server: LiveServer
):
    async def link(engine):  # type: ignore[no-untyped-def]
        (who,) = await engine.list_operators()
        return await engine.sign_in_link(who.id)

    path = f"/join/{server.run(link)}"
    elsewhere = {"Host": "billing.example"}
    for method in ("GET", "HEAD", "GET"):
        seen = stranger.request(method, path, headers=elsewhere)
        assert seen.status_code == 200
        assert "set-cookie" not in seen.headers
    assert stranger.head(path).status_code == 200
    assert stranger.post(path, headers=elsewhere).headers["location"] == "/"
    assert stranger.post(path, headers=elsewhere).status_code == 404
    here = stranger.get(f"/join/{server.run(link)}")
    assert (here.status_code, here.headers["location"]) == (303, "/")
    assert stranger.get("/test").status_code == 200


def test_a_new_password_by_a_link_signs_everybody_else_out(
    client: httpx.Client, server: LiveServer
):
    made = server.run(lambda engine: engine.reset_link(EMAIL))
    new = {"password": " a new one, with spaces "}
    with httpx.Client(base_url=server.url) as owner:
        assert "Choose a new password" in owner.get(f"/join/{made.secret}").text
        answer = owner.post(f"/join/{made.secret}", data=new)
        assert answer.status_code == 303
        assert owner.get("/test").status_code == 200
    assert client.get("/test").status_code == 303
    assert sign_in(client).status_code == 422
    assert sign_in(client, **new).status_code == 303


def test_every_answer_forbids_foreign_scripts_and_frames_and_tells_others_no_address(
    client: httpx.Client,
):
    for path in ("/test", "/test/now", "/static/dashboard.js", "/nowhere", "/sign-in", "/join/x"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none';")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
