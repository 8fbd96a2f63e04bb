"""The clients, against a real server; directly, or by a way on which things go wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.api.caller import Caller, calling, product
from tests.api.conftest import TEST_KEY, RunningServer, shared_server
from tests.client.shop import Delays
from tests.doubles.unreliable import UnreliableWay, unreliable_way

from faregate.client import Client

__all__ = ["shared_server"]


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    """The operator, who sells tokens at 1 USD each."""
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


@pytest.fixture
def customer(me: Caller) -> str:
    """A customer with 10 USD."""
    customer_id = me.customer()
    me.give(customer_id, "10")
    return customer_id


@pytest.fixture
def client(me: Caller, shared_server: RunningServer) -> Iterator[Client]:
    with Client(shared_server.url, TEST_KEY) as client:
        yield client


@pytest.fixture
def way(me: Caller, shared_server: RunningServer) -> Iterator[UnreliableWay]:
    """A way to the server, on which the test makes things go wrong."""
    with unreliable_way(shared_server.url) as way:
        yield way


@pytest.fixture
def delays() -> Delays:
    """What the clients on the unreliable way have waited."""
    return Delays()


@pytest.fixture
def patient(way: UnreliableWay, delays: Delays) -> Iterator[Client]:
    """A client on the unreliable way, who waits without time passing."""
    with Client(way.url, TEST_KEY, sleep=delays.sleep, random=lambda: 0.5) as client:
        yield client
