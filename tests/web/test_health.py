from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker

from web import health
from web.services import Services


async def test_a_worker_that_answers_is_alive(worker: Worker) -> None:
    worker.state.running.clear()
    response = await worker.client.get("/livez")
    assert (response.status, await response.json()) == (200, {"status": "alive"})


async def test_ready_names_the_partitions(worker: Worker) -> None:
    response = await worker.client.get("/readyz")
    assert (response.status, await response.json()) == (200, {"status": "ready", "partitions": [0, 1, 2, 3]})


async def test_not_ready_says_what_it_waits_for(start: Start) -> None:
    waiting = ["partition 2 is 10 events behind", "the read models are loading"]

    def configure(services: Services) -> None:
        services.not_ready = lambda: waiting

    worker = await start(configure)
    response = await worker.client.get("/readyz")
    error = (await response.json())["error"]
    assert response.status == 503
    assert error["code"] == "not_ready"
    assert error["message"] == "partition 2 is 10 events behind; the read models are loading"
    waiting.clear()
    assert (await worker.client.get("/readyz")).status == 200


async def test_without_partitions_a_worker_is_not_ready(worker: Worker) -> None:
    worker.state.running.clear()
    assert (await worker.client.get("/readyz")).status == 503


async def test_health_times_every_dependency(start: Start) -> None:
    async def answer() -> None:
        await asyncio.sleep(0)

    def configure(services: Services) -> None:
        services.probes = {"kafka": answer, "rocksdb": answer}

    worker = await start(configure)
    worker.items.scores = {"a": 1.0}
    response = await worker.client.get("/health")
    body = await response.json()
    assert response.status == 200
    assert body["status"] == "ok"
    assert {name: found["status"] for name, found in body["dependencies"].items()} == {"kafka": "ok", "rocksdb": "ok"}
    assert all(found["latency_ms"] >= 0 for found in body["dependencies"].values())
    assert (body["app"], body["url"], body["read_model_items"]) == ("reco", worker.state.url, 1)
    assert body["partitions"][0] == {
        "partition": 0,
        "running": True,
        "applied": -1,
        "end_offset": 2,
        "lag_records": 2,
        "lag_seconds": 0.5,
    }


async def test_a_failed_dependency_is_503(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT_S", 0.01)

    async def fail() -> None:
        raise ConnectionError("no route to host")

    async def hang() -> None:
        await asyncio.Event().wait()

    def configure(services: Services) -> None:
        services.probes = {"kafka": fail, "postgres": hang}

    worker = await start(configure)
    response = await worker.client.get("/health")
    body = await response.json()
    assert (response.status, body["status"]) == (503, "failed")
    assert body["dependencies"]["kafka"]["error"] == "ConnectionError: no route to host"
    assert body["dependencies"]["postgres"]["error"] == "no answer within 0.01 s"
