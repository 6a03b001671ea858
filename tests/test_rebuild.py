"""Other rules are refused by running state, and a rebuild folds the log anew beside it."""

import asyncio
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from reco_stream.domain.partitioner import partition_of
from reco_stream.events import RawEvent, encode_event
from reco_stream.local_workers import Worker, WorkerEnded, wait_until_ready
from reco_stream.ports import free_ports
from reco_stream.rebuild import Extent, Rebuild
from reco_stream.settings import Settings
from reco_stream.settings_loader import load_settings
from reco_stream.topics import create_topics
from reco_stream.worker_api import get

EVENTS = 300
PARTITIONS = 2
READY_WITHIN_S = 60.0


@pytest.fixture
def settings(kafka: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An application with events in its log, two sessions of two items a user, 25 minutes apart."""
    monkeypatch.setenv("RECO_BROKER", kafka.bootstrap)
    monkeypatch.setenv("RECO_APP", f"rebuild-{uuid.uuid4().hex[:8]}")
    monkeypatch.setenv("RECO_PARTITIONS", str(PARTITIONS))
    monkeypatch.setenv("RECO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RECO_TIME", "stream")
    monkeypatch.setenv("RECO_SESSION_TIMEOUT_S", "2")  # so long a worker's partitions wait for it after its end
    monkeypatch.setenv("RECO_HEARTBEAT_S", "0.4")
    settings = load_settings()
    asyncio.run(create_topics(settings))
    asyncio.run(send_events(settings))
    return settings


async def send_events(settings: Settings) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker)
    await producer.start()
    for number in range(EVENTS):
        user, minute = f"u{number % 30}", (number // 30) * 25
        key, value = encode_event(
            RawEvent(user_id=user, item_id=f"i{number // 30}", event_type="view", timestamp=1_700_000_000 + minute * 60)
        )
        await producer.send(settings.topic("events"), value, key, partition=partition_of(user, settings.partitions))
    await producer.stop()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Any]:
    started: list[Worker] = []

    def start(**environment: str) -> Worker:
        worker = Worker(free_ports(1)[0], tmp_path / "workers", {**os.environ, **environment})
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.stop()


def similar(worker: Worker) -> list[str]:
    """Once all is published, which may be shortly after it has been applied."""
    deadline = time.monotonic() + READY_WITHIN_S
    while sum(item["score"] for item in get(worker.url, "/popular", window="all", count=100)["items"]) < EVENTS:
        assert time.monotonic() < deadline, f"{worker.url} has not published all events"
        time.sleep(0.05)
    return [found["item_id"] for found in get(worker.url, "/items/i0/similar", count=20)["items"]]


@pytest.mark.kafka
def test_rebuild_folds_the_log_under_new_rules_and_leaves_the_old_state(
    settings: Settings, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = workers()
    wait_until_ready([old], READY_WITHIN_S)
    assert similar(old) != []  # visits 25 minutes apart are one session where the gap is 30 minutes

    monkeypatch.setenv("RECO_SESSION_GAP", "20m")
    rebuilding = Rebuild(load_settings(state=2), workers=1)
    try:
        assert rebuilding.wait(lambda extent: None) == Extent(EVENTS, EVENTS)
        assert similar(old) != []
    finally:
        rebuilding.stop()
    new = workers(RECO_STATE="2")
    wait_until_ready([new], READY_WITHIN_S)
    assert similar(new) == []
    assert get(new.url, "/items/i0/stats")["total"] == get(old.url, "/items/i0/stats")["total"]


@pytest.mark.kafka
def test_state_refuses_other_rules_and_says_which(settings: Settings, workers: Any) -> None:
    first = workers()
    wait_until_ready([first], READY_WITHIN_S)
    first.stop()
    second = workers(RECO_SESSION_GAP="20m")
    with pytest.raises(
        WorkerEnded, match=r"(?s)ended with code 78.*session_gap_ms: found 1800000, wanted 1200000.*reco rebuild"
    ):
        wait_until_ready([second], READY_WITHIN_S)
