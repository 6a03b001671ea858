from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker

TOKEN = "0123456789abcdef"
WRITES = [("POST", "/items"), ("PATCH", "/items/a"), ("DELETE", "/items/a")]


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("header", [None, "", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer ünder"])
async def test_writes_need_the_token(start: Start, method: str, path: str, header: str | None) -> None:
    worker = await start(admin_token=TOKEN)
    headers = {} if header is None else {"Authorization": header}
    response = await worker.client.request(method, path, data=b'{"item_id": "a"}', headers=headers)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in await response.text()
    assert worker.producer.sent == []


async def test_the_token_opens_and_reading_needs_none(start: Start) -> None:
    worker = await start(admin_token=TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert (await worker.client.post("/items", data=b'{"item_id": "a"}', headers=headers)).status == 200
    assert (await worker.client.get("/items/a")).status == 200


async def test_without_a_token_a_web_page_cannot_write(worker: Worker) -> None:
    headers = {"Origin": "https://elsewhere.example"}
    assert (await worker.client.post("/items", data=b'{"item_id": "a"}', headers=headers)).status == 403
    assert (await worker.client.post("/items", data=b'{"item_id": "a"}')).status == 200
