from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from reco_stream.archive.archiver import Archiver
from reco_stream.archive.record import Record, SinkDown
from reco_stream.kafka_clients import client_kwargs
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings import Settings
from reco_stream.topics import create_topics

pytestmark = pytest.mark.kafka


class Memory:
    """A sink that fails now and then, before or after it has kept the records."""

    name = "memory"

    def __init__(self) -> None:
        self.kept: dict[int, list[int]] = {0: [], 1: []}
        self.writes = 0

    async def position(self, topic: str, partition: int) -> int | None:
        return self.kept[partition][-1] + 1 if self.kept[partition] else None

    async def write(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        self.writes += 1
        if self.writes % 3 == 1:
            raise SinkDown("before")
        known = await self.position(topic, partition) or 0
        self.kept[partition] += [record.offset for record in records if record.offset >= known]
        if self.writes % 3 == 2:
            raise SinkDown("after")

    async def prune(self, before: date) -> list[str]:
        return []


async def test_every_record_is_kept_once_through_failures_and_restarts(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reco_stream.archive.archiver._RETRY_S", 0.01)
    settings = Settings(broker=kafka.bootstrap, app=f"archive-{uuid.uuid4().hex[:8]}", partitions=2)
    await create_topics(settings)
    sink = Memory()
    given: Any = (client_kwargs(settings), f"{settings.app}-archive", settings.topic("events"), sink, 0.05)
    async with AIOKafkaProducer(**client_kwargs(settings)) as producer:
        for turn in range(1, 4):
            task = asyncio.create_task(Archiver(*given).run())
            for number in range(50):
                await producer.send(settings.topic("events"), b"v", str(number).encode(), partition=number % 2)
            await producer.flush()
            async with asyncio.timeout(30):
                while len(sink.kept[0]) < 25 * turn or len(sink.kept[1]) < 25 * turn:
                    await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert sink.kept == {0: list(range(75)), 1: list(range(75))}
