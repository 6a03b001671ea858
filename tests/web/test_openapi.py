"""The contract: what is documented is routed, what is routed is documented, and answers look as documented."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from tests.web.conftest import Worker

from reco_stream.catalogue import Item
from web import VIEWS
from web.openapi import document
from web.view import path_parameters

DOCUMENT = document(VIEWS)
EVENT = {"user_id": "u1", "item_id": "a", "event_type": "view"}
OK, SOME_BAD = [EVENT], [EVENT, {**EVENT, "event_type": "stare"}]

# (method, route template, path and query, JSON body, status)
CALLS: list[tuple[str, str, str, Any, int]] = [
    ("GET", "/", "/", None, 200),
    ("POST", "/events", "/events", OK, 202),
    ("POST", "/events", "/events", EVENT, 202),
    ("POST", "/events", "/events", SOME_BAD, 202),
    ("POST", "/events", "/events", SOME_BAD[1:], 422),
    ("POST", "/events", "/events", [], 422),
    ("POST", "/events", "/events", None, 400),
    ("GET", "/recommendations", "/recommendations?user_id=u1&explain", None, 200),
    ("GET", "/recommendations", "/recommendations?user_id=u1&count=1000", None, 400),
    ("GET", "/recommend/{user_id}", "/recommend/u1?k=3&exclude_seen", None, 200),
    ("GET", "/recommend/{user_id}", "/recommend/u1?k=x", None, 400),
    ("POST", "/recommendations/session", "/recommendations/session", {"items": ["a", 7]}, 200),
    ("POST", "/recommendations/session", "/recommendations/session", {"items": 7}, 422),
    ("GET", "/popular", "/popular?window=7d", None, 200),
    ("GET", "/popular", "/popular?category=none", None, 404),
    ("GET", "/models", "/models", None, 200),
    ("GET", "/users/{user_id}/attributes", "/users/u1/attributes", None, 200),
    ("PUT", "/users/{user_id}/attributes", "/users/u1/attributes", {"segment": "gold"}, 200),
    ("PUT", "/users/{user_id}/attributes", "/users/u1/attributes", [], 422),
    ("DELETE", "/users/{user_id}/attributes", "/users/u1/attributes", None, 200),
    ("GET", "/items", "/items?limit=1", None, 200),
    ("POST", "/items", "/items", {"item_id": 7, "stock": 3}, 200),
    ("POST", "/items", "/items", [{"item_id": "c"}, {"item_id": "d", "price": -1}], 200),
    ("POST", "/items", "/items", [{"item_id": "d", "price": -1}], 422),
    ("POST", "/items", "/items", [], 422),
    ("GET", "/items/{item_id}", "/items/kept", None, 200),
    ("GET", "/items/{item_id}", "/items/nothing", None, 404),
    ("PATCH", "/items/{item_id}", "/items/kept", {"stock": 0}, 200),
    ("PATCH", "/items/{item_id}", "/items/kept", {"stock": -1}, 422),
    ("DELETE", "/items/{item_id}", "/items/kept", None, 200),
    ("DELETE", "/items/{item_id}", "/items/nothing", None, 404),
    ("GET", "/items/{item_id}/similar", "/items/a/similar", None, 200),
    ("GET", "/items/{item_id}/similar", "/items/nothing/similar", None, 404),
    ("GET", "/items/{item_id}/stats", "/items/a/stats", None, 200),
    ("GET", "/internal/items/{item_id}/stats", "/internal/items/a/stats?partitions=0,1", None, 200),
    ("GET", "/users/{user_id}/recent", "/users/u1/recent", None, 200),
    ("POST", "/admin/reindex", "/admin/reindex", None, 202),
    ("GET", "/admin/reindex", "/admin/reindex", None, 200),
    ("GET", "/livez", "/livez", None, 200),
    ("GET", "/readyz", "/readyz", None, 200),
    ("GET", "/health", "/health", None, 200),
    ("GET", "/metrics", "/metrics", None, 200),
    ("GET", "/openapi.json", "/openapi.json", None, 200),
    ("GET", "/docs", "/docs", None, 200),
]


def operations() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}


def schema_of(method: str, template: str, status: int, media: str) -> dict[str, Any]:
    content = DOCUMENT["paths"][template][method.lower()]["responses"][str(status)]["content"]
    return {**content[media]["schema"], "components": DOCUMENT["components"]}


async def test_every_route_is_documented_and_every_documented_route_exists(worker: Worker) -> None:
    routed = {
        (route.method, route.resource.canonical) for route in worker.app.web.web_app.router.routes() if route.resource
    }
    assert {(method, path) for method, path in routed if method != "HEAD"} == operations()
    assert {path for method, path in routed if method == "HEAD"} == {p for m, p in operations() if m == "GET"}


def test_every_operation_is_called_below() -> None:
    assert {(method, template) for method, template, *_ in CALLS} == operations()


@pytest.mark.parametrize(("method", "template", "path", "body", "status"), CALLS, ids=map(str, range(len(CALLS))))
async def test_answers_have_the_documented_status_and_form(
    worker: Worker, method: str, template: str, path: str, body: Any, status: int
) -> None:
    worker.items.scores = {"a": 3.0, "b": 1.0}
    worker.items.near = {"a": {"b": 1.0}}
    await worker.services.item_writer.put([Item(item_id="kept", title="Lamp")])
    worker.state.touch("u1", ("a", "view"), hidden=["z"])
    data = json.dumps(body).encode() if body is not None else None
    response = await worker.client.request(method, path, data=data)
    assert response.status == status
    schema = schema_of(method, template, status, response.content_type)
    if response.content_type == "application/json":
        Draft202012Validator(schema).validate(await response.json())
    else:
        assert schema["type"] == "string"


@pytest.mark.parametrize("path", ["/items/a/stats", "/users/u1/recent", "/readyz"])
async def test_503_is_documented(worker: Worker, path: str) -> None:
    worker.state.running.clear()
    worker.state.readable.clear()
    response = await worker.client.get(path)
    assert response.status == 503
    template = path.replace("/a/", "/{item_id}/").replace("/u1/", "/{user_id}/")
    Draft202012Validator(schema_of("GET", template, 503, "application/json")).validate(await response.json())
    assert "Retry-After" in response.headers


def test_the_document_is_sound() -> None:
    ids = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            named = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
            assert named == path_parameters(path)
            assert operation["summary"]
            assert operation["description"]
    text = json.dumps(DOCUMENT)
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text


async def test_the_document_is_served(worker: Worker) -> None:
    assert await (await worker.client.get("/openapi.json")).json() == DOCUMENT
