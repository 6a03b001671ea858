from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.web.conftest import Worker


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/items//stats", 404, "not_found"),
        ("GET", "/events", 405, "method_not_allowed"),
        ("HEAD", "/events", 405, None),
        ("DELETE", "/popular", 405, "method_not_allowed"),
        ("GET", "/recommendations", 400, "missing_parameter"),
        ("GET", "/recommendations?user_id=", 400, "bad_parameter"),
        ("GET", "/recommend/" + "x" * 257, 400, "bad_parameter"),
        ("GET", "/recommend/u?k=0", 400, "bad_parameter"),
        ("GET", "/popular?count=101", 400, "bad_parameter"),
    ],
)
async def test_every_refusal_has_the_same_form(
    worker: Worker, method: str, path: str, status: int, code: str | None
) -> None:
    response = await worker.client.request(method, path)
    assert response.status == status
    assert response.content_type == "application/json"
    if code is not None:
        body = await response.json()
        assert set(body) == {"error"}
        assert set(body["error"]) == {"code", "message", "field"}
        assert body["error"]["code"] == code


async def test_405_names_the_methods(worker: Worker) -> None:
    response = await worker.client.get("/events")
    assert response.headers["Allow"] == "POST"
    assert "wanted: POST" in (await response.json())["error"]["message"]


async def test_head_answers_like_get_without_a_body(worker: Worker) -> None:
    response = await worker.client.head("/popular")
    assert (response.status, await response.read()) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0


async def test_fausts_own_pages_are_off(worker: Worker) -> None:
    for path in ("/table/", "/router/", "/graph/", "/stats/"):
        assert (await worker.client.get(path)).status == 404


async def test_the_root_says_where_to_look(worker: Worker) -> None:
    body = await (await worker.client.get("/")).json()
    for path in (body["docs"], body["openapi"]):
        assert (await worker.client.get(path)).status == 200


async def test_a_defect_is_told_without_its_trace(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("the password is swordfish")

    worker.items.popular = fail  # type: ignore[assignment]
    response = await worker.client.get("/popular")
    body = await response.text()
    assert response.status == 500
    assert (await response.json())["error"]["code"] == "internal"
    assert "swordfish" not in body
    assert "swordfish" in caplog.text
