"""From the events topic to a sink: at least once from Kafka, once in the sink, which knows its own position.

While the sink is away nothing more is fetched; the group is kept, and the archiver goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from reco_stream import metrics
from reco_stream.archive.record import Record, Sink, SinkDown

log = logging.getLogger(__name__)

MAX_RECORDS: Final = 20_000  # held for a partition before they are written
_FETCH: Final = 5_000
_POLL_MS: Final = 200
_RETRY_S: Final = 1.0
_DAY_MS: Final = 86_400_000


class Archiver(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Runs until cancelled; the metrics say how far it is behind."""

    def __init__(
        self,
        client: Mapping[str, Any],
        group: str,
        topic: str,
        sink: Sink,
        flush_s: float,
    ) -> None:
        self._client = dict(client)
        self._group = group
        self._topic = topic
        self._sink = sink
        self._flush_s = flush_s
        self._held: dict[int, list[Record]] = {}
        self._since: dict[int, float] = {}
        self._next: dict[int, int] = {}  # offset after the last record that the sink has
        self._consumer: Any = None

    async def run(self) -> None:
        """Archive until cancelled; what is held then is read again by the next one. Raises KafkaError without Kafka."""
        self._consumer = AIOKafkaConsumer(
            **self._client,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_interval_ms=_DAY_MS,  # a sink may be away for long
        )
        try:
            await self._consumer.start()
            self._consumer.subscribe([self._topic], listener=self)
            while True:
                fetched = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_FETCH)
                for tp, records in fetched.items():
                    self._hold(tp.partition, records)
                await self._flush(self._due())
                self._measure()
        finally:
            await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Drop what is held: the next owner reads it again."""
        for tp in revoked:
            self._held.pop(tp.partition, None)
            self._since.pop(tp.partition, None)
            self._next.pop(tp.partition, None)
            for metric in (metrics.archive_lag_records, metrics.archive_lag):
                metric.remove_by_labels({"sink": self._sink.name, "partition": str(tp.partition)})

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin where the sink ends, whatever the group has committed."""
        for tp in assigned:
            position = await self._patiently(lambda tp=tp: self._sink.position(tp.topic, tp.partition))  # type: ignore[misc]
            if position is not None:
                self._consumer.seek(tp, position)
            self._next[tp.partition] = position or 0

    def _hold(self, partition: int, records: Iterable[Any]) -> None:
        held = self._held.setdefault(partition, [])
        held.extend(Record(record.offset, record.timestamp, record.key, record.value) for record in records)
        self._since.setdefault(partition, time.monotonic())

    def _due(self) -> list[int]:
        now = time.monotonic()
        return [
            partition
            for partition, held in self._held.items()
            if len(held) >= MAX_RECORDS or now - self._since[partition] >= self._flush_s
        ]

    async def _flush(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            held = self._held.get(partition)
            if not held:
                continue
            await self._patiently(lambda held=held, at=partition: self._sink.write(self._topic, at, held))  # type: ignore[misc]
            if self._held.get(partition) is not held:  # revoked meanwhile; the write stands, and so does the position
                continue
            del self._held[partition], self._since[partition]
            metrics.archived_records.labels(self._sink.name, str(partition)).inc(len(held))
            self._next[partition] = held[-1].offset + 1
            await self._commit(partition, held[-1].offset + 1)

    async def _commit(self, partition: int, offset: int) -> None:
        """For lag monitors only; the sink knows its position."""
        try:
            await self._consumer.commit({TopicPartition(self._topic, partition): offset})
        except KafkaError as error:
            log.warning("the position of partition %d is not committed: %s", partition, error)

    def _measure(self) -> None:
        """Shows the lag as of the last fetch; while nothing is fetched, its age grows."""
        for partition, next_offset in self._next.items():
            labels = self._sink.name, str(partition)
            held = self._held.get(partition)
            end = self._consumer.highwater(TopicPartition(self._topic, partition)) or next_offset
            metrics.archive_lag_records.labels(*labels).set(end - next_offset)
            metrics.archive_lag.labels(*labels).set(max(0.0, time.time() - held[0].arrived_ms / 1000) if held else 0)

    async def _patiently(self, work: Callable[[], Any]) -> Any:
        while True:
            try:
                return await work()
            except SinkDown as error:
                log.warning("the %s takes nothing, trying again: %s", self._sink.name, error)
                self._measure()
                await asyncio.sleep(_RETRY_S)
