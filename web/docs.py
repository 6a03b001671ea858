"""GET /openapi.json and GET /docs: the interface described for programs and for people; the page needs no network."""

from __future__ import annotations

from html import escape
from typing import Any, ClassVar

import msgspec
from aiohttp import web

from web.encoding import json_response
from web.schemas import Links
from web.view import JsonView, Operation

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
h2 { font: 600 1.05rem ui-monospace, monospace; margin: 2.5rem 0 .3rem; padding-top: 1rem; }
h2 { border-top: 1px solid #d8dee5; }
pre { background: #f2f5f8; padding: .6rem .8rem; overflow-x: auto; font-size: .9rem; }
table { border-collapse: collapse; font-size: .92rem; } td, th { text-align: left; padding: .15rem 1.2rem .15rem 0; }
.method { color: #0b6b3a; margin-right: .6rem; } code { font-size: .92em; } a { color: #0a58a8; }
@media (prefers-color-scheme: dark) { body { background: #14191f; color: #dbe3ea; } pre { background: #1e262e; }
  h2 { border-color: #33404c; } .method { color: #5fce93; } a { color: #7db8f2; } }
"""


class Index(JsonView):
    """Where to look."""

    view_path = "/"
    operations: ClassVar = {
        "GET": Operation("Say where this interface is described", {200: Links}, description="For people who guess.")
    }

    async def get(self, request: web.Request) -> web.Response:
        return json_response(Links("reco-stream", Docs.view_path, OpenApi.view_path))


class OpenApi(JsonView):
    """The interface for programs."""

    view_path = "/openapi.json"
    document: ClassVar[dict[str, Any]]
    operations: ClassVar = {
        "GET": Operation(
            "Describe this interface (OpenAPI 3.1)", {200: "application/json"}, description="This document."
        )
    }

    def __post_init__(self) -> None:
        self._body = msgspec.json.encode(self.document)

    async def get(self, request: web.Request) -> web.Response:
        return web.Response(body=self._body, content_type="application/json")


class Docs(JsonView):
    """The interface for people."""

    view_path = "/docs"
    document: ClassVar[dict[str, Any]]
    operations: ClassVar = {
        "GET": Operation(
            "Describe this interface for people", {200: "text/html"}, description="This page; works offline."
        )
    }

    def __post_init__(self) -> None:
        self._body = page(self.document).encode()

    async def get(self, request: web.Request) -> web.Response:
        return web.Response(body=self._body, content_type="text/html", charset="utf-8")


def page(document: dict[str, Any]) -> str:
    """Returns the document as one HTML page without scripts, fonts or anything else to fetch."""
    info = document["info"]
    routes = "".join(
        _route(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} "
        f"For programs: <a href=/openapi.json>/openapi.json</a>. Errors have one form: "
        f'<code>{{"error": {{"code", "message", "field"}}}}</code>.</p>{routes}<h1>Bodies</h1>{schemas}</html>'
    )


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = "".join(map(_parameter, operation["parameters"]))
    body = operation.get("requestBody")
    taken = f"<p>Body: {_linked(body['content']['application/json']['schema'])}</p>" if body else ""
    given = "".join(_answer(status, response) for status, response in operation["responses"].items())
    examples = "".join(f"<pre>{escape(example)}</pre>" for example in operation.get("x-examples", ()))
    return (
        f"<h2 id={escape(operation['operationId'])}><span class=method>{method.upper()}</span>{escape(path)}</h2>"
        f"<p>{escape(operation['summary'])}. {_code(operation['description'])}</p>{examples}"
        f"{f'<table>{parameters}</table>' if parameters else ''}{taken}<table>{given}</table>"
    )


def _parameter(parameter: dict[str, Any]) -> str:
    kind = escape(_kind(parameter["schema"])) + (" (required)" if parameter["required"] else "")
    return f"<tr><td><code>{escape(parameter['name'])}</code><td>{kind}<td>{escape(parameter['description'])}"


def _answer(status: str, response: dict[str, Any]) -> str:
    media, content = next(iter(response["content"].items()))
    shown = _linked(content["schema"]) if media == "application/json" else escape(media)
    return f"<tr><td>{status}<td>{escape(response['description'])}<td>{shown}"


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code><td>{_linked(kind)}{'' if field in required else ' (may be missing)'}"
        f"<td>{escape(kind.get('description', ''))}"
        for field, kind in schema.get("properties", {}).items()
    )
    return (
        f"<h2 id={escape(name)}>{escape(name)}</h2><p>{_code(schema.get('description', ''))}</p><table>{rows}</table>"
    )


def _linked(schema: dict[str, Any]) -> str:
    """Returns a short form of a schema, with links to the bodies that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_linked(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"array of {_linked(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_linked(schema['additionalProperties'])}"
    return escape(_kind(schema))


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(str(word) or '""' for word in schema["enum"])
    kind = schema.get("type", "any")
    if "minimum" in schema and "maximum" in schema:
        kind = f"{kind} {schema['minimum']}..{schema['maximum']}"
    return f"{kind}, default {schema['default']}" if isinstance(schema.get("default"), str | int | float) else str(kind)


def _code(text: str) -> str:
    """Returns escaped text with `marked` words as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
