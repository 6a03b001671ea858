from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker

from reco_stream.catalogue import Item, encode_item


async def test_similar_items_are_listed_heaviest_first(worker: Worker) -> None:
    worker.items.near = {"a": {"b": 4.0, "c": 8.0, "d": 1.0}}
    assert worker.services.catalogue is not None
    worker.services.catalogue.update("c", encode_item(Item(item_id="c", title="Sea"))[1])
    response = await worker.client.get("/items/a/similar?count=2")
    assert response.status == 200
    assert await response.json() == {
        "item_id": "a",
        "items": [
            {"item_id": "c", "score": 1.0, "weight": 8.0, "last_seen": "2023-11-14T22:13:20.000Z", "title": "Sea"},
            {"item_id": "b", "score": 0.5, "weight": 4.0, "last_seen": "2023-11-14T22:13:20.000Z"},
        ],
        "as_of": None,
        "read_model_lag_seconds": 0.25,
    }


async def test_an_item_that_was_never_seen_with_another_has_an_empty_list(worker: Worker) -> None:
    worker.items.scores = {"a": 1.0}
    body = await (await worker.client.get("/items/a/similar")).json()
    assert body["items"] == []


async def test_an_item_that_nobody_touched_is_not_found(worker: Worker) -> None:
    response = await worker.client.get("/items/x%2Fy/similar")
    body = await response.json()
    assert response.status == 404
    assert (body["error"]["code"], body["error"]["field"]) == ("unknown_item", "item_id")
    assert "'x/y'" in body["error"]["message"]


async def test_stats_add_the_partitions_up(worker: Worker, put_popularity: Callable[..., None]) -> None:
    put_popularity(worker.state, 0, "a", ("purchase", 10.0, 30), ("view", 1.0, 2))
    put_popularity(worker.state, 3, "a", ("view", 1.0, 0))
    worker.state.touch("u1", ("a", "view"))
    response = await worker.client.get("/items/a/stats")
    body = await response.json()
    assert response.status == 200
    assert body["total"] == {"events": 3, "weighted": 12.0, "by_type": {"purchase": 1, "view": 2}}
    assert body["windows"]["all"] == body["total"]
    assert body["windows"]["24h"]["by_type"] == {"view": 2}
    assert body["windows"]["30d"]["events"] == 3
    assert set(body["windows"]) == {"1h", "24h", "7d", "30d", "all"}
    assert body["applied"] == {str(p): (41 if p == worker.state.partition_of("u1") else -1) for p in range(4)}
    assert body["as_of"] == "2023-11-14T22:13:20.000Z"
    assert body["missing"] == []


async def test_stats_of_an_unknown_item_are_zero(worker: Worker) -> None:
    body = await (await worker.client.get("/items/nothing/stats")).json()
    assert body["total"] == {"events": 0, "weighted": 0.0, "by_type": {}}


async def test_stats_are_asked_from_all_owners(start: Start, put_popularity: Callable[..., None]) -> None:
    one, two = await start(), await start()
    item = "a/b c?d"
    for worker, other, mine in ((one, two, {0, 1}), (two, one, {2, 3})):
        worker.state.running = set(mine)
        worker.state.owners = dict.fromkeys({0, 1, 2, 3} - mine, other.state.url)
        for partition in mine:
            put_popularity(worker.state, partition, item, ("view", 1.0, 1))
    for worker in (one, two):
        response = await worker.client.get("/items/a%2Fb%20c%3Fd/stats")
        body = await response.json()
        assert response.status == 200
        assert body["item_id"] == item
        assert body["total"]["events"] == 4
        assert set(body["applied"]) == {"0", "1", "2", "3"}


async def test_a_missing_owner_means_503_unless_partial(
    worker: Worker, put_popularity: Callable[..., None], unused_tcp_port: int
) -> None:
    put_popularity(worker.state, 0, "a", ("view", 1.0, 1))
    worker.state.running = {0, 1}
    worker.state.owners = {2: f"http://127.0.0.1:{unused_tcp_port}"}  # and nobody knows the owner of 3
    response = await worker.client.get("/items/a/stats")
    body = await response.json()
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert body["error"]["code"] == "owner_unavailable"
    assert "partitions 2, 3" in body["error"]["message"]
    partial = await (await worker.client.get("/items/a/stats?partial=true")).json()
    assert partial["missing"] == [2, 3]
    assert set(partial["applied"]) == {"0", "1"}
    assert partial["total"]["events"] == 1


async def test_an_owner_that_is_not_restored_is_missing(start: Start) -> None:
    one, two = await start(), await start()
    one.state.running = {0, 1, 2}
    one.state.owners = {3: two.state.url}
    two.state.running = set()
    assert (await one.client.get("/items/a/stats")).status == 503
    assert (await (await one.client.get("/items/a/stats?partial")).json())["missing"] == [3]


async def test_an_owner_that_answers_nonsense_is_missing(start: Start) -> None:
    one = await start()
    one.state.running = {0, 1, 2}
    one.state.owners = {3: one.state.url + "/livez?"}  # 200, but another body
    assert (await one.client.get("/items/a/stats")).status == 503


async def test_internal_stats_answer_for_the_partitions_asked_for(worker: Worker) -> None:
    worker.state.running = {1}
    body = await (await worker.client.get("/internal/items/a/stats?partitions=3,1,1")).json()
    assert [share["partition"] for share in body["partitions"]] == [1]
    assert body["missing"] == [3]


async def test_internal_stats_refuse_partitions_that_do_not_exist(worker: Worker) -> None:
    for query in ("", "?partitions=", "?partitions=4", "?partitions=1,", "?partitions=-1", "?partitions=1&at_ms=x"):
        response = await worker.client.get(f"/internal/items/a/stats{query}")
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "bad_parameter"


async def test_similar_items_of_behaviour_and_content_are_one_list(worker: Worker) -> None:
    worker.items.scores = {"a": 3.0}
    worker.items.near = {"a": {"b": 2.0, "c": 1.0}}
    worker.content.cosines = {"a": {"c": 0.9, "d": 0.8}, "cold": {"b": 0.5}}
    body = await (await worker.client.get("/items/a/similar")).json()
    assert [(item["item_id"], item["source"]) for item in body["items"]] == [
        ("c", "both"),
        ("b", "behaviour"),
        ("d", "content"),
    ]
    assert body["items"][2]["last_seen"] is None
    cold = await (await worker.client.get("/items/cold/similar")).json()
    assert [(item["item_id"], item["source"]) for item in cold["items"]] == [("b", "content")]
    assert (await worker.client.get("/items/nobody/similar")).status == 404
