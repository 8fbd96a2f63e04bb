"""From a tool's arguments to the operation, and from its answer to text. Arguments are read from
the bytes that the assistant sent, because the SDK reads numbers as floats and money is never one;
the answer is text for the same reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from faregate.core.codec import decode_request, encode
from faregate.core.explaining import explain
from faregate.core.problems import FaregateError, invalid
from faregate.mcp.tools import Tool
from faregate.operations.acting import Acting, check_role
from faregate.operations.confirming import Assistant, perform_confirmed
from faregate.operations.operation import REPRESENTATION, Answer, Call
from faregate.platform.audit import Actor
from faregate.platform.environments import AccountContext
from faregate.platform.keys import ApiKey


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
    arguments: dict[str, msgspec.Raw] = {}


class _Message(msgspec.Struct):
    params: _Params


def sent_arguments(body: bytes) -> dict[str, msgspec.Raw]:
    """Return the arguments of a `tools/call` message, each as it was sent."""
    return msgspec.json.decode(body, type=_Message).params.arguments


async def call_tool(
    acting: Acting, caller: Caller, tool: Tool, arguments: Mapping[str, msgspec.Raw]
) -> bytes:
    """Do what a tool does, and return its answer as JSON. Raises `FaregateError`."""
    operation = tool.operation
    check_role(caller.key, operation)
    rest = dict(arguments)
    path = {name: _text(rest, name) for name in tool.places}
    query = None
    if operation.query is not None:
        fields = operation.query.__struct_encode_fields__
        query = _read(operation.query, {name: rest.pop(name) for name in fields if name in rest})
    body, body_bytes = None, 0
    if operation.body is not None:
        sent = msgspec.json.encode(rest)
        body, body_bytes = decode_request(operation.body, sent), len(sent)
    elif rest:
        name = next(iter(rest))
        known = ", ".join(tool.schema()["properties"]) or "none"
        raise FaregateError(invalid(name[:100], f"is no argument of {tool.name}; known: {known}"))
    call = Call(
        acting.engine,
        caller.key,
        caller.context,
        path,
        query,
        body,
        body_bytes,
        frozenset((REPRESENTATION,)),
        None,
        caller.request_id,
        caller.base_url,
        _never,
    )

    async def work(call: Call) -> bytes:
        path = f"/mcp {tool.name}"
        answer = await acting.perform(operation, call, path, caller.client, caller.actor)
        if type(answer) is Answer:
            answer = answer.body
        return encode({"done": True} if answer is None else answer)

    assistant = Assistant(caller.actor, caller.client)
    text = msgspec.json.encode(arguments).decode()
    return await perform_confirmed(acting, assistant, call, operation, tool.name, text, work)


def _text(arguments: dict[str, msgspec.Raw], name: str) -> str:
    if name not in arguments:
        raise FaregateError(invalid(name, "is missing: send it"))
    return decode_request(str, bytes(arguments.pop(name)))


def _read(kind: Any, values: Mapping[str, msgspec.Raw]) -> Any:
    read = {name: msgspec.json.decode(value) for name, value in values.items()}
    try:
        return msgspec.convert(read, kind, strict=False, str_keys=True)
    except msgspec.ValidationError as error:
        raise FaregateError(explain(str(error), kind, read)) from None


async def _never() -> None:
    await asyncio.get_running_loop().create_future()
