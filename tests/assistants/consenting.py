"""The way of a program that asks an operator to let it in, step by step, and what the person does
in between. The SDK's own client goes it by itself; here each step can be taken wrongly."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
from tests.assistants.house import House

VERIFIER = "v" * 64
CALLBACK = "http://127.0.0.1:33418/callback"


def challenge(verifier: str = VERIFIER) -> str:
    """Return the hash that is sent before the verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def register(house: House, *uris: str, name: str = "Claude") -> httpx.Response:
    """Register a program."""
    body = {"client_name": name, "redirect_uris": list(uris or (CALLBACK,))}
    return httpx.post(f"{house.url}/oauth/register", json=body, timeout=30)


def client_of(house: House, *uris: str, name: str = "Claude") -> str:
    """Register a program; returns its id."""
    answer = register(house, *uris, name=name)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["client_id"])


def asking(client_id: str, **other: str) -> dict[str, str]:
    """Return what a program sends a person's browser to our door with."""
    said = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": CALLBACK,
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
        "state": "the state",
    }
    return said | other


def page_of(person: httpx.Client, **asked: str) -> httpx.Response:
    """Open what a program has sent the browser to; follow to the page that asks."""
    answer = person.get("/oauth/authorize", params=asked)
    while answer.has_redirect_location and "assistants/connect" in answer.headers["location"]:
        answer = person.get(answer.headers["location"])
    return answer


def press(person: httpx.Client, page: str, **chosen: str) -> httpx.Response:
    """Send the form of the page that asks."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    hidden = {name: html.unescape(value) for name, value in found}
    said = {"mode": "test", "role": "admin", "answer": "allow"} | chosen
    return person.post("/test/assistants/connect", data=hidden | said)


def said_back(answer: httpx.Response) -> dict[str, str]:
    """Return what the program is told in the address that the browser is led to."""
    assert answer.status_code == 303, answer.text
    return {
        name: one[0] for name, one in parse_qs(urlsplit(answer.headers["location"]).query).items()
    }


def allowed(person: httpx.Client, client_id: str, **chosen: str) -> str:
    """Let a program in; returns its code."""
    return said_back(press(person, page_of(person, **asking(client_id)).text, **chosen))["code"]


def token(house: House, client: str, **other: str) -> httpx.Response:
    """Ask for a token."""
    said = {
        "grant_type": "authorization_code",
        "client_id": client,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return httpx.post(f"{house.url}/oauth/token", data=said | other, timeout=30)


def tokens(house: House, person: httpx.Client, client_id: str = "", **chosen: str) -> Any:
    """Go all the way; returns the tokens, with the client's id."""
    client_id = client_id or client_of(house)
    answer = token(house, client_id, code=allowed(person, client_id, **chosen))
    assert answer.status_code == 200, answer.text
    return answer.json() | {"client_id": client_id}


def refresh(house: House, client_id: str, refresh_token: str) -> httpx.Response:
    """Ask for the next tokens."""
    said = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": refresh_token}
    return httpx.post(f"{house.url}/oauth/token", data=said, timeout=30)


def address(base: str, **asked: str) -> str:
    """Return the address that a program opens in a browser."""
    return f"{urljoin(base, '/oauth/authorize')}?{urlencode(asked)}"
