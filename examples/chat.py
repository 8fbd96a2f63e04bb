"""A chat that asks before it spends: GET /?customer=cust_…&prompt=hello streams an answer. Up to
100 tokens are set aside first; what was streamed is charged, also when the reader hangs up.
Run it with FAREGATE_URL and FAREGATE_API_KEY set: uvicorn examples.chat:app
"""

import asyncio
from urllib.parse import parse_qsl

from faregate.client import AsyncClient, Declined

billing = AsyncClient()
LIMIT = {"max_tokens": 100}


async def model(prompt, max_tokens):
    for word in ["You", "said:", *prompt.split()][:max_tokens]:
        await asyncio.sleep(0)  # A real model thinks here.
        yield f"{word} "


async def app(scope, receive, send):
    query = dict(parse_qsl(scope["query_string"].decode()))
    await receive()  # The request is whole; the next message says that the reader has hung up.
    gone = asyncio.ensure_future(receive())
    asked = {"event_type": "llm_call", "data": LIMIT, "estimate": "upper_bound"}
    last = b""
    try:
        async with billing.hold(query["customer"], **asked) as hold:
            await send({"type": "http.response.start", "status": 200})
            async for token in model(query["prompt"], **LIMIT):
                hold.use(tokens=1)
                part = {"body": token.encode(), "more_body": True}
                await send({"type": "http.response.body", **part})
                if gone.done():
                    break
    except Declined as declined:
        await send({"type": "http.response.start", "status": 402})
        last = declined.problem.detail.encode()
    await send({"type": "http.response.body", "body": last})
