"""Operators let assistants in, for as long and as far as they may themselves; nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl
from tests.assistants.consenting import (
    CALLBACK,
    allowed,
    asking,
    challenge,
    client_of,
    page_of,
    press,
    refresh,
    register,
    said_back,
    token,
    tokens,
)
from tests.assistants.house import Assistant, House, decide, running_house
from tests.web.forms import send

from faregate.platform.accounts import CreateAccount

GIFT = {"transaction_id": "gift-1", "asset": "USD", "amount": 25, "reason": "gift"}


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with running_house(database_url) as running:
        yield running


@pytest.fixture
def ada(house: House) -> httpx.Client:
    return house.person()


def is_in(house: House, secret: str) -> bool:
    answer = Assistant(house, secret).post("list_assets", "{}")
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


class Kept:
    """Where the SDK's client keeps what it got."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def test_the_sdks_client_finds_its_way_in_and_refreshes_by_itself(house: House, ada: httpx.Client):
    kept = Kept()
    answers: list[AuthorizationCodeResult] = []

    async def open_in_browser(url: str) -> None:
        asked = {name: one[0] for name, one in parse_qs(urlsplit(url).query).items()}

        def consent() -> dict[str, str]:
            return said_back(press(ada, page_of(ada, **asked).text))

        said = await asyncio.to_thread(consent)
        answers.append(AuthorizationCodeResult(**said))

    async def come_back() -> AuthorizationCodeResult:
        return answers.pop()

    async def story() -> None:
        wanted = OAuthClientMetadata(client_name="Claude", redirect_uris=[AnyUrl(CALLBACK)])
        provider = OAuthClientProvider(f"{house.url}/mcp", wanted, kept, open_in_browser, come_back)
        async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
            way = streamable_http_client(f"{house.url}/mcp", http_client=http)
            async with Client(way) as client:
                assert "list_assets" in [one.name for one in (await client.list_tools()).tools]
                assert kept.tokens is not None
                assert (kept.tokens.expires_in, kept.tokens.scope) == (3_600, "admin")
                first = kept.tokens.access_token
                house.clock.now += timedelta(minutes=61)
                provider.context.token_expiry_time = 1.0
                assert not (await client.call_tool("list_assets", {})).is_error
                assert kept.tokens.access_token != first

    asyncio.run(story())
    assert [one.client_name for one in house.wait(house.engine.list_assistants())] == ["Claude"]


def test_whoever_has_no_token_is_told_where_to_get_one(house: House):
    answer = httpx.post(f"{house.url}/mcp", json={})
    assert answer.status_code == 401
    where = f"{house.url}/.well-known/oauth-protected-resource/mcp"
    assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{where}"'
    said = httpx.get(where).json()
    assert said["resource"] == f"{house.url}/mcp"
    assert said["authorization_servers"] == [house.url]
    server = httpx.get(f"{house.url}/.well-known/oauth-authorization-server").json()
    assert server["issuer"] == house.url
    assert server["code_challenge_methods_supported"] == ["S256"]


def test_behind_tls_all_addresses_are_https_and_in_the_clear_there_are_none(house: House):
    proxy = {"host": "billing.example.com", "x-forwarded-proto": "https"}
    where = "/.well-known/oauth-authorization-server"
    said = httpx.get(f"{house.url}{where}", headers=proxy).json()
    addresses = [value for name, value in said.items() if name.endswith(("_endpoint", "issuer"))]
    assert len(addresses) == 5
    assert all(one.startswith("https://billing.example.com") for one in addresses)
    refused = httpx.post(f"{house.url}/mcp", json={}, headers=proxy)
    assert 'resource_metadata="https://billing.example.com/' in refused.headers["www-authenticate"]
    clear = {"host": "billing.example.com"}
    assert httpx.get(f"{house.url}{where}", headers=clear).status_code == 400
    refused = httpx.post(f"{house.url}/mcp", json={}, headers=clear)
    assert refused.headers["www-authenticate"] == "Bearer"
    evil = {"host": 'x"><script>.example.com', "x-forwarded-proto": "https"}
    assert httpx.get(f"{house.url}{where}", headers=evil).status_code == 400


