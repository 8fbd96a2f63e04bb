"""What assistants wait for: calls that move live money, each with what would happen in words, for
a person to confirm or refuse. What an assistant has sent is shown so that nothing in it can hide:
characters that are not seen, or turn the order of others, are written out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec
from starlette.responses import Response

from faregate.core.amounts import shown
from faregate.core.codec import decode, encode
from faregate.core.problems import FaregateError, Problem
from faregate.operations.confirming import summary_of
from faregate.platform.confirmations import Confirmation
from faregate.web.dashboard.visit import Page, Visit

MAX_SHOWN: Final = 300
MAX_FACTS: Final = 30
MAX_TOLD: Final = 120
STATES: Final = {
    "open": ("Waits for you", "warn"),
    "confirmed": ("Confirmed, not used yet", "info"),
    "refused": ("Refused", ""),
    "expired": ("Expired", ""),
    "used": ("End unknown", "bad"),
}


class Fact(msgspec.Struct, frozen=True):
    """One argument: its name and value as text; `link` leads to what it names."""

    name: str
    value: str
    link: str = ""


def seen(text: str) -> str:
    """Return a text with what cannot be seen written out.

    >>> seen("pay \\u202e05$ to\\u200b Ada")
    'pay \\\\u202e05$ to\\\\u200b Ada'
    """
    return "".join(one if one.isprintable() or one == "\n" else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def state_of(one: Confirmation) -> tuple[str, str]:
    """Return a confirmation's state in words, and which kind of tag shows it."""
    if one.outcome == "done":
        return "Done", "good"
    if one.outcome == "refused":
        return "Confirmed, then refused by a rule", "bad"
    return STATES[one.state]


async def show(visit: Visit) -> Response:
    """List what waits and what was, and show one of them."""
    return await _page(visit, visit.query.get("id", ""))


async def confirm(visit: Visit) -> Response:
    """Let a call be made."""
    return await _decide(visit, is_confirmed=True)


async def refuse(visit: Visit) -> Response:
    """Let a call not be made."""
    return await _decide(visit, is_confirmed=False)


async def _decide(visit: Visit, *, is_confirmed: bool) -> Response:
    wanted = visit.path["confirmation_id"]
    try:
        await visit.engine.decide_confirmation(
            wanted, visit.context.environment, visit.operator, is_confirmed=is_confirmed
        )
    except FaregateError as error:
        return await _page(visit, wanted, error.problem)
    said = "It is confirmed: tell the assistant to go on." if is_confirmed else "It is refused."
    return visit.go(f"confirmations?id={wanted}", said)


async def _page(visit: Visit, wanted: str, problem: Problem | None = None) -> Response:
    found = await visit.engine.list_confirmations(visit.context.environment)
    one = None
    if wanted and problem is None:
        one = await visit.engine.get_confirmation(wanted, visit.context.environment)
    return visit.render(
        "confirmations.html",
        200 if problem is None else problem.kind.status,
        section="confirmations",
        title="Confirmations",
        one=one,
        before=None if one is None else await visit.engine.same_confirmed_before(one),
        facts=[] if one is None else await _facts(visit, one),
        summary="" if one is None else summary_of(one.operation),
        whole="" if one is None else _pretty(one.arguments),
        waiting=[_listed(each) for each in found if each.state == "open"],
        past=[_listed(each) for each in found if each.state != "open"],
        state=None if one is None else state_of(one),
        seen=seen,
        summary_of=summary_of,
        problem=problem,
    )


def _listed(one: Confirmation) -> tuple[Confirmation, str, str, str]:
    """Return a row of a list: with its state, and what tells it from others of its kind."""
    plain = [_short(v) for v in _arguments(one).values() if not isinstance(v, list | dict)]
    told = " · ".join(plain[:MAX_FACTS])
    return one, *state_of(one), told if len(told) <= MAX_TOLD else f"{told[:MAX_TOLD]}…"


def _arguments(one: Confirmation) -> dict[str, Any]:
    arguments = decode(dict[str, Any], one.arguments)
    inner = arguments.get("input")
    if isinstance(inner, dict):
        arguments = {name: arguments[name] for name in arguments if name != "input"} | inner
    return arguments


async def _facts(visit: Visit, one: Confirmation) -> list[Fact]:
    """Return the arguments that are a line each, the customer by name."""
    arguments = _arguments(one)
    context = await visit.engine.acting_for(one.account_id, visit.context.environment)
    customer = arguments.get("customer_id")
    names: dict[str, str] = {}
    if isinstance(customer, str):
        names = await visit.engine.customer_names([customer.replace("\0", "")], context=context)
    facts: list[Fact] = []
    for name, value in list(arguments.items())[:MAX_FACTS]:
        if value is customer and value in names:
            shown = f"{seen(names[value])} ({seen(value)})"
            is_ours = context.environment_id == visit.context.environment_id
            facts.append(Fact("customer", shown, f"customers/{value}" if is_ours else ""))
        elif value is customer and isinstance(value, str):
            facts.append(Fact("customer", f"{_short(value)}: there is no such customer"))
        else:
            facts.append(Fact(seen(name[:MAX_SHOWN]), _short(value)))
    return facts


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value):,} of them, see below"
    if isinstance(value, dict):
        return "see below"
    if isinstance(value, Decimal):
        # Nobody shall take 1e5 for little.
        return shown(value)
    text = value if isinstance(value, str) else encode(value).decode()
    return seen(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… (see below)")


def _pretty(arguments: str) -> str:
    """Return JSON over several lines, digit by digit as it was sent."""
    return seen(msgspec.json.format(arguments, indent=2))


PAGES: Final = (
    Page("confirmations", show),
    Page(
        "confirmations/{confirmation_id}/confirm",
        confirm,
        "POST",
        "admin",
        action="confirm an assistant's call",
    ),
    Page(
        "confirmations/{confirmation_id}/refuse",
        refuse,
        "POST",
        "admin",
        action="refuse an assistant's call",
    ),
)
