"""A server of the live page alone, on a real port in a thread of its own, with an engine that the
tests can reach: `run` runs a coroutine in the server's event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.databases import new_sqlite

from faregate import Engine
from faregate.catalog.types import CreateProduct
from faregate.core.amounts import Number
from faregate.core.codec import decode
from faregate.core.events import UsageEvent
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CreateCustomer
from faregate.web import create_web

TOKEN = "a-token-for-the-tests"
"""Signs a browser in as the admin by `/?token=…`: a way in that only the tests' server has."""
EMAIL = "olga@example.com"
PASSWORD = "olga's own password"
PRODUCT = b"""{"name": "Calls", "code": "calls", "publish": true, "prices": [{
  "type": "usage_based", "name": "Calls", "billing_model": {"type": "real_time"},
  "usage_calculation": {"event_type": "api_call", "usage_type": "unit"},
  "pricing": [{"asset": "USD", "values": [{"unit_price": 0.0125}]}]}]}"""


class LiveServer:
    """The page of a fresh database, of the `url` if one is given, while the block runs."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self._url = url or new_sqlite(folder / "live.db")
        self._ready: Future[tuple[Engine, int]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._events = 0

    def __enter__(self) -> LiveServer:
        self._thread.start()
        self.engine, port = self._ready.result(20)
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with Engine.open(self._url) as engine, engine.working():
                self.engine = engine
                web = create_web(engine, engine.context_of("test"))
                await engine.create_operator(EMAIL, "Olga Operator", "admin", PASSWORD)
                config = uvicorn.Config(
                    self._with_token(web), port=0, log_config=None, timeout_graceful_shutdown=1
                )
                self._server = uvicorn.Server(config)
                task = asyncio.create_task(self._server.serve())
                while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
                port = self._server.servers[0].sockets[0].getsockname()[1]
                self._ready.set_result((engine, port))
                await task
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def _with_token(self, web: ASGIApp) -> ASGIApp:
        """Put a way in before the pages that takes as long as a test wants to spend on it."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            asked = f"token={TOKEN}".encode()
            if scope["type"] == "http" and scope["path"] == "/" and scope["query_string"] == asked:
                secret = await self.session_of(self.engine, EMAIL)
                answer = RedirectResponse("/test", 303)
                answer.set_cookie("faregate_session", secret, httponly=True, samesite="lax")
                await answer(scope, receive, send)
                return
            await web(scope, receive, send)

        return app

    @staticmethod
    async def session_of(engine: Engine, email: str) -> str:
        """Return a new session's secret of an operator."""
        (who,) = [one for one in await engine.list_operators() if one.email == email]
        return await engine.use_sign_in_link(await engine.sign_in_link(who.id))

    def add_operator(self, role: str, name: str = "Otto") -> str:
        """Make an operator in a role; returns a session's secret."""
        email = f"{role}@example.com"
        self.run(lambda engine: engine.create_operator(email, name, role, PASSWORD))
        return str(self.run(lambda engine: self.session_of(engine, email)))

    def run(self, action: Callable[[Engine], Awaitable[Any]]) -> Any:
        """Run something with the engine and return its result."""

        async def call() -> Any:
            return await action(self.engine)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(20)

    def add_product(self) -> None:
        self.run(lambda engine: engine.create_product(decode(CreateProduct, PRODUCT)))

    def add_customer(self, name: str, credit: str = "10") -> str:
        """Make a customer who is subscribed and has credit in USD; return the id."""
        request = decode(
            CreateCustomer, b'{"name": "x", "subscriptions": [{"products": [{"code": "calls"}]}]}'
        )
        created = self.run(
            lambda engine: engine.create_customer(
                CreateCustomer(name, subscriptions=request.subscriptions)
            )
        )
        gift = AdjustmentRequest("gift", "USD", Number(credit), "gift")
        self.run(lambda engine: engine.adjust(created.id, gift))
        return str(created.id)

    def add_customer_without_product(self, name: str) -> str:
        """Make a customer who has nothing."""
        return str(self.run(lambda engine: engine.create_customer(CreateCustomer(name))).id)

    def use(self, customer_id: str, times: int = 1, event_type: str = "api_call") -> None:
        """Report some use."""
        events = []
        for _ in range(times):
            self._events += 1
            events.append(UsageEvent(f"event-{self._events}", event_type, datetime.now(UTC)))
        self.run(lambda engine: engine.record_events(customer_id, events))
