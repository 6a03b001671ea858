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
from typing import Final, Protocol, TypeVar

from reco_stream.engine.changelog import Appender
from reco_stream.engine.crash import crash_point
from reco_stream.engine.published import Stamp, seal
from reco_stream.engine.store import PartitionStore, Record
from reco_stream.engine.turns import Slices

# Of published rows sent at once: few enough that building their RecordBatches holds the loop for less than 1 ms.
_BATCH_BYTES = 400_000
SMALL_MOVE: Final = 0.05
WAIT_S: Final = 10.0
# Below this size one event is no small move, so there is no need to remember what was published.
_REMEMBERED_FROM: Final = 1 / SMALL_MOVE
# Of each kind and partition: 12 partitions take up to 30 MB for them.
_REMEMBERED_ROWS: Final = 5_000

T = TypeVar("T")
# Topic, key, and value or None for "gone".
Value = tuple[str, bytes, bytes | None]
# What a row looked like: its make-up (any difference is a large move), and its size.
Measure = tuple[int, float]


class PublishesRows(Protocol):
    """Which rows others need, by the first byte of their key, and the values that they get."""

    @property
    def prefixes(self) -> frozenset[bytes]: ...

    def expand(self, key: bytes, row: bytes | None) -> Iterable[Value]:
        """Each value that one changed row makes."""

    def measure(self, key: bytes, row: bytes) -> Measure | None:
        """What tells how far the row moves; None for a row of which every change is published at once."""


class Made:
    """What rows made last, by hash: of a row that makes several values, those that changed are new."""

    def __init__(self) -> None:
        self._hashes: dict[bytes, tuple[int, ...]] = {}

    def of(self, key: bytes) -> tuple[int, ...] | None:
        """Hashes of what the row made; None when it is not known: a row with one value, or one not seen for long."""
        return self._hashes.get(key)

    def new(self, key: bytes, values: Iterable[Value]) -> Sequence[Value]:
        """Returns which of the row's `values` it did not make last time, and remembers all."""
        values = tuple(values)
        if len(values) < 2:
            return values
        made, hashes = self._hashes.get(key, ()), tuple(map(hash, values))
        _remember(self._hashes, key, hashes)
        return [value for value, hashed in zip(values, hashes, strict=True) if hashed not in made]


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
        # key -> lowest changelog offset at which an unpublished change of it may lie
        self._pending: dict[bytes, int] = {}
        # key -> (that offset, when it must be published): rows that moved little, in the order of both
        self._waiting: dict[bytes, tuple[int, float]] = {}
        self._published: dict[bytes, Measure] = {}
        self._made = Made()
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
        prefixes = self._rows.prefixes
        pending = self._pending
        for key in keys:
            if key[:1] in prefixes and key not in pending:
                pending[key] = first_offset

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
            sent = await self._send(self._due(pending, everything))
            self._in_flight_from = None
            crash_point("checkpoint.published")
            return sent

    @asynccontextmanager
    async def publishing(self, leaving: Iterable[Record]) -> AsyncIterator[None]:
        """Publishes what `leaving` makes that was not published: (key, row) of what a fold took out of stored rows.

        The body stores the rows: until then a flush, which reads the old ones, would publish an older value after this.
        """
        async with self._lock:
            await self._send([self._unpublished(key, row) for key, row in leaving])
            yield

    def _unpublished(self, key: bytes, row: bytes | None) -> Sequence[Value]:
        values = tuple(self._rows.expand(key, row))
        if self._in_flight_from is not None:
            return values  # a flush was cancelled: what it took and what it remembers may not have arrived
        known = self._made.of(key)
        if known is None and key not in self._pending:
            known = tuple(map(hash, self._rows.expand(key, self._store.get(key))))
        return [value for value in values if known is None or hash(value) not in known]

    def _due(self, pending: dict[bytes, int], everything: bool) -> Iterator[Sequence[Value]]:
        """Yields the values of each pending row; none of one that moved little: it begins to wait, or goes on.

        Then those of the rows that have waited for long enough. A row is read when it is asked for.
        """
        now = self._clock()
        get, measure_of, published = self._store.get, self._rows.measure, self._published
        for key, offset in pending.items():
            row = get(key)
            measure = measure_of(key, row) if row is not None else None
            if measure is not None and not everything and _is_small_move(published.get(key), measure):
                self._waiting.setdefault(key, (offset, now + WAIT_S))
                yield ()
            else:
                self._waiting.pop(key, None)
                yield self._values(key, row, measure)
        for key in [key for key, (_, until) in self._waiting.items() if everything or until <= now]:
            del self._waiting[key]
            row = get(key)
            yield self._values(key, row, measure_of(key, row) if row is not None else None)

    def _values(self, key: bytes, row: bytes | None, measure: Measure | None) -> Sequence[Value]:
        """Returns what the row publishes, and remembers it."""
        if measure is not None and measure[1] >= _REMEMBERED_FROM:
            _remember(self._published, key, measure)
        else:
            self._published.pop(key, None)
        return self._made.new(key, self._rows.expand(key, row))

    async def _send(self, rows: Iterable[Sequence[Value]]) -> int:
        """Sends the values of each row; rows that come lazily are read as late as may be."""
        sent = size = 0
        batches: dict[str, list[Record]] = {topic: [] for topic in self._appenders}
        stamp: bytes | None = None
        slices = Slices()
        for values in rows:
            if stamp is None:
                marker = self._store.marker()
                stamp = seal(Stamp(marker.version, marker.applied, marker.stream_time_ms), b"")
            for topic, out_key, value in values:
                batches[topic].append((out_key, None if value is None else stamp + value))
                size += len(out_key) + len(value or b"")
            if size > _BATCH_BYTES:
                sent, size = sent + await self._append(batches), 0
                stamp = None  # the await let a checkpoint in: a row and its stamp are read from one state
            if slices.is_over:
                await slices.next()
                stamp = None
        return sent + await self._append(batches)

    async def _append(self, batches: dict[str, list[Record]]) -> int:
        """Appends what there is for each topic, and takes it out of `batches`; returns how many records."""
        sent = 0
        for topic, batch in batches.items():
            if batch:
                batches[topic] = []
                await self._appenders[topic].append(batch)
                sent += len(batch)
        return sent


def _is_small_move(known: Measure | None, measure: Measure) -> bool:
    return known is not None and measure[0] == known[0] and abs(measure[1] - known[1]) < SMALL_MOVE * known[1]


def _remember(known: dict[bytes, T], key: bytes, value: T) -> None:
    """Keeps the newest entries; what is forgotten is published once more than needed."""
    known.pop(key, None)
    known[key] = value
    if len(known) > _REMEMBERED_ROWS:
        del known[next(iter(known))]
