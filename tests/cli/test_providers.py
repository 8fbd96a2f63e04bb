"""Who collects money is said by the environment; what cannot work there ends the program with one
sentence, which names the setting and does not show it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.running import run, running
from tests.databases import new_sqlite

from faregate.cli.providers import payment_providers
from faregate.payments.provider import Merchant

TEST_KEY = {"FAREGATE_STRIPE_TEST_SECRET_KEY": "sk_test_MARK1"}
TEST_HOOK = {"FAREGATE_STRIPE_TEST_WEBHOOK_SECRET": "whsec_MARK2"}
TEST = TEST_KEY | TEST_HOOK
LIVE = {
    "FAREGATE_STRIPE_LIVE_SECRET_KEY": "rk_live_MARK3",
    "FAREGATE_STRIPE_LIVE_WEBHOOK_SECRET": "whsec_MARK4, whsec_MARK5",
}
BASE, ACCOUNTS = "FAREGATE_STRIPE_API_BASE", "FAREGATE_STRIPE_ACCOUNTS"


def merchant(*, is_live: bool, account_id: str | None = None) -> Merchant:
    return Merchant(1, account_id or "acc_1", is_live, account_id is None)


def test_without_settings_nobody_else_collects() -> None:
    assert payment_providers({}) == []
    assert payment_providers(dict.fromkeys(TEST, "")) == []


def test_a_mode_with_both_secrets_is_collected_for() -> None:
    (stripe,) = payment_providers(TEST)
    assert stripe.serves(merchant(is_live=False))
    assert not stripe.serves(merchant(is_live=True))
    accounts = {ACCOUNTS: "acc_2=acct_A, acc_3=acct_B"}
    (stripe,) = payment_providers(TEST | LIVE | accounts)
    assert stripe.serves(merchant(is_live=True))
    assert stripe.serves(merchant(is_live=True, account_id="acc_3"))
    assert not stripe.serves(merchant(is_live=True, account_id="acc_4"))
    assert len(payment_providers(TEST | {BASE: "http://127.0.0.1:1/"})) == 1


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (TEST_KEY, "FAREGATE_STRIPE_TEST_WEBHOOK_SECRET"),
        (TEST_HOOK, "FAREGATE_STRIPE_TEST_SECRET_KEY"),
        (TEST | {"FAREGATE_STRIPE_TEST_SECRET_KEY": "sk_live_MARK1"}, "TEST_SECRET_KEY"),
        (TEST | {"FAREGATE_STRIPE_TEST_SECRET_KEY": "pk_test_MARK1"}, "TEST_SECRET_KEY"),
        (TEST | {"FAREGATE_STRIPE_TEST_SECRET_KEY": "sk_test_MARK1\n"}, "TEST_SECRET_KEY"),
        (TEST | {"FAREGATE_STRIPE_TEST_WEBHOOK_SECRET": "MARK2"}, "TEST_WEBHOOK_SECRET"),
        (TEST | {"FAREGATE_STRIPE_TEST_WEBHOOK_SECRET": ","}, "TEST_WEBHOOK_SECRET"),
        (LIVE | {"FAREGATE_STRIPE_LIVE_SECRET_KEY": "sk_test_MARK3"}, "LIVE_SECRET_KEY"),
        (LIVE | {BASE: "https://double.example"}, BASE),
        (TEST | {BASE: "http://double.example"}, BASE),
        (TEST | {BASE: "ftp://127.0.0.1"}, BASE),
        ({BASE: "http://127.0.0.1"}, BASE),
        ({ACCOUNTS: "acc_1=acct_1"}, ACCOUNTS),
        (TEST | {ACCOUNTS: "acc_1"}, ACCOUNTS),
        (TEST | {ACCOUNTS: "acc_1=acct_1,acc_1=acct_2"}, ACCOUNTS),
        (TEST | {ACCOUNTS: "acc_1=acct_1,acc_2=acct_1"}, ACCOUNTS),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(
    given: dict[str, str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        payment_providers(given)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert "MARK" not in printed.err + printed.out


def test_a_server_with_them_starts_and_one_with_half_of_them_does_not(tmp_path: Path) -> None:
    database = new_sqlite(tmp_path / "faregate.db")
    for command in (("serve", "--port", "0"), ("worker", "--once")):
        ended = run(*command, "--database", database, **TEST_KEY)
        assert ended.returncode == 2, ended.stderr
        assert "FAREGATE_STRIPE_TEST_WEBHOOK_SECRET" in ended.stderr
        assert "MARK" not in ended.stderr + ended.stdout
    with running("serve", "--port", "0", "--database", database, **TEST) as server:
        assert server.stdout is not None
        door = next(line for line in server.stdout if line.startswith("Messages"))
        assert "/payments/messages/stripe/acc_" in door
        assert door.split()[1].endswith("/test")
