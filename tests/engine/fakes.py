"""What the engine needs of the world, in memory and without a clock: a broker that keeps Kafka's promises, and disks.

The broker's promises are those that exactness rests on, shown against a real one in test_changelog.py: a batch is
appended whole or not at all, the newest claim gets the highest epoch, a batch of an epoch older than one appended in
that partition is refused, and a batch sent again is answered with the offset of the first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from aiokafka.record.memory_records import MemoryRecords

from reco_stream.engine.changelog import Claim
from reco_stream.engine.errors import ChangelogCorrupt, Fenced
from reco_stream.engine.marker import PLACE_KEY, Place, decode_place
from reco_stream.engine.store import PartitionStore, Record
from reco_stream.engine.tasks import to_the_end

Gate = Callable[[str], Awaitable[None]]


async def no_gate(name: str) -> None:
    """Lets every request and every answer pass at once."""


@dataclass(frozen=True)
class LogRecord:
    """A record of a topic, as a consumer returns it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    timestamp: int = 0
    timestamp_type: int = 1


@dataclass
class _Writer:
    epoch: int
    next_sequence: int
    last_sequence: int
    last_offset: int


@dataclass
class FakeLog:
    """One partition of a topic."""

    records: list[LogRecord] = field(default_factory=list)
    end: int = 0
    writers: dict[int, _Writer] = field(default_factory=dict)

    def last_values(self) -> dict[bytes, bytes]:
        last = {record.key: record.value for record in self.records}
        return {key: value for key, value in last.items() if value is not None}

    def compact(self) -> None:
        """Removes what later records supersede; offsets stay."""
        last = {record.key: record for record in self.records}
        self.records = sorted(last.values(), key=lambda record: record.offset)


class FakeBroker:
    """Topics and claims. Unlike the link, all of it is synchronous: what happens, happens between two steps."""

    def __init__(self) -> None:
        self.logs: defaultdict[tuple[str, int], FakeLog] = defaultdict(FakeLog)
        self._claims: dict[str, Claim] = {}
        self._next_id = 1_000

    def claim(self, transactional_id: str) -> Claim:
        last = self._claims.get(transactional_id)
        if last is None:
            last = Claim(self._next_id, -1)
            self._next_id += 1
        claim = self._claims[transactional_id] = Claim(last.producer_id, last.epoch + 1)
        return claim

    def forget(self, transactional_id: str) -> None:
        """As after transactional.id.expiration.ms: the next claim gets another producer id."""
        self._claims.pop(transactional_id, None)

    def append(self, topic: str, partition: int, built: bytes) -> int:
        batch = MemoryRecords(built).next_batch()
        log = self.logs[topic, partition]
        records = [(record.key, record.value) for record in batch]
        writer = log.writers.get(batch.producer_id)
        sequence = batch.base_sequence
        if writer is not None:
            if batch.producer_epoch < writer.epoch:
                raise Fenced(f"{topic}[{partition}]: epoch {batch.producer_epoch} is older than {writer.epoch}")
            if batch.producer_epoch == writer.epoch and sequence == writer.last_sequence:
                return writer.last_offset
            if sequence != (writer.next_sequence if batch.producer_epoch == writer.epoch else 0):
                raise ChangelogCorrupt(f"{topic}[{partition}]: sequence {sequence} is out of order")
        first = log.end
        log.records += [LogRecord(topic, partition, first + i, key, value) for i, (key, value) in enumerate(records)]
        log.end += len(records)
        log.writers[batch.producer_id] = _Writer(batch.producer_epoch, sequence + len(records), sequence, first)
        return first


class FakeLink:
    """Stands in for `BrokerLink`: each request passes the gate twice, on its way to the broker and back."""

    def __init__(self, broker: FakeBroker, gate: Gate = no_gate) -> None:
        self.broker = broker
        self._gate = gate

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def claim(self, transactional_id: str) -> Claim:
        await self._gate("claim")
        claim = self.broker.claim(transactional_id)
        await self._gate("claim answered")
        return claim

    async def topic_id(self, topic: str) -> str:
        return f"id of {topic}"

    async def produce(self, topic: str, partition: int, batch: bytes) -> int:
        await self._gate(f"append to {topic}")
        offset = self.broker.append(topic, partition, batch)
        await self._gate(f"append to {topic} answered")
        return offset

    async def fetch(self, log: FakeLog, position: int, max_records: int) -> list[LogRecord]:
        await self._gate("fetch")
        return [record for record in log.records if record.offset >= position][:max_records]


class FakeReader:
    """As much of a consumer as recovery uses."""

    def __init__(self, link: FakeLink, tp: TopicPartition, start: int) -> None:
        self._link = link
        self._tp = tp
        self._log = link.broker.logs[tp.topic, tp.partition]
        self._position = start

    async def getmany(
        self, tp: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[LogRecord]]:
        records = await self._link.fetch(self._log, self._position, max_records)
        more = bool(records) and records[-1] is not self._log.records[-1]
        self._position = records[-1].offset + 1 if more else self._log.end
        return {tp: records}

    async def position(self, tp: TopicPartition) -> int:
        return self._position


@asynccontextmanager
async def changelog_reader(
    tp: TopicPartition, start: int, client_kwargs: Mapping[str, Any]
) -> AsyncIterator[FakeReader]:
    """Stands in for `recovery.changelog_reader`; the link is what the client's arguments hold.

    Closing takes its time, as aiokafka's does.
    """
    link: FakeLink = client_kwargs["link"]
    yield FakeReader(link, tp, start)
    await to_the_end(link._gate("close"))


class FakeDisk:
    """What a process has on disk; `copy` is what is left when it is killed."""

    def __init__(self, files: dict[Path, dict[bytes, bytes]] | None = None) -> None:
        self.files = files if files is not None else {}

    def copy(self) -> FakeDisk:
        return FakeDisk({path: dict(rows) for path, rows in self.files.items()})


class MemoryStore(PartitionStore):
    """A partition store on a `FakeDisk`; test_fakes.py compares it with the real one."""

    def __init__(self, path: Path, disk: FakeDisk) -> None:
        super().__init__(path, None)  # type: ignore[arg-type]
        self._disk = disk
        self._rows: dict[bytes, bytes] | None = None

    def open(self) -> None:
        self._rows = self._disk.files.setdefault(self.path, {})
        raw = self._rows.get(PLACE_KEY)
        place = Place() if raw is None else decode_place(raw)
        self.position, self.written_at = place.offset, place.written_ms / 1000
        self.changelog_id = place.changelog_id

    @property
    def is_open(self) -> bool:
        return self._rows is not None

    def _opened(self) -> Any:
        if self._rows is None:
            raise RuntimeError(f"store {self.path} is closed")
        return self._rows

    def _read(self, key: bytes) -> bytes | None:
        value: bytes | None = self._opened().get(key)
        return value

    def _write_through(self, records: Iterable[Record]) -> None:
        rows = self._opened()
        for key, value in records:
            rows.pop(key, None)
            if value is not None:
                rows[key] = value

    def scan(self, prefix: bytes, below: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        self.flush()
        for key in sorted(self._opened()):
            if key.startswith(prefix) and (below is None or key < below):
                yield key, self._opened()[key]

    def size_bytes(self) -> int:
        return sum(len(key) + len(value) for key, value in self._opened().items())

    def close(self) -> None:
        if self._rows is not None and self._settled:
            self.flush()
        self._forget_held()
        self._rows = None

    def wipe(self) -> None:
        self._forget_held()
        self.close()
        self._disk.files.pop(self.path, None)
        self.position, self.written_at, self.changelog_id = -1, 0.0, ""
