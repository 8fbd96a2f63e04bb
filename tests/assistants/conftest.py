"""Assistants need a server: that of the API's tests."""

from tests.api.conftest import server, shared_server

__all__ = ["server", "shared_server"]
