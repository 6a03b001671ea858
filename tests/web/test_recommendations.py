from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker

from reco_stream.catalogue import Item, encode_item

PATHS = ["/recommendations?user_id=u1", "/recommend/u1?"]


def seed(worker: Worker) -> None:
    worker.items.scores = {"a": 50.0, "b": 40.0, "c": 30.0, "d": 20.0, "e": 10.0}
    worker.items.near = {"a": {"d": 9.0, "b": 1.0}}
    worker.state.touch("u1", ("e", "view"), ("a", "purchase"))


def ids(body: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in body["recommendations"]]


@pytest.mark.parametrize("path", PATHS)
async def test_a_known_user_gets_what_goes_with_the_newest_item(worker: Worker, path: str) -> None:
    seed(worker)
    response = await worker.client.get(path)
    body = await response.json()
    assert response.status == 200
    assert response.content_type == "application/json"
    assert (body["user_id"], body["source"], body["model"]) == ("u1", "owner", "blend")
    assert body["recommendations"][0]["item_id"] == "d"
    assert body["recommendations"][0]["reason"] == "people who viewed a also viewed this"
    assert body["as_of"] == "2023-11-14T22:13:20.000Z"
    partition = worker.state.partition_of("u1")
    assert body["freshness"] == {"partition": partition, "applied": 41, "lag_records": 2, "lag_seconds": 0.5}
    assert body["took_ms"] >= 0
    assert len(body["recommendation_id"]) == 32
    assert body["notes"][0].startswith("no embedding yet")


async def test_both_paths_give_the_same_answer(worker: Worker) -> None:
    seed(worker)
    bodies = [await (await worker.client.get(path)).json() for path in PATHS]
    assert bodies[0]["recommendations"] == bodies[1]["recommendations"]
    assert bodies[0]["recommendation_id"] != bodies[1]["recommendation_id"]


@pytest.mark.parametrize("user", ["nobody", "~session-1"])
async def test_an_unknown_user_gets_trending_items(worker: Worker, user: str) -> None:
    seed(worker)
    body = await (await worker.client.get("/recommendations", params={"user_id": user})).json()
    assert ids(body) == ["a", "b", "c", "d", "e"]
    assert {item["reason"] for item in body["recommendations"]} == {"popular"}
    assert body["source"] == "owner"


@pytest.mark.parametrize(("path", "name"), [(PATHS[0], "count"), (PATHS[1], "k")])
async def test_count_limits_the_list(worker: Worker, path: str, name: str) -> None:
    seed(worker)
    body = await (await worker.client.get(f"{path}&{name}=2")).json()
    assert len(body["recommendations"]) == 2


async def test_parts_are_shown_when_asked_for(worker: Worker) -> None:
    seed(worker)
    plain = await (await worker.client.get(PATHS[0])).json()
    assert all("parts" not in item for item in plain["recommendations"])
    explained = await (await worker.client.get(PATHS[0] + "&explain")).json()
    for item in explained["recommendations"]:
        assert set(item["parts"]) == {"co_view", "popularity", "recency"}
        assert all(0 <= part <= 1 for part in item["parts"].values())


async def test_seen_items_are_left_out_when_asked_for(worker: Worker) -> None:
    seed(worker)
    seen = {"a", "e"}
    assert seen & set(ids(await (await worker.client.get(PATHS[0])).json()))
    assert not seen & set(ids(await (await worker.client.get(PATHS[0] + "&exclude_seen=true")).json()))


async def test_a_bought_item_is_left_out_and_a_viewed_one_may_return(worker: Worker) -> None:
    seed(worker)
    found = ids(await (await worker.client.get(PATHS[0] + "&exclude_seen=purchase")).json())
    assert "a" not in found
    assert "e" in found
    refused = await worker.client.get(PATHS[0] + "&exclude_seen=bought")
    assert (refused.status, (await refused.json())["error"]["field"]) == (400, "exclude_seen")


async def test_hidden_items_never_come_back(worker: Worker) -> None:
    seed(worker)
    worker.state.touch("u1", ("a", "view"), hidden=["d", "b"])
    assert not {"d", "b"} & set(ids(await (await worker.client.get(PATHS[0])).json()))


async def test_titles_come_from_the_catalogue(worker: Worker) -> None:
    seed(worker)
    catalogue = worker.services.catalogue
    assert catalogue is not None
    for item, title in (("a", "Lamp"), ("d", "Bulb")):
        catalogue.update(item, encode_item(Item(item_id=item, title=title))[1])
    first = (await (await worker.client.get(PATHS[0])).json())["recommendations"][0]
    assert first["title"] == "Bulb"
    assert first["reason"] == "people who viewed Lamp also viewed this"


