"""The fields of requests and answers, as the published client's models have them and as this
server's types have them: names joined by dots, whatever lists, mappings and unions are on the
way."""

from __future__ import annotations

import datetime
import decimal
import inspect
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
from credytapi import _types, models
from credytapi._utils.model_base import Model
from credytapi.operations import _operations

_CLIENTS = {
    "accounts": "AccountsOperations",
    "assets": "AssetsOperations",
    "customers": "CustomersOperations",
    "events": "EventsOperations",
    "products": "ProductsOperations",
}

_NAMES = {
    **vars(typing),
    **vars(models),
    "_models": models,
    "_types": _types,
    "datetime": datetime,
    "decimal": decimal,
}


def client_types(group: str, name: str) -> tuple[Any, Any]:
    """The client's types of an operation's body and answer; None where it has none."""
    wanted = _CLIENTS.get(group, group.replace("_", ""))
    found = [
        kind
        for title, kind in inspect.getmembers(_operations, inspect.isclass)
        if title.lower() == wanted.lower() or title.lower() == f"{wanted.lower()}operations"
    ]
    source = inspect.getsource(getattr(found[0], name))
    body = re.search(r"body: (?:Union\[)?(_models\.\w+|List\[_models\.\w+\])", source)
    answer = re.search(r"\) -> ([^:]+):", source)
    return tuple(
        None if match is None else eval(match.group(1), _NAMES)  # noqa: S307
        for match in (body, answer)
    )  # type: ignore[return-value]


def client_fields(kind: Any, above: tuple[Any, ...] = ()) -> Iterator[str]:
    """The fields of a type of the client's."""
    if isinstance(kind, typing.ForwardRef):
        kind = kind.__forward_arg__
    if isinstance(kind, str):
        kind = eval(kind, _NAMES)  # noqa: S307
    if inspect.isclass(kind) and issubclass(kind, Model):
        if kind in above:
            return
        kind.__new__(kind)
        hints: dict[str, Any] = {}
        for base in reversed(kind.__mro__):
            hints |= inspect.get_annotations(base)
        for attribute, field in kind._attr_to_rest_field.items():
            name = field._rest_name
            yield name
            for below in client_fields(hints.get(attribute), (*above, kind)):
                yield f"{name}.{below}"
        for sub in set(getattr(kind, "__mapping__", {}).values()):
            yield from client_fields(sub, (*above, kind))
        return
    if typing.get_origin(kind) is not typing.Literal:
        for part in typing.get_args(kind):
            yield from client_fields(part, above)


def our_fields(kind: Any, above: tuple[Any, ...] = ()) -> Iterator[str]:
    """The fields of a type of this server's."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind in above:
            return
        config = kind.__struct_config__
        if config.tag is not None:
            yield str(config.tag_field)
        for field in msgspec.structs.fields(kind):
            yield field.encode_name
            for below in our_fields(field.type, (*above, kind)):
                yield f"{field.encode_name}.{below}"
        return
    origin = typing.get_origin(kind)
    if origin is not None or isinstance(kind, types.UnionType):
        for part in typing.get_args(kind):
            yield from our_fields(part, above)
