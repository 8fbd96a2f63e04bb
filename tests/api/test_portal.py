"""Letting customers into their portal, and how it looks, over REST."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from corehttp.credentials import ServiceKeyCredential
from credytapi import CredytApiClient
from tests.api.caller import calling
from tests.api.conftest import READ_KEY, TEST_KEY, RunningServer, running_server

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20) + b"\x00\x00\x00\x00IEND\xaeB`\x82"


def test_the_published_clients_link_opens_the_portal_until_the_account_ends_it(
    tmp_path: Path,
) -> None:
    with running_server(f"sqlite:///{tmp_path}/a.db", has_pages=True) as server:
        with calling(server) as me:
            customer_id = me.made("customers", {"name": "Ada"})["id"]
        asked = {
            "customer_id": customer_id,
            "return_url": "https://shop.example/back",
            "failure_url": "https://shop.example/failed",
        }
        client = CredytApiClient(
            credential=ServiceKeyCredential(TEST_KEY), endpoint=f"{server.url}/v1", retry_total=0
        )
        made = client.billing_portal.create_portal_session(asked)
        life = made.expires_at - datetime.now(UTC)
        assert timedelta(minutes=14) < life <= timedelta(minutes=15)
        assert made.redirect_url.startswith(f"{server.url}/portal/enter?link=")
        with httpx.Client() as browser:
            assert "Continue" in browser.get(made.redirect_url).text
            token = httpx.URL(made.redirect_url).params["link"]
            browser.post(f"{server.url}/portal/enter", data={"link": token})
            assert "Back to Default account" in browser.get(f"{server.url}/portal").text
            with calling(server) as me:
                path = f"customers/{customer_id}/billing-portal-sessions"
                assert me.send("DELETE", path).status == 204
            assert browser.get(f"{server.url}/portal").status_code == 401


def test_a_link_is_refused_with_the_field_that_is_wrong(server: RunningServer) -> None:
    with calling(server) as me:
        customer_id = me.made("customers", {"name": "Ada"})["id"]
        urls = {"return_url": "https://shop.example", "failure_url": "https://shop.example"}
        path = "billing-portal/sessions"
        first, again = (
            me.post(path, {"customer_id": customer_id, **urls}, {"Idempotency-Key": "k"}).body
            for _ in range(2)
        )
        # A link works once, so a repeat gets one of its own.
        assert first["redirect_url"] != again["redirect_url"]
        for wrong in ({"return_url": "/x"}, {"failure_url": "javascript:x"}, {"locale": "it"}):
            answer = me.post(path, {"customer_id": customer_id, **urls, **wrong})
            assert (answer.status, answer.fields) == (422, list(wrong))
        assert me.post(path, {"customer_id": "cust_no", **urls}).status == 404
        for method, where in (
            ("POST", path),
            ("PUT", "billing-portal/settings"),
            ("PUT", "billing-portal/logo"),
            ("DELETE", "billing-portal/logo"),
            ("DELETE", f"customers/{customer_id}/billing-portal-sessions"),
        ):
            headers = {"X-CREDYT-API-KEY": READ_KEY}
            body = None if method == "DELETE" else {}
            assert me.send(method, where, body, headers).status == 403


def test_settings_and_logo_are_set_and_read(server: RunningServer) -> None:
    with calling(server) as me:
        settings = {"name": "Lumen", "accent": "#ffe600", "origins": ["https://app.lumen.example"]}
        made = me.send("PUT", "billing-portal/settings", settings).body
        assert made["settings"] == settings
        assert "links are shown in" in made["remarks"][0]
        logo = {"content": base64.b64encode(PNG).decode()}
        with_logo = me.send("PUT", "billing-portal/logo", logo).body
        assert with_logo == {**made, "logo_digest": with_logo["logo_digest"]}
        assert me.get("billing-portal/settings").body == with_logo
        svg = {"content": base64.b64encode(b"<svg/>").decode()}
        for wrong, field in (({"content": "é"}, "content"), (svg, "content")):
            answer = me.send("PUT", "billing-portal/logo", wrong)
            assert (answer.status, answer.fields) == (422, [field])
        assert me.send("DELETE", "billing-portal/logo").body == made
