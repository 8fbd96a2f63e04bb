import asyncio
import re
from pathlib import Path

import pytest
from tests.cli.running import run
from tests.databases import new_sqlite

from faregate import Engine
from faregate.cli import providers
from faregate.platform.accounts import CreateAccount
from faregate.platform.environments import MODES


@pytest.fixture
def database(tmp_path: Path) -> str:
    return new_sqlite(tmp_path / "faregate.db")


@pytest.mark.slow
def test_a_key_is_made_listed_and_revoked(database: str):
    made = run("keys", "create", "--mode", "live", "--name", "app", "--database", database)
    secret = made.stdout.strip()
    assert secret.startswith("fg_live_")
    listed = run("keys", "list", FAREGATE_DATABASE_URL=database).stdout
    key_id, account, mode, role, hint, name, _, revoked = listed.rstrip("\n").split("\t")
    assert account.startswith("acc_")
    assert account.endswith(" Default account")
    assert (mode, role) == ("live", "admin")
    assert (name, revoked) == ("app", "")
    assert secret not in listed
    assert secret.startswith(hint.rstrip("…"))

    assert run("keys", "revoke", key_id, "--database", database).returncode == 0
    assert run("keys", "list", "--database", database).stdout.rstrip("\n").split("\t")[7]


@pytest.mark.slow
def test_a_key_of_a_connected_account_opens_that_account_and_the_list_says_so(database: str):
    async def connect() -> str:
        async with Engine.open(database) as engine:
            return (await engine.create_account(CreateAccount("Seller"))).id

    account_id = asyncio.run(connect())
    made = run("keys", "create", "--account", account_id, "--database", database)
    assert made.returncode == 0, made.stderr
    (listed,) = run("keys", "list", "--database", database).stdout.splitlines()
    assert listed.split("\t")[1:3] == [f"{account_id} Seller", "test"]

    async def opens() -> str:
        async with Engine.open(database) as engine:
            key = await engine.find_key(made.stdout.strip())
            assert key is not None
            return key.context.account_id

    assert asyncio.run(opens()) == account_id
    unknown = run("keys", "create", "--account", "acc_nobody", "--database", database)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "acc_nobody" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_revoking_an_unknown_key_says_so(database: str):
    done = run("keys", "revoke", "key_none", "--database", database)
    assert done.returncode == 1
    assert "key_none" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_migrate_makes_the_schema_and_a_repeat_is_harmless(tmp_path: Path):
    path = tmp_path / "faregate.db"
    for _ in range(2):
        assert run("migrate", "--database", f"sqlite:///{path}").returncode == 0
    assert path.exists()


def test_the_version_is_printed():
    assert run("--version").stdout.strip() == "0.1.0"


SECRET = "a-secret-of-32-letters-at-the-least"


@pytest.mark.slow
def test_the_secret_of_ones_own_system_is_printed_and_is_another_in_each_mode(database: str):
    def printed(mode: str, **more: str) -> str:
        return run("keys", "external", "--mode", mode, "--database", database, **more).stdout

    shown = {printed(mode, FAREGATE_EXTERNAL_SECRET=SECRET) for mode in MODES}
    assert len(shown) == 2
    assert all(one.startswith("whsec_") for one in shown)
    none = run("keys", "external", "--database", database)
    assert (none.returncode, none.stdout) == (1, "")
    assert "docs/external-payments.md" in none.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FAREGATE_EXTERNAL_SECRET", "too-short-to-be-one"),
        ("FAREGATE_MOLLIE_TEST_API_KEY", "live_abcdefgh12345678"),
        ("FAREGATE_MOLLIE_LIVE_API_KEY", "live_x"),
    ],
)
def test_a_setting_of_payments_that_cannot_work_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        (providers.external_secrets if "EXTERNAL" in name else providers.payment_providers)()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert name in said
    assert value not in said


def test_mollies_keys_make_it_collect(monkeypatch: pytest.MonkeyPatch):
    assert providers.payment_providers() == []
    monkeypatch.setenv("FAREGATE_MOLLIE_TEST_API_KEY", "test_abcdefgh12345678")
    monkeypatch.setenv("FAREGATE_PUBLIC_URL", "https://billing.example")
    assert [one.name for one in providers.payment_providers()] == ["mollie"]


@pytest.mark.slow
def test_whoever_has_the_server_invites_and_makes_a_new_password(database: str):
    invited = run("operators", "invite", "Ada@Example.com", "--database", database)
    link = invited.stdout.strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/join/[\w-]{32}", link), invited
    assert "Send it to ada@example.com" in invited.stderr
    listed = run("operators", "list", "--database", database).stdout.rstrip("\n").split("\t")
    assert listed[1:4] == ["ada@example.com", "", "admin"]
    assert listed[5].startswith("invited until ")
    assert link.rsplit("/")[-1] not in "".join(listed)

    async def join() -> list[str]:
        async with Engine.open(database) as engine:
            password = "correct horse battery"
            await engine.accept_invitation(link.split("/")[-1], "Ada", "ada@example.com", password)
            return [entry.action for entry in await engine.list_audit_entries()]

    assert asyncio.run(join()) == ["invite an operator"]
    (row,) = run("operators", "list", "--database", database).stdout.splitlines()
    assert row.split("\t")[1:4] == ["ada@example.com", "Ada", "admin"]
    address = "https://billing.example/"
    reset = run(
        "operators", "reset-password", "ada@example.com", "--address", address,
        "--database", database,
    )  # fmt: skip
    assert reset.stdout.startswith("https://billing.example/join/")
    unknown = run("operators", "reset-password", "eve@example.com", "--database", database)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "eve@example.com" in unknown.stderr
    again = run("operators", "invite", "ada@example.com", "--database", database)
    assert again.returncode == 1
    assert "is an operator already" in again.stderr
