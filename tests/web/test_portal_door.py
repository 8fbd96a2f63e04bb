"""The way into the portal, over a real port: what opens it, what does not, and what each answer
carries so that nobody else gets in."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from tests.web.live import LiveServer

from faregate.core.portal import PortalSettings
from faregate.engine.portal import CreatePortalSession

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20) + b"\x00\x00\x00\x00IEND\xaeB`\x82"
SHOP = "https://shop.example"


def link_for(server: LiveServer, customer_id: str, **more: Any) -> str:
    request = CreatePortalSession(customer_id, f"{SHOP}/back?a=1&b=2", f"{SHOP}/failed", **more)
    made = server.run(lambda engine: engine.create_portal_session(request, base_url=server.url))
    return str(made.redirect_url)


def token_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["link"][0]


def set_up(server: LiveServer, **settings: Any) -> None:
    server.run(lambda engine: engine.set_portal_settings(PortalSettings(**settings)))


def enter(client: httpx.Client, link: str, **form: str) -> httpx.Response:
    return client.post("/portal/enter", data={"link": token_of(link), **form})


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="(\w+)"', page.text)
    assert found is not None
    return found[1]


def directive(answer: httpx.Response, name: str) -> str:
    (policy,) = answer.headers.get_list("content-security-policy")
    parts = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    return parts[name]


def test_who_only_looks_at_a_link_does_not_use_it_up(
    server: LiveServer, stranger: httpx.Client
) -> None:
    customer_id = server.add_customer_without_product("Ada")
    link = link_for(server, customer_id)
    for method in ("HEAD", "GET", "GET"):
        seen = stranger.request(method, link)
        assert (seen.status_code, seen.headers.get("set-cookie")) == (200, None)
        assert seen.headers["cache-control"] == "no-store"
    assert 'action="/portal/enter"' in seen.text
    came = enter(stranger, link)
    assert (came.status_code, came.headers["location"]) == (303, "/portal")
    home = stranger.get("/portal")
    assert home.status_code == 200
    assert f'href="{SHOP}/back?a=1&amp;b=2"' in home.text
    # Whoever has come in by it and opens it again, goes on.
    assert stranger.get(link).headers["location"] == "/portal"
    with httpx.Client(base_url=server.url) as other:
        for answer in (other.get(link), enter(other, link)):
            assert answer.status_code == 410
            assert "This link was opened before" in answer.text
            assert f'href="{SHOP}/back?a=1&amp;b=2"' in answer.text
        assert other.get("/portal").status_code == 401


def test_what_is_no_link_opens_nothing(server: LiveServer, stranger: httpx.Client) -> None:
    tokens = ("", "x", "x" * 500, "../../etc", "<script>alert(1)</script>", "é\x00.é")
    for answer in (
        stranger.request(method, "/portal/enter", **{kind: {"link": token}})
        for token in tokens
        for method, kind in (("GET", "params"), ("POST", "data"))
    ):
        assert answer.status_code == 404
        assert "This link does not work" in answer.text
        assert "<script>alert" not in answer.text
        assert directive(answer, "frame-ancestors") == "'none'"


def test_a_visit_has_a_secret_that_nobody_else_has_chosen_or_can_read(
    server: LiveServer, stranger: httpx.Client
) -> None:
    customer_id = server.add_customer_without_product("Ada")
    stranger.cookies.set("faregate_portal", "chosen-by-somebody-else", path="/portal")
    came = enter(stranger, link_for(server, customer_id))
    cookie = came.headers["set-cookie"]
    secret = re.match(r"faregate_portal=([\w-]{43});", cookie)
    assert secret is not None
    assert cookie.endswith("; Path=/portal; HttpOnly; SameSite=Lax")
    with httpx.Client(base_url=server.url) as other:
        other.cookies.set("faregate_portal", "chosen-by-somebody-else", path="/portal")
        assert other.get("/portal").status_code == 401
    # Over TLS it is bound to the host, so no neighbour of the domain can have put it there.
    tls, form = {"X-Forwarded-Proto": "https"}, {"link": token_of(link_for(server, customer_id))}
    secure = httpx.post(f"{server.url}/portal/enter", data=form, headers=tls)
    name, _, rest = secure.headers["set-cookie"].partition("=")
    secret_of_tls, _, rest = rest.partition(";")
    assert (name, rest) == ("__Host-faregate_portal", " Path=/; HttpOnly; SameSite=Lax; Secure")
    for known, status in ((name, 200), ("faregate_portal", 401), ("faregate_portal_embedded", 401)):
        seen = httpx.get(f"{server.url}/portal", headers=tls, cookies={known: secret_of_tls})
        assert seen.status_code == status, known
    framed = enter(stranger, link_for(server, customer_id), embed="1")
    assert framed.headers["set-cookie"].endswith("; HttpOnly; SameSite=None; Secure; Partitioned")


def test_another_link_ends_the_visit_before_and_shows_its_own_customer_alone(
    server: LiveServer, stranger: httpx.Client
) -> None:
    server.add_product()
    ada, bob = server.add_customer("Ada", "11"), server.add_customer("Bob", "22")
    adas = link_for(server, ada)
    enter(stranger, adas)
    before = stranger.cookies["faregate_portal"]
    assert "$11.00" in stranger.get("/portal").text
    stranger.cookies.clear()
    stranger.cookies.set("faregate_portal", before, path="/portal")
    came = enter(stranger, link_for(server, bob))
    stranger.cookies.clear()
    secret = came.headers["set-cookie"].partition(";")[0].partition("=")[2]
    stranger.cookies.set("faregate_portal", secret, path="/portal")
    shown = stranger.get("/portal", params={"customer_id": ada, "customer": ada}).text
    assert "$22.00" in shown
    assert "$11.00" not in shown
    # Her link, which she has opened, leads him nowhere: not even to what is his.
    assert stranger.get(adas).status_code == 410
    with httpx.Client(base_url=server.url, cookies={"faregate_portal": before}) as other:
        assert other.get("/portal").status_code == 401


def test_a_form_is_taken_from_our_own_pages_alone(
    server: LiveServer, stranger: httpx.Client
) -> None:
    ada = server.add_customer_without_product("Ada")
    enter(stranger, link_for(server, ada))
    with httpx.Client(base_url=server.url) as other:
        enter(other, link_for(server, server.add_customer_without_product("Bob")))
        stolen = csrf_of(other.get("/portal"))
    csrf = csrf_of(stranger.get("/portal"))
    for data, headers in (
        ({}, {}),
        ({"csrf": ""}, {}),
        ({"csrf": stolen}, {}),
        ({"csrf": csrf}, {"Origin": "https://evil.example"}),
        ({"csrf": csrf}, {"Sec-Fetch-Site": "cross-site"}),
        ({"csrf": csrf}, {"Sec-Fetch-Site": "same-site"}),
    ):
        answer = stranger.post("/portal/language", data={"locale": "de", **data}, headers=headers)
        assert answer.status_code == 403
        assert 'lang="en"' in stranger.get("/portal").text
    ours = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    chosen = {"locale": "de", "csrf": csrf}
    assert stranger.post("/portal/language", data=chosen, headers=ours).status_code == 303
    assert '<html lang="de">' in stranger.get("/portal").text
    # A link that another site's page sends for somebody opens nothing either.
    link = link_for(server, ada)
    sent = {"link": token_of(link)}
    evil = {"Sec-Fetch-Site": "cross-site"}
    with httpx.Client(base_url=server.url) as other:
        answer = other.post("/portal/enter", data=sent, headers=evil)
        assert (answer.status_code, answer.headers.get("set-cookie")) == (200, None)
        assert enter(other, link).status_code == 303


def test_who_leaves_is_out_and_their_cookie_opens_nothing_more(
    server: LiveServer, stranger: httpx.Client
) -> None:
    set_up(server, name="Lumen", support_email="help@lumen.example")
    enter(stranger, link_for(server, server.add_customer_without_product("Ada")))
    secret = stranger.cookies["faregate_portal"]
    left = stranger.post("/portal/leave", data={"csrf": csrf_of(stranger.get("/portal"))})
    assert left.status_code == 200
    assert "You have left" in left.text
    assert "Back to Lumen" in left.text
    assert "Max-Age=0" in left.headers["set-cookie"]
    with httpx.Client(base_url=server.url, cookies={"faregate_portal": secret}) as other:
        assert other.get("/portal").status_code == 401
        assert other.get("/portal", headers={"HX-Request": "true"}).headers["hx-refresh"] == "true"


def test_only_portal_pages_may_be_framed_and_only_where_the_account_says(
    server: LiveServer, stranger: httpx.Client
) -> None:
    origins = ["https://app.lumen.example", "http://localhost:3000"]
    set_up(server, origins=origins)
    customer_id = server.add_customer_without_product("Ada")
    link = link_for(server, customer_id)
    assert directive(stranger.get(link), "frame-ancestors") == " ".join(origins)
    came = enter(stranger, link)
    assert directive(came, "frame-ancestors") == " ".join(origins)
    home = stranger.get("/portal")
    assert directive(home, "frame-ancestors") == " ".join(origins)
    assert directive(home, "default-src") == "'none'"
    assert "unsafe" not in home.headers["content-security-policy"]
    assert home.headers["referrer-policy"] == "same-origin"
    assert home.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?! src=)|<style| style=| on\w+=", home.text)
    for path in ("/", "/test", "/checkout/x", "/receipts/x"):
        assert directive(stranger.get(path), "frame-ancestors") == "'none'"


def test_an_accounts_colours_and_logo_come_from_us_as_what_they_are(
    server: LiveServer, stranger: httpx.Client
) -> None:
    set_up(server, name='<b>"Lumen"</b>', accent="#ffe600")
    server.run(lambda engine: engine.set_portal_logo(PNG))
    customer_id = server.add_customer_without_product("<script>alert(1)</script>")
    enter(stranger, link_for(server, customer_id))
    home = stranger.get("/portal").text
    assert "<b>" not in home
    assert "&lt;b&gt;&#34;Lumen&#34;&lt;/b&gt;" in home
    assert "<script>alert" not in home
    sheet, logo = (
        re.search(pattern, home)[1].replace("&amp;", "&")  # type: ignore[index]
        for pattern in (r'href="(/portal/brand.css[^"]*)"', r'src="(/portal/logo[^"]*)"')
    )
    # Anybody may have them: they are asked for before it is known who somebody is.
    css = httpx.get(server.url + sheet)
    assert css.headers["content-type"].startswith("text/css")
    assert "--fill: #ffe600; --on-fill: #000000" in css.text
    picture = httpx.get(server.url + logo)
    assert picture.content == PNG
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert directive(picture, "default-src") == "'none'"
    assert all("immutable" in one.headers["cache-control"] for one in (css, picture))
    set_up(server, accent="#0f766e")
    assert httpx.get(server.url + sheet).headers["cache-control"] == "no-cache"
    for wrong in ("", "acc_nobody", "<script>"):
        for path in ("brand.css", "logo"):
            answer = httpx.get(f"{server.url}/portal/{path}", params={"account": wrong})
            assert (answer.status_code, answer.text) == (404, "")


def test_pages_speak_the_customers_language(server: LiveServer, stranger: httpx.Client) -> None:
    customer_id = server.add_customer_without_product("Ada")

    def language(link: str, accepts: str) -> str:
        page = stranger.get(link, headers={"Accept-Language": accepts}).text
        return re.search(r'<html lang="(\w+)">', page)[1]  # type: ignore[index]

    link = link_for(server, customer_id)
    assert language(link, "fr-CH, de;q=0.8, en;q=0.3") == "fr"
    assert language(link, "ja, es;q=0.1") == "es"
    assert language(link, "ja;q=x,,;;,de;q=0") == "en"
    set_up(server, locale="de")
    assert language(link, "ja") == "de"
    assert "Weiter" in stranger.get(link, headers={"Accept-Language": "ja"}).text
    assert language(link_for(server, customer_id, locale="es"), "fr") == "es"
