"""The code that the guide to integration gives, run as it is printed against a real server: what it
promises of money is what happens."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.caller import Caller, calling
from tests.api.conftest import TEST_KEY, RunningServer, running_server
from tests.databases import new_sqlite

import faregate.mcp.skills as skills
from faregate.webhooks.signing import make_secret, sign

FOLDER = Path(skills.__file__).with_name("skills") / "billing-integration/references"
PYTHON = re.findall(r"^```python\n(.*?)^```", (FOLDER / "python.md").read_text(), re.S | re.M)
SCRIPTS = re.findall(r"^```js\n(.*?)^```", (FOLDER / "rest.md").read_text(), re.S | re.M)
REPORTS = (
    '{"name": "Reports", "code": "reports", "publish": true, "prices": [{"type": "usage_based", '
    '"name": "Report", "billing_model": {"type": "real_time"}, "usage_calculation": '
    '{"event_type": "report", "usage_type": "unit"}, "pricing": [{"asset": "USD", "values": '
    '[{"unit_price": 4}]}]}]}'
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    with running_server(new_sqlite(tmp_path / "code.db"), has_pages=True) as server:
        monkeypatch.setenv("FAREGATE_URL", server.url)
        monkeypatch.setenv("FAREGATE_API_KEY", TEST_KEY)
        yield server


@pytest.fixture
def me(server: RunningServer) -> Iterator[Caller]:
    with calling(server) as caller:
        caller.made("products", REPORTS)
        yield caller


@pytest.fixture
def app(me: Caller) -> Any:
    """What the guide's Python defines."""
    defined: dict[str, Any] = {}
    exec("\n".join(PYTHON), defined)  # noqa: S102 - our own page
    return type("App", (), {name: staticmethod(it) for name, it in defined.items() if callable(it)})


def work() -> str:
    return "a page"


def never() -> str:
    raise AssertionError("the work has run")


def broken() -> str:
    raise OSError("no model")


def test_a_use_is_charged_what_it_costs_and_one_without_credit_does_not_run(
    me: Caller, app: Any
) -> None:
    ada = app.sign_up("user-1", "Ada")
    assert app.make_report(ada, never) == {"error": "too little credit", "missing": "4"}
    me.give(ada, "10")
    assert app.make_report(ada, work) == {"text": "a page", "charged": "4"}
    assert me.available(ada) == 6


def test_a_job_that_runs_again_is_charged_once_also_after_a_decline(me: Caller, app: Any) -> None:
    ada, queued = app.sign_up("user-1", "Ada"), datetime.now(UTC)
    assert app.run_job(ada, "job-1", queued, never)["error"] == "too little credit"
    me.give(ada, "20")
    charged = [app.run_job(ada, "job-1", queued, work)["charged"] for _ in range(3)]
    assert charged == ["4", "0", "0"]
    account = me.get(f"customers/{ada}/wallet/default:USD").body
    assert (account["available"], account["pending_out"]) == (16, 0)


def test_work_that_fails_is_not_charged_and_holds_nothing_back(me: Caller, app: Any) -> None:
    ada = app.sign_up("user-1", "Ada")
    me.give(ada, "10")
    with pytest.raises(OSError, match="no model"):
        app.make_report(ada, broken)
    with pytest.raises(OSError, match="no model"):
        app.run_job(ada, "job-1", datetime.now(UTC), broken)
    account = me.get(f"customers/{ada}/wallet/default:USD").body
    assert (account["available"], account["pending_out"]) == (10, 0)


def test_the_portal_link_leads_into_the_portal(app: Any) -> None:
    link = app.portal_link(app.sign_up("user-1", "Ada"), "https://app.example.com/")
    assert httpx.get(link).status_code == 200


OURS, NEXT = (make_secret(seed) for seed in (7, 8))


def signed(*secrets: str) -> tuple[bytes, dict[str, str]]:
    event = {
        "id": "whe_1",
        "type": "wallet.balance_low",
        "created": "2026-03-02T12:00:00Z",
        "live_mode": False,
        "data": {"customer_id": "cust_1"},
    }
    body = json.dumps(event).encode()
    return body, sign(secrets, "whe_1", int(time.time()), body)


def test_a_webhook_is_taken_once_and_one_with_a_wrong_signature_is_refused(
    app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    body, headers = signed(OURS)
    for _ in range(2):
        assert app.receive(body, headers, OURS) == 204
    assert capsys.readouterr().out == "write to cust_1\n"
    assert app.receive(body + b" ", headers, OURS) == 400
    assert app.receive(body, headers, NEXT) == 400


CHECK = """
import * as app from "./app.mjs";
import * as hook from "./hook.mjs";
import {readFileSync} from "node:fs";
const {header, body, secret} = JSON.parse(readFileSync("hook.json"));
const said = {};
const queued = new Date().toISOString();
const never = () => { throw new Error("the work has run"); };
said.id = await app.signUp("user-1", "Ada");
said.declined = await app.makeReport(said.id, "job-1", queued, never);
await fetch(process.env.FAREGATE_URL + "/v1/customers/" + said.id + "/wallet/adjustments", {
  method: "POST",
  headers: {Authorization: "Bearer " + process.env.FAREGATE_API_KEY,
    "Content-Type": "application/json"},
  body: JSON.stringify({transaction_id: "gift", asset: "USD", amount: 20, reason: "gift"}),
});
said.jobs = [];
for (let time = 0; time < 3; time++)
  said.jobs.push(await app.makeReport(said.id, "job-1", queued, async () => "a page"));
const fails = async () => { throw new Error("no model"); };
try { await app.makeReport(said.id, "job-2", queued, fails); }
catch (error) { said.failed = error.message; }
said.link = await app.portalLink(said.id, "https://app.example.com/");
said.taken = hook.readWebhook(Buffer.from(body), header, secret)?.type ?? null;
said.forged = [
  hook.readWebhook(Buffer.from(body + " "), header, secret),
  hook.readWebhook(Buffer.from(body), header, secret + "x"),
  hook.readWebhook(Buffer.from(body), header, secret, Date.now() / 1000 + 301),
  hook.readWebhook(Buffer.from(body), "t=1", secret),
];
console.log(JSON.stringify(said));
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
def test_the_code_for_other_languages_charges_the_same(me: Caller, tmp_path: Path) -> None:
    assert len(SCRIPTS) == 2
    # While a secret is being changed both sign.
    body, headers = signed(OURS, NEXT)
    hook = {"header": headers["Credyt-Signature"], "body": body.decode(), "secret": OURS}
    (tmp_path / "hook.json").write_text(json.dumps(hook))
    for name, text in zip(("app.mjs", "hook.mjs", "check.mjs"), (*SCRIPTS, CHECK), strict=True):
        (tmp_path / name).write_text(text)
    run = subprocess.run(
        ["node", "check.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout, parse_float=Decimal)
    assert said["declined"] == {"error": "too little credit", "missing": 4}
    assert [job["charged"] for job in said["jobs"]] == [4, 0, 0]
    assert said["failed"] == "no model"
    assert said["taken"] == "wallet.balance_low"
    assert said["forged"] == [None] * 4
    assert httpx.get(said["link"]).status_code == 200
    account = me.get(f"customers/{said['id']}/wallet/default:USD").body
    assert (account["available"], account["pending_out"]) == (16, 0)
