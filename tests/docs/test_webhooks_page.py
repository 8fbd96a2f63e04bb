"""The page about webhooks: its command registers a URL, its program takes what arrives, and it
shows every topic. Run this file as a module to print the table of topics anew."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.doubles.receiver import receiving

from faregate.core.topics import topics_page

PAGE = Path(__file__).parents[2] / "docs/webhooks.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), re.S | re.M)


def test_the_page_has_every_topic() -> None:
    assert topics_page() in PAGE.read_text()


def test_what_the_page_registers_arrives_as_it_says_and_its_program_takes_it(
    tmp_path: Path,
) -> None:
    (command,), (program,), (shown,) = blocks("sh"), blocks("python"), blocks("json")
    assert command.count("https://example.com/hooks") == 1

    async def story(server: RunningServer) -> None:
        async with receiving() as receiver:
            url = f"{receiver.url}/hooks"
            run = await asyncio.to_thread(
                subprocess.run,
                ["bash", "-euc", command.replace("https://example.com/hooks", url)],
                env={"PATH": "/usr/bin:/bin", "KEY": TEST_KEY, "API": f"{server.url}/v1"},
                capture_output=True,
                check=True,
                text=True,
            )
            made = json.loads(run.stdout)
            engine = server.engine
            sent = engine.test_webhook("limit.reached", made["id"])
            await asyncio.to_thread(server.wait, sent)
            await asyncio.to_thread(server.wait, engine.deliver_webhooks())
            (one,) = receiver.arrived
        assert one.path == "/hooks"
        assert set(one.event) == set(json.loads(shown))
        names: dict[str, Any] = {}
        exec(program, names)  # noqa: S102 - our own page
        printed = StringIO()
        with redirect_stdout(printed):
            assert names["receive"](one.body, one.headers, made["secret"]) == 204
            assert names["receive"](one.body + b" ", one.headers, made["secret"]) == 400
            assert names["receive"](one.body, {}, made["secret"]) == 400
        (line,) = printed.getvalue().splitlines()
        assert line.startswith(f"{one.event['id']} limit.reached {{'customer_id': ")

    url = f"sqlite:///{tmp_path}/page.db"
    with running_server(url, webhook_allow="127.0.0.0/8") as server:
        asyncio.run(story(server))


if __name__ == "__main__":
    print(topics_page())
