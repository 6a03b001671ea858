from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from reco_stream.catalogue import Item
from reco_stream.catalogue.writer import WritesUnavailable

if TYPE_CHECKING:
    from tests.web.conftest import Worker


async def send(worker: Worker, body: Any, status: int = 200) -> Any:
    response = await worker.client.post("/items", data=io.BytesIO(json.dumps(body).encode()))
    assert response.status == status
    return await response.json()


async def test_good_items_go_through_and_bad_ones_are_told(worker: Worker) -> None:
    answer = await send(worker, [{"item_id": "a"}, {"item_id": "b", "price": -1}, {"item_id": "a"}, 7, {"x\0": 1}])
    assert (answer["accepted"], answer["rejected"]) == (1, 4)
    assert [result["status"] for result in answer["results"]] == ["accepted", *["rejected"] * 4]
    assert answer["results"][1]["error"]["field"] == "price"
    assert "already" in answer["results"][2]["error"]["message"]
    assert [record[1] for record in worker.producer.sent] == [b"a"]


async def test_when_all_are_bad_the_first_is_told(worker: Worker) -> None:
    answer = await send(worker, [{"item_id": "a", "stock": "many"}, {}], 422)
    assert answer["error"]["code"] == "bad_items"
    assert answer["error"]["field"] == "stock"
    assert worker.producer.sent == []


async def test_a_huge_description_is_one_bad_item_and_a_huge_body_is_413(worker: Worker) -> None:
    answer = await send(worker, [{"item_id": "a", "description": "x" * 5_000_000}, {"item_id": "b"}])
    assert answer["results"][0]["error"]["field"] == "description"
    await send(worker, [{"item_id": "a", "description": "x" * 9_000_000}], 413)


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 422), (b"", 400), (b"[" + b"1," * 1000 + b"1]", 422)]
)
async def test_what_holds_no_items_is_refused(worker: Worker, body: bytes, status: int) -> None:
    assert (await worker.client.post("/items", data=body)).status == status


async def test_an_item_is_shown_changed_and_deleted(worker: Worker) -> None:
    await send(worker, {"item_id": "a/b", "title": "Lamp", "price": 2, "properties": {"w": 1}})
    path = "/items/a%2Fb"
    shown = await (await worker.client.get(path)).json()
    assert (shown["title"], shown["price"], shown["properties"], shown["stock"]) == ("Lamp", 2.0, {"w": 1}, None)
    changed = await (await worker.client.patch(path, data=b'{"stock": 0, "title": null}')).json()
    assert (changed["title"], changed["stock"], changed["price"]) == (None, 0, 2.0)
    assert (await worker.client.patch(path, data=b'{"stock": -1}')).status == 422
    assert (await worker.client.patch(path, data=b"[]")).status == 422
    assert (await worker.client.delete(path)).status == 200
    for method in ("GET", "DELETE"):
        assert (await worker.client.request(method, path)).status == 404
    assert (await worker.client.patch(path, data=b"{}")).status == 404
    assert (await worker.client.get("/items/%00")).status == 400


async def test_pages_follow_each_other(worker: Worker) -> None:
    catalogue = worker.services.catalogue
    assert catalogue is not None
    await worker.services.item_writer.put([Item(item_id=f"i{n}", categories=("x",)) for n in range(5)])
    for _, key, value, _ in worker.producer.sent:
        catalogue.update(key.decode(), value)
    seen: list[str] = []
    cursor = None
    while True:
        path = "/items?limit=2&category=X" + (f"&cursor={cursor}" if cursor else "")
        page = await (await worker.client.get(path)).json()
        seen += [item["item_id"] for item in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == [f"i{n}" for n in range(5)]


async def test_while_writes_are_not_possible_the_answer_is_503(worker: Worker) -> None:
    class Away:
        kind = "database"

        async def put(self, items: Sequence[Item]) -> None:
            raise WritesUnavailable("database_unavailable", "away")

        async def patch(self, item_id: str, change: Any, updated_at: str) -> Item | None:
            raise WritesUnavailable("database_unavailable", "away")

        async def delete(self, item_id: str) -> bool:
            raise WritesUnavailable("database_unavailable", "away")

        async def get(self, item_id: str) -> Item | None:
            return None

        async def page(self, after: str, category: str | None, limit: int) -> list[Item]:
            return []

    worker.services.item_writer = Away()
    for method, path in (("POST", "/items"), ("PATCH", "/items/a"), ("DELETE", "/items/a")):
        response = await worker.client.request(method, path, data=b'{"item_id": "a"}')
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        assert (await response.json())["error"]["code"] == "database_unavailable"
