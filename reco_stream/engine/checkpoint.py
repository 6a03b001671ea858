"""The checkpoint of one partition: how a micro-batch becomes state, in five numbered steps.

    1 fold     drop records at or below `applied`; rows = f(rows, event) in memory; bad records become rejections
    2 send     rejections to the dead letters, what leaves its row to its readers (publisher.py), then one RecordBatch
               {rows..., marker} to the changelog; await the ack
    3 write    {the same rows, marker, changelog position} to the partition store, which puts those of some checkpoints
               on disk as one WriteBatch
    4 done     the marker is the truth; the group's offset is committed later, for lag monitors only
    5 publish  the changed keys await publication (publisher.py)

A crash between any two steps leaves a state that equals the fold of a prefix of the log: before the ack of 2 nothing
happened; after it, recovery finds rows and marker together in the changelog, those that the store held too. On an error
in 2 or 3 memory is ahead of the log, so nobody may go on: the partition raises, and the process stops or, when a newer
owner has the partition, lets it go (engine.py).
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from reco_stream.engine.changelog import Appender
from reco_stream.engine.crash import crash_point
from reco_stream.engine.errors import BatchTooLarge, ChangelogCorrupt, EngineError
from reco_stream.engine.marker import MARKER_KEY, Marker, encode_marker
from reco_stream.engine.rows import PartitionRows
from reco_stream.engine.store import PartitionStore, Record
from reco_stream.engine.turns import take_turn

log = logging.getLogger(__name__)

_offset = attrgetter("offset")

# How often a rule may raise on one record before the record goes to the dead letters.
_FOLD_ATTEMPTS = 2
# Looks at the clock every so many records: a look costs 50 ns, a fold 10 us, one with many pairs 20 times that.
_SLICE_CHECK_RECORDS = 4
# Encoding so many rows takes half a millisecond; building their RecordBatch comes next, later RocksDB's part.
_MANY_ROWS = 300


@dataclass(frozen=True)
class Rejection:
    """A source record that changed no row, and why; it goes to the dead letters with its original bytes."""

    record: Any
    reason: str
    detail: str
    cause: Exception | None = None


class Processor(Protocol):
    """What turns records into rows: the application's half of a checkpoint."""

    def rows_over(self, store: PartitionStore, budget_bytes: int) -> PartitionRows:
        """The partition's rows over its store, within about so much memory."""

    def fold(self, rows: Any, record: Any) -> Rejection | None:
        """Applies one record to those rows; a rejection leaves them untouched. If it raises, all is folded anew."""

    def fold_plain(self, rows: Any, records: Sequence[Any], start: int, stop: int) -> int:
        """Applies records from `start` on; returns the index of the first that is for `fold`, or `stop`.

        The rows are those that `fold` would make. If it raises, all is folded anew, by `fold`.
        """

    def applied(self) -> None:
        """The records folded since the last call are in the log and in the store."""

    def aborted(self) -> None:
        """The records folded since the last call of `applied` will be folded again."""


@dataclass
class Limits:
    """What ends a micro-batch: records, bytes of encoded rows; and how long it may hold the event loop at a time."""

    max_records: int
    max_bytes: int
    slice_ms: float


