"""Recovery: brings a partition store to the changelog's end, in batches, from where the store stopped.

The end is a number known beforehand (the fence's offset, or the log's end for a standby), never "no more records
for a while": a compacted log may end in a gap.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from reco_stream.engine.crash import crash_point
from reco_stream.engine.errors import ChangelogCorrupt
from reco_stream.engine.light_records import read_lightly
from reco_stream.engine.store import PartitionStore
from reco_stream.engine.tasks import to_the_end

log = logging.getLogger(__name__)

# A chunk is one synchronous WriteBatch on the loop that also serves HTTP: 2,000 rows take 3 to 5 ms.
_CHUNK_RECORDS = 2_000
_POLL_MS = 200
_PROGRESS_EVERY_S = 5.0
# Kafka keeps tombstones at least delete.retention.ms (1 day by default); a store older than that may have missed one.
TOMBSTONE_RETENTION_S = 24 * 3600

Progress = Callable[[int, int], None]


@asynccontextmanager
async def changelog_reader(
    tp: TopicPartition, start: int, client_kwargs: Mapping[str, Any]
) -> AsyncIterator[AIOKafkaConsumer]:
    """A groupless consumer of one partition's LightRecords, at offset `start`.

    Raises ChangelogCorrupt when the log begins later. Compaction never moves a log's beginning: only retention and
    deletion by hand do, and both lose rows.
    """
    consumer = AIOKafkaConsumer(
        **client_kwargs,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=8 << 20,
        fetch_max_wait_ms=_POLL_MS,
    )
    try:
        await consumer.start()
        beginning = (await consumer.beginning_offsets([tp]))[tp]
        if beginning > start:
            raise ChangelogCorrupt(
                f"{tp.topic}[{tp.partition}]: wanted records from offset {start} on, the log begins at {beginning}: "
                "rows are lost. Set cleanup.policy=compact, then fold the source log again: reco rebuild"
            )
        read_lightly(consumer)
        consumer.assign([tp])
        consumer.seek(tp, start)
        yield consumer
    finally:
        await close_reader(consumer)


async def close_reader(consumer: AIOKafkaConsumer) -> None:
    """Closes all of it, whoever cancels this task meanwhile.

    A fetch that waits for its next try ends it half way, as cancelled (aiokafka/consumer/fetcher.py:444 `close`): a
    partition that has just been restored would take that for the end of its own task.
    """
    try:
        await to_the_end(consumer.stop())
    finally:
        await to_the_end(consumer._client.close())


async def restore(
    store: PartitionStore,
    topic: str,
    partition: int,
    end: int,
    client_kwargs: Mapping[str, Any],
    on_progress: Progress | None = None,
) -> int:
    """Applies changelog records after the store's position up to and including offset `end`; returns how many.

    Resumable: each chunk is written with its own position, so a crash repeats at most one chunk. `on_progress` gets
    (position, end).
    """
    if store.position >= end:
        return 0
    tp = TopicPartition(topic, partition)
    async with changelog_reader(tp, store.position + 1, client_kwargs) as consumer:
        return await _copy(consumer, tp, store, end, on_progress)


async def keys_since(topic: str, partition: int, start: int, end: int, client_kwargs: Mapping[str, Any]) -> list[bytes]:
    """Keys of the changelog records in [start, end), each once; compaction may have removed superseded ones."""
    tp = TopicPartition(topic, partition)
    keys: dict[bytes, None] = {}
    async with changelog_reader(tp, start, client_kwargs) as consumer:
        while await consumer.position(tp) < end:
            batches = await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_CHUNK_RECORDS)
            keys.update((record.key, None) for record in batches.get(tp, []) if record.offset < end)
    return list(keys)


async def _copy(
    consumer: AIOKafkaConsumer, tp: TopicPartition, store: PartitionStore, end: int, on_progress: Progress | None
) -> int:
    restored, started, reported = 0, time.monotonic(), time.monotonic()
    while True:
        batches = await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_CHUNK_RECORDS)
        # Behind the fence a newer owner may be writing: part of one of its batches would be no state of anybody's.
        records = [record for record in batches.get(tp, []) if record.offset <= end]
        if records:
            last = records[-1].offset
            store.write({record.key: record.value for record in records}, last, settled=last == end)
            restored += len(records)
            crash_point("recovery.partly")
        # The position moves past compacted gaps and control records, which the last record's offset does not.
        position = await consumer.position(tp)
        if on_progress is not None:
            on_progress(min(position - 1, end), end)
        if position > end:
            break
        if time.monotonic() - reported > _PROGRESS_EVERY_S:
            reported = time.monotonic()
            rate = restored / (reported - started)
            log.info("restoring %s[%d]: at %d of %d, %.0f rows/s", tp.topic, tp.partition, position, end, rate)
    if store.position < end:
        store.write([], end)
    return restored


def why_useless(store: PartitionStore, changelog_id: str, end: int, now_s: float) -> str | None:
    """Why the store cannot be brought up to date from a changelog whose next offset is `end`; None when it can."""
    if store.position < 0:
        return None
    # The fence is the changelog's newest record: a store that has reached it has read another changelog.
    if store.position >= end:
        return f"it lies beyond the changelog's end ({end})"
    if store.changelog_id not in ("", changelog_id):
        return "the changelog was deleted and made anew since"
    if is_stale(store, now_s):
        return "it may have missed tombstones"
    return None


def is_stale(store: PartitionStore, now_s: float) -> bool:
    """True when the store was last written so long ago that tombstones may have left the changelog since."""
    return store.position >= 0 and now_s - store.written_at > TOMBSTONE_RETENTION_S
