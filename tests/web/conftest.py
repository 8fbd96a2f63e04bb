from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.web.live import TOKEN, LiveServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with LiveServer(tmp_path) as server:
        yield server


@pytest.fixture
def stranger(server: LiveServer) -> Iterator[httpx.Client]:
    """A client that has not signed in."""
    with httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def client(stranger: httpx.Client) -> httpx.Client:
    """A client that has signed in."""
    assert stranger.get("/", params={"token": TOKEN}).status_code == 303
    return stranger
