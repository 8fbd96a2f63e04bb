"""The procedure by which assistants verify billing, followed to the letter: its calls are read from
the guide, its conditions are checked here, and it ends with the table that the guide asks for."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.scenarios.scripted import Assistant, Refused

import faregate.mcp.skills as skills

_PAGE: Final = Path(skills.__file__).with_name("skills") / (
    "billing-verification/references/procedure.md"
)
_STEP: Final = re.compile(r"^## (\d+)\. ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_CALL: Final = re.compile(r"^```\n(\w+)\n(\{.*?\})\n```$", re.MULTILINE | re.DOTALL)


class Sold(NamedTuple):
    """What is verified: a use of a product, and what the founder says that it should cost."""

    product: str
    event_type: str
    data: dict[str, Any]
    asset: str
    cost: Decimal
    given: int
    fee: tuple[str, int] | None = None


class Row(NamedTuple):
    """A line of the table."""

    number: int
    step: str
    has_passed: bool
    seen: str


def verify(me: Assistant, sold: Sold, run: str, now: str) -> list[Row]:
    """Follow the procedure until a step fails, and return the table."""
    procedure = _Procedure(me, sold, run, now)
    rows = []
    for number, name, text in _STEP.findall(_PAGE.read_text()):
        step = getattr(procedure, f"step_{number}")
        try:
            seen = step(*_CALL.findall(text))
        except (Failed, Refused) as failure:
            rows.append(Row(int(number), name, False, str(failure)))
            break
        rows.append(Row(int(number), name, True, seen))
    return rows


class Failed(Exception):
    """A condition of the procedure does not hold."""


def _must(holds: object, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)


def _shown(amount: Decimal, asset: str) -> str:
    return f"{amount.normalize():f} {asset}"


class _Procedure:
    """Its steps, each with the calls that the guide shows for it."""

    def __init__(self, me: Assistant, sold: Sold, run: str, now: str) -> None:
        self.me = me
        self.sold = sold
        self.words = {"RUN": run, "NOW": now}
        self.before = Decimal(0)
        self.sent: dict[str, Any] = {}
        self.version = 0

    def call(self, shown: tuple[str, str]) -> Any:
        """Make a call of the guide, with what is sold here put into it."""
        name, body = shown
        for word, value in self.words.items():
            body = body.replace(word, value)
        arguments = json.loads(body)
        self._put_in(arguments)
        self.sent = arguments
        return self.me.call(name, **arguments)

    def _put_in(self, arguments: dict[str, Any]) -> None:
        sold = self.sold
        if "product_id" in arguments:
            arguments["product_id"] = sold.product
        for subscription in arguments.get("subscriptions", ()):
            subscription["products"] = [{"code": sold.product}]
        if "asset" in arguments:
            arguments["asset"] = sold.asset
        if "amount" in arguments:
            arguments["amount"] = sold.given
        for use in [arguments, *arguments.get("events", ())]:
            if "event_type" in use:
                use |= {"event_type": sold.event_type, "data": sold.data}

    def account(self, wallet: Any) -> Any:
        """Find the account that pays."""
        found = [a for a in wallet["accounts"] if a["asset"] == self.sold.asset]
        _must(found, f"there is no account in {self.sold.asset}")
        return found[0]

    def step_1(self, product: tuple[str, str]) -> str:
        answer = self.call(product)
        default = answer["default_version"]
        self.version = default["version"]
        status = {v["version"]: v["status"] for v in answer["versions"]}
        _must(status[self.version] == "published", "no version is published")
        usage = [p for p in default["prices"] if p["type"] == "usage_based"]
        types = sorted({p["usage_calculation"]["event_type"] for p in usage})
        _must(
            self.sold.event_type in types,
            f"the app sends {self.sold.event_type!r}, the product has a price for "
            f"{', '.join(map(repr, types))}: make a version whose price is for "
            f"{self.sold.event_type!r}",
        )
        return f"{self.sold.product}, version {self.version}, event type {self.sold.event_type}"

    def step_2(self, customer: tuple[str, str]) -> str:
        answer = self.call(customer)
        self.words["CUSTOMER_ID"] = answer["id"]
        return f"{answer['id']}, {answer['subscriptions'][0]['status']}"

    def step_3(self, credit: tuple[str, str], wallet: tuple[str, str]) -> str:
        if self.sold.fee is not None:
            asset, amount = self.sold.fee
            self.me.call(
                "adjust_wallet",
                customer_id=self.words["CUSTOMER_ID"],
                transaction_id=f"verify-{self.words['RUN']}-fee",
                asset=asset,
                amount=amount,
                reason="gift",
            )
        already = self.call(wallet)
        had = [a["available"] for a in already["accounts"] if a["asset"] == self.sold.asset]
        self.call(credit)
        now = Decimal(self.account(self.call(wallet))["available"])
        self.before = Decimal(sum(had)) + self.sold.given
        _must(now == self.before, f"{now} is there, {self.before} was given")
        return _shown(now, self.sold.asset)

    def step_4(self, simulation: tuple[str, str]) -> str:
        answer = self.call(simulation)
        total = sum((Decimal(fee["amount"]) for fee in answer["fees"]), Decimal(0))
        _must(answer["fees"], f"nothing is charged: {'; '.join(answer['warnings'])}")
        _must(
            total == self.sold.cost,
            f"{_shown(total, self.sold.asset)} instead of {_shown(self.sold.cost, self.sold.asset)}"
            ": make a version with the right price",
        )
        return _shown(total, self.sold.asset)

    def step_5(self, hold: tuple[str, str]) -> str:
        answer = self.call(hold)
        _must(answer["status"] == "authorized", f"it is {answer['status']}")
        _must(answer["amount"] == self.sold.cost, f"{answer['amount']} is held")
        self.words["HOLD_ID"] = answer["id"]
        return f"authorized, {_shown(Decimal(answer['amount']), self.sold.asset)}"

    def step_6(self, capture: tuple[str, str]) -> str:
        answer = self.call(capture)
        _must(answer["captured_amount"] == self.sold.cost, f"{answer['captured_amount']}")
        return _shown(Decimal(answer["captured_amount"]), self.sold.asset)

    def step_7(self, event: tuple[str, str]) -> str:
        answer = self.call(event)
        return str(answer["events"][0]["id"])

    def step_8(self) -> str:
        self.me.call("send_events", **self.sent)
        return "accepted"

    def step_9(self, wallet: tuple[str, str]) -> str:
        account = self.account(self.call(wallet))
        wanted = self.before - 2 * self.sold.cost
        _must(account["available"] == wanted, f"{account['available']} instead of {wanted}")
        _must(account["pending_out"] == 0, f"{account['pending_out']} is held back")
        return f"{_shown(wanted, self.sold.asset)} = {self.before} - 2 × {self.sold.cost}"

    def step_10(self, explanation: tuple[str, str]) -> str:
        answer = self.call(explanation)
        total = sum((Decimal(fee["amount"]) for fee in answer["fees"]), Decimal(0))
        _must(total == self.sold.cost, f"the fees are {total}")
        versions = {(fee["product_code"], fee["product_version"]) for fee in answer["fees"]}
        _must(versions == {(self.sold.product, self.version)}, f"they are of {versions}")
        return str(answer["sentence"])

    def step_11(self, hold: tuple[str, str]) -> str:
        answer = self.call(hold)
        _must(answer["status"] == "declined", f"it is {answer['status']}")
        code = answer["decline_code"]
        _must(code == "insufficient_funds", f"it is declined because of {code}")
        return f"declined: {code}"

    def step_12(self, portal: tuple[str, str]) -> str:
        answer = self.call(portal)
        _must("/portal/" in answer["redirect_url"], answer["redirect_url"])
        return "a link that works once"
