"""The portal's pages in a real browser: a customer's story on a telephone, in German; and what
every page holds to, in both themes, on a telephone and on a desk."""

from __future__ import annotations

import csv
import io
import re

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from tests.web.live import LiveServer
from tests.web.portal_shop import go_in, open_shop, regular
from tests.web.test_checkout import DECLINED, GOOD
from tests.web.test_portal_door import csrf_of, enter, link_for, set_up
from tests.web.test_portal_embedded import shop_page, the_page

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.own_limits import OwnLimit
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct

PATHS = (
    "",
    "top-up",
    "payment",
    "payment/auto/default:USD",
    "plans",
    "history",
    "history/uses",
    "limits",
)


def pay(page: Page, number: str) -> None:
    """Pay, or leave a card, on the sandbox's page."""
    page.wait_for_url("**/checkout/**")
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expires").fill("12/40")
    page.get_by_label("Security code").fill("123")
    page.get_by_role("button", name=re.compile("^Pay|^Save")).click()


def menu(page: Page, words: str) -> None:
    page.get_by_role("navigation", name="Ihr Konto").get_by_role("link", name=words).click()


def test_a_customer_looks_after_their_account_on_a_telephone_in_german(
    server: LiveServer, page: Page
) -> None:
    open_shop(server)
    ada = regular(server)
    go_in(server, page, ada, locale="de")
    assert page.locator("html").get_attribute("lang") == "de"
    dollars = page.get_by_role("region", name="US-Dollar")
    # 25 images at 0.0124 USD each.
    expect(dollars).to_contain_text("19,69\xa0$")
    expect(dollars).to_contain_text("noch etwa 1.500 × Images")
    expect(page.get_by_role("region", name="Credits")).to_contain_text("Davon verfallen 1.200")
    expect(page.get_by_text("Marketing", exact=True)).to_be_visible()

    # A declined card says so, another one pays, and the bonus comes beside it.
    menu(page, "Aufladen")
    page.get_by_role("button", name="50,00\xa0$ + 5,00\xa0$ Bonus").click()
    pay(page, DECLINED)
    expect(page.get_by_role("alert")).to_contain_text("declined")
    pay(page, GOOD)
    page.wait_for_url("**/portal/top-up/tup_*")
    expect(page.get_by_role("heading")).to_have_text("50,00\xa0$ aufgeladen")
    expect(page.get_by_text("Und")).to_have_count(0)
    expect(page.get_by_text("Dazu 5,00\xa0$ als Bonus.")).to_be_visible()
    expect(page.get_by_text("Ihr Guthaben beträgt jetzt 74,69\xa0$.")).to_be_visible()
    page.get_by_role("link", name="Beleg").click()
    expect(page.get_by_role("heading")).to_have_text("Beleg über 50,00\xa0$")
    expect(page.get_by_text("Visa •••• 4242")).to_be_visible()

    # The card is saved now: auto top-up is agreed on in words, and not without consent.
    menu(page, "Zahlung")
    page.get_by_role("link", name="Einrichten").first.click()
    page.get_by_label("Wenn weniger als so viel übrig ist").fill("5")
    page.get_by_label("diesen Betrag abbuchen").fill("20,00")
    page.get_by_label("aber höchstens so viel im Monat").fill("abc")
    page.get_by_role("button", name="Einschalten").click()
    expect(page.get_by_text("Das ist kein Betrag.")).to_be_visible()
    expect(page.get_by_text("Bitte stimmen Sie zu")).to_be_visible()
    page.get_by_label("aber höchstens so viel im Monat").fill("100")
    page.get_by_label("Ich bin einverstanden").check()
    page.get_by_role("button", name="Einschalten").click()
    agreed = (
        "Wenn weniger als 5,00\xa0$ übrig sind, werden 20,00\xa0$ von Visa •••• 4242 abgebucht, "
        "höchstens 100,00\xa0$ im Monat."
    )
    expect(page.get_by_text(agreed)).to_be_visible()
    state = server.run(lambda engine: engine.get_auto_top_up(ada, "default:USD"))
    assert (state.enabled, state.amount, state.monthly_cap) == (True, 20, 100)

    # A limit of one's own, not above the seller's.
    menu(page, "Limits")
    own = page.get_by_role("region", name="Ein eigenes Limit setzen")
    own.get_by_label("Höchstens").fill("150")
    page.get_by_role("button", name="Limit setzen").click()
    expect(page.get_by_text("Dieser Betrag ist nicht möglich.")).to_be_visible()
    assert own.get_by_label("Höchstens").input_value() == "150"
    own.get_by_label("Höchstens").fill("30")
    page.get_by_role("button", name="Limit setzen").click()
    expect(page.get_by_text("Höchstens 30,00\xa0$ im Monat")).to_be_visible()

    # Another plan: what it costs is said before it is done.
    menu(page, "Tarife")
    team = page.get_by_role("region", name="Team")
    expect(team).to_contain_text(re.compile(r"Verlängert sich am .* für 20,00\s\$\."))
    team.get_by_role("link", name="Ansehen und ändern").click()
    page.get_by_role("button", name="Preis von Business ansehen").click()
    expect(page.get_by_role("heading", name="Von Team zu Business")).to_be_visible()
    price = page.locator(".price-now").inner_text()
    before = server.run(lambda engine: engine.get_account(ada, "default:USD")).available
    page.get_by_role("button", name="Bestätigen und zahlen").click()
    expect(page.get_by_text("Ihr Tarif wurde geändert.")).to_be_visible()
    expect(page.get_by_role("heading", name="Business")).to_be_visible()
    after = server.run(lambda engine: engine.get_account(ada, "default:USD")).available
    shown = re.sub(r"[^\d,]", "", price).replace(",", ".")
    assert 29 < before - after < 31
    assert abs(before - after - Number(shown)) < Number("0.01")

    # It is ended with its period, and that is taken back.
    page.get_by_role("link", name="Diesen Tarif beenden").click()
    page.get_by_role("button", name="Tarif beenden").click()
    page.get_by_role("button", name="Tarif behalten").click()
    expect(page.get_by_text("Ihr Tarif geht weiter.")).to_be_visible()

    # What was paid and used, as files with every decimal.
    menu(page, "Verlauf")
    with page.expect_download() as download:
        page.get_by_role("link", name="Als Datei (CSV)").click()
    head, paid = csv.reader(io.StringIO(download.value.path().read_text()))
    assert head[3:7] == ["Status", "Bezahlt", "Währung", "Guthaben"]
    assert paid[2:] == ["Aufladung", "Bezahlt", "50", "USD", "50", "5", "USD"]
    page.get_by_role("link", name="Nutzungen").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="30 Tage").click()
    rows = list(csv.reader(io.StringIO(download.value.path().read_text())))
    assert len(rows) == 26
    assert rows[1][2:] == ["Images", "Marketing", "", "0.0124", "USD"]

    # The language is theirs to choose, and they go when they want.
    page.get_by_label("Sprache").select_option("fr")
    expect(page.get_by_role("heading", name="Bonjour, Ada")).to_be_visible()
    page.get_by_role("button", name="Se déconnecter").click()
    page.goto(f"{server.url}/portal")
    expect(page.get_by_text("Your visit has ended")).to_be_visible()


