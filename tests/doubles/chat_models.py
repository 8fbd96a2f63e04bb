"""A provider of models on a loopback port, of the shape that most speak (`/chat/completions`): it
answers every call alike, whole or as a stream, and says how many tokens that took."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

ANSWER: Final = "Forty-two."
USAGE: Final = {
    "prompt_tokens": 1_200,
    "completion_tokens": 300,
    "total_tokens": 1_500,
    "prompt_tokens_details": {"cached_tokens": 1_000, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 250, "audio_tokens": 0},
}


class ChatModels:
    """What was asked, and how the next calls are answered (a status instead of an answer)."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Any] = []
        self.fails: list[int] = []


@contextmanager
def chat_models() -> Iterator[ChatModels]:
    """Serve models until the block ends."""
    models = ChatModels()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            models.asked.append(asked)
            name = f"chatcmpl-{len(models.asked)}"
            if models.fails:
                error = {"error": {"message": "not now", "type": "server_error"}}
                self.give(models.fails.pop(0), "application/json", json.dumps(error))
            elif asked.get("stream"):
                self.give(200, "text/event-stream", _stream(name, asked["model"]))
            else:
                self.give(200, "application/json", json.dumps(_whole(name, asked["model"])))

        def give(self, status: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    models.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield models
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _whole(name: str, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": ANSWER}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {
        "id": name,
        "object": "chat.completion",
        "created": 1_772_366_400,
        "model": model,
        "choices": [choice],
        "usage": USAGE,
    }


def _stream(name: str, model: str) -> str:
    base = {
        "id": name,
        "object": "chat.completion.chunk",
        "created": 1_772_366_400,
        "model": model,
    }
    words = [{"role": "assistant", "content": ""}, *({"content": c} for c in ANSWER), {}]
    chunks: list[dict[str, Any]] = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in words[:-1]
    ]
    chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({**base, "choices": [], "usage": USAGE})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
