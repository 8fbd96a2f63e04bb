"""A database that cannot be used is refused with the reason."""

import asyncio
import socket
from pathlib import Path

import pytest

from faregate.store.open import open_store
from faregate.store.protocol import StoreUnavailable


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def refused(url: str) -> str:
    """Open a store that must be refused; returns the reason."""
    with pytest.raises(StoreUnavailable) as refusal:
        asyncio.run(open_store(url))
    return str(refusal.value)


def test_an_unknown_kind_of_database_is_named_with_the_kinds_that_work():
    reason = refused("mysql://root:secret@localhost/billing")
    assert "'mysql'" in reason
    assert "sqlite:///" in reason
    assert "postgresql://" in reason
    assert "secret" not in reason


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///"])
def test_a_database_in_memory_is_refused_because_it_would_lose_money(url: str):
    assert "would lose money" in refused(url)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    path = tmp_path / "file" / "faregate.db"
    assert str(path) in refused(f"sqlite:///{path}")


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada, " * 1000)
    assert str(path) in refused(f"sqlite:///{path}")
    assert path.read_text() == "Dear Ada, " * 1000


def test_a_server_that_does_not_listen_is_refused():
    port = _free_port()
    assert str(port) in refused(f"postgresql://postgres@127.0.0.1:{port}/faregate")


def test_a_database_that_the_server_does_not_have_is_named(postgres_url: str):
    reason = refused(postgres_url.replace("/postgres?", "/nobody_made_it?"))
    assert "nobody_made_it" in reason


def test_the_folder_of_a_new_file_is_made(tmp_path: Path):
    async def story() -> None:
        store = await open_store(f"sqlite:///{tmp_path}/new/folder/faregate.db")
        assert await store.schema_version() is None
        await store.close()

    asyncio.run(story())
    assert (tmp_path / "new" / "folder" / "faregate.db").exists()


def test_a_postgresql_that_does_not_wait_for_the_disk_is_refused(postgres_url: str):
    async def story() -> None:
        store = await open_store(postgres_url)
        try:
            await store.fetch("ALTER DATABASE postgres SET synchronous_commit = off")
            with pytest.raises(StoreUnavailable, match="synchronous_commit is off"):
                await open_store(postgres_url)
        finally:
            await store.fetch("ALTER DATABASE postgres RESET synchronous_commit")
            await store.close()

    asyncio.run(story())
