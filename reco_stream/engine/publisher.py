"""Publication of changed rows: absolute values, at most once an interval and row, and none forgotten by a crash.

Which keys await publication needs no table of its own: they are the keys of the changelog from the lowest offset
that is not yet published. That offset rides in the marker (`unpublished_from`); a new owner publishes what the
changelog holds from there on.

A hot row would be published at every interval although readers would hardly see a difference: a row that moved by less
than a twentieth since its last publication waits up to ten seconds for more. And a row that makes several values (a
user's sessions) publishes those that changed.

What a fold takes out of its row (a session that newer ones push out) could not be published any more once the row is
stored without it. It is published before that, by the checkpoint.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import Final, Protocol

from reco_stream.engine.changelog import Appender
from reco_stream.engine.crash import crash_point
from reco_stream.engine.published import Measure, Stamp, Value, seal
from reco_stream.engine.sent_rows import SentRows, note
from reco_stream.engine.store import PartitionStore, Record
from reco_stream.engine.turns import Slices

# Of published rows sent at once: few enough that building their RecordBatches holds the loop for less than 1 ms.
_BATCH_BYTES = 400_000
WAIT_S: Final = 10.0
# Rows that are taken at once, between two looks at the clock: half a millisecond when they are read from RocksDB.
_ROWS_AT_ONCE: Final = 100


class PublishesRows(Protocol):
    """Which rows others need, by the first byte of their key, and the values that they get."""

    @property
    def prefixes(self) -> frozenset[bytes]: ...

    def expand(self, key: bytes, row: bytes | None) -> Iterable[Value]:
        """Each value that one changed row makes."""

    def measure(self, key: bytes, row: bytes) -> Measure | None:
        """What tells how far the row moves; None for a row of which every change is published at once."""


class Publisher:
    """Publishes the changed rows of one partition; `flush` runs in turn with nothing else of its kind."""

    def __init__(
        self,
        store: PartitionStore,
        appenders: dict[str, Appender],
        rows: PublishesRows,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._appenders = appenders
        self._rows = rows
        self._first_bytes = b"".join(rows.prefixes)
        # key -> lowest changelog offset at which an unpublished change of it may lie
        self._pending: dict[bytes, int] = {}
        # key -> (that offset, when it must be published): rows that moved little, in the order of both
        self._waiting: dict[bytes, tuple[int, float]] = {}
        self._sent_rows = SentRows(rows.measure, rows.expand)
        self._clock = clock
        self._in_flight_from: int | None = None
        self._lock = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._pending.keys() | self._waiting.keys())

    @property
    def pending(self) -> int:
        """Rows that changed since the last flush."""
        return len(self._pending)

    def changed(self, keys: Iterable[bytes], first_offset: int) -> None:
        """Notes that `keys` changed at or after changelog offset `first_offset`."""
        note(self._pending, self._first_bytes, keys, first_offset)

    def unpublished_from(self, next_offset: int) -> int:
        """Lowest changelog offset that may hold an unpublished row; `next_offset` when there is none."""
        floor = self._in_flight_from if self._in_flight_from is not None else next_offset
        if self._pending:
            # Insertion order is offset order: a key keeps the place of its first unpublished change.
            floor = min(floor, next(iter(self._pending.values())))
        if self._waiting:
            floor = min(floor, next(iter(self._waiting.values()))[0])
        return floor

    async def flush(self, everything: bool = False) -> int:
        """Publishes the rows that are due, or all that wait, as the store holds them now; returns the values sent."""
        async with self._lock:
            if not self._pending and not self._waiting:
                return 0
            self._in_flight_from = self.unpublished_from(1 << 62)
            pending, self._pending = self._pending, {}
            sent = await self._send(pending, everything)
            self._in_flight_from = None
            crash_point("checkpoint.published")
            return sent

    @asynccontextmanager
    async def publishing(self, leaving: Iterable[Record]) -> AsyncIterator[None]:
        """Publishes what `leaving` makes that was not published: (key, row) of what a fold took out of stored rows.

        The body stores the rows: until then a flush, which reads the old ones, would publish an older value after this.
        """
        async with self._lock:
            batches, stamp, slices, size = self._batches(), self._stamp(), Slices(), 0
            for key, row in leaving:
                for topic, out_key, value in self._unpublished(key, row):
                    batches[topic].append((out_key, None if value is None else stamp + value))
                    size += len(out_key) + len(value or b"")
                _, size = await self._make_room(batches, 0, size, slices)
            await self._append(batches)
            yield

    def _unpublished(self, key: bytes, row: bytes | None) -> Sequence[Value]:
        values = tuple(self._rows.expand(key, row))
        if self._in_flight_from is not None:
            return values  # a flush was cancelled: what it took and what it remembers may not have arrived
        others = self._sent_rows.others(key, values)
        if others is not None or key in self._pending:
            return values if others is None else others
        published = set(self._rows.expand(key, self._store.get(key)))
        return [value for value in values if value not in published]

    async def _send(self, pending: dict[bytes, int], everything: bool) -> int:
        """Sends what the pending rows publish; a row that moved little begins to wait, or goes on.

        Then the rows that have waited for long enough. A row is read as late as may be.
        """
        now, waiting = self._clock(), self._waiting
        sent = size = 0
        batches = self._batches()
        slices = Slices()
        for keys in _parts(list(pending)):
            small, taken = self._take(keys, everything, batches)
            for key in waiting.keys() & set(keys).difference(small):
                del waiting[key]
            for key in small:
                waiting.setdefault(key, (pending[key], now + WAIT_S))
            sent, size = await self._make_room(batches, sent, size + taken, slices)
        due = takewhile(lambda key: everything or waiting[key][1] <= now, waiting)  # in the order of `until`
        for keys in _parts(list(due)):
            for key in keys:
                del waiting[key]
            _, taken = self._take(keys, True, batches)
            sent, size = await self._make_room(batches, sent, size + taken, slices)
        return sent + await self._append(batches)

    def _take(
        self, keys: Sequence[bytes], everything: bool, batches: dict[str, list[Record]]
    ) -> tuple[list[bytes], int]:
        """Puts what the rows of `keys` publish into `batches`; rows and stamp are of one state: nothing awaits."""
        get = self._store.get
        return self._sent_rows.take([(key, get(key)) for key in keys], self._stamp(), everything, batches)

    def _stamp(self) -> bytes:
        marker = self._store.marker()
        return seal(Stamp(marker.version, marker.applied, marker.stream_time_ms), b"")

    def _batches(self) -> dict[str, list[Record]]:
        return {topic: [] for topic in self._appenders}

    async def _make_room(
        self, batches: dict[str, list[Record]], sent: int, size: int, slices: Slices
    ) -> tuple[int, int]:
        """Appends batches that are full, and gives way when a slice is over; returns what is sent and what is not."""
        if size > _BATCH_BYTES:
            sent, size = sent + await self._append(batches), 0
        if slices.is_over:
            await slices.next()
        return sent, size

    async def _append(self, batches: dict[str, list[Record]]) -> int:
        """Appends what there is for each topic, and takes it out of `batches`; returns how many records."""
        sent = 0
        for topic, batch in batches.items():
            if batch:
                batches[topic] = []
                await self._appenders[topic].append(batch)
                sent += len(batch)
        return sent


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (keys[at : at + _ROWS_AT_ONCE] for at in range(0, len(keys), _ROWS_AT_ONCE))
