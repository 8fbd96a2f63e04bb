"""The HTTP baseline: the same server, answering every POST with nothing, as fast as it can."""

from __future__ import annotations

import uvicorn
import uvloop
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from faregate.cli.server import address_of, listen, uvicorn_config


async def _empty(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _serve() -> None:
    listener = listen("127.0.0.1", 0)
    print(f"API {address_of(listener)}/v1", flush=True)
    await uvicorn.Server(uvicorn_config(_empty)).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(_serve())
