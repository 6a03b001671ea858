"""Plain reading of topic partitions: a consumer that belongs to no group, from an offset up to an offset."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from reco_stream.engine.topic_ids import fetch_topic_id
from reco_stream.kafka_clients import client_kwargs
from reco_stream.settings import Settings

_POLL_MS: Final = 500
_BATCH_RECORDS: Final = 2_000
_FETCH_BYTES: Final = 10 << 20
# A broker answers the requests of one connection in turn, so every other request waits for a fetch that waits.
_FETCH_MAX_WAIT_MS: Final = 20
# aiokafka waits so long for the leader of each topic that it turns to: 100 ms by default, some ten times a partition.
_RETRY_MS: Final = 10
# Kafka keeps every record of a compacted topic for min.compaction.lag.ms, 60 s as we create it: a pass over the log
# that is much shorter than that cannot lose a value to the cleaner.
_SHORT_PASS_S: Final = 20.0


class Source(Protocol):
    """The source log: where each partition begins and ends, and its records."""

    async def bounds(self, partition: int) -> tuple[int, int]:
        """First offset and end offset."""

    def records(self, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Any]]:
        """Yields the records with start <= offset < end in order, in batches."""


class LogReader:
    """Reads any topic of the cluster. Raises KafkaError when Kafka does not answer."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and end offset of a partition."""
        tp = TopicPartition(topic, partition)
        first = (await self._consumer.beginning_offsets([tp]))[tp]
        end = (await self._consumer.end_offsets([tp]))[tp]
        return first, end

    async def offset_at(self, topic: str, partition: int, time_ms: int) -> int | None:
        """Offset of the first record of that time or later; None when there is none yet."""
        tp = TopicPartition(topic, partition)
        found = (await self._consumer.offsets_for_times({tp: time_ms}))[tp]
        return None if found is None else int(found.offset)

    async def topic_id(self, topic: str) -> str:
        """Kafka's id of a topic."""
        return await fetch_topic_id(self._consumer._client, topic)

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Any]]:
        """Yields the records with start <= offset < end in batches; compaction may have left gaps."""
        tp, consumer = TopicPartition(topic, partition), self._consumer
        consumer.assign([tp])
        consumer.seek(tp, start)
        while await consumer.position(tp) < end:
            found = await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)
            records = [record for record in found.get(tp, []) if record.offset < end]
            if records:
                yield records

    async def read_compacted(self, topic: str, partition: int) -> AsyncIterator[Sequence[Any]]:
        """Yields a compacted log up to its end, so that folding it gives the last value of each key at one moment.

        A value may vanish before it is read because a newer one lies behind the end seen at the beginning, so the rest
        is read on until a pass was too short for the cleaner to have done that.
        """
        at, end = await self.bounds(topic, partition)
        while at < end:
            began = time.monotonic()
            async for records in self.read(topic, partition, at, end):
                yield records
            at = end
            if time.monotonic() - began < _SHORT_PASS_S:
                return
            _, end = await self.bounds(topic, partition)


class SourceLog:
    """The events topic as it is on Kafka now."""

    def __init__(self, reader: LogReader, topic: str) -> None:
        self._reader = reader
        self._topic = topic

    async def bounds(self, partition: int) -> tuple[int, int]:
        return await self._reader.bounds(self._topic, partition)

    def records(self, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Any]]:
        return self._reader.read(self._topic, partition, start, end)


@asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[LogReader]:
    """A started reader. Raises KafkaError when Kafka does not answer."""
    consumer = AIOKafkaConsumer(
        **client_kwargs(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
        retry_backoff_ms=_RETRY_MS,
    )
    try:
        await consumer.start()
        yield LogReader(consumer)
    finally:
        await consumer.stop()