def test_a_token_opens_the_tools_and_not_the_api(house: House, ada: httpx.Client):
    got = tokens(house, ada)
    assert is_in(house, got["access_token"])
    assert not is_in(house, got["refresh_token"])
    for headers in (
        {"authorization": f"Bearer {got['access_token']}"},
        {"x-credyt-api-key": got["access_token"]},
    ):
        assert httpx.get(f"{house.url}/v1/assets", headers=headers).status_code == 401
    by_key = {"x-credyt-api-key": got["access_token"]}
    assert httpx.post(f"{house.url}/mcp", json={}, headers=by_key).status_code == 401


def test_an_assistants_changes_are_in_the_audit_log_as_its_operators(
    house: House, ada: httpx.Client
):
    assistant = Assistant(house, tokens(house, ada)["access_token"])
    assistant.call("create_customer", name="Acme")
    first, second = house.wait(house.engine.list_audit_entries(limit=2))
    assert (first.actor.kind, first.actor.name) == ("operator", "Ada via Claude")
    assert first.actor.id == second.actor.id
    assert second.action == "let an assistant in"


def test_in_live_mode_a_token_moves_no_money_without_its_operator(house: House, ada: httpx.Client):
    assistant = Assistant(house, tokens(house, ada, mode="live")["access_token"])
    customer = assistant.call("create_customer", name="Acme").json["id"]
    address = assistant.asks("adjust_wallet", customer_id=customer, **GIFT)
    post = address.replace("?id=", "/") + "/confirm"
    got = tokens(house, ada, mode="live")["access_token"]
    bearer = {"authorization": f"Bearer {got}"}
    cookie = {"faregate_session": got}
    assert httpx.post(post, headers=bearer).status_code == 401
    assert httpx.post(post, cookies=cookie).status_code == 401
    assert "Ada via Claude" in ada.get(address).text
    decide(ada, address)
    assert not assistant.call("adjust_wallet", customer_id=customer, **GIFT).is_error


def test_mode_and_role_are_what_the_person_chose(house: House, ada: httpx.Client):
    reader = Assistant(house, tokens(house, ada, role="read")["access_token"])
    assert "'read'" in reader.call("create_customer", name="Acme").text
    for mode in ("test", "live"):
        one = Assistant(house, tokens(house, ada, mode=mode)["access_token"])
        one.call("create_customer", name=mode)
        listed = one.call("list_customers").json["items"]
        assert [found["name"] for found in listed] == [mode]


def test_an_operator_allows_no_more_than_they_may(house: House):
    house.session()
    otto = house.person("support", "Otto", "otto@example.com")
    client = client_of(house)
    page = page_of(otto, **asking(client)).text
    assert 'value="admin"' not in page
    refused = press(otto, page, role="admin")
    assert refused.status_code == 403
    assert "location" not in refused.headers
    assert is_in(house, tokens(house, otto, client, role="read")["access_token"])


@pytest.mark.parametrize("how", ["disabled", "demoted"])
def test_it_is_out_when_its_operator_is_and_stays_out(house: House, ada: httpx.Client, how: str):
    olga = house.person("admin", "Olga", "olga@example.com")
    got, reading = tokens(house, olga), tokens(house, olga, role="read")
    people = house.wait(house.engine.list_operators())
    (who,) = [one for one in people if one.name == "Olga"]
    if how == "disabled":
        house.wait(house.engine.disable_operator(who.id))
    else:
        house.wait(house.engine.set_operator_role(who.id, "support"))
    assert not is_in(house, got["access_token"])
    assert is_in(house, reading["access_token"]) == (how == "demoted")
    assert refresh(house, got["client_id"], got["refresh_token"]).status_code == 400
    house.wait(house.engine.enable_operator(who.id))
    house.wait(house.engine.set_operator_role(who.id, "admin"))
    assert not is_in(house, got["access_token"])


