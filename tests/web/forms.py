"""Forms, sent as a browser sends them: with what the page had in its hidden fields."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx


def send(client: httpx.Client, page: str, to: str = "", /, **fields: Any) -> httpx.Response:
    """Load a page and send a form of it, to its own address unless another is given; no redirect
    is followed."""
    shown = client.get(page).text
    csrf = re.search(r'name="csrf" value="([^"]+)"', shown)
    assert csrf, f"{page} has no form"
    return client.post(to or page, data={"csrf": csrf[1], **fields})


def errors_of(answer: httpx.Response) -> list[str]:
    """Return what a page says is wrong, beside fields and at the top."""
    found = re.findall(
        r'class="field-error"[^>]*>(.*?)</span>|role="alert">.*?<span>(.*?)</span>',
        answer.text,
        re.S,
    )
    return [html.unescape(beside or above).strip() for beside, above in found]
