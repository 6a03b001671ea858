"""A topic of its own for each test of the engine; a partition and two engines on fakes."""

import logging
import os
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from reco_stream.engine import recovery
from tests.engine.engine_world import Died, Worker
from tests.engine.fakes import FakeBroker, changelog_reader
from tests.engine.partition_world import World


@pytest.fixture
async def topic(kafka: Any) -> AsyncIterator[str]:
    """A new topic of two partitions."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1)])
    yield name
    await admin.close()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """One partition on fakes, and all that it deals with."""
    monkeypatch.setattr(recovery, "changelog_reader", changelog_reader)
    world = World()
    yield world
    await world.stopped()


@pytest.fixture
async def workers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two engines that share a broker."""
    monkeypatch.setattr(recovery, "changelog_reader", changelog_reader)
    broker = FakeBroker()
    found = Worker(broker), Worker(broker)
    yield found
    for worker in found:
        worker.on_gate = None
        await worker.stop()


@pytest.fixture
def worker(workers: tuple[Worker, Worker]) -> Worker:
    return workers[0]


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Codes with which the process would have ended."""
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise Died

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    return codes
