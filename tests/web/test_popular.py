from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.conftest import Worker

from reco_stream.catalogue import Item, encode_item


async def test_items_by_falling_score(worker: Worker) -> None:
    worker.items.scores = {"a": 1.0, "b": 3.0, "c": 2.0}
    body = await (await worker.client.get("/popular?count=2")).json()
    assert body == {
        "window": "24h",
        "category": None,
        "items": [{"item_id": "b", "score": 3.0}, {"item_id": "c", "score": 2.0}],
        "as_of": None,
        "read_model_lag_seconds": 0.25,
    }


@pytest.mark.parametrize("window", ["1h", "24h", "7d", "30d", "all"])
async def test_the_window_is_the_one_asked_for(worker: Worker, window: str) -> None:
    worker.items.scores = {"a": 1.0}
    worker.items.windows = {window}
    body = await (await worker.client.get("/popular", params={"window": window})).json()
    assert (body["window"], len(body["items"])) == (window, 1)


async def test_an_unknown_window_is_refused(worker: Worker) -> None:
    response = await worker.client.get("/popular?window=2h")
    error = (await response.json())["error"]
    assert response.status == 400
    assert error == {
        "code": "bad_parameter",
        "message": "window is '2h', wanted: one of 1h, 24h, 7d, 30d, all",
        "field": "window",
    }


async def test_a_category_filters_whatever_its_letter_case(worker: Worker) -> None:
    worker.items.scores = {f"i{n:04d}": 5000.0 - n for n in range(3000)}
    assert worker.services.catalogue is not None
    for item in ("i0002", "i2999"):  # the second is far below the top 1,000
        record = encode_item(Item(item_id=item, title=item.upper(), categories=("Garden",)))
        worker.services.catalogue.update(item, record[1])
    body = await (await worker.client.get("/popular?category=garden")).json()
    assert [item["item_id"] for item in body["items"]] == ["i0002", "i2999"]
    assert body["items"][0]["title"] == "I0002"
    first = await (await worker.client.get("/popular?category=GARDEN&count=1")).json()
    assert [item["item_id"] for item in first["items"]] == ["i0002"]


async def test_a_category_that_no_item_has_is_not_found(worker: Worker) -> None:
    for catalogue in (worker.services.catalogue, None):
        worker.services.catalogue = catalogue
        response = await worker.client.get("/popular?category=nowhere")
        error = (await response.json())["error"]
        assert (response.status, error["code"], error["field"]) == (404, "unknown_category", "category")
        assert "reco.items" in error["message"]


@pytest.mark.parametrize("small", [0, 20_000])
async def test_withheld_items_are_left_out_of_small_and_of_large_categories(
    worker: Worker, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.popular.SMALL", small)
    worker.items.scores = {f"i{n}": 10.0 - n for n in range(6)}
    assert worker.services.catalogue is not None
    for n in range(6):
        item = Item(item_id=f"i{n}", categories=("garden",) if n % 2 else (), hidden=n == 1)
        worker.services.catalogue.update(item.item_id, encode_item(item)[1])
    for path, expected in (("/popular?category=garden", ["i3", "i5"]), ("/popular?count=2", ["i0", "i2"])):
        body = await (await worker.client.get(path)).json()
        assert [item["item_id"] for item in body["items"]] == expected
