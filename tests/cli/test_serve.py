import asyncio
import json
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from tests.cli.running import run, running

from faregate import Engine
from faregate.platform.accounts import CreateAccount

KEY = "fg_live_" + "k" * 32


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new' / 'faregate.db'}"


def printed(process: subprocess.Popen[str], word: str) -> str:
    """Return what follows a word at the beginning of a line that the server prints."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line.removeprefix(word).split()[0]
    raise AssertionError(process.stderr.read() if process.stderr else "")


def test_a_new_database_gets_a_test_key_that_works_and_is_printed_once(database: str):
    with running("serve", "--database", database, "--port", "0") as server:
        key = printed(server, "Admin key")
        api = printed(server, "API")
        dashboard = printed(server, "Dashboard")
        link = printed(server, "First admin")
        assert key.startswith("fg_test_")
        answer = httpx.get(f"{api}/customers", headers={"X-CREDYT-API-KEY": key})
        assert answer.status_code == 200
        assert httpx.get(f"{api}/customers").status_code == 401
        assert "Become the first admin" in httpx.get(link).text
        assert "Nobody can sign in yet" in httpx.get(f"{dashboard}sign-in").text
    with running("serve", "--database", database, "--port", "0") as again:
        newer = printed(again, "First admin")
        assert httpx.get(f"{newer.partition('/join')[0]}/join/{link.split('/')[-1]}").is_error
        person = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
        with httpx.Client(follow_redirects=True) as browser:
            assert "Charges per second" in browser.post(newer, data=person).text
        again.send_signal(signal.SIGTERM)
        _, logged = again.communicate(timeout=20)
        assert newer.split("/")[-1] not in logged
        assert again.returncode == 0
    with running("serve", "--database", database, "--port", "0") as again:
        printed(again, "Dashboard")
        again.send_signal(signal.SIGTERM)
        rest, _ = again.communicate(timeout=20)
        assert "Admin key" not in rest
        assert "First admin" not in rest
        assert again.returncode == 0


@pytest.mark.slow
def test_the_key_of_the_environment_is_made_once_and_no_other(database: str):
    settings = {"FAREGATE_DATABASE_URL": database, "FAREGATE_BOOTSTRAP_KEY": KEY}
    for _ in range(2):
        with running("serve", "--port", "0", **settings) as server:
            api = printed(server, "API")
            answer = httpx.get(f"{api}/customers", headers={"X-CREDYT-API-KEY": KEY})
            assert answer.status_code == 200
    listed = run("keys", "list", "--database", database).stdout.splitlines()
    assert len(listed) == 1
    assert "\tlive\tadmin\t" in listed[0]


@pytest.mark.slow
def test_keys_and_verify_work_beside_a_running_server(database: str):
    with running("serve", "--database", database, "--port", "0") as server:
        api = printed(server, "API")
        made = run("keys", "create", "--role", "read", "--database", database)
        assert made.returncode == 0, made.stderr
        headers = {"X-CREDYT-API-KEY": made.stdout.strip()}
        assert httpx.get(f"{api}/customers", headers=headers).status_code == 200
        assert run("verify", "--database", database).returncode == 0


def test_stopping_is_logged_as_json_without_a_traceback(database: str):
    with running("serve", "--database", database, "--port", "0") as server:
        printed(server, "Dashboard")
        server.send_signal(signal.SIGINT)
        _, logged = server.communicate(timeout=20)
    assert server.returncode == 0
    events = [json.loads(line)["event"] for line in logged.splitlines()]
    assert events[-1] == "stopped"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--database", "mysql://x"], ["--database", "FAREGATE_DATABASE_URL", "mysql", "sqlite"]),
        (["--database", "sqlite:////proc/no/file.db"], ["--database", "/proc/no"]),
        (["--host", "no.such.host.invalid"], ["--host", "FAREGATE_HOST"]),
        (["--port", "70000"], ["--port", "FAREGATE_PORT", "65535"]),
        (["--bootstrap-key", "secret"], ["FAREGATE_BOOTSTRAP_KEY", "fg_test_"]),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(
    database: str, arguments: list[str], words: list[str]
):
    done = run("serve", "--port", "0", "--database", database, *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_port_that_is_taken_is_refused_by_name(database: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--database", database, FAREGATE_PORT=port)
    assert done.returncode == 2
    assert "FAREGATE_PORT" in done.stderr
    assert port in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_bootstrap_key_is_made_although_a_connected_account_has_a_key(database: str):
    async def connect() -> None:
        async with Engine.open(database) as engine:
            made = await engine.create_account(CreateAccount("Seller"))
            await engine.create_key("test", "admin", "theirs", account_id=made.id)

    asyncio.run(connect())
    key = "fg_test_" + "b" * 32
    with running("serve", "--database", database, "--port", "0", "--bootstrap-key", key) as server:
        api = printed(server, "API")
        answer = httpx.get(f"{api}/accounts", headers={"X-CREDYT-API-KEY": key})
        assert answer.json()["total_count"] == 1


@pytest.mark.slow
def test_a_bootstrap_key_that_was_revoked_is_refused_by_name(database: str):
    key = "fg_test_" + "b" * 32
    with running("serve", "--database", database, "--port", "0", "--bootstrap-key", key) as server:
        printed(server, "Dashboard")
    (line,) = run("keys", "list", "--database", database).stdout.splitlines()
    assert run("keys", "revoke", line.split("\t")[0], "--database", database).returncode == 0
    done = run("serve", "--database", database, "--port", "0", FAREGATE_BOOTSTRAP_KEY=key)
    assert done.returncode == 2, done.stderr
    assert "FAREGATE_BOOTSTRAP_KEY" in done.stderr
    assert "revoked" in done.stderr
    assert "Traceback" not in done.stderr
