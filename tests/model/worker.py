"""One simulated process: the real engine, its disk, and what it is waiting for."""

import asyncio
import contextvars
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from reco_stream.engine.changelog import BrokerLink
from reco_stream.engine.checkpoint import Limits, Rejection
from reco_stream.engine.config import EngineConfig
from reco_stream.engine.engine import Engine
from reco_stream.engine.marker import Marker
from reco_stream.engine.partition import Partition, Phase
from reco_stream.engine.published import Measure
from reco_stream.engine.store import PartitionStore
from tests.engine.fakes import FakeBroker, FakeDisk, FakeLink, Gate, LogRecord, MemoryStore
from tests.model.events import LOG, PREFIXES, SESSIONS, EventProcessor
from tests.model.virtual_loop import VirtualLoop

EVENTS, CHANGELOG, STATS, VISITS = "app.events", "app-state-changelog", "app.item-stats", "app.sessions"
SOURCE = [LogRecord(EVENTS, 0, offset, b"key", value) for offset, value in enumerate(LOG)]

Append = tuple[str, int, bytes]  # topic, partition, RecordBatch

current_worker: contextvars.ContextVar["Worker"] = contextvars.ContextVar("worker")


class Broken(AssertionError):
    """The invariant does not hold; the message ends with the steps that led there."""


class Stage(Protocol):
    """What a worker knows of the simulation that it is part of."""

    loop: VirtualLoop
    broker: FakeBroker
    dead_letters: set[int]
    late: list[Append]
    deaths: list[tuple[str, BaseException]]

    def end(self, worker: "Worker") -> None:
        """Ends the process and starts another in its place."""

    def rejoin(self) -> None:
        """The group decides anew."""


class Held:
    """A request or an answer that waits for the scheduler."""

    def __init__(self, name: str, future: asyncio.Future[None]) -> None:
        self.name = name
        self.future = future


class PublishesRows:
    prefixes = frozenset(PREFIXES)

    def expand(self, key: bytes, row: bytes | None) -> Iterable[tuple[str, bytes, bytes | None]]:
        if key[:1] != SESSIONS.prefix:
            yield STATS, key, b"" if row is None else row
        elif row is not None:
            for session in SESSIONS.decode(row):
                yield VISITS, b"%d" % session[0], msgspec.msgpack.encode(session)

    def measure(self, key: bytes, row: bytes) -> Measure | None:
        return (0, float(len(row))) if key[:1] == b"t" else None


class Silent:
    def on_checkpoint(self, partition: int, marker: Marker, records: int, seconds: float) -> None: ...

    def on_restore(self, partition: int, position: int, end: int) -> None: ...

    def on_skipped(self, partition: int, events: int) -> None:
        raise Broken(f"{events} events were skipped")


class WorkerEngine(Engine):
    """The engine of one simulated process: its stores are in memory and its end is not ours."""

    def __init__(self, worker: "Worker", config: EngineConfig) -> None:
        super().__init__(config, EventProcessor, PublishesRows(), worker.send_dead_letters, Silent())
        self._worker = worker
        self._broker: BrokerLink = worker.link  # type: ignore[assignment]

    def _new_store(self, number: int) -> PartitionStore:
        store = MemoryStore(self.config.store_path(number), self._worker.disk)
        store.open()
        return store

    def fail(self, what: str, error: BaseException) -> None:
        self._worker.fail(error)
        raise asyncio.CancelledError


class WorkerLink(FakeLink):
    """A link that knows which appends are on their way: they outlive the process that sent them."""

    def __init__(self, broker: FakeBroker, gate: Gate) -> None:
        super().__init__(broker, gate)
        self.under_way: list[Append] = []

    async def produce(self, topic: str, partition: int, batch: bytes) -> int:
        append = topic, partition, batch
        self.under_way.append(append)
        await self._gate(f"append to {topic}")
        self.under_way.remove(append)
        offset = self.broker.append(topic, partition, batch)
        await self._gate(f"append to {topic} answered")
        return offset


