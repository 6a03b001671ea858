from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reco_stream.catalogue.writer import WritesUnavailable

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker

PATH = "/users/u%2F1/attributes"


async def test_attributes_are_put_shown_and_forgotten(worker: Worker) -> None:
    client = worker.client
    assert await (await client.get(PATH)).json() == {"user_id": "u/1", "attributes": {}}
    put = await client.put(PATH, json={"segment": "gold"})
    assert (put.status, await put.json()) == (200, {"user_id": "u/1", "attributes": {"segment": "gold"}})
    assert (await (await client.get(PATH)).json())["attributes"] == {"segment": "gold"}
    assert (await client.delete(PATH)).status == 200
    assert (await (await client.get(PATH)).json())["attributes"] == {}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (PATH, b"{", 400),
        (PATH, b"[]", 422),
        (PATH, b'{"a": "\\u0000"}', 422),
        (PATH, b'{"a": "%b"}' % (b"x" * 20_000), 422),
        ("/users/a%00b/attributes", b"{}", 400),
        (f"/users/{'x' * 257}/attributes", b"{}", 400),
    ],
)
async def test_bad_input_is_refused(worker: Worker, path: str, body: bytes, status: int) -> None:
    assert (await worker.client.put(path, data=body)).status == status


async def test_they_need_the_token(start: Start) -> None:
    worker = await start(admin_token="0123456789abcdef")
    for method in ("GET", "PUT", "DELETE"):
        assert (await worker.client.request(method, PATH, data="{}")).status == 401


async def test_without_a_database_there_are_none_and_one_that_is_away_is_said(worker: Worker) -> None:
    class Away:
        async def get(self, user: str) -> dict[str, Any]:
            raise WritesUnavailable("database_unavailable", "away")

    worker.services.attributes = Away()  # type: ignore[assignment]
    response = await worker.client.get(PATH)
    assert (response.status, (await response.json())["error"]["code"]) == (503, "database_unavailable")
    worker.services.attributes = None
    assert (await worker.client.get(PATH)).status == 404
