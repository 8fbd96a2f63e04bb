"""Links into the portal work once and for a short time; sessions are one customer's alone."""

from __future__ import annotations

import asyncio

from tests.ledger.shop import Clock, refusal, tell

from faregate import CreateCustomer, Engine
from faregate.core.portal import PortalSettings
from faregate.core.problems import FaregateError
from faregate.engine.portal import CreatePortalSession
from faregate.platform.portal import IDLE_LIFE, LINK_LIFE, SESSION_LIFE
from faregate.store.open import open_store


def asking(customer_id: str, **more: str) -> CreatePortalSession:
    shop = "https://shop.example"
    return CreatePortalSession(customer_id, f"{shop}/back", f"{shop}/failed", **more)


async def make_link(engine: Engine, customer_id: str) -> str:
    made = await engine.create_portal_session(asking(customer_id), base_url="https://b.example")
    base, _, token = made.redirect_url.partition("?link=")
    assert base == "https://b.example/portal/enter"
    return token


async def ada(engine: Engine) -> str:
    return (await engine.create_customer(CreateCustomer("Ada"))).id


def test_a_link_works_once_and_looking_at_it_changes_nothing(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            customer_id = await ada(engine)
            token = await make_link(engine, customer_id)
            for _ in range(3):
                seen = await engine.look_at_portal_link(token)
                assert (seen.state, seen.customer_id) == ("open", customer_id)
            secret, session = await engine.enter_portal(token)
            assert (session.customer_id, session.context) == (customer_id, engine.context)
            assert session.return_url == "https://shop.example/back"
            assert await engine.find_portal_session(secret) == session
            assert (await engine.look_at_portal_link(token)).state == "used"
            assert "ask for a new one" in str(await refusal(engine.enter_portal(token)))

    tell(story())


def test_of_many_who_open_a_link_at_once_one_comes_in(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            token = await make_link(engine, await ada(engine))
            tried = await asyncio.gather(
                *[engine.enter_portal(token) for _ in range(8)], return_exceptions=True
            )
            refused = [one for one in tried if isinstance(one, FaregateError)]
            assert (len(tried), len(refused)) == (8, 7)

    tell(story())


def test_links_and_sessions_end_by_themselves(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            customer_id = await ada(engine)
            late = await make_link(engine, customer_id)
            clock.now += LINK_LIFE
            assert (await engine.look_at_portal_link(late)).state == "expired"
            await refusal(engine.enter_portal(late))

            idle, _ = await engine.enter_portal(await make_link(engine, customer_id))
            busy, _ = await engine.enter_portal(await make_link(engine, customer_id))
            began = clock.now
            clock.now += IDLE_LIFE * 0.6
            assert await engine.find_portal_session(busy) is not None
            clock.now += IDLE_LIFE * 0.6
            assert await engine.find_portal_session(idle) is None
            assert await engine.account_of_portal_session(idle) == engine.context
            while clock.now < began + SESSION_LIFE - IDLE_LIFE * 0.6:
                session = await engine.find_portal_session(busy)
                assert session is not None
                assert clock.now < session.expires_at <= began + SESSION_LIFE
                clock.now += IDLE_LIFE * 0.6
            clock.now = began + SESSION_LIFE
            assert await engine.find_portal_session(busy) is None

    tell(story())


def test_each_visit_has_a_new_secret_and_ends_the_one_before(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            customer_id = await ada(engine)
            before, first = await engine.enter_portal(await make_link(engine, customer_id))
            after, second = await engine.enter_portal(
                await make_link(engine, customer_id), leaving=before
            )
            assert (before != after, first.csrf != second.csrf) == (True, True)
            assert await engine.find_portal_session(before) is None
            # What a browser brings along becomes nobody's secret.
            made_up, _ = await engine.enter_portal(
                await make_link(engine, customer_id), leaving="made-up"
            )
            assert made_up != "made-up"
            assert await engine.find_portal_session("made-up") is None
            await engine.leave_portal(after)
            assert await engine.find_portal_session(after) is None

    tell(story())


def test_what_nobody_has_made_opens_nothing(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            token = await make_link(engine, await ada(engine))
            secret, _, seal = token.partition(".")
            for made_up in ("", ".", secret, f"{secret}.", f"{secret}.{'0' * 32}", f"x.{seal}"):
                assert (await engine.look_at_portal_link(made_up)).state == "unknown"
                await refusal(engine.enter_portal(made_up))
            # The secret of a link is not that of a session.
            assert await engine.find_portal_session(secret) is None
            assert (await engine.look_at_portal_link(token)).state == "open"

    tell(story())


def test_the_database_has_no_secret_in_it(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            token = await make_link(engine, await ada(engine))
            secret, session = await engine.enter_portal(token)
        store = await open_store(database_url)
        rows = [
            *await store.fetch("SELECT * FROM portal_links"),
            *await store.fetch("SELECT * FROM portal_sessions"),
        ]
        await store.close()
        assert len(rows) == 2
        for word in (token.partition(".")[0], secret, session.csrf):
            assert word not in repr(rows)

    tell(story())


def test_an_account_ends_all_visits_of_one_customer(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            one, other = await ada(engine), await ada(engine)
            secret, _ = await engine.enter_portal(await make_link(engine, one))
            unopened = await make_link(engine, one)
            theirs, _ = await engine.enter_portal(await make_link(engine, other))
            await engine.end_portal_sessions(one)
            assert await engine.find_portal_session(secret) is None
            assert (await engine.look_at_portal_link(unopened)).state == "unknown"
            assert await engine.find_portal_session(theirs) is not None

    tell(story())


def test_a_link_is_for_a_customer_of_the_same_mode_and_leads_to_a_page(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            customer_id = await ada(engine)
            live = engine.context_of("live")
            await refusal(engine.create_portal_session(asking(customer_id), context=live))
            await refusal(engine.create_portal_session(asking("cust_nobody")))
            for url in ("javascript:alert(1)", "/back", "https://a b", ""):
                request = CreatePortalSession(customer_id, url, "https://shop.example")
                refused = await refusal(engine.create_portal_session(request))
                assert list(refused.problem.errors) == ["return_url"]

    tell(story())


def test_settings_and_logo_are_kept_apart_for_each_account(database_url: str) -> None:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20) + b"\x00\x00\x00\x00IEND\xaeB`\x82"

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            assert (await engine.get_portal_brand()).name == "Default account"
            with_logo = await engine.set_portal_logo(png)
            settings = PortalSettings(name="Lumen", accent="#ffe600", origins=["https://a.example"])
            brand = await engine.set_portal_settings(settings)
            assert (brand.name, brand.logo_digest) == ("Lumen", with_logo.logo_digest)
            assert "links are shown in" in brand.remarks[0]
            assert await engine.get_portal_brand(context=engine.context_of("live")) == brand
            logo = await engine.find_portal_logo(brand.account_id)
            assert logo is not None
            assert (logo.content_type, logo.content) == ("image/png", png)
            assert (await engine.set_portal_logo(None)).settings == settings
            assert await engine.find_portal_logo(brand.account_id) is None

            wrong = PortalSettings(origins=["http://shop.example"])
            assert "origins[0]" in str(await refusal(engine.set_portal_settings(wrong)))
            wrong = PortalSettings(plans=["nothing"])
            assert "plans[0]" in str(await refusal(engine.set_portal_settings(wrong)))
            await refusal(engine.set_portal_logo(b"<svg/>"))
            for accent in ("red", "#12345", "#1234567", "#12345g", "#123456;x", "url(x)"):
                refused = await refusal(engine.set_portal_settings(PortalSettings(accent=accent)))
                assert list(refused.problem.errors) == ["accent"]
            assert (await engine.get_portal_brand()).settings == settings

    tell(story())
