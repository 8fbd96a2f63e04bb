"""The OpenAPI 3.1 document, written from the same operations that the server runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from faregate.core.amounts import Number
from faregate.core.problems import KINDS
from faregate.customers.wire import ProblemDetails
from faregate.operations.acting import ACCOUNT
from faregate.operations.operation import Operation
from faregate.payments.external import PaidMessage, RefundedMessage
from faregate.platform.environments import MODES
from faregate.rest import messages

_NAMES: Final = "#/components/schemas/{name}"
_ALWAYS: Final = (401, 403, 404, 429, 503)
_WITH_BODY: Final = (400, 413, 415, 422)


def _schema_hook(kind: type) -> dict[str, Any]:
    if kind is Number:
        return {"type": "number", "description": "exact: kept digit by digit"}
    raise NotImplementedError


def _amounts_are_numbers(node: Any) -> Any:
    """msgspec describes `Decimal` as text; on our wire it is a JSON number."""
    if isinstance(node, dict):
        if node.get("format") == "decimal":
            return {"type": "number"}
        return {key: _amounts_are_numbers(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_amounts_are_numbers(value) for value in node]
    return node


def openapi_document(operations: tuple[Operation, ...], version: str) -> dict[str, Any]:
    """Write the document."""
    kinds: list[Any] = [ProblemDetails, PaidMessage, RefundedMessage, messages.MessageTaken]
    for operation in operations:
        kinds += [
            kind for kind in (operation.body, operation.answer, operation.query) if kind is not None
        ]
        kinds += operation.other.values()
    unique = list(dict.fromkeys(kinds))
    schemas, components = msgspec.json.schema_components(
        unique, schema_hook=_schema_hook, ref_template=_NAMES
    )
    by_kind = dict(zip(unique, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        entry = paths.setdefault("/v1" + _path(operation), {})
        entry[operation.method.lower()] = _describe(operation, by_kind, components)
    paths[messages.PATH] = {"post": _describe_messages(by_kind)}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Faregate",
            "version": version,
            "summary": "Real-time, wallet-native billing for AI products.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-CREDYT-API-KEY"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    return dict(_amounts_are_numbers(document))


def _describe(
    operation: Operation, by_kind: dict[Any, Any], components: dict[str, Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation, components),
        "responses": _responses(operation, by_kind),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_kind[operation.body]}},
        }
    return described


def _describe_messages(by_kind: dict[Any, Any]) -> dict[str, Any]:
    """Describe the door of payment providers, which have no key and send what they send."""
    names: dict[str, dict[str, Any]] = {
        "provider": {"type": "string", "minLength": 1},
        "account_id": {"type": "string", "minLength": 1},
        "mode": {"type": "string", "enum": list(MODES)},
    }
    ours = [by_kind[PaidMessage], by_kind[RefundedMessage]]
    theirs = {"type": "object", "description": "What another provider sends."}
    return {
        "operationId": "post_payments_messages_provider_account_id_mode",
        "summary": "A payment provider tells of a payment; its signature takes the place of a key",
        "tags": ["Top-ups"],
        "security": [],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in names.items()
        ],
        "requestBody": {
            "required": True,
            "description": "As the provider writes and signs it. The seller's own system (provider "
            "`external`) sends one of the first two.",
            "content": {
                "application/json": {"schema": {"anyOf": [*ours, theirs]}},
                "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
            },
        },
        "responses": {
            "200": {
                "description": "Done, or there is nothing to do.",
                "content": {"application/json": {"schema": by_kind[messages.MessageTaken]}},
            },
            **_refusals(messages.ERRORS),
        },
    }


def _path(operation: Operation) -> str:
    """Return the path as the document writes it: how the router reads a name is not its matter."""
    return re.sub(r":\w+}", "}", operation.path)


def _operation_id(operation: Operation) -> str:
    words = re.sub(r"[^a-z]+", "_", _path(operation).lower()).strip("_")
    return f"{operation.method.lower()}_{words}"


def _parameters(operation: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", _path(operation))
    ]
    if operation.query is not None:
        schema = components[operation.query.__name__]
        for name, kind in schema["properties"].items():
            if "anyOf" in kind:
                # A parameter that is left out is null to us; in a URL there is no null.
                given = [k for k in kind["anyOf"] if k != {"type": "null"}]
                kind = given[0] if len(given) == 1 else {"anyOf": given}
            found.append({"name": name, "in": "query", "required": False, "schema": kind})
    if operation.path == "/events" and operation.method == "POST":
        found.append(
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "description": "`return=representation` answers with what each event cost; "
                "`handling=lenient` lets each event stand alone.",
                "schema": {
                    "type": "string",
                    "enum": ["return=representation", "handling=lenient"],
                },
            }
        )
    found.append(
        {
            "name": ACCOUNT,
            "in": "header",
            "required": False,
            "description": "With a key of the platform: act for this connected account.",
            "schema": {"type": "string", "pattern": "^acc_[0-9a-z]{26}$"},
        }
    )
    return found


def _responses(operation: Operation, by_kind: dict[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    usual = {operation.status: operation.answer, **operation.other}
    for status, kind in usual.items():
        response: dict[str, Any] = {"description": "Done."}
        if kind is not None:
            response["content"] = {"application/json": {"schema": by_kind[kind]}}
        responses[str(status)] = response
    codes = {*_ALWAYS, *operation.errors, 422}
    if operation.body is not None:
        codes.update(_WITH_BODY)
    return responses | _refusals(codes)


def _refusals(codes: Iterable[int]) -> dict[str, Any]:
    titles = {kind.status: kind.title for kind in KINDS}
    schema = {"$ref": _NAMES.format(name="ProblemDetails")}
    return {
        str(code): {
            "description": titles[code],
            "content": {"application/problem+json": {"schema": schema}},
        }
        for code in sorted(codes)
    }
