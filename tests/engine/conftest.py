"""A topic of its own for each test of the engine, and a partition on fakes."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from reco_stream.engine import recovery
from tests.engine.fakes import changelog_reader
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