def test_a_connected_accounts_assistant_acts_for_it_alone(house: House, ada: httpx.Client):
    one = house.wait(house.engine.create_account(CreateAccount("One"))).id
    two = house.wait(house.engine.create_account(CreateAccount("Two"))).id
    own = Assistant(house, tokens(house, ada, account=one)["access_token"])
    customer = own.call("create_customer", name="Acme").json["id"]
    for other in (two, house.engine.context_of("test").account_id):
        refused = own.post("list_customers", "{}", **{"x-credyt-account": other})
        assert refused.status_code == 403, refused.text
    theirs = Assistant(house, tokens(house, ada, account=two)["access_token"])
    assert theirs.call("get_customer", customer_id=customer).is_error
    assert press(ada, page_of(ada, **asking(client_of(house))).text, account="acc_x").is_error


def test_a_code_is_good_once_and_a_second_time_ends_what_it_brought(
    house: House, ada: httpx.Client
):
    client = client_of(house)
    code = allowed(ada, client)
    got = token(house, client, code=code).json()
    assert is_in(house, got["access_token"])
    again = token(house, client, code=code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert not is_in(house, got["access_token"])
    assert refresh(house, client, got["refresh_token"]).status_code == 400
    assert "its code was brought a second time" in ada.get("/test/assistants").text


def test_of_many_who_bring_a_code_or_a_token_at_once_one_gets_tokens_at_most(
    house: House, ada: httpx.Client
):
    client = client_of(house)
    code = allowed(ada, client)
    got = tokens(house, ada, client)

    def exchange(_number: int) -> int:
        return token(house, client, code=code).status_code

    def renew(_number: int) -> int:
        return refresh(house, client, got["refresh_token"]).status_code

    with ThreadPoolExecutor(8) as pool:
        for bring in (exchange, renew):
            answers = list(pool.map(bring, range(8)))
            assert answers.count(200) == 1, answers
            assert answers.count(400) == 7, answers


def test_a_code_is_for_its_verifier_its_client_its_address_and_a_minute(
    house: House, ada: httpx.Client
):
    client, other = client_of(house), client_of(house, name="Other")
    code = allowed(ada, client)
    for wrong in (
        {"code_verifier": "w" * 64},
        {"client_id": other},
        {"redirect_uri": "http://127.0.0.1:33418/other"},
        {"code": "made up"},
    ):
        answer = token(house, client, **{"code": code} | wrong)
        assert answer.status_code == 400, wrong
        assert "access_token" not in answer.text
    assert token(house, client, code=code).status_code == 200
    late = allowed(ada, client)
    house.clock.now += timedelta(seconds=60)
    assert token(house, client, code=late).json()["error"] == "invalid_grant"


def test_without_pkce_nobody_is_asked(house: House, ada: httpx.Client):
    client = client_of(house)
    for wrong in (
        {"code_challenge": ""},
        {"code_challenge": "short"},
        {"code_challenge_method": "plain"},
        {"resource": "https://elsewhere.example/mcp"},
    ):
        answer = page_of(ada, **asking(client, **wrong))
        assert "error=" in answer.headers["location"], wrong
        assert answer.headers["location"].startswith(CALLBACK)
    fine = page_of(ada, **asking(client, resource=f"{house.url}/mcp"))
    assert "May it?" in fine.text


def test_a_token_lasts_an_hour_and_what_brings_the_next_is_used_once(
    house: House, ada: httpx.Client
):
    got = tokens(house, ada)
    client = got["client_id"]
    house.clock.now += timedelta(minutes=60)
    assert not is_in(house, got["access_token"])
    following = refresh(house, client, got["refresh_token"]).json()
    assert is_in(house, following["access_token"])
    third = refresh(house, client, following["refresh_token"]).json()
    assert not is_in(house, following["access_token"])
    assert is_in(house, third["access_token"])
    stolen = refresh(house, client, got["refresh_token"])
    assert stolen.status_code == 400
    assert not is_in(house, third["access_token"])
    assert refresh(house, client, third["refresh_token"]).status_code == 400


def test_another_client_brings_no_tokens_of_mine(house: House, ada: httpx.Client):
    got = tokens(house, ada)
    other = client_of(house, name="Other")
    assert refresh(house, other, got["refresh_token"]).status_code == 400
    gone = {"client_id": other, "token": got["access_token"]}
    assert httpx.post(f"{house.url}/oauth/revoke", data=gone).status_code == 200
    assert is_in(house, got["access_token"])


def test_it_is_ended_on_the_page_or_given_back_and_opens_nothing_at_once(
    house: House, ada: httpx.Client
):
    got, back = tokens(house, ada), tokens(house, ada)
    otto = house.person("support", "Otto", "otto@example.com")
    page = ada.get("/test/assistants").text
    found = page.partition("/test/assistants/ogr_")[2].partition("/end")[0]
    assert "ogr_" not in otto.get("/test/assistants").text
    ending = f"/test/assistants/ogr_{found}/end"
    assert send(otto, "/test/account", ending).status_code == 403
    assert send(ada, "/test/account", ending).status_code == 303
    assert [is_in(house, one["access_token"]) for one in (got, back)].count(True) == 1
    for one in (got, back):
        given = {"client_id": one["client_id"], "token": one["refresh_token"]}
        assert httpx.post(f"{house.url}/oauth/revoke", data=given).status_code == 200
        assert not is_in(house, one["access_token"])


@pytest.mark.parametrize(
    "uri",
    [
        "http://evil.example/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://127.0.0.1.evil.example/cb",
        "http://localhost@evil.example/cb",
        "https://evil.example/cb#fragment",
        "https://user:secret@evil.example/cb",
        "cursor://anysphere/callback",
    ],
)
def test_an_address_for_answers_is_https_or_ones_own_machine(house: House, uri: str):
    assert register(house, uri).status_code == 400
    assert register(house, CALLBACK, uri).status_code == 400


def test_nobody_is_led_to_an_address_that_was_not_registered(house: House, ada: httpx.Client):
    client = client_of(house, CALLBACK, "https://good.example/cb")
    evil = (
        "https://evil.example/cb",
        "https://good.example/cb/..",
        "https://good.example/cb?x=1",
        "https://good.example:8443/cb",
        "http://good.example/cb",
        "https://good.example.evil.example/cb",
        "http://127.0.0.1:1/elsewhere",
    )
    for uri in evil:
        answer = page_of(ada, **asking(client, redirect_uri=uri))
        assert answer.status_code == 400, uri
        assert "location" not in answer.headers
        straight = {
            "client_id": client, "redirect_uri": uri, "code_challenge": challenge(), "state": "s",
        }  # fmt: skip
        shown = ada.get("/test/assistants/connect", params=straight)
        assert shown.status_code == 422, uri
        for how in ("allow", "deny"):
            sent = send(
                ada, "/test/account", "/test/assistants/connect",
                **straight, answer=how, mode="live", role="admin",
            )  # fmt: skip
            assert sent.status_code == 422
            assert "location" not in sent.headers
    other_port = CALLBACK.replace("33418", "50999")
    fine = press(ada, page_of(ada, **asking(client, redirect_uri=other_port)).text)
    crossing = {"origin": "https://inspector.example", "access-control-request-method": "POST"}
    asked = httpx.options(f"{house.url}/oauth/token", headers=crossing)
    assert asked.headers["access-control-allow-origin"] == "*"
    assert fine.headers["location"].startswith(other_port + "?code=")


def test_no_is_told_to_the_program_and_allows_nothing(house: House, ada: httpx.Client):
    client = client_of(house)
    said = said_back(press(ada, page_of(ada, **asking(client)).text, answer="deny"))
    assert said == {"error": "access_denied", "state": "the state", "iss": house.url}
    assert house.wait(house.engine.list_assistants()) == []


def test_only_a_person_who_is_signed_in_and_our_own_form_let_anybody_in(
    house: House, ada: httpx.Client
):
    client = client_of(house)
    stranger = httpx.Client(base_url=house.url)
    shown = page_of(stranger, **asking(client))
    assert shown.status_code == 303
    assert shown.headers["location"].startswith("/sign-in?next=%2Ftest%2Fassistants%2Fconnect")
    asked = {name: value for name, value in asking(client).items() if name != "response_type"}
    sent = asked | {"answer": "allow", "mode": "test", "role": "admin"}
    assert stranger.post("/test/assistants/connect", data=sent).status_code == 401
    assert ada.post("/test/assistants/connect", data=sent).status_code == 403
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    page = page_of(ada, **asking(client)).text
    csrf = page.partition('name="csrf" value="')[2].partition('"')[0]
    crossed = ada.post("/test/assistants/connect", data=sent | {"csrf": csrf}, headers=foreign)
    assert crossed.status_code == 403
    framed = page_of(ada, **asking(client)).headers["content-security-policy"]
    assert "frame-ancestors 'none'" in framed
    assert "form-action 'self' http://127.0.0.1:33418;" in framed


def test_a_name_that_a_program_gives_itself_is_shown_as_text(house: House, ada: httpx.Client):
    client = client_of(house, name="Claude\u202e <script>alert(1)</script>" + "x" * 500)
    page = page_of(ada, **asking(client)).text
    assert "Claude &lt;script&gt;" in page
    assert "Nobody has checked this name" in page
    for bad in ("<script>alert", "\u202e", "x" * 100):
        assert bad not in page


def test_an_operator_has_twenty_and_the_oldest_gives_way(house: House, ada: httpx.Client):
    client = client_of(house)
    got = [tokens(house, ada, client)["access_token"] for _ in range(21)]
    assert not is_in(house, got[0])
    assert is_in(house, got[1])
    assert is_in(house, got[20])
    house.clock.now += timedelta(days=30)
    assert house.wait(house.engine.list_assistants()) == []


def test_registering_is_bounded_by_network(house: House):
    answers = [register(house).status_code for _ in range(25)]
    assert answers[:20] == [201] * 20
    assert 429 in answers[20:]
    late = register(house)
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) >= 1
    assert late.json()["error"] == "temporarily_unavailable"


def test_what_is_no_request_is_refused_in_words(house: House):
    for path, body in (
        ("register", b"\xff{"),
        ("register", b"[]"),
        ("register", b'{"redirect_uris": []}'),
        ("token", b"grant_type=password&client_id=x"),
        ("token", b"\x00" * 100),
        ("revoke", b"token=x"),
    ):
        answer = httpx.post(
            f"{house.url}/oauth/{path}", content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        assert answer.status_code in (400, 401), (path, answer.text)
        assert answer.json()["error"]
    assert httpx.post(f"{house.url}/oauth/token", content=b"x" * 40_000).status_code == 413
    assert httpx.get(f"{house.url}/oauth/nothing").status_code == 404
    assert httpx.get(f"{house.url}/oauth/token").status_code == 405


def test_secrets_are_kept_as_hashes(house: House, ada: httpx.Client):
    got = tokens(house, ada)

    async def kept() -> str:
        rows = [
            await house.engine._store.fetch(f"SELECT * FROM {table}")
            for table in ("oauth_codes", "oauth_tokens", "oauth_grants", "audit_entries")
        ]
        return repr([[tuple(row) for row in one] for one in rows])

    text = house.wait(kept())
    assert got["access_token"] not in text
    assert got["refresh_token"] not in text