async def test_another_worker_asks_the_owner(start: Start) -> None:
    owner, other = await start(), await start()
    seed(owner)
    partition = other.state.partition_of("u1")
    other.state.running.discard(partition)
    other.state.readable.discard(partition)
    other.state.owners[partition] = owner.state.url
    for path in PATHS:
        body = await (await other.client.get(path + "&explain")).json()
        assert body["source"] == "owner"
        assert body["recommendations"][0]["item_id"] == "d"
        assert "parts" in body["recommendations"][0]
    refused = await other.client.get(PATHS[0] + "&count=0")
    assert refused.status == 400


async def test_a_dead_owner_means_popular_items(worker: Worker, unused_tcp_port: int) -> None:
    seed(worker)
    partition = worker.state.partition_of("u1")
    worker.state.running.discard(partition)
    worker.state.readable.discard(partition)
    worker.state.owners[partition] = f"http://127.0.0.1:{unused_tcp_port}"
    response = await worker.client.get(PATHS[0])
    body = await response.json()
    assert response.status == 200
    assert body["source"] == "fallback"
    assert ids(body) == ["a", "b", "c", "d", "e"]
    assert any("did not answer" in note for note in body["notes"])


async def test_a_copy_of_the_state_is_better_than_popular_items(worker: Worker) -> None:
    seed(worker)
    worker.state.running.discard(worker.state.partition_of("u1"))
    body = await (await worker.client.get(PATHS[0])).json()
    assert body["source"] == "standby"
    assert ids(body)[0] == "d"
    assert any("may be behind" in note for note in body["notes"])


async def test_a_copy_that_does_not_know_the_user_is_no_answer(worker: Worker) -> None:
    seed(worker)
    worker.state.running.clear()
    body = await (await worker.client.get("/recommendations?user_id=somebody-else")).json()
    assert body["source"] == "fallback"


async def test_a_forwarded_request_is_not_sent_on(start: Start) -> None:
    first, second = await start(), await start()
    for worker, owner in ((first, second), (second, first)):  # each believes that the other is the owner
        worker.items.scores = {"x": 1.0}
        worker.state.running.clear()
        worker.state.readable.clear()
        worker.state.owners = dict.fromkeys(range(4), owner.state.url)
    body = await (await first.client.get(PATHS[0])).json()
    assert (body["source"], ids(body)) == ("fallback", ["x"])


async def test_an_owner_that_answers_5xx_means_popular_items(start: Start) -> None:
    broken, worker = await start(), await start()

    def fail(*_: Any) -> None:
        raise RuntimeError("disk on fire")

    broken.state.read = fail  # type: ignore[assignment]
    worker.items.scores = {"x": 1.0}
    worker.state.running.clear()
    worker.state.readable.clear()
    worker.state.owners = dict.fromkeys(range(4), broken.state.url)
    assert (await broken.client.get(PATHS[0])).status == 500
    body = await (await worker.client.get(PATHS[0])).json()
    assert body["source"] == "fallback"


async def test_a_session_gets_what_goes_with_its_items(worker: Worker) -> None:
    seed(worker)
    response = await worker.client.post("/recommendations/session", data=json.dumps({"items": ["e", "a"], "count": 3}))
    body = await response.json()
    assert response.status == 200
    assert (body["user_id"], body["source"]) == (None, "read_model")
    assert ids(body)[0] == "d"
    assert not {"a", "e"} & set(ids(body))


async def test_a_session_may_see_its_items_again(worker: Worker) -> None:
    seed(worker)
    question = {"items": ["e", "a"], "exclude_seen": False, "explain": True}
    body = await (await worker.client.post("/recommendations/session", json=question)).json()
    assert {"a", "e"} <= set(ids(body))
    assert "parts" in body["recommendations"][0]


async def test_a_session_without_items_gets_trending_items(worker: Worker) -> None:
    seed(worker)
    body = await (await worker.client.post("/recommendations/session", json={"items": []})).json()
    assert ids(body) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"\xff", 400, None),
        (b"[" * 100_000, 422, None),
        (b"[]", 422, None),
        (b"{}", 422, None),
        (b'{"items": "a"}', 422, "items"),
        (b'{"items": [1.5]}', 422, "items"),
        (b'{"items": [""]}', 422, "items"),
        (b'{"items": ["a", "' + b"b" * 257 + b'"]}', 422, "items"),
        (b'{"items": ["a"], "count": 0}', 422, "count"),
        (b'{"items": ["a"], "count": 101}', 422, "count"),
        (b'{"items": ["a"], "cuont": 10}', 422, None),
    ],
)
async def test_a_bad_question_is_refused(worker: Worker, body: bytes, status: int, field: str | None) -> None:
    response = await worker.client.post("/recommendations/session", data=body)
    error = (await response.json())["error"]
    assert response.status == status
    assert error["field"] == field
    assert "wanted" in error["message"]


async def test_without_items_the_list_is_empty(worker: Worker) -> None:
    body = await (await worker.client.get(PATHS[0])).json()
    assert body["recommendations"] == []