class Worker:
    """One process: its engine, its disk, and what it is waiting for."""

    def __init__(self, stage: Stage, name: str, disk: FakeDisk) -> None:
        self.name = name
        self.disk = disk
        self.alive = True
        self.armed: str | None = None
        self.held: list[Held] = []
        self.next_offset = 0
        self.sought: object = None  # the run that the source was last sought for
        self.deliveries = 0
        self.flushing: asyncio.Task[Any] | None = None
        self.died: asyncio.Future[None] = stage.loop.create_future()
        self.tasks: list[asyncio.Task[Any]] = []
        self._stage = stage
        self._context = contextvars.copy_context()
        self._context.run(current_worker.set, self)
        self.link = WorkerLink(stage.broker, self.gate)
        self.engine = WorkerEngine(self, engine_config(self.link, name))

    def start(self, work: Any) -> asyncio.Task[Any]:
        """Begins `work` as this process."""
        return self._stage.loop.create_task(work, context=self._context)

    async def gate(self, name: str) -> None:
        if not self.alive:
            raise asyncio.CancelledError
        held = Held(name, self._stage.loop.create_future())
        self.held.append(held)
        try:
            await held.future
        finally:
            self.held.remove(held)

    def first_held(self) -> list[Held]:
        """What may go on: one agent hands over one delivery after the other, everything else may overtake."""
        if not self.alive:
            return []
        deliveries = [held for held in self.held if held.name == "delivery"]
        return [held for held in self.held if held not in deliveries[1:]]

    def kill(self) -> None:
        """From here on nothing that this process does has any effect."""
        self.alive = False
        self.disk = self.disk.copy()
        self._stage.late += self.link.under_way
        for task in self.tasks:
            task.cancel()
        if not self.died.done():
            self.died.set_result(None)

    def fail(self, error: BaseException) -> None:
        if self.alive:
            self._stage.deaths.append((self.name, error))
            self._stage.end(self)

    @property
    def running(self) -> bool:
        partition = self.engine.partitions.get(0)
        return self.alive and partition is not None and partition.phase is Phase.RUNNING

    @property
    def fetching(self) -> bool:
        """Whether its consumer may take records: from the seek of a run to its end."""
        sought = self.running and self.engine.tokens()[0] is self.sought
        return sought and self.deliveries < 2 and self.next_offset < len(LOG)

    # -- the source, the dead letters and the publisher's interval ---------------------------------------------------

    async def send_dead_letters(self, rejections: Sequence[Rejection]) -> None:
        await self.gate("dead letters")
        self._stage.dead_letters.update(rejection.record.offset for rejection in rejections)
        await self.gate("dead letters answered")

    def deliver(self, count: int) -> None:
        """Takes records from the source now; they arrive when the scheduler says so."""
        token = self.engine.tokens().get(0)
        records = SOURCE[self.next_offset : self.next_offset + count]
        self.next_offset += len(records)
        self.deliveries += 1
        self.start(self._deliver(records, token))

    async def _deliver(self, records: list[LogRecord], token: object) -> None:
        try:
            await self.gate("delivery")
            await self.engine.submit(0, records, token)
        finally:
            self.deliveries -= 1

    def flush(self, everything: bool = False) -> None:
        self.flushing = self.start(self._flush(self.engine.partitions[0], everything))
        self.engine._tasks.append(self.flushing)

    async def _flush(self, partition: Partition, everything: bool) -> None:
        assert partition.publisher is not None
        flushing: Any = partition.publisher.flush(everything)
        await self.engine.guarded(self.engine.while_ours(partition, flushing), "publisher")

    def rejoin(self) -> None:
        if self.alive:
            self._stage.rejoin()


class WorkerSource:
    """The `Source` that a worker's partitions start from."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def bounds(self, partition: int) -> tuple[int, int]:
        return 0, len(LOG)

    async def start(self, partition: int, offset: int) -> None:
        await self._worker.gate("seek")
        self._worker.next_offset = offset
        self._worker.sought = self._worker.engine.partitions[partition].token

    def rejoin(self) -> None:
        self._worker.rejoin()


def engine_config(link: FakeLink, name: str) -> EngineConfig:
    return EngineConfig(
        app="app",
        events_topic=EVENTS,
        changelog_topic=CHANGELOG,
        item_stats_topic=STATS,
        sessions_topic="app.sessions",
        dead_letters_topic="app.dead-letters",
        partitions=1,
        data_dir=Path("disk"),
        url=f"http://{name}",
        client_kwargs={"link": link},
        limits=Limits(max_records=3, max_bytes=40, slice_ms=1e9),
        row_cache_bytes=1_500,
        store_cache_bytes=1 << 20,
        publish_interval_s=float("inf"),  # the scheduler decides
        rules={},
        fingerprint="rules",
    )
