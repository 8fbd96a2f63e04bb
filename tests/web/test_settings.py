"""An account's settings, changed in a browser's forms."""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest
from tests.web.forms import send
from tests.web.live import LiveServer

from faregate.payments.external import ExternalSecrets


def test_settings_are_changed_one_form_at_a_time(client: httpx.Client, server: LiveServer):
    page = "/test/settings"
    assert send(client, page, f"{page}/timezone", timezone="Europe/Berlin").status_code == 303
    renewals = {"renewals.retry_hours": "12, 24 48", "renewals.grace_hours": "72"}
    assert send(client, page, f"{page}/renewals", **renewals).status_code == 303
    payments = {
        "payments.provider": "sandbox",
        "payments.blocks_on_dispute": "yes",
        "bound-code-0": "USD",
        "bound-minimum-0": "5",
        "bound-maximum-0": "1,000.50",
    }
    assert send(client, page, f"{page}/payments", **payments).status_code == 303
    alerts = {
        "alerts.grant_expiring_hours": "0",
        "low-code-0": "USD",
        "low-amount-0": "2.50",
        "low-code-1": "",
        "low-amount-1": "",
    }
    assert send(client, page, f"{page}/alerts", **alerts).status_code == 303
    view = server.engine.catalog_view(server.engine.context_of("test"))
    assert view.timezone == "Europe/Berlin"
    assert (view.renewals.retry_hours, view.renewals.grace_hours) == ((12, 24, 48), 72)
    assert view.renewals.may_overdraw is False
    assert (view.payments.provider, view.payments.blocks_on_dispute) == ("sandbox", True)
    assert view.payments.top_ups["USD"].maximum == Decimal("1000.50")
    assert view.alerts.low_balances == {"USD": Decimal("2.50")}
    live = server.engine.catalog_view(server.engine.context_of("live"))
    assert (live.timezone, live.payments.provider) == ("Europe/Berlin", None)
    shown = client.get(page).text
    for text in ('value="Europe/Berlin"', 'value="12, 24, 48"', 'value="1000.5"', "sandbox"):
        assert text in shown
    # What a browser sends of an empty row takes it away.
    emptied = {"alerts.grant_expiring_hours": "24", "low-code-0": "", "low-amount-0": ""}
    assert send(client, page, f"{page}/alerts", **emptied).status_code == 303
    view = server.engine.catalog_view(server.engine.context_of("test"))
    assert (view.alerts.low_balances, view.alerts.grant_expiring_hours) == ({}, 24)


@pytest.mark.parametrize(
    ("form", "fields", "field", "words"),
    [
        ("timezone", {"timezone": "Mars/Olympus"}, "timezone", "Mars/Olympus"),
        ("timezone", {"timezone": ""}, "timezone", "is empty"),
        ("renewals", {"renewals.retry_hours": "1, x"}, "renewals.retry_hours", "write whole hours"),
        (
            "renewals",
            {"renewals.retry_hours": "99999", "renewals.grace_hours": "5"},
            "renewals.retry_hours",
            "from 0 to 8784",
        ),
        ("renewals", {"renewals.grace_hours": "-1"}, "renewals.grace_hours", "is -1"),
        ("payments", {"payments.provider": "nobody"}, "payments.provider", "known here are"),
        (
            "payments",
            {"bound-code-0": "USD", "bound-minimum-0": "5", "bound-maximum-0": "1"},
            "bound-maximum-0",
            "below the minimum",
        ),
        ("payments", {"bound-code-0": "USD", "bound-minimum-0": "x"}, "bound-minimum-0", "write a"),
        ("payments", {"bound-code-0": "", "bound-minimum-0": "1"}, "bound-code-0", "is missing"),
        (
            "payments",
            {"bound-code-0": "ABC", "bound-minimum-0": "1"},
            "bound-code-0",
            "is no currency",
        ),
        ("alerts", {"low-code-0": "USD", "low-amount-0": "-1"}, "low-amount-0", "is below 0"),
        ("alerts", {"low-code-0": "XYZ", "low-amount-0": "1"}, "low-amount-0", "is no asset"),
        ("alerts", {"alerts.grant_expiring_hours": "9999"}, "alerts.grant_expiring_hours", "8784"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(
    settings: httpx.Client, form: str, fields: dict[str, str], field: str, words: str
):
    answer = send(settings, "/test/settings", f"/test/settings/{form}", **fields)
    assert answer.status_code == 422
    beside = answer.text.partition(f'id="e-{field}">')[2].partition("</span>")[0]
    assert words in beside
    for value in fields.values():
        if value and value not in ("nobody", "ABC", "XYZ"):
            assert f'value="{value}"' in answer.text or f">{value}</option>" in answer.text


@pytest.fixture(scope="module")
def settings(tmp_path_factory):  # type: ignore[no-untyped-def]
    """A client that is signed in to a server that this module's refusals share."""
    with (
        LiveServer(tmp_path_factory.mktemp("settings")) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        client.get("/", params={"token": "a-token-for-the-tests"})
        yield client


def test_the_secret_of_ones_own_system_is_shown_to_admins_when_they_ask(
    client: httpx.Client, server: LiveServer
):
    page = "/test/settings"
    missing = send(client, page, f"{page}/secret")
    assert missing.status_code == 404
    assert "external payments are not set up" in missing.text
    server.engine.external.secrets = ExternalSecrets(["a-secret-of-32-letters-at-the-least"])
    secret = server.engine.external_secret(context=server.engine.context_of("test"))
    assert secret not in client.get(page).text.replace("&#43;", "+")
    assert secret in send(client, page, f"{page}/secret").text.replace("&#43;", "+")
    with httpx.Client(base_url=server.url) as finance:
        finance.cookies.set("faregate_session", server.add_operator("finance"))
        shown = finance.get(page).text
        assert "Show the secret" not in shown
        assert "Save timezone" not in shown
        refused = send(finance, "/test/account", f"{page}/secret")
        assert refused.status_code == 403
        assert secret not in refused.text
    newest = server.run(lambda engine: engine.list_audit_entries())[0]
    assert newest.action == "show the external secret"
    assert secret not in repr(newest)
