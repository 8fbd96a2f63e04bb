"""Where the server is, and that the key to it shows nowhere."""

from __future__ import annotations

import asyncio
import logging
import traceback

import pytest
from tests.api.conftest import TEST_KEY
from tests.doubles.unreliable import LOST_BEFORE, UnreliableWay, answered

from faregate.client import AsyncClient, Client, FaregateClientError

SECRET = TEST_KEY.removeprefix("fg_test_")


def test_address_and_key_come_from_the_environment_where_they_are_not_given(
    monkeypatch: pytest.MonkeyPatch, way: UnreliableWay, customer: str
) -> None:
    monkeypatch.setenv("FAREGATE_URL", f"{way.url}/v1/")
    monkeypatch.setenv("FAREGATE_API_KEY", f" {TEST_KEY}\n")
    with Client() as client:
        assert client.get_wallet(customer).accounts
        assert repr(client) == f"Client('{way.url}')"
    with Client(api_key="fg_test_" + "x" * 32) as stranger:
        with pytest.raises(FaregateClientError, match="Send X-CREDYT-API-KEY") as refused:
            stranger.get_wallet(customer)
        assert refused.value.problem.status == 401


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        (None, "k", "set FAREGATE_URL"),
        ("http://x", None, "set FAREGATE_API_KEY"),
        ("localhost:8080", "k", "write e.g. http"),
        ("ftp://x", "k", "write e.g. http"),
        ("http://", "k", "write e.g. http"),
        ("http://x:port", "k", "is no URL"),
        ("http://user:hidden@x", "k", "leave them out"),
        ("http://x?a=1", "k", "leave them out"),
        ("http://x", "hidden key", "copy it again"),
        ("http://x", "hidden\nkey", "copy it again"),
        ("http://x", "hiddén", "copy it again"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_a_secret_is_not(
    monkeypatch: pytest.MonkeyPatch, url: str | None, key: str | None, said: str
) -> None:
    monkeypatch.delenv("FAREGATE_URL", raising=False)
    monkeypatch.delenv("FAREGATE_API_KEY", raising=False)
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match=said) as wrong:
            kind(url, key)
        assert "hidd" not in str(wrong.value)


def test_the_key_is_in_no_log_no_repr_and_no_exception(
    way: UnreliableWay,
    patient: Client,
    customer: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    for fault in (LOST_BEFORE, answered(503), answered(500)):
        way.fails(*[fault] * 6)
        with pytest.raises(FaregateClientError) as failed:
            patient.get_wallet(customer)
        error: BaseException | None = failed.value
        while error is not None:
            whole = traceback.TracebackException.from_exception(error, capture_locals=True)
            seen += [*whole.format(), repr(error), repr(vars(error))]
            error = error.__cause__ or error.__context__
    seen += [repr(patient), repr(vars(patient)), repr(AsyncClient(way.url, TEST_KEY))]
    assert b"Bearer fg_test_" in way.passed[0].head
    assert SECRET not in "".join(seen)
    assert caplog.records
    assert SECRET not in caplog.text


def test_a_client_that_was_never_used_closes(way: UnreliableWay) -> None:
    Client(way.url, TEST_KEY).close()
    asyncio.run(AsyncClient(way.url, TEST_KEY).close())
