from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.web.conftest import NOW_MS, FakeMarker
from web import after

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker


def seed(worker: Worker) -> int:
    worker.items.scores = {"a": 2.0, "b": 1.0}
    worker.state.touch("u1", ("a", "view"))
    return worker.state.partition_of("u1")


async def recommended(worker: Worker, token: str) -> dict[str, object]:
    response = await worker.client.get("/recommendations", params={"user_id": "u1", "after": token})
    assert response.status == 200, await response.text()
    body: dict[str, object] = await response.json()
    return body


async def test_events_give_a_token_of_the_newest_in_each_partition(worker: Worker) -> None:
    events = [{"user_id": user, "item_id": "i", "event_type": "view"} for user in ("u1", "u1", "u2")]
    response = await worker.client.post("/events", json=[*events, {"item_id": "i"}])
    partitions = [worker.state.partition_of(user) for user in ("u1", "u2")]
    wanted = {partitions[0]: 1, partitions[1]: 2}
    assert (await response.json())["token"] == after.make_token(wanted)


async def test_what_is_applied_already_is_answered_at_once(worker: Worker) -> None:
    partition = seed(worker)
    body = await recommended(worker, f"{partition}:41")
    assert body["freshness"]["after_applied"] is True  # type: ignore[index]


async def test_the_answer_waits_for_the_event(worker: Worker) -> None:
    partition = seed(worker)
    asked = asyncio.create_task(recommended(worker, f"{partition}:42"))
    await asyncio.sleep(0.05)
    assert not asked.done()
    worker.state.markers[partition] = FakeMarker(42, NOW_MS)
    found = (await asked)["freshness"]
    assert (found["applied"], found["after_applied"]) == (42, True)  # type: ignore[index]


async def test_when_the_time_is_up_the_answer_says_so(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after, "WAIT_S", 0.02)
    partition = seed(worker)
    body = await recommended(worker, f"{partition}:43")
    assert body["freshness"]["after_applied"] is False  # type: ignore[index]
    assert any("were not applied" in note for note in body["notes"])  # type: ignore[attr-defined]


async def test_a_token_of_other_partitions_is_nothing_to_wait_for(worker: Worker) -> None:
    partition = seed(worker)
    body = await recommended(worker, f"{(partition + 1) % 4}:999")
    assert body["freshness"]["after_applied"] is True  # type: ignore[index]


async def test_a_copy_says_whether_it_has_the_event(worker: Worker) -> None:
    partition = seed(worker)
    worker.state.running.clear()
    for offset, applied in ((41, True), (42, False)):
        body = await recommended(worker, f"{partition}:{offset}")
        assert (body["stale"], body["freshness"]["after_applied"]) == (True, applied)  # type: ignore[index]


async def test_the_owner_is_given_the_time_to_wait(start: Start) -> None:
    owner, other = await start(), await start()
    partition = seed(owner)
    other.state.running.clear()
    other.state.owners = dict.fromkeys(range(4), owner.state.url)
    asked = asyncio.create_task(recommended(other, f"{partition}:42"))
    await asyncio.sleep(0.35)  # longer than an owner usually may take
    owner.state.markers[partition] = FakeMarker(42, NOW_MS)
    assert (await asked)["freshness"]["after_applied"] is True  # type: ignore[index]


@pytest.mark.parametrize("token", ["", "1", "1:", ":1", "1:2,", "a:1", "1:-1", "1:2;3:4", "1:" + "9" * 19, "١:1"])
async def test_what_is_no_token_is_refused(worker: Worker, token: str) -> None:
    response = await worker.client.get("/recommendations", params={"user_id": "u1", "after": token})
    assert response.status == 400
    assert (await response.json())["error"]["field"] == "after"
