"""What an account may say of its portal: a colour that can be read, origins that are safe, and
pictures that are pictures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.colours import contrast
from faregate.core.pictures import MAX_PICTURE_BYTES, check_picture
from faregate.core.portal import DARK, LIGHT, Accent, PortalSettings, check_portal, said_of_accent
from faregate.core.problems import Problem

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20) + b"\x00\x00\x00\x00IEND\xaeB`\x82"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(40) + b"\xff\xd9"
WEBP = b"RIFF\x1a\x00\x00\x00WEBPVP8L" + bytes(20)

colours = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#ffffff", "#000000", 21), ("#777777", "#ffffff", 4.48), ("#ff0000", "#ffffff", 4.0)],
)
def test_contrast_is_what_the_standard_says(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert contrast(other, one) == contrast(one, other)


@given(colours)
def test_every_colour_becomes_tones_that_can_be_read(colour: str) -> None:
    accent = Accent.of(colour)
    assert accent.fill == colour
    assert contrast(accent.on_fill, accent.fill) >= 4.5
    assert contrast(accent.on_light, LIGHT) >= 4.5
    assert contrast(accent.on_dark, DARK) >= 4.5
    changed = [tone for tone in (accent.on_light, accent.on_dark) if tone != colour]
    assert [tone in said for tone, said in zip(changed, said_of_accent(colour), strict=True)] == [
        True
    ] * len(changed)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "https://app.example.com:8443",
        "http://localhost:3000",
        "http://127.0.0.1:3000",
    ],
)
def test_pages_with_tls_and_those_of_this_machine_may_embed_the_portal(origin: str) -> None:
    assert check_portal(PortalSettings(origins=[origin])) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://app.example.com",
        "https://app.example.com/",
        "https://*.example.com",
        "https://APP.example.com",
        "https://a.example; script-src *",
        "https://a.example https://b.example",
        "https://user@a.example",
        "https://a.example\n",
        "http://localhost.evil.example",
        "javascript://a.example",
        "'self'",
        "*",
        "",
    ],
)
def test_what_is_no_exact_safe_origin_is_refused_by_its_place(origin: str) -> None:
    problem = check_portal(PortalSettings(origins=["https://ok.example", origin]))
    assert problem is not None
    assert list(problem.errors) == ["origins[1]"]


def test_pictures_are_known_by_their_content() -> None:
    assert check_picture("logo", PNG) == "image/png"
    assert check_picture("logo", JPEG) == "image/jpeg"
    assert check_picture("logo", WEBP) == "image/webp"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'\xef\xbb\xbf <?xml version="1.0"?><svg/>', "SVG"),
        (b"<html><script>alert(1)</script>", "no PNG"),
        (b"GIF89a" + bytes(30), "no PNG"),
        (PNG[:-20], "no PNG"),
        (b"", "no PNG"),
        (PNG[:-12] + bytes(MAX_PICTURE_BYTES) + PNG[-12:], "at most 200 kB"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused_with_the_reason(
    content: bytes, why: str
) -> None:
    refused = check_picture("logo", content)
    assert isinstance(refused, Problem)
    assert why in refused.detail
