"""Everything on one real port: the API, the pages and what answers assistants; with an operator who
is signed in, an assistant that calls tools, and an engine whose clock the test moves."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import httpx
import uvicorn
from tests.ledger.shop import NOON, Clock
from tests.web.forms import send

from faregate import Engine
from faregate.cli.server import address_of, listen, uvicorn_config
from faregate.mcp.door import AssistantDoor
from faregate.operations.acting import Acting
from faregate.rest.app import create_app
from faregate.web import create_web

T = TypeVar("T")
EMAIL, PASSWORD = "ada@example.com", "ada's own password"


class House(NamedTuple):
    """Where it listens, and the engine inside."""

    url: str
    engine: Engine
    loop: asyncio.AbstractEventLoop
    clock: Clock
    server: uvicorn.Server

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the engine on its own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def key(self, mode: Any = "live", role: str = "admin", name: str = "the assistant") -> str:
        """Make a key; returns its secret."""
        return self.wait(self.engine.create_key(mode, role, name))[1]

    def session(self, role: str = "admin", name: str = "Ada", email: str = EMAIL) -> str:
        """Sign an operator in, who is made if there is none; returns a session's secret."""

        async def sign_in() -> str:
            people = await self.engine.list_operators()
            found = [one for one in people if one.email == email]
            who = found[0] if found else None
            if who is None:
                who = await self.engine.create_operator(email, name, role, PASSWORD)
            return await self.engine.use_sign_in_link(await self.engine.sign_in_link(who.id))

        return self.wait(sign_in())

    def person(self, role: str = "admin", name: str = "Ada", email: str = EMAIL) -> httpx.Client:
        """Return a browser, as far as forms go, in which an operator is signed in."""
        cookies = {"faregate_session": self.session(role, name, email)}
        return httpx.Client(base_url=self.url, cookies=cookies, timeout=30)


class Called(NamedTuple):
    """What a tool answered, the text as it came."""

    is_error: bool
    text: str

    @property
    def json(self) -> Any:
        """The answer, read."""
        return json.loads(self.text)


class Assistant:
    """Calls tools, with a key or a token."""

    def __init__(self, house: House, secret: str) -> None:
        self._http = httpx.Client(base_url=house.url, timeout=30)
        self._secret = secret

    def post(self, name: str, arguments: str, **headers: str) -> httpx.Response:
        """Send a call, its arguments as text."""
        message = (
            '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": '
            f'{{"name": "{name}", "arguments": {arguments}}}}}'
        )
        said = {"authorization": f"Bearer {self._secret}", "content-type": "application/json"}
        accept = {"accept": "application/json, text/event-stream"}
        return self._http.post("/mcp", content=message, headers=said | accept | headers)

    def call(self, name: str, arguments: str | None = None, /, **values: Any) -> Called:
        """Call a tool, with arguments as text or by name."""
        answer = self.post(name, arguments or json.dumps(values))
        assert answer.status_code == 200, answer.text
        result = answer.json()["result"]
        return Called(result.get("isError", False), result["content"][0]["text"])

    def asks(self, name: str, arguments: str | None = None, /, **values: Any) -> str:
        """Call a tool that is not done at once; returns the address at which a person confirms."""
        called = self.call(name, arguments, **values)
        assert called.is_error, called.text
        said = called.json
        assert said["type"] == "urn:faregate:problem:confirmation-needed", said
        found = re.search(r"http://\S+", said["detail"])
        assert found, said
        return found[0]


def decide(person: httpx.Client, address: str, how: str = "confirm") -> httpx.Response:
    """Open the page at an address, and press a button."""
    found = re.search(r"/(test|live)/confirmations\?id=(\w+)", address)
    assert found, address
    mode, wanted = found[1], found[2]
    path = address.removeprefix(str(person.base_url).rstrip("/"))
    return send(person, path, f"/{mode}/confirmations/{wanted}/{how}")


@contextmanager
def running_house(database_url: str, clock: Clock | None = None) -> Iterator[House]:
    """Serve a database until the block ends."""
    time = clock or Clock(NOON)
    started: list[House] = []
    failed: list[BaseException] = []
    ready = threading.Event()

    async def serve() -> None:
        async with Engine.open(database_url, clock=time) as engine:
            listener = listen("127.0.0.1", 0)
            web = create_web(engine, engine.context_of("test"))
            door = AssistantDoor(Acting(engine), "0")
            app = create_app(engine, web=web, assistants=door)
            server = uvicorn.Server(uvicorn_config(app))
            async with door.running():
                task = asyncio.create_task(server.serve(sockets=[listener]))
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0)
                loop = asyncio.get_running_loop()
                started.append(House(address_of(listener), engine, loop, time, server))
                ready.set()
                await task

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(30)
    if failed:
        raise failed[0]
    try:
        yield started[0]
    finally:
        started[0].server.should_exit = True
        thread.join(30)