class Checkpointer:
    """Applies micro-batches to one partition; one call of `apply` at a time."""

    def __init__(
        self,
        store: PartitionStore,
        rows: PartitionRows,
        appender: Appender,
        marker: Marker,
        processor: Processor,
        limits: Limits,
        send_rejections: Callable[[Sequence[Rejection]], Awaitable[None]],
        publishing: Callable[[Sequence[Record]], AbstractAsyncContextManager[None]],
    ) -> None:
        self.store = store
        self.rows = rows
        self.appender = appender
        self.marker = marker
        self._processor = processor
        self._limits = limits
        self._send_rejections = send_rejections
        self._publishing = publishing
        # offset -> errors that rules raised on that record, since the last part that was applied
        self._poison: dict[int, list[Exception]] = {}
        self._max_records = limits.max_records

    async def apply(self, records: Sequence[Any], changed: Callable[[list[bytes]], None]) -> None:
        """Folds and stores `records`, in as many parts as their rows need; tells `changed` the keys of each part.

        It is told before the next part is folded: what leaves a row then may have been stored by this part.

        Records at or below the marker are skipped, so a replay changes nothing. Raises Fenced, ChangelogUnavailable,
        ChangelogCorrupt and what the store raises: all mean that this process must not go on writing the partition.
        """
        start = 0
        while start < len(records):
            part = records[start : start + self._max_records]
            keys = await self._apply_part(part)
            if keys is None:
                # Half as many events make about half the bytes; the limit creeps back by an eighth a part.
                self._max_records = max(1, len(part) // 2)
                continue
            changed(keys)
            start += len(part)
            self._max_records = min(self._limits.max_records, self._max_records + self._max_records // 8 + 1)

    async def _apply_part(self, part: Sequence[Any]) -> list[bytes] | None:
        marker = self.marker
        if part[-1].offset <= marker.applied:
            return []
        rejections = await self._fold(part)  # step 1
        crash_point("checkpoint.folded")
        encoded = self.rows.encode_dirty()
        size = sum(len(key) + len(value or b"") for key, value in encoded)
        if size > self._limits.max_bytes and len(part) > 1:
            self._abort()
            return None
        if len(encoded) >= _MANY_ROWS:
            await take_turn()  # web views share this loop
        if rejections:
            await self._send_rejections(rejections)  # step 2, first half: they must not be lost once the marker moves
        self.marker = msgspec.structs.replace(
            marker,
            applied=part[-1].offset,
            stream_time_ms=self.rows.stream_time_ms,
        )
        if leaving := self.rows.leaving():
            async with self._publishing(leaving):  # folded again after a crash, they leave again, as the same values
                crash_point("checkpoint.left")
                await self.commit_rows(encoded)  # steps 2 and 3
        else:
            await self.commit_rows(encoded)
        self._processor.applied()
        self._poison.clear()
        return [key for key, _ in encoded]

    async def commit_rows(self, encoded: list[Record]) -> None:
        """Steps 2 and 3 for rows that are already encoded: changelog first, store second, one batch each."""
        batch: list[Record] = [*encoded, (MARKER_KEY, encode_marker(self.marker))]
        try:
            first = await self.appender.append(batch)
        except BatchTooLarge as error:
            raise BatchTooLarge(f"one event changes {len(encoded)} rows: {error}") from error
        if first != self.store.position + 1:
            raise ChangelogCorrupt(
                f"{self.appender.topic}[{self.appender.partition}]: a batch landed at offset {first}, wanted "
                f"{self.store.position + 1}: somebody else writes this changelog; is RECO_APP shared by two clusters?"
            )
        crash_point("checkpoint.sent")
        if self.store.is_filled_by(len(batch)):
            await take_turn()  # RocksDB takes as long as a slice of the fold
        self.store.write(batch, first + len(batch) - 1)
        crash_point("checkpoint.written")

    async def _fold(self, part: Sequence[Any]) -> list[Rejection]:
        """Step 1; a record on which a rule keeps raising is rejected and the rest folded without it."""
        in_runs = not self._poison
        while True:
            self.rows.begin(self.marker.stream_time_ms)
            rejections: list[Rejection] = []
            failed = await self._fold_all(part, rejections, in_runs)
            if failed is None:
                return rejections
            if not in_runs:
                self._blame(*failed)
            in_runs = False  # one by one it shows which record it was
            self._abort()

    def _blame(self, record: Any, error: Exception) -> None:
        errors = self._poison.setdefault(record.offset, [])
        errors.append(error)
        log.warning(
            "%s[%d]@%d: a rule raised %r (attempt %d of %d); folding the micro-batch anew",
            record.topic,
            record.partition,
            record.offset,
            error,
            len(errors),
            _FOLD_ATTEMPTS,
        )

    async def _fold_all(
        self, part: Sequence[Any], rejections: list[Rejection], in_runs: bool
    ) -> tuple[Any, Exception] | None:
        """Returns on which record a rule raised, and what; in runs it may have been a later one of the run."""
        fold_plain, rows, stop = self._processor.fold_plain, self.rows, len(part)
        slice_s = self._limits.slice_ms / 1000
        at = bisect_right(part, self.marker.applied, key=_offset)
        await take_turn()
        slice_ends = time.perf_counter() + slice_s
        while at < stop:
            run_ends = min(at + _SLICE_CHECK_RECORDS, stop)
            try:
                if in_runs:
                    at = fold_plain(rows, part, at, run_ends)
                if at < run_ends:
                    rejection = self._fold_one(part[at])
                    at += 1
                    if rejection is not None:
                        rejections.append(rejection)
            except EngineError:
                raise  # a store that cannot be read is not the record's fault
            except Exception as error:
                return part[at], error
            if time.perf_counter() > slice_ends:
                await take_turn()  # web views share this loop
                slice_ends = time.perf_counter() + slice_s
        return None

    def _fold_one(self, record: Any) -> Rejection | None:
        errors = self._poison.get(record.offset, [])
        if len(errors) < _FOLD_ATTEMPTS:
            return self._processor.fold(self.rows, record)
        detail = f"a rule raised {errors[-1]!r} on this record, {len(errors)} times"
        return Rejection(record, "fold_failed", detail, errors[-1])

    def _abort(self) -> None:
        self.rows.discard()
        self._processor.aborted()
