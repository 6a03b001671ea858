"""One partition and all that it deals with, on fakes."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from reco_stream.engine.changelog import Appender
from reco_stream.engine.checkpoint import Limits, Rejection
from reco_stream.engine.config import EngineConfig
from reco_stream.engine.marker import MARKER_KEY, Marker, decode_marker
from reco_stream.engine.partition import Partition
from reco_stream.engine.published import Measure, unseal
from reco_stream.engine.store import PartitionStore
from reco_stream.engine.table import Table
from tests.engine.fakes import FakeBroker, FakeDisk, FakeLink, LogRecord, MemoryStore
from tests.engine.python_rows import FoldsInRuns, PythonRows

TEXT: Table[str] = Table("text", b"t", str.encode, bytes.decode)
CHANGELOG, STATS = "app-state-changelog", "app.item-stats"


class Appends(FoldsInRuns):
    def __init__(self) -> None:
        self.aborts = 0

    def rows_over(self, store: PartitionStore, budget_bytes: int) -> PythonRows:
        return PythonRows(store)

    def fold(self, rows: PythonRows, record: Any) -> Rejection | None:
        if record.value == b"bad":
            return Rejection(record, "bad", "")
        key = record.key.decode()
        rows.put(TEXT, key, (rows.get(TEXT, key) or "") + record.value.decode())
        return None

    def applied(self) -> None: ...

    def aborted(self) -> None:
        self.aborts += 1


class Publishes:
    prefixes = frozenset([b"t"])

    def expand(self, key: bytes, row: bytes | None) -> Iterable[tuple[str, bytes, bytes | None]]:
        yield STATS, key, row

    def measure(self, key: bytes, row: bytes) -> Measure | None:
        return None


class World:
    """One partition and all that it deals with; also its `Source` and its `Observer`."""

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.on_gate: Callable[[str], Awaitable[None]] | None = None
        self.link = FakeLink(self.broker, self._gate)
        self.disk = FakeDisk()
        self.processor = Appends()
        self.log = (0, 100)  # of the source
        self.starts: list[int] = []
        self.checkpoints: list[int] = []
        self.restores: list[tuple[int, int]] = []
        self.skipped = 0
        self.rejected: list[int] = []
        self.config = EngineConfig(
            app="app",
            events_topic="app.events",
            changelog_topic=CHANGELOG,
            item_stats_topic=STATS,
            sessions_topic="app.sessions",
            dead_letters_topic="app.dead-letters",
            partitions=1,
            data_dir=Path("disk"),
            url="http://me",
            client_kwargs={"link": self.link},
            limits=Limits(max_records=100, max_bytes=1_000_000, slice_ms=1e9),
            row_cache_bytes=1 << 20,
            store_cache_bytes=1 << 20,
            publish_interval_s=0.005,
            rules={"half life": "7 days", "limit": "100"},
            fingerprint="rules",
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def _gate(self, name: str) -> None:
        if self.on_gate is not None:
            await self.on_gate(name)

    def partition(self, **changes: Any) -> Partition:
        store = MemoryStore(self.config.store_path(0), self.disk)
        store.open()
        config = dataclasses.replace(self.config, **changes)
        link: Any = self.link
        return Partition(0, store, config, link, self, self.processor, Publishes(), self._dead_letters, self)

    async def _dead_letters(self, rejections: Sequence[Rejection]) -> None:
        self.rejected += [rejection.record.offset for rejection in rejections]

    async def running(self, partition: Partition) -> Partition:
        """Starts the partition and waits until it runs, or raises what it died of."""
        starts = len(self.starts)
        self.tasks.append(asyncio.create_task(partition.own()))
        await until(lambda: len(self.starts) > starts or self.tasks[-1].done())
        if self.tasks[-1].done():
            self.tasks[-1].result()
        return partition

    async def stopped(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    # Source
    async def bounds(self, partition: int) -> tuple[int, int]:
        return self.log

    async def start(self, partition: int, offset: int) -> None:
        self.starts.append(offset)

    def rejoin(self) -> None: ...

    # Observer
    def on_checkpoint(self, partition: int, marker: Marker, records: int, seconds: float) -> None:
        self.checkpoints.append(records)

    def on_restore(self, partition: int, position: int, end: int) -> None:
        self.restores.append((position, end))

    def on_skipped(self, partition: int, events: int) -> None:
        self.skipped += events

    def changelog(self) -> dict[bytes, bytes]:
        return self.broker.logs[CHANGELOG, 0].last_values()

    def newest_marker(self) -> Marker:
        return decode_marker(self.changelog()[MARKER_KEY])

    async def append(self, *records: tuple[bytes, bytes | None]) -> None:
        """Another owner appends to the changelog."""
        link: Any = FakeLink(self.broker)
        await Appender(link, CHANGELOG, 0, self.broker.claim("app-0")).append(records)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def events(*values: str, first: int = 0, key: str = "k") -> list[LogRecord]:
    return [LogRecord("app.events", 0, first + i, key.encode(), value.encode()) for i, value in enumerate(values)]


async def applied(partition: Partition, *values: str, first: int = 0) -> None:
    """Submits events and waits until they are in the store."""
    await partition.submit(events(*values, first=first))
    await until(lambda: partition.marker.applied >= first + len(values) - 1)


def row(partition: Partition, key: bytes = b"tk") -> bytes | None:
    return partition.store.get(key)


def published(world: World) -> dict[bytes, bytes]:
    return {key: unseal(value)[1] for key, value in world.broker.logs[STATS, 0].last_values().items()}
