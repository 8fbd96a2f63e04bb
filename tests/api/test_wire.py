"""Events as they travel: whatever way a request is cut into pieces, and whichever way it takes
through the server, it is booked once and answered in order.
"""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.api.caller import Caller, calling, event, product, usage
from tests.api.conftest import TEST_KEY, RunningServer, running_server


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


class Wire:
    """A connection on which bytes are sent as they are."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self._rest = b""

    def send(self, data: bytes) -> None:
        self.raw.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: status, headers, body."""
        head, self._rest = self._until(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        status = int(lines[0].split()[1])
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        size = int(headers.get("content-length", 0))
        while len(self._rest) < size:
            self._rest += self._more()
        body, self._rest = self._rest[:size], self._rest[size:]
        return status, headers, body

    def statuses(self, count: int) -> list[int]:
        return [self.answer()[0] for _ in range(count)]

    def is_closed(self) -> bool:
        return not self._rest and self.raw.recv(1) == b""

    def _until(self, mark: bytes) -> tuple[bytes, bytes]:
        while mark not in self._rest:
            self._rest += self._more()
        before, _, after = self._rest.partition(mark)
        return before, after

    def _more(self) -> bytes:
        more = self.raw.recv(65536)
        if not more:
            raise ConnectionError("the server closed the connection")
        return more


@contextmanager
def wire(server: RunningServer) -> Iterator[Wire]:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as raw:
        yield Wire(raw)


def request(
    customer: str,
    *events: object,
    headers: tuple[str, ...] = (),
    version: str = "1.1",
    body: bytes | None = None,
) -> bytes:
    """Write a request with events; it says how long it is unless it comes in chunks."""
    content = json.dumps(usage(customer, *events)).encode() if body is None else body
    lines = [
        f"POST /v1/events HTTP/{version}",
        "host: x",
        f"x-credyt-api-key: {TEST_KEY}",
        "content-type: application/json",
        *headers,
    ]
    if not any(line.startswith("transfer-encoding") for line in headers):
        lines.append(f"content-length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


def booked(me: Caller, customer: str) -> list[str]:
    """The ids of a customer's events, sorted."""
    return sorted(e["id"] for e in me.get(f"events?customer_id={customer}&limit=100").body["items"])


@pytest.mark.parametrize("piece", [1, 7, 60, 200])
def test_a_request_in_pieces(shared_server: RunningServer, me: Caller, piece: int) -> None:
    customer = me.customer()
    whole = request(customer, event("a", description="x" * 100)) + request(customer, event("b"))
    with wire(shared_server) as connection:
        connection.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(whole), piece):
            connection.send(whole[start : start + piece])
        assert connection.statuses(2) == [204, 204]
    assert booked(me, customer) == ["a", "b"]


def test_requests_that_do_not_wait_for_answers_are_answered_in_order(
    shared_server: RunningServer, me: Caller
) -> None:
    customer = me.customer()
    with wire(shared_server) as connection:
        wrong = request(customer, body=b"{")
        other = request(customer, event("n2"), headers=("prefer: return=representation",))
        parts = [request(customer, event("n1")), wrong, other, request(customer, event("n3"))]
        connection.send(b"".join(parts))
        assert connection.statuses(4) == [204, 400, 200, 204]
        connection.send(request(customer, event("n4")))
        assert connection.statuses(1) == [204]
    assert booked(me, customer) == ["n1", "n2", "n3", "n4"]


def test_chunks(shared_server: RunningServer, me: Caller) -> None:
    customer = me.customer()
    content = json.dumps(usage(customer, event("chunked"))).encode()
    first, second = content[:10], content[10:]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (first, second)) + b"0\r\n\r\n"
    for name in ("once", "cut"):
        with wire(shared_server) as connection:
            data = request(customer, headers=("transfer-encoding: chunked",), body=chunks)
            if name == "cut":
                connection.send(data[:-20])
                data = data[-20:]
            connection.send(data)
            assert connection.statuses(1) == [204], name
    assert booked(me, customer) == ["chunked"]


