"""A provider of models, as far as its clients' usage is concerned: OpenAI's wire format
(platform.openai.com/docs/api-reference) on a real port. What each answer says that it used is the
test's choice.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

MODEL = "gpt-4o-mini-2024-07-18"
CREATED = 1_700_000_000


class Models:
    """Models that answer at `url` (`/v1/chat/completions`, `/v1/responses`, `/v1/embeddings`)."""

    def __init__(self) -> None:
        self.url = ""
        self.usage: Mapping[str, Any] = {}
        """What the next answers say that they used, in the API's own words."""
        self.status = 200
        self.requests: list[tuple[str, Any]] = []
        self._numbers = count(1)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Models]:
        """Answer until the block ends."""
        double = cls()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                double._serve(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        double.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        request = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        self.requests.append((handler.path, request))
        if self.status != 200:
            refusal = {"error": {"message": "no", "type": "server_error", "code": None}}
            _send(handler, self.status, json.dumps(refusal), "application/json")
            return
        name = f"{next(self._numbers):024d}"
        made = {
            "/v1/chat/completions": self._chat,
            "/v1/responses": self._response,
            "/v1/embeddings": self._embedding,
        }[handler.path](request, name)
        if request.get("stream"):
            _send(handler, 200, made, "text/event-stream")
        else:
            _send(handler, 200, json.dumps(made), "application/json")

    def _chat(self, request: Any, name: str) -> Any:
        head = {"id": f"chatcmpl-{name}", "created": CREATED, "model": MODEL}
        if not request.get("stream"):
            message = {"role": "assistant", "content": "Hello!", "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            return {**head, "object": "chat.completion", "choices": [choice], "usage": self.usage}
        head["object"] = "chat.completion.chunk"
        steps: list[dict[str, Any]] = [
            {"delta": {"role": "assistant", "content": "Hel"}, "finish_reason": None},
            {"delta": {"content": "lo!"}, "finish_reason": None},
            {"delta": {}, "finish_reason": "stop"},
        ]
        chunks = [{**head, "choices": [{"index": 0, **step}], "usage": None} for step in steps]
        if (request.get("stream_options") or {}).get("include_usage"):
            chunks.append({**head, "choices": [], "usage": self.usage})
        return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"

    def _response(self, request: Any, name: str) -> Any:
        text = {"type": "output_text", "text": "Hello!", "annotations": []}
        message = {
            "id": f"msg_{name}",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [text],
        }
        return {
            "id": f"resp_{name}",
            "object": "response",
            "created_at": CREATED,
            "status": "completed",
            "model": MODEL,
            "output": [message],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": self.usage,
        }

    def _embedding(self, request: Any, name: str) -> Any:
        vector = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}
        model = "text-embedding-3-small"
        return {"object": "list", "data": [vector], "model": model, "usage": self.usage}


def _send(handler: BaseHTTPRequestHandler, status: int, text: str, content_type: str) -> None:
    body = text.encode()
    handler.send_response(status)
    handler.send_header("content-type", content_type)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
