"""Engines that share a broker, on fakes: two processes of one application."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from reco_stream.engine.checkpoint import Rejection
from reco_stream.engine.engine import Engine
from reco_stream.engine.store import PartitionStore
from tests.engine.counting_worker import COUNTS, CountingProcessor, PublishesCounts, Silent, config_for
from tests.engine.fakes import FakeBroker, FakeDisk, FakeLink, LogRecord, MemoryStore


class Died(BaseException):
    """In place of the end of the process."""


class Source:
    def __init__(self) -> None:
        self.started: list[int] = []
        self.rejoined = 0

    async def bounds(self, partition: int) -> tuple[int, int]:
        return 0, 1_000

    async def start(self, partition: int, offset: int) -> None:
        self.started.append(partition)

    def rejoin(self) -> None:
        self.rejoined += 1


class Worker(Engine):
    """An engine on a shared broker with a disk of its own."""

    def __init__(self, broker: FakeBroker) -> None:
        self.on_gate: Callable[[str], Awaitable[None]] | None = None
        link: Any = FakeLink(broker, self._gate)
        config = config_for("app", "", Path("disk"))
        config = dataclasses.replace(config, client_kwargs={"link": link}, publish_interval_s=0.002)
        super().__init__(
            config, lambda number: CountingProcessor(), PublishesCounts(config.item_stats_topic), _ignore, Silent()
        )
        self._broker = link
        self.disk = FakeDisk()
        self.source = Source()
        self.opened: list[MemoryStore] = []

    async def _gate(self, name: str) -> None:
        if self.on_gate is not None:
            await self.on_gate(name)

    def _new_store(self, number: int) -> PartitionStore:
        store = MemoryStore(self.config.store_path(number), self.disk)
        store.open()
        self.opened.append(store)
        return store

    async def own(self, *numbers: int) -> None:
        """Assigns partitions and waits until they run."""
        await self.assign(numbers, (), self.source, self.revocations)
        await until(lambda: set(self.running()) == set(numbers))

    async def apply(self, number: int, *values: str, first: int = 0) -> None:
        token = self.tokens()[number]
        self.taken(number, token)
        records = [
            LogRecord("app.events", number, first + i, b"user", value.encode()) for i, value in enumerate(values)
        ]
        await self.submit(number, records, token)
        await until(lambda: self.partitions[number].marker.applied >= first + len(values) - 1)

    def count(self, number: int) -> int:
        raw = self.partitions[number].store.get(b"nuser")
        return 0 if raw is None else COUNTS.decode(raw)[0]


async def _ignore(rejections: Sequence[Rejection]) -> None: ...


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)
