"""A simulation of what is published: the real fold and the real publisher, with time that is counted, not waited for.

Events arrive at a constant rate, each partition is folded in memory and its publisher looks every interval, as
`Partition.publish_forever` makes it do. So rates can be tried that this machine cannot take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from agents.publication import Publication
from reco_stream.domain.partitioner import partition_of
from reco_stream.engine.marker import Marker
from reco_stream.engine.pace import Pace
from reco_stream.engine.publisher import Publisher
from reco_stream.engine.store import Record
from reco_stream.engine.table import MemoryRows, Table
from reco_stream.event_files import Line
from reco_stream.events import EventRules, decode_event
from tables.co_view import CO_VIEW
from tables.fold import fold_event
from tables.popularity import POPULARITY
from tables.rules import TableRules
from tables.sessions import SESSIONS

R = TypeVar("R")
_PUBLISHED: Final[dict[bytes, Table[Any]]] = {table.prefix: table for table in (POPULARITY, CO_VIEW, SESSIONS)}
KINDS: Final = {POPULARITY.prefix: "popularity", CO_VIEW.prefix: "co_view"}
PUBLISH_S: Final = 0.2  # RECO_PUBLISH_INTERVAL_MS
# Of Kafka's format: the head of a RecordBatch, and of a record in it.
_BATCH_BYTES: Final = 61
_RECORD_BYTES: Final = 8


class ChangedRows(MemoryRows):
    """Rows in memory that remember which of them changed."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[bytes, None] = {}

    def put(self, table: Table[R], key: str, row: R) -> None:
        super().put(table, key, row)
        self.changed[table.prefix + key.encode()] = None


class Store:
    """As much of a partition's store as its publisher asks for."""

    def __init__(self, rows: ChangedRows) -> None:
        self._rows = rows
        self.applied = -1

    def get(self, key: bytes) -> bytes | None:
        table = _PUBLISHED[key[:1]]
        row = self._rows.get(table, key[1:].decode())
        return None if row is None else table.encode(row)

    def marker(self) -> Marker:
        return Marker(self.applied, 1, self._rows.stream_time_ms)


@dataclass
class Counted:
    """Takes the place of a topic: values and bytes so far, and how many values of each kind."""

    values: int = 0
    bytes: int = 0
    kinds: dict[str, int] | None = None

    async def append(self, records: list[Record]) -> int:
        self.values += len(records)
        self.bytes += _BATCH_BYTES + sum(_RECORD_BYTES + len(key) + len(value or b"") for key, value in records)
        if self.kinds is not None:
            for key, _ in records:
                kind = KINDS.get(key[:1], "sessions")
                self.kinds[kind] = self.kinds.get(kind, 0) + 1
        return self.values


@dataclass(frozen=True)
class Broadcast:
    """What is published of one event: values, by kind, and bytes."""

    rate: float
    values: float
    bytes: float
    kinds: dict[str, float]


class Simulation:
    """Partitions whose events come at a constant rate; `run` goes on where the last one ended."""

    def __init__(self, partitions: int, interval_s: float, event_rules: EventRules, rules: TableRules) -> None:
        self._interval_s = interval_s
        self._event_rules = event_rules
        self.rules = rules
        self._now_s = 0.0
        self.items, self.sessions = Counted(kinds={}), Counted(kinds={})
        self._rows = [ChangedRows() for _ in range(partitions)]
        self._stores = [Store(rows) for rows in self._rows]
        self._publishers = [self._publisher(store) for store in self._stores]
        self._paces = [Pace(interval_s, lambda: self._now_s) for _ in self._stores]
        self._due_s = [interval_s * number / partitions for number in range(partitions)]

    def _publisher(self, store: Store) -> Publisher:
        topics: dict[str, Any] = {"items": self.items, "sessions": self.sessions}
        rows: Any = store
        return Publisher(rows, topics, Publication("items", "sessions"), lambda: self._now_s)

    def run(self, lines: Iterable[Line], rate: float) -> Broadcast:
        """Folds the lines at that many a second and returns what was published of each meanwhile."""
        return asyncio.run(self._run(lines, rate))

    async def _run(self, lines: Iterable[Line], rate: float) -> Broadcast:
        before = (self.items.values, self.items.bytes, self.sessions.values, self.sessions.bytes)
        kinds = self._kinds()
        began_s, count = self._now_s, 0
        for count, line in enumerate(lines, 1):
            self._now_s = began_s + count / rate
            await self._publish_due()
            self._fold(line)
        for publisher in self._publishers:
            await publisher.flush(everything=True)
        values = self.items.values - before[0] + self.sessions.values - before[2]
        sent = self.items.bytes - before[1] + self.sessions.bytes - before[3]
        each = {kind: (total - kinds.get(kind, 0)) / count for kind, total in self._kinds().items()}
        return Broadcast(rate, values / count, sent / count, each)

    def _kinds(self) -> dict[str, int]:
        return {**(self.items.kinds or {}), **(self.sessions.kinds or {})}

    def _fold(self, line: Line) -> None:
        number = partition_of(line.key.decode(), len(self._rows))
        rows, store = self._rows[number], self._stores[number]
        event = decode_event(line.key, line.value, line.time_ms or 0, self._event_rules)
        fold_event(rows, event, self.rules)
        store.applied += 1
        self._publishers[number].changed(rows.changed, store.applied)
        rows.changed.clear()

    async def _publish_due(self) -> None:
        for number, due_s in enumerate(self._due_s):
            if due_s <= self._now_s:
                self._due_s[number] = max(due_s, self._now_s - self._interval_s) + self._interval_s
                if self._paces[number].is_due(self._publishers[number].pending, idle=False):
                    await self._publishers[number].flush()
