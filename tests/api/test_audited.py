"""Changes by an API key are in the audit log, with the key's name; what the ledger books is not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.api.conftest import RunningServer, running_server

from faregate.operations.table import OPERATIONS
from faregate.platform.audit import AuditFilter

KEY = "fg_test_" + "k" * 32


@pytest.fixture(scope="module")
def running(module_database_url: str) -> Iterator[RunningServer]:
    with running_server(module_database_url) as server:
        server.wait(server.engine.create_key("test", "admin", "the back office", KEY))
        yield server


@pytest.fixture
def api(running: RunningServer) -> Iterator[httpx.Client]:
    headers = {"X-CREDYT-API-KEY": KEY}
    with httpx.Client(base_url=f"{running.url}/v1", headers=headers) as client:
        yield client


def test_a_change_by_a_key_is_told_with_the_keys_name_and_without_secrets(
    api: httpx.Client, running: RunningServer
) -> None:
    hook = "https://ada:Zq7xSecret@example.com/hook?token=Zq7xSecret"
    assert api.post("/webhooks", json={"url": hook, "topics": ["*"]}).is_error
    made = api.post("/webhooks", json={"url": "https://example.com/h", "topics": ["*"]}).json()
    api.patch(f"/webhooks/{made['id']}", json={"enabled": False})
    api.delete("/webhooks/whd_nothing")
    entries = running.wait(running.engine.list_audit_entries(AuditFilter(who="back office")))
    assert [(entry.action, entry.outcome) for entry in entries] == [
        ("DELETE /webhooks/{webhook_id}", "refused"),
        ("PATCH /webhooks/{webhook_id}", "done"),
        ("POST /webhooks", "done"),
        ("POST /webhooks", "refused"),
    ]
    assert [entry.object_id for entry in entries[:3]] == ["whd_nothing", made["id"], made["id"]]
    assert entries[1].request["body"]["enabled"] is False
    assert (entries[1].actor.kind, entries[1].address) == ("key", "127.0.0.1")
    assert entries[1].actor.name == f"the back office ({KEY[:12]}…)"
    assert entries[1].mode == "test"
    assert "Zq7x" not in repr(entries)
    assert KEY not in repr(entries)


def test_what_is_booked_waits_for_no_entry(api: httpx.Client, running: RunningServer) -> None:
    customer = api.post("/customers", json={"name": "Ada"}).json()["id"]
    before = running.wait(running.engine.list_audit_entries())
    assert before[0].object_id == customer
    wallet = f"/customers/{customer}/wallet"
    gift = {"transaction_id": "t", "amount": 5, "asset": "USD", "reason": "gift"}
    assert api.post(f"{wallet}/adjustments", json=gift).is_success
    hold = {"transaction_id": "h", "max_amount": 1, "asset": "USD"}
    held = api.post(f"{wallet}/holds", json=hold).json()
    assert api.post(f"{wallet}/holds/{held['id']}/void", json={}).is_success
    assert running.wait(running.engine.list_audit_entries()) == before


def test_every_operation_of_admins_is_told_by_the_log_or_by_the_ledger() -> None:
    untold = {op.tag for op in OPERATIONS if op.method != "GET" and not op.is_audited}
    # Quotes and simulations, which are open to all keys, change nothing.
    assert untold == {
        "Events", "Holds", "Wallets", "Top-ups", "Assets", "Products", "Model prices", "Ingestion",
    }  # fmt: skip
    open_to_all = {
        op.path
        for op in OPERATIONS
        if op.method != "GET"
        and not op.is_audited
        and op.tag in ("Assets", "Products", "Model prices", "Ingestion")
    }
    assert open_to_all == {
        # What files tell of is told by the ledger, like all use.
        "/ingestion/import",
        "/ingestion/{source}/preview",
        "/assets/{asset_code}/quote",
        "/model-prices/quote",
        "/products/{product_id}/{version}/simulate-usage",
    }
