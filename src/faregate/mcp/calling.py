"""From a tool's arguments to the operation, and from its answer to text. Arguments are read from
the bytes that the assistant sent, because the SDK reads numbers as floats and money is never one;
the answer is text for the same reason.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from faregate.core.codec import decode_request, encode
from faregate.core.explaining import explain
from faregate.core.problems import MALFORMED, FaregateError, Problem, invalid
from faregate.mcp.tool import ACTION, IDEMPOTENCY_KEY, MAX_SHOWN, Choice, Tool, fields_of
from faregate.operations.acting import Acting, check_role
from faregate.operations.confirming import Assistant, perform_confirmed
from faregate.operations.operation import REPRESENTATION, Answer, Call
from faregate.platform.audit import Actor
from faregate.platform.environments import AccountContext
from faregate.platform.keys import ApiKey

PATH: Final = "/mcp"
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_IDEMPOTENCY_KEY: Final = 200
CALLER: Final = "faregate.caller"
BODY: Final = "faregate.body"
"""Where the scope of a request has its caller, and the message's bytes."""


class Caller(msgspec.Struct, frozen=True):
    """Who calls a tool: their key, for whom they act, from which address, where they found us."""

    key: ApiKey
    context: AccountContext
    client: str
    base_url: str
    request_id: str
    actor: Actor
    """The same, as the audit log and people see them."""


class _Params(msgspec.Struct):
    arguments: dict[str, msgspec.Raw] | None = None


class _Message(msgspec.Struct):
    params: _Params


_message: Final = msgspec.json.Decoder(_Message).decode


def sent_arguments(body: bytes) -> dict[str, msgspec.Raw]:
    """Return the arguments of a `tools/call` message, each as it was sent. Raises `FaregateError`
    (400) for what the SDK takes as JSON and we do not."""
    try:
        return _message(body).params.arguments or {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FaregateError(Problem(MALFORMED, f"the arguments cannot be read: {error}")) from None


async def call_tool(
    acting: Acting, caller: Caller, tool: Tool, arguments: Mapping[str, msgspec.Raw]
) -> bytes:
    """Do what a tool does, and return its answer as JSON. Raises `FaregateError`."""
    rest = dict(arguments)
    action = _text(rest, ACTION) if tool.actions and ACTION in rest else ""
    choice = tool.choose(action, rest)
    check_role(caller.key, choice.operation)
    call = _read_call(acting, caller, tool, choice, rest)

    async def work(call: Call) -> bytes:
        path = f"/mcp {tool.name}"
        answer = await acting.perform(choice.operation, call, path, caller.client, caller.actor)
        if type(answer) is Answer:
            answer = answer.body
        return encode({"done": True} if answer is None else answer)

    assistant = Assistant(caller.actor, caller.client)
    sent = msgspec.json.encode(arguments).decode()
    return await perform_confirmed(acting, assistant, call, choice.operation, tool.name, sent, work)


def _read_call(
    acting: Acting, caller: Caller, tool: Tool, choice: Choice, rest: dict[str, msgspec.Raw]
) -> Call:
    """Read the arguments as what the operation takes; `rest` is used up. Raises `FaregateError`
    (422) naming an argument."""
    operation = choice.operation
    _refuse_unknown(tool, choice, rest)
    path = {name: _text(rest, name) for name in choice.places}
    repeat = _text(rest, IDEMPOTENCY_KEY) if IDEMPOTENCY_KEY in rest else None
    if repeat is not None and not 1 <= len(repeat) <= MAX_IDEMPOTENCY_KEY:
        said = f"has {len(repeat)} characters: send 1 to {MAX_IDEMPOTENCY_KEY}"
        raise FaregateError(invalid(IDEMPOTENCY_KEY, said))
    query = None
    if operation.query is not None:
        names = fields_of(operation.query)
        query = _read(operation.query, {name: rest.pop(name) for name in names if name in rest})
    body, body_bytes = None, 0
    if operation.body is not None:
        sent = msgspec.json.encode(rest)
        body, body_bytes = decode_request(operation.body, sent), len(sent)
    return Call(
        acting.engine,
        caller.key,
        caller.context,
        path,
        query,
        body,
        body_bytes,
        frozenset((REPRESENTATION,)),
        repeat,
        caller.request_id,
        caller.base_url,
        _never,
    )


def _refuse_unknown(tool: Tool, choice: Choice, sent: Collection[str]) -> None:
    known = choice.names
    for name in sent:
        if name in known:
            continue
        others = [other for other in tool.of_action(choice.action) if name in other.names]
        if others:
            place = next((one for one in choice.places if one not in others[0].places), "")
            remedy = f"has no meaning with {place}: leave one of them out"
            raise FaregateError(invalid(name, remedy))
        of = f"{tool.name} with action {choice.action}" if choice.action else tool.name
        near = difflib.get_close_matches(name[:MAX_SHOWN], known, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        listed = ", ".join(known) or "none"
        said = f"is no argument of {of}: {meant}It takes {listed}"
        raise FaregateError(invalid(name[:MAX_SHOWN], said))


def _text(arguments: dict[str, msgspec.Raw], name: str) -> str:
    if name not in arguments:
        raise FaregateError(invalid(name, "is missing: send it"))
    sent = bytes(arguments.pop(name))
    if sent.isdigit():
        # A version's number is a number to most; in a path it is text.
        return sent.decode()
    try:
        return decode_request(str, sent)
    except FaregateError as error:
        raise FaregateError(error.problem.under(name)) from None


def _read(kind: Any, values: Mapping[str, msgspec.Raw]) -> Any:
    read = {name: msgspec.json.decode(value) for name, value in values.items()}
    try:
        return msgspec.convert(read, kind, strict=False, str_keys=True)
    except msgspec.ValidationError as error:
        raise FaregateError(explain(str(error), kind, read)) from None


async def _never() -> None:
    await asyncio.get_running_loop().create_future()
