"""The dashboard's page about the portal: what is saved, what is refused beside its field."""

from __future__ import annotations

import re

import httpx
from tests.web.live import LiveServer
from tests.web.test_portal_door import PNG


def csrf_of(client: httpx.Client) -> str:
    found = re.search(r'name="csrf" value="(\w+)"', client.get("/test/portal").text)
    assert found is not None
    return found[1]


def test_what_is_said_of_the_portal_is_kept_and_shown_again(
    client: httpx.Client, server: LiveServer
) -> None:
    assert "There is no product yet" in client.get("/test/portal").text
    server.add_product()
    form = {
        "csrf": csrf_of(client),
        "name": "Lumen <Studio>",
        "has_accent": "1",
        "accent": "#ffe600",
        "support_email": "help@lumen.example",
        "locale": "de",
        "origins": "https://app.lumen.example\r\n\r\nhttp://localhost:3000\r\n",
        "plans": "calls",
    }
    saved = client.post("/test/portal", data=form, follow_redirects=True)
    assert saved.status_code == 200
    assert "The portal is as you said" in saved.text
    assert 'value="Lumen &lt;Studio&gt;"' in saved.text
    assert "links are shown in #7d7100" in saved.text
    assert re.search(r'name="plans" value="calls" checked', saved.text)
    assert not re.search(r'name="may_cancel" value="1" checked', saved.text)
    brand = server.run(lambda engine: engine.get_portal_brand())
    assert brand.settings.origins == ["https://app.lumen.example", "http://localhost:3000"]
    assert (brand.settings.plans, brand.settings.may_cancel) == (["calls"], False)

    wrong = form | {"origins": "https://ok.example http://evil.example", "name": "Typed"}
    refused = client.post("/test/portal", data=wrong)
    assert refused.status_code == 422
    assert "&#39;http://evil.example&#39; is no such origin" in refused.text
    assert 'value="Typed"' in refused.text
    assert "https://ok.example http://evil.example</textarea>" in refused.text
    assert server.run(lambda engine: engine.get_portal_brand()) == brand
    # Without the box the colour goes, whatever is in its field.
    del form["has_accent"]
    client.post("/test/portal", data=form)
    assert server.run(lambda engine: engine.get_portal_brand()).settings.accent is None


def test_a_logo_is_uploaded_and_taken_away(client: httpx.Client, server: LiveServer) -> None:
    data = {"csrf": csrf_of(client)}
    for content, why in ((b"<svg/>", "is SVG"), (b"x", "is no PNG"), (b"", "choose a file")):
        files = {"logo": ("logo.png", content, "image/png")}
        refused = client.post("/test/portal/logo", data=data, files=files)
        assert (refused.status_code, why in refused.text) == (422, True)
    files = {"logo": ("../x.html", PNG, "text/html")}
    shown = client.post("/test/portal/logo", data=data, files=files, follow_redirects=True).text
    assert "The portal shows your logo" in shown
    address = re.search(r'src="(/portal/logo[^"]*)"', shown)
    assert address is not None
    assert client.get(address[1].replace("&amp;", "&")).headers["content-type"] == "image/png"
    gone = client.post("/test/portal/logo", data=data | {"remove": "1"}, follow_redirects=True)
    assert "Without one, customers read your name" in gone.text
