"""What the form says, beside it while it is filled in: in words, as a bill for one use and for a
normal month, as JSON and as a call. What is not complete yet is said in words, too.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import structs

from faregate.catalog.types import CreateVersion
from faregate.core.amounts import Number, plain
from faregate.core.codec import encode
from faregate.core.price_words import money
from faregate.core.problems import FaregateError
from faregate.core.sample_use import SampleUse, sample_uses
from faregate.engine import Engine, Preview, PreviewFee
from faregate.engine.previewing import MAX_SAMPLE_TIMES
from faregate.platform.environments import AccountContext
from faregate.web.product_form.acting import label_of, place_of
from faregate.web.product_form.branches import Branch
from faregate.web.product_form.parts import read_number
from faregate.web.product_form.reading import Draft, request_of

MAX_MISSING: Final = 5
_TIMES: Final = 1_000


class Row(msgspec.Struct, frozen=True):
    """A field of a made-up use."""

    name: str
    label: str
    value: str


class Use(msgspec.Struct, frozen=True):
    """A made-up use: what can be changed of it, and what one costs."""

    event_type: str
    rows: list[Row]
    costs: list[str]
    warnings: list[str]


class Month(msgspec.Struct, frozen=True):
    """A normal month in one asset, as people read it; empty where there is nothing."""

    fixed: str
    usage: str
    included: str
    left: str


class Shown(msgspec.Struct, frozen=True):
    """A preview as the page shows it. `summary` is the month in a sentence; `is_new` says that the
    made-up uses are others than those that were sent."""

    missing: list[str]
    words: list[str]
    uses: list[Use]
    month: list[Month]
    warnings: list[str]
    summary: str
    json: str
    curl: str
    is_new: bool


async def preview(
    engine: Engine, context: AccountContext, root: Branch, draft: Draft, address: str
) -> Shown:
    """Preview what a form says; `address` is where the API takes it."""
    text = msgspec.json.format(encode(draft.content), indent=2).decode()
    request = request_of(CreateVersion, draft)
    if isinstance(request, dict):
        return _incomplete(request, root, text, address)
    samples = sample_uses(request.prices)
    uses, wrong = _given(samples, root)
    try:
        found = await engine.preview_product(request, uses, context=context)
    except FaregateError as error:
        wrong |= draft.places.fields(error.problem.errors)
        return _incomplete(wrong or {"": [error.problem.detail]}, root, text, address)
    return _shown(found, uses, root, wrong, text, address)


def _incomplete(errors: dict[str, list[str]], root: Branch, text: str, address: str) -> Shown:
    missing = []
    for field, messages in errors.items():
        where = ": ".join(filter(None, [place_of(field), label_of(field)]))
        missing += [f"{where} {message}".strip() for message in messages]
    more = len(missing) - MAX_MISSING
    missing = missing[:MAX_MISSING] + ([f"and {more} more"] if more > 0 else [])
    uses = [
        Use(branch.get("event_type"), _sent_rows(number, branch), [], [])
        for number, branch in enumerate(root.lists.get("use", []), 1)
    ]
    return Shown(missing, [], uses, [], [], "", text, _curl(address, text), is_new=False)


def _sent_rows(number: int, branch: Branch) -> list[Row]:
    """Show what was typed for a use as it was typed."""
    rows = [Row(f"use-{number}-times", "Uses a month", branch.get("times"))]
    for place, part in enumerate(branch.lists.get("field", []), 1):
        name = f"use-{number}-field-{place}-value"
        rows.append(Row(name, part.get("name"), part.get("value")))
    if "cost" in branch.fields:
        rows.append(Row(f"use-{number}-cost", "Costs you", branch.get("cost")))
    return rows


def _given(samples: list[SampleUse], root: Branch) -> tuple[list[SampleUse], dict[str, list[str]]]:
    """Return the uses with what was typed for them, and what of that cannot be used."""
    typed = {branch.get("event_type"): branch for branch in root.lists.get("use", [])}
    usual = min(_TIMES, MAX_SAMPLE_TIMES // max(1, len(samples)))
    found, wrong = [], {}
    for number, sample in enumerate(samples, 1):
        branch = typed.get(sample.event_type, Branch())
        fields = {part.get("name"): part.get("value") for part in branch.lists.get("field", [])}
        data: dict[str, Any] = dict(sample.data)
        for place, (name, value) in enumerate(sample.data.items(), 1):
            text = fields.get(name, "")
            if not text:
                continue
            if isinstance(value, str):
                data[name] = text
                continue
            amount = read_number(text)
            if isinstance(amount, str):
                wrong[f"use-{number}-field-{place}-value"] = [f"{name} {amount}"]
            else:
                data[name] = amount
        times = read_number(branch.get("times") or str(usual))
        if isinstance(times, str) or not isinstance(times, int) or times < 0:
            said = times if isinstance(times, str) else "is no whole number from 0 on"
            wrong[f"use-{number}-times"] = [said]
            times = usual
        cost = sample.cost
        if cost is not None and branch.get("cost"):
            amount = read_number(branch.get("cost"))
            if isinstance(amount, str):
                wrong[f"use-{number}-cost"] = [amount]
            else:
                cost = structs.replace(cost, amount=Number(amount))
        found.append(SampleUse(sample.event_type, data, times, cost))
    return found, wrong


def _shown(
    found: Preview,
    uses: list[SampleUse],
    root: Branch,
    wrong: dict[str, list[str]],
    text: str,
    address: str,
) -> Shown:
    shown = [
        Use(
            use.sample.event_type,
            _rows(number, use.sample),
            _costs(use.fees),
            use.warnings,
        )
        for number, use in enumerate(found.uses, 1)
    ]
    month = [
        Month(
            money(part.fixed, part.asset) if part.fixed else "",
            money(part.usage, part.asset) if part.usage else "",
            money(part.included, part.asset) if part.included else "",
            money(part.left, part.asset),
        )
        for part in found.month
    ]
    warnings = list(found.warnings)
    for field, messages in wrong.items():
        warnings += [f"{place_of(field)}: {message}" for message in messages]
    return Shown(
        [],
        found.words,
        shown,
        month,
        warnings,
        _summary(month, uses),
        text,
        _curl(address, text),
        is_new=_signature(uses) != _sent(root),
    )


def _costs(fees: Sequence[PreviewFee]) -> list[str]:
    """Say what each price asks; which one it is, where there are several."""
    if len(fees) == 1:
        return [money(fees[0].amount, fees[0].asset)]
    return [f"{money(fee.amount, fee.asset)} {fee.price}" for fee in fees]


def _rows(number: int, sample: SampleUse) -> list[Row]:
    rows = [Row(f"use-{number}-times", "Uses a month", f"{sample.times:,}")]
    for place, (name, value) in enumerate(sample.data.items(), 1):
        text = value if isinstance(value, str) else f"{value:,}"
        rows.append(Row(f"use-{number}-field-{place}-value", name, text))
    if sample.cost is not None:
        code = sample.cost.currency or "USD"
        rows.append(
            Row(f"use-{number}-cost", f"Costs you ({code})", plain(Decimal(sample.cost.amount)))
        )
    return rows


def _signature(uses: list[SampleUse]) -> list[tuple[str, list[str], bool]]:
    return [(use.event_type, list(use.data), use.cost is not None) for use in uses]


def _sent(root: Branch) -> list[tuple[str, list[str], bool]]:
    return [
        (
            branch.get("event_type"),
            [part.get("name") for part in branch.lists.get("field", [])],
            "cost" in branch.fields,
        )
        for branch in root.lists.get("use", [])
    ]


def _summary(month: list[Month], uses: list[SampleUse]) -> str:
    if not month:
        return ""
    of = " and ".join([f"{use.times:,} × {use.event_type}" for use in uses]) or "no use counted"
    return f"A normal month with {of}: {' and '.join([one.left for one in month])}"


def _curl(address: str, text: str) -> str:
    return (
        f"curl {shlex.quote(address)} \\\n"
        '  -H "Authorization: Bearer $FAREGATE_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(text)}"
    )
