from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker


async def test_items_newest_first(worker: Worker) -> None:
    worker.state.touch("u1", ("a", "view"), ("b", "cart"), hidden=["z", "y"])
    response = await worker.client.get("/users/u1/recent")
    assert response.status == 200
    assert await response.json() == {
        "user_id": "u1",
        "items": [
            {"item_id": "b", "event_type": "cart", "at": "2023-11-14T22:13:20.000Z"},
            {"item_id": "a", "event_type": "view", "at": "2023-11-14T22:12:20.000Z"},
        ],
        "hidden": ["y", "z"],
        "as_of": "2023-11-14T22:13:20.000Z",
        "source": "owner",
        "freshness": {
            "partition": worker.state.partition_of("u1"),
            "applied": 41,
            "lag_records": 2,
            "lag_seconds": 0.5,
        },
        "stale": False,
    }


async def test_a_user_without_events_has_an_empty_list(worker: Worker) -> None:
    body = await (await worker.client.get("/users/~visitor/recent")).json()
    assert (body["user_id"], body["items"], body["hidden"]) == ("~visitor", [], [])


async def test_another_worker_asks_the_owner(start: Start) -> None:
    owner, other = await start(), await start()
    owner.state.touch("anna/2", ("a", "view"))
    other.state.running.clear()
    other.state.owners = dict.fromkeys(range(4), owner.state.url)
    body = await (await other.client.get("/users/anna%2F2/recent")).json()
    assert [item["item_id"] for item in body["items"]] == ["a"]


async def test_without_the_owner_a_copy_answers_and_says_that_it_may_be_old(worker: Worker) -> None:
    worker.state.touch("u1", ("a", "view"))
    worker.state.running.clear()
    body = await (await worker.client.get("/users/u1/recent")).json()
    assert [item["item_id"] for item in body["items"]] == ["a"]
    assert (body["source"], body["stale"]) == ("standby", True)
    assert (body["freshness"]["applied"], body["freshness"]["lag_records"]) == (41, None)


async def test_without_the_owner_and_without_a_copy_there_is_no_answer(worker: Worker) -> None:
    worker.state.touch("u1", ("a", "view"))
    worker.state.running.clear()
    worker.state.readable.clear()
    response = await worker.client.get("/users/u1/recent")
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert (await response.json())["error"]["code"] == "owner_unavailable"
