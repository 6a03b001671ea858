"""The OpenAPI 3.1 document, generated from the views' operations and the structs of requests and responses."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec

from web.params import Param
from web.schemas import ErrorBody
from web.view import JsonView, Operation

JSON = "application/json"
_REFS = "#/components/schemas/{name}"
# What the frame around every view may answer. 500 is a defect, not a part of the interface.
ANY_ROUTE = (400, 405, 503)
WITH_BODY = (408, 413)


def document(views: Iterable[type[JsonView]]) -> dict[str, Any]:
    """Returns the document for these views, as JSON-able values."""
    views = sorted(views, key=lambda view: view.view_path)
    types = _types(views)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFS)
    schema_of = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, Any] = {}
    for view in views:
        for method, operation in view.operations.items():
            described = _operation(view, method, operation, schema_of)
            paths.setdefault(view.view_path, {})[method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "reco-stream",
            "version": version("reco-stream"),
            "description": "Real-time recommendations from a Kafka event stream. Every worker answers every query.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        # Default values may be tuples, which JSON does not have.
        "components": {"schemas": msgspec.json.decode(msgspec.json.encode(components))},
    }


def _types(views: Iterable[type[JsonView]]) -> list[Any]:
    types: dict[str, Any] = {repr(ErrorBody): ErrorBody}
    for view in views:
        for operation in view.operations.values():
            for body in (*operation.answers.values(), operation.body):
                if body is not None and not isinstance(body, str):
                    types[repr(body)] = body
    return list(types.values())


def _operation(view: type[JsonView], method: str, operation: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{method.lower()}{view.__name__}",
        "summary": operation.summary,
        "description": operation.description,
        "tags": ["internal" if operation.internal else view.view_path.split("/")[1] or "docs"],
        "parameters": [
            *(_parameter(param, "path") for param in operation.path),
            *(_parameter(param, "query") for param in operation.query),
        ],
        "responses": _responses(operation, schema_of),
    }
    if operation.examples:
        described["x-examples"] = list(operation.examples)
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": schema_of[repr(operation.body)]}}}
    return described


def _parameter(param: Param, place: str) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": place,
        "required": param.required or place == "path",
        "description": param.description,
        "schema": param.schema(),
    }


def _responses(operation: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    error = schema_of[repr(ErrorBody)]
    any_route = ANY_ROUTE + (WITH_BODY if operation.body is not None else ())
    responses = {status: _response(status, {JSON: {"schema": error}}) for status in any_route}
    for status, body in operation.answers.items():
        media, schema = _content(body, schema_of)
        responses[status] = _response(status, {media: {"schema": schema}})
    if operation.body is not None:
        responses.setdefault(422, _response(422, {JSON: {"schema": error}}))
    return {str(status): responses[status] for status in sorted(responses)}


def _content(body: Any, schema_of: dict[str, Any]) -> tuple[str, Any]:
    """Returns media type and schema of an answer's body."""
    if not isinstance(body, str):
        return JSON, schema_of[repr(body)]
    return body, {"type": "object" if body == JSON else "string"}


def _response(status: int, content: dict[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase, "content": content}
    if status == 503:
        response["headers"] = {
            "Retry-After": {"description": "seconds to wait before the next try", "schema": {"type": "integer"}}
        }
    return response