def test_every_page_is_accessible_in_both_themes_on_a_telephone_and_on_a_desk(
    server: LiveServer, browser: Browser
) -> None:
    open_shop(server, accent="#e8b500")
    ada = regular(server)
    (_, plan) = server.run(lambda engine: engine.list_subscriptions(ada))
    paths = (*PATHS, f"plans/{plan.id}", f"plans/{plan.id}/end")
    for width, scheme, locale in ((390, "light", "fr"), (1280, "dark", "es")):
        page = browser.new_page(viewport={"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        go_in(server, page, ada, locale=locale)
        for path in paths:
            answer = page.goto(f"{server.url}/portal/{path}".rstrip("/"))
            assert answer is not None
            assert answer.status == 200
            found = Axe().run(page)
            assert found.violations_count == 0, f"{path} {width} {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            # What changes with the other theme are colours alone.
            page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
            found = Axe().run(page, options={"runOnly": ["color-contrast"]})
            assert found.violations_count == 0, f"{path} {width} {found.generate_report()}"
            page.emulate_media(color_scheme=scheme)
        assert said == []
        page.close()


def test_a_top_up_needs_no_script_and_no_mouse(server: LiveServer, browser: Browser) -> None:
    open_shop(server)
    ben = server.run(lambda engine: engine.create_customer(CreateCustomer("Ben"))).id
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(link_for(server, ben))
    page.get_by_role("button", name="Continue").press("Enter")
    page.wait_for_url("**/portal")
    expect(page.get_by_text("There is nothing in your account yet.")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Top up").press("Enter")
    amount = page.get_by_label("Another amount").first
    amount.focus()
    page.keyboard.type("4.99")
    page.keyboard.press("Enter")
    expect(page.get_by_text("From $5.00 to $500.00.").first).to_be_visible()
    expect(page.get_by_text("This amount cannot be paid")).to_be_visible()
    assert amount.input_value() == "4.99"
    amount.focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("7.25")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Continue").first).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/checkout/**")
    expect(page.get_by_role("heading", name="$7.25")).to_be_visible()
    # Who turns back has paid nothing, and can go on.
    page.get_by_role("link", name="Cancel and go back").press("Enter")
    expect(page.get_by_role("heading", name="$7.25 not paid yet")).to_be_visible()
    page.get_by_role("link", name="Continue to payment").press("Enter")
    page.get_by_label("Card number").focus()
    page.keyboard.type(GOOD)
    page.keyboard.press("Tab")
    page.keyboard.type("12/40")
    page.keyboard.press("Tab")
    page.keyboard.type("123")
    page.keyboard.press("Enter")
    page.wait_for_url("**/portal/top-up/tup_*")
    expect(page.get_by_role("heading", name="$7.25 added")).to_be_visible()
    account = server.run(lambda engine: engine.get_account(ben, "default:USD"))
    assert account.available == Number("7.25")
    context.close()


def test_what_is_somebody_elses_is_refused_in_every_address_and_form(
    server: LiveServer, stranger: httpx.Client
) -> None:
    open_shop(server)
    ada, eve = regular(server), regular(server, "Eve")

    async def things_of_ada(engine: Engine) -> tuple[str, str, str, str]:
        (_, plan) = await engine.list_subscriptions(ada)
        page = f"{server.url}/portal/top-up/back?ref=of-ada-alone"
        begun = await engine.begin_own_top_up(
            ada, "default:USD", Number("20"), page, base_url=server.url
        )
        await engine.pay_checkout(begun.id, GOOD, "12/40", "123")
        await engine.settle_payment(begun.id)
        (card,) = await engine.list_payment_methods(ada)
        limit = await engine.set_own_limit(ada, OwnLimit(Number("9"), "USD"))
        return plan.id, begun.id, card.id, limit.id

    plan, top_up, card, limit = server.run(things_of_ada)
    (house,) = server.run(lambda engine: engine.customer_limits(eve))
    assert enter(stranger, link_for(server, eve)).status_code == 303
    csrf = csrf_of(stranger.get("/portal"))
    seen = [
        f"top-up/{top_up}",
        f"receipts/{top_up}",
        f"plans/{plan}",
        f"plans/{plan}/end",
        f"plans/{plan}/move?plan=team&seats=2",
        f"plans/{plan}/switch?plan=business",
        "payment/auto/of-ada:USD",
    ]
    for path in seen:
        answer = stranger.get(f"/portal/{path}")
        assert answer.status_code == 404, path
        assert "Ada" not in answer.text
    forms = {
        f"plans/{plan}/end": {},
        f"plans/{plan}/keep": {},
        f"plans/{plan}/pay": {"action": "pay"},
        f"plans/{plan}/move": {"plan": "team", "seats": "2"},
        f"plans/{plan}/switch": {"plan": "business"},
        f"payment/cards/{card}/default": {},
        f"payment/cards/{card}/remove": {},
        f"limits/{limit}": {"amount": "1"},
        f"limits/{limit}/remove": {},
        f"limits/{house.limit.id}": {"amount": "1"},
        f"limits/{house.limit.id}/remove": {},
        "limits/alerts/other:USD": {"threshold": "1"},
        "payment/auto/other:USD": {"agreed": "yes", "threshold": "1", "amount": "20"},
        "payment/auto/other:USD/off": {},
    }
    before = server.run(everything)
    for path, fields in forms.items():
        answer = stranger.post(f"/portal/{path}", data={"csrf": csrf, **fields})
        assert answer.status_code == 404, (path, answer.text)
        # Without the token of the session, not even one's own.
        assert stranger.post(f"/portal/{path}", data=fields).status_code == 403
    # What is named in a form may be nobody's as well.
    for path, fields in {
        "top-up": {"account": "other:USD", "amount": "20"},
        "limits": {"amount": "1", "asset": "NONE"},
        "plans/take": {"plan": "images"},
    }.items():
        answer = stranger.post(f"/portal/{path}", data={"csrf": csrf, **fields})
        assert answer.status_code in (403, 422), path
    assert server.run(everything) == before
    # Who comes back to a payment that is not theirs finds their own.
    back = stranger.get("/portal/top-up/back?ref=of-ada-alone")
    assert (back.status_code, back.headers["location"]) == (303, "/portal/history")


async def everything(engine: Engine) -> list[object]:
    """What there is of every customer that a form of the portal could change."""
    found: list[object] = []
    for customer in (await engine.list_customers()).items:
        found += [
            await engine.list_subscriptions(customer.id),
            await engine.list_payment_methods(customer.id),
            [state.limit for state in await engine.customer_limits(customer.id)],
            await engine.list_own_alerts(customer.id),
            (await engine.list_top_ups(customer.id)).total_count,
        ]
    return found


def test_names_are_shown_as_they_are_and_never_run(
    server: LiveServer, browser: Browser, stranger: httpx.Client
) -> None:
    bad = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    open_shop(server, name=f"Shop {bad}")
    customer = regular(server, f"Eve {bad}", subject=f"=1+1 {bad}")
    page = browser.new_page()
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    go_in(server, page, customer)
    for path in PATHS:
        page.goto(f"{server.url}/portal/{path}".rstrip("/"))
        assert page.locator("img[src=x]").count() == 0
        assert page.locator("script:not([src])").count() == 0
    page.goto(f"{server.url}/portal")
    expect(page.get_by_text(f"Hello, Eve {bad}")).to_be_visible()
    assert asked == []
    # In a spreadsheet, too: nothing begins like a formula.
    enter(stranger, link_for(server, customer))
    text = stranger.get("/portal/history/uses.csv").text
    rows = list(csv.reader(io.StringIO(text)))
    assert {row[3] for row in rows[1:]} == {f"'=1+1 {bad}"}


def test_who_pays_from_inside_another_sites_page_pays_in_a_tab_of_its_own(
    server: LiveServer, browser: Browser
) -> None:
    open_shop(server)
    ada = regular(server)
    with shop_page(the_page(server, link_for(server, ada))) as port:
        set_up(server, name="Lumen", origins=[f"http://localhost:{port}"])
        page = browser.new_page()
        page.goto(f"http://localhost:{port}/")
        inside = page.frame_locator("faregate-portal iframe")
        inside.get_by_role("navigation", name="Your account").get_by_text("Top up").click()
        inside.get_by_role("button", name="$20.00").first.click()
        with page.expect_popup() as popup:
            inside.get_by_role("link", name="Open the payment page").click()
        pay(popup.value, GOOD)
        expect(popup.value.get_by_role("heading")).to_have_text("You can close this tab")
        expect(inside.get_by_role("heading", name="$20.00 added")).to_be_visible(timeout=15_000)
        expect(page.get_by_role("status")).to_have_text("Thank you")
        page.close()


def go_on_to_pay(client: httpx.Client, path: str, csrf: str, **fields: str) -> str:
    """Send a form that leads on to the sandbox's page; returns which payment that is for."""
    answer = client.post(f"/portal/{path}", data={"csrf": csrf, **fields})
    assert answer.status_code == 200, answer.text
    found = re.search(r"/checkout/(\w+)", answer.text)
    assert found is not None
    return found[1]


def test_a_plan_that_waits_for_its_customer_is_paid_in_the_portal_and_begins(
    server: LiveServer, stranger: httpx.Client
) -> None:
    open_shop(server)

    async def waiting(engine: Engine) -> tuple[str, str]:
        ada = await engine.create_customer(CreateCustomer("Ada"))
        plan = CreateSubscription([SubscribedProduct(code="team")])
        return ada.id, (await engine.create_subscription(ada.id, plan)).id

    ada, plan = server.run(waiting)
    enter(stranger, link_for(server, ada))
    home = stranger.get("/portal")
    assert "<strong>Team</strong> needs you before it can begin." in home.text
    page = stranger.get(f"/portal/plans/{plan}")
    assert "The plan begins as soon as it is paid." in page.text
    payment = go_on_to_pay(stranger, f"plans/{plan}/pay", csrf_of(page), action="pay")
    server.run(lambda engine: engine.pay_checkout(payment, GOOD, "12/40", "123"))
    assert stranger.get(f"/portal/plans/{plan}/back").status_code == 303
    page = stranger.get(f"/portal/plans/{plan}")
    assert '<span class="tag good">active</span>' in page.text
    assert "What to do" not in page.text
    assert "needs you" not in stranger.get("/portal").text
    # Nothing is left to pay, and a form that is sent again says so.
    answer = stranger.post(
        f"/portal/plans/{plan}/pay", data={"csrf": csrf_of(page), "action": "pay"}
    )
    assert answer.status_code == 409
    assert "This is not possible now." in answer.text


def test_cards_are_left_chosen_and_removed_and_a_low_balance_is_seen(
    server: LiveServer, stranger: httpx.Client
) -> None:
    open_shop(server)
    ada = regular(server)
    enter(stranger, link_for(server, ada))
    page = stranger.get("/portal/payment")
    assert "No card is saved" in page.text
    csrf = csrf_of(page)
    setup = go_on_to_pay(stranger, "payment/add", csrf)
    turned_back = server.run(lambda engine: engine.get_checkout(setup)).failure_url
    stranger.get(turned_back)
    assert "No card was saved." in stranger.get("/portal/payment").text
    for number in (GOOD, "5555555555554444"):
        setup = go_on_to_pay(stranger, "payment/add", csrf)
        server.run(lambda engine, s=setup, n=number: engine.pay_checkout(s, n, "12/40", "123"))
        checkout = server.run(lambda engine, s=setup: engine.get_checkout(s))
        assert stranger.get(checkout.return_url).headers["location"] == "/portal/payment"
    page = stranger.get("/portal/payment")
    assert "Your card was saved." in page.text
    assert page.text.index("Mastercard •••• 4444") < page.text.index("Visa •••• 4242")
    (master, visa) = server.run(lambda engine: engine.list_payment_methods(ada))
    stranger.post(f"/portal/payment/cards/{visa.id}/default", data={"csrf": csrf})
    stranger.post(f"/portal/payment/cards/{master.id}/remove", data={"csrf": csrf})
    page = stranger.get("/portal/payment")
    assert "4444" not in page.text
    assert '<span class="tag good">default</span>' in page.text

    assert "Your balance is low." not in stranger.get("/portal").text
    path = "/portal/limits/alerts/default:USD"
    said = stranger.post(path, data={"csrf": csrf, "threshold": "ten"})
    assert (said.status_code, "This is not an amount." in said.text) == (422, True)
    assert stranger.post(path, data={"csrf": csrf, "threshold": "25"}).status_code == 303
    assert "Your balance is low." in stranger.get("/portal").text
    assert stranger.post(path, data={"csrf": csrf, "threshold": ""}).status_code == 303
    assert "Your balance is low." not in stranger.get("/portal").text
