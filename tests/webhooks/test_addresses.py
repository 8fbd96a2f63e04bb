"""A webhook goes to public addresses, and to what the operator lists."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.receiver import receiving
from yarl import URL

from faregate.core.problems import FaregateError
from faregate.webhooks.addresses import Allowed, check_url, is_public
from faregate.webhooks.posting import Poster

NOBODY = Allowed()
PUBLIC = (
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
)
INSIDE = (
    "127.0.0.1",
    "127.255.0.1",
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.8",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "192.0.2.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:100.64.0.1",
    "::ffff:0.0.0.0",
    "::ffff:0:127.0.0.1",
    "::ffff:0:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:20::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "1000::1",
    "2001:db8::1",
    "fec0::1",
    "100::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_inside_is_not_public_however_it_is_written(address: str) -> None:
    assert not is_public(address)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(FaregateError) as refused:
        check_url(f"https://{host.partition('%')[0]}/x", NOBODY)
    assert list(refused.value.problem.errors) == ["url"]


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_an_ipv4_address_is_judged_alike_in_its_ipv6_form(number: int) -> None:
    address = IPv4Address(number)
    mapped = IPv6Address(0xFFFF << 32 | number)
    assert is_public(str(address)) == is_public(str(mapped))
    if address.is_private or address.is_loopback or address.is_multicast or address.is_reserved:
        assert not is_public(str(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://@example.com/",
        "https://example.com@127.0.0.1/",
        "https://127.0.0.1@example.com/",
        "https://example.com%2f@127.0.0.1/",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:0/",
        "https://example.com:+443/",
        "https://example.com:443:80/",
        "https://example.com:99999/",
        "https://example.com/#part",
        "ftp://example.com/",
        "example.com",
        "https://",
        "//example.com/",
        "https:example.com",
        "file:///etc/passwd",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://metadata/",
        "https://metadata.google.internal/",
        "https://nas.home.arpa/",
        "https://db.internal/",
        "https://printer.local./",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://0/",
        "https://0x7f000001./",
        "https://0xA9FEA9FE/",
        "https://0xA9.0xFE.0xA9.0xFE/",
        "https://0251.0376.0251.0376/",
        "https://169.254.43518/",
        "https://a.0x7f/",
        "https://%31%32%37.0.0.1/",
        "https://127.0.0.1%2f.example.com/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://[::1].example.com/",
        "https://[2606:4700::1111].example.com/",
        "https://[v1.fe]/",
        "https://a..example/",
        "https://example.com\t/",
        "https://example.com\r\nhost: x/",
        "https://exa mple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://exämple.com/",
        "https://[::1/",
    ],
)
def test_other_urls_are_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(FaregateError) as refused:
        check_url(url, NOBODY)
    assert refused.value.problem.kind.status == 422
    assert ":" in refused.value.problem.errors["url"][0]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x?y=1",
        "https://example.com/?to=@127.0.0.1",
        "HTTPS://Example.COM/",
        "https://example.com./",
        "https://example.com:/",
        "https://example.com:8443/",
        "https://xn--bcher-kva.example/",
        "https://my_hooks.7eleven.example/",
        "https://1.1.1.1/",
        "https://1.1.1.1:443/",
        "https://[2606:4700::1111]:8443/",
    ],
)
def test_public_urls_are_taken(url: str) -> None:
    check_url(url, NOBODY)


def test_what_the_operator_lists_is_taken_and_nothing_beside_it() -> None:
    allowed = Allowed.parse("hooks.internal, 127.0.0.0/8 [::1]")
    for url in ("http://hooks.internal:81/", "http://127.0.0.1:1/", "http://[::1]:9000/"):
        check_url(url, allowed)
    for url in ("http://other.internal/", "https://10.0.0.1/", "https://[::2]/"):
        with pytest.raises(FaregateError):
            check_url(url, allowed)
    for wrong in ("10.0.0.0/33", "*.example.com", "a:b:c"):
        with pytest.raises(ValueError, match="is no host and no network"):
            Allowed.parse(wrong)


def test_a_name_that_leads_inside_is_not_connected_to() -> None:
    async def story() -> None:
        async with receiving() as receiver:

            async def resolve(host: str, port: int) -> list[str]:
                return ["93.184.216.34", "127.0.0.1"]

            poster = Poster(NOBODY, resolve)
            url = f"https://example.com:{receiver.port}/"
            answer = await poster.post(url, {}, b"{}")
            assert answer.status is None
            # What the name leads to inside is not told to whoever chose it.
            assert answer.problem.startswith("example.com leads to an address that is not public:")
            assert "127.0.0.1" not in answer.problem
            await poster.close()
            assert not receiver.arrived

    asyncio.run(story())


def test_a_name_that_changes_between_check_and_connection_leads_to_what_was_checked() -> None:
    async def story() -> None:
        async with receiving() as receiver:
            asked: list[str] = []

            async def resolve(host: str, port: int) -> list[str]:
                # Allowed at first, and inside ever after.
                asked.append(host)
                return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

            allowed = Allowed(frozenset(), Allowed.parse("127.0.0.1").networks)
            poster = Poster(Allowed(frozenset(), allowed.networks), resolve)
            # http only to what is listed by name or literally: the name is not.
            refused = await poster.post(f"http://a.example:{receiver.port}/", {}, b"{}")
            assert "is not https" in refused.problem
            assert asked == []
            await poster._send(URL(f"http://a.example:{receiver.port}/first"), {}, b"1")
            assert [one.path for one in receiver.arrived] == ["/first"]
            assert asked == ["a.example"]
            await poster.close()
            again = await poster.post(f"https://a.example:{receiver.port}/", {}, b"{}")
            assert "a.example leads to an address that is not public" in again.problem
            assert len(receiver.arrived) == 1
            await poster.close()

    asyncio.run(story())


def test_redirects_are_not_followed() -> None:
    async def story() -> None:
        async with receiving() as receiver:
            receiver.answer, receiver.location = lambda _: 302, "http://169.254.169.254/latest"
            poster = Poster(Allowed.parse("127.0.0.1"))
            answer = await poster.post(receiver.url, {}, b"{}")
            assert (answer.status, answer.problem) == (
                302,
                "answered 302: redirects are not followed",
            )
            assert len(receiver.arrived) == 1
            await poster.close()

    asyncio.run(story())


def test_of_an_endless_answer_little_is_read() -> None:
    async def story() -> None:
        async with receiving() as receiver:
            receiver.tail = b"x" * 3_000_000
            poster = Poster(Allowed.parse("127.0.0.1"))
            assert (await poster.post(receiver.url, {}, b"{}")).status == 200
            await poster.close()

    asyncio.run(story())
