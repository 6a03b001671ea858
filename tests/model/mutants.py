"""Mistakes that an engine like this one could make; each must be found by a schedule."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from reco_stream.engine import engine, partition, recovery
from reco_stream.engine.changelog import Claim
from reco_stream.engine.checkpoint import Checkpointer
from reco_stream.engine.marker import MARKER_KEY, PLACE_KEY, RULES_KEY, Marker, Place, encode_marker, encode_place
from reco_stream.engine.partition import Partition
from reco_stream.engine.publisher import Publisher
from reco_stream.engine.store import PartitionStore, Record
from tests.engine import fakes
from tests.engine.fakes import FakeBroker, FakeLink
from tests.engine.python_rows import PythonRows
from tests.model.worker import CHANGELOG, WorkerSource

Patch = Callable[[pytest.MonkeyPatch], None]


def store_before_changelog(patch: pytest.MonkeyPatch) -> None:
    async def commit_rows(self: Checkpointer, encoded: list[Record]) -> None:
        batch = [*encoded, (MARKER_KEY, encode_marker(self.marker))]
        self.store.write(batch, self.store.position + len(batch))
        await self.appender.append(batch)

    patch.setattr(Checkpointer, "commit_rows", commit_rows)


def marker_in_a_batch_of_its_own(patch: pytest.MonkeyPatch) -> None:
    async def commit_rows(self: Checkpointer, encoded: list[Record]) -> None:
        for batch in (encoded, [(MARKER_KEY, encode_marker(self.marker))]):
            if batch:
                first = await self.appender.append(batch)
                self.store.write(batch, first + len(batch) - 1)

    patch.setattr(Checkpointer, "commit_rows", commit_rows)


def marker_goes_back(patch: pytest.MonkeyPatch) -> None:
    apply, start = Checkpointer.apply, WorkerSource.start

    async def written_again(self: Checkpointer, records: Sequence[Any], changed: Callable[[list[bytes]], None]) -> None:
        if records[-1].offset < self.marker.applied:
            self.marker = msgspec.structs.replace(self.marker, applied=records[-1].offset)
            await self.commit_rows([])
        else:
            await apply(self, records, changed)

    async def start_earlier(self: WorkerSource, partition: int, offset: int) -> None:
        await start(self, partition, max(0, offset - 3))

    patch.setattr(Checkpointer, "apply", written_again)
    patch.setattr(WorkerSource, "start", start_earlier)


def commit_instead_of_marker(patch: pytest.MonkeyPatch) -> None:
    position = Partition._position

    async def behind(self: Partition, marker: Marker) -> Marker:
        marker = await position(self, marker)
        return msgspec.structs.replace(marker, applied=max(-1, marker.applied - 1))

    patch.setattr(Partition, "_position", behind)


def broker_that_fences_nobody(patch: pytest.MonkeyPatch) -> None:
    """What leaving the fence out comes to: an older owner may still write."""
    claim = FakeBroker.claim

    def another_producer(self: FakeBroker, transactional_id: str) -> Claim:
        return Claim(2_000 + claim(self, transactional_id).epoch, 0)

    patch.setattr(FakeBroker, "claim", another_producer)


def recovery_to_the_last_record_seen(patch: pytest.MonkeyPatch) -> None:
    claim, restore = FakeLink.claim, recovery.restore
    seen: dict[FakeLink, int] = {}

    async def look_first(self: FakeLink, transactional_id: str) -> Claim:
        seen[self] = self.broker.logs[CHANGELOG, 0].end - 1
        return await claim(self, transactional_id)

    async def to_what_was_seen(store: PartitionStore, topic: str, number: int, end: int, *rest: Any) -> int:
        restored = await restore(store, topic, number, seen[rest[0]["link"]], *rest)
        store.write([], end)
        return restored

    patch.setattr(FakeLink, "claim", look_first)
    patch.setattr(partition, "restore", to_what_was_seen)


def floor_before_publish(patch: pytest.MonkeyPatch) -> None:
    floor = Publisher.unpublished_from

    def without_what_is_in_flight(self: Publisher, next_offset: int) -> int:
        if next_offset > 1 << 60:  # asked by `flush` itself
            return floor(self, next_offset)
        in_flight, self._in_flight_from = self._in_flight_from, None
        try:
            return floor(self, next_offset)
        finally:
            self._in_flight_from = in_flight

    patch.setattr(Publisher, "unpublished_from", without_what_is_in_flight)


def rows_kept_over_a_recovery(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PythonRows, "clear", lambda self: None)


def spoiled_rows_kept(patch: pytest.MonkeyPatch) -> None:
    def forget_dirty_only(self: PythonRows) -> None:
        self.begin(self._saved_stream_time_ms)

    patch.setattr(PythonRows, "discard", forget_dirty_only)


def rejections_after_the_rows(patch: pytest.MonkeyPatch) -> None:
    commit_rows, send = Checkpointer.commit_rows, Partition._send_rejections
    late: list[tuple[Partition, Any]] = []

    async def later(self: Partition, rejections: Any) -> None:
        late.append((self, rejections))

    async def then_send(self: Checkpointer, encoded: list[Record]) -> None:
        await commit_rows(self, encoded)
        while late:
            owner, rejections = late.pop()
            await send(owner, rejections)

    patch.setattr(Partition, "_send_rejections", later)
    patch.setattr(Checkpointer, "commit_rows", then_send)


def leaving_published_after_the_rows(patch: pytest.MonkeyPatch) -> None:
    publishing = Publisher.publishing

    @asynccontextmanager
    async def later(self: Publisher, leaving: Any) -> AsyncIterator[None]:
        yield
        async with publishing(self, leaving):
            pass

    patch.setattr(Publisher, "publishing", later)


def flush_before_the_rows_are_stored(patch: pytest.MonkeyPatch) -> None:
    publishing = Publisher.publishing

    @asynccontextmanager
    async def let_go(self: Publisher, leaving: Any) -> AsyncIterator[None]:
        async with publishing(self, leaving):
            pass
        yield

    patch.setattr(Publisher, "publishing", let_go)


def marker_on_disk_before_the_rows(patch: pytest.MonkeyPatch) -> None:
    write = PartitionStore.write

    def marker_first(self: PartitionStore, records: Sequence[Record], position: int, *, settled: bool = True) -> None:
        place = (PLACE_KEY, encode_place(Place(position, int(1e15), self.changelog_id, settled)))
        self._write_through([*(record for record in records if record[0] == MARKER_KEY), place])
        write(self, records, position, settled=settled)

    patch.setattr(PartitionStore, "write", marker_first)


def held_rows_not_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PartitionStore, "get", PartitionStore._read)


def no_proof(patch: pytest.MonkeyPatch) -> None:
    prove = Partition._prove

    async def only_once(self: Partition) -> None:
        if self.store.get(RULES_KEY) is None:
            await prove(self)

    patch.setattr(Partition, "_prove", only_once)


def forgotten_owner_not_fenced(patch: pytest.MonkeyPatch) -> None:
    async def trust_the_new_epoch(self: Partition, claim: Claim, fence: Record, fence_at: int) -> int:
        return fence_at

    patch.setattr(Partition, "_fence_forgotten", trust_the_new_epoch)


def swallowed_cancellation_not_heeded(patch: pytest.MonkeyPatch) -> None:
    async def told_once(tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def swallowed(closing: Awaitable[object]) -> None:
        with suppress(asyncio.CancelledError):  # as aiokafka's closing does
            await closing

    patch.setattr(fakes, "to_the_end", swallowed)
    patch.setattr(engine, "end_tasks", told_once)


MUTANTS: list[Patch] = [
    store_before_changelog,
    marker_in_a_batch_of_its_own,
    marker_goes_back,
    commit_instead_of_marker,
    broker_that_fences_nobody,
    recovery_to_the_last_record_seen,
    rows_kept_over_a_recovery,
    spoiled_rows_kept,
    rejections_after_the_rows,
    leaving_published_after_the_rows,
    flush_before_the_rows_are_stored,
    marker_on_disk_before_the_rows,
    held_rows_not_read,
    swallowed_cancellation_not_heeded,
]