def test_a_client_that_asks_before_it_sends(shared_server: RunningServer, me: Caller) -> None:
    customer = me.customer()
    data = request(customer, event("asked"), headers=("expect: 100-continue",))
    head, _, body = data.partition(b"\r\n\r\n")
    with wire(shared_server) as connection:
        connection.send(head + b"\r\n\r\n")
        assert connection.answer()[0] == 100
        connection.send(body)
        assert connection.statuses(1) == [204]
    assert booked(me, customer) == ["asked"]


@pytest.mark.parametrize(
    ("version", "headers"), [("1.1", ("connection: close",)), ("1.0", ())], ids=["close", "http10"]
)
def test_a_client_that_wants_no_more(
    shared_server: RunningServer, me: Caller, version: str, headers: tuple[str, ...]
) -> None:
    customer = me.customer()
    with wire(shared_server) as connection:
        connection.send(request(customer, event("last"), version=version, headers=headers))
        status, answered, _ = connection.answer()
        assert (status, answered["connection"]) == (204, "close")
        assert connection.is_closed()
    assert booked(me, customer) == ["last"]


def test_a_client_that_leaves_before_its_answer_is_charged_once(
    shared_server: RunningServer, me: Caller
) -> None:
    customer = me.customer()
    data = request(customer, event("gone"))
    for _ in range(3):
        with wire(shared_server) as connection:
            connection.send(data)
    with wire(shared_server) as connection:
        connection.send(data)
        assert connection.statuses(1) == [204]
    assert booked(me, customer) == ["gone"]


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([event("e", -1)], 422),
        ([event("e"), event("e", 2)], 409),
        ([event("e")], 404),
        ([], 422),
    ],
)
def test_both_ways_refuse_alike(
    shared_server: RunningServer, me: Caller, events: list[object], status: int
) -> None:
    customer = "cust_nobody" if status == 404 else me.customer()
    found = []
    with wire(shared_server) as connection:
        for header in ("accept: */*", "prefer: return=minimal"):
            headers = (header, "x-request-id: same")
            connection.send(request(customer, *events, headers=headers))
            answered, fields, body = connection.answer()
            fields.pop("date")
            found.append((answered, fields, json.loads(body)))
    assert found[0] == found[1]
    assert found[0][0] == status
    assert found[0][1]["content-type"] == "application/problem+json"
    assert booked(me, customer) == []


def test_the_answer_has_the_headers_of_every_answer(
    shared_server: RunningServer, me: Caller
) -> None:
    customer = me.customer()
    with wire(shared_server) as connection:
        for number, header in enumerate(("accept: */*", "prefer: x=y"), 1):
            headers = (header, "x-request-id: mine")
            connection.send(request(customer, event(f"h{number}"), headers=headers))
            status, fields, body = connection.answer()
            assert (status, body) == (204, b"")
            assert fields.keys() == {"date", "x-request-id", "cache-control"}
            assert fields["x-request-id"] == "mine"


def test_what_is_no_http_is_refused_after_a_charge(
    shared_server: RunningServer, me: Caller
) -> None:
    customer = me.customer()
    with wire(shared_server) as connection:
        connection.send(request(customer, event("before")))
        assert connection.statuses(1) == [204]
        connection.send(b"POST /v1/events HTTP/1.1\r\nhost: x\r\nx y\r\n\r\n")
        assert connection.answer()[0] == 400
        assert connection.is_closed()
    assert booked(me, customer) == ["before"]


def test_a_server_that_stops_answers_what_it_has_and_closes(tmp_path: Path) -> None:
    path = tmp_path / "faregate.db"
    with running_server(f"sqlite:///{path}") as server, calling(server) as me:
        me.made("products", product())
        customer = me.customer()
        with wire(server) as busy, wire(server) as idle:
            busy.send(request(customer, event("first")))
            assert busy.statuses(1) == [204]
            # Another writer has the file: the next charge waits for it.
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                busy.send(request(customer, event("last")))
                for _ in range(2):
                    idle.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
                    assert idle.statuses(1) == [200]
                server.uvicorn.should_exit = True
                assert idle.is_closed()
                other.execute("ROLLBACK")
            status, headers, _ = busy.answer()
            assert (status, headers["connection"]) == (204, "close")
            assert busy.is_closed()
