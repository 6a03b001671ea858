from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker

TOKEN = "0123456789abcdef"


async def test_a_reindex_is_started_and_its_progress_told(worker: Worker) -> None:
    response = await worker.client.post("/admin/reindex")
    assert response.status == 202
    assert worker.content.asked == 1
    body = await (await worker.client.get("/admin/reindex")).json()
    assert body == {"stage": "idle", "model": "fake-1", "vectors": 0, "waiting": 0, "indexed": 0, "recall": None}
    assert (await (await worker.client.get("/health")).json())["catalogue"]["content"] == body


async def test_without_content_there_is_nothing_to_index(worker: Worker) -> None:
    worker.services.content = None
    assert (await worker.client.post("/admin/reindex")).status == 404
    assert (await (await worker.client.get("/health")).json())["catalogue"]["content"] is None


async def test_it_needs_the_token(start: Start) -> None:
    worker = await start(admin_token=TOKEN)
    for method in ("GET", "POST"):
        assert (await worker.client.request(method, "/admin/reindex")).status == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert (await worker.client.post("/admin/reindex", headers=headers)).status == 202
