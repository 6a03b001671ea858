"""Read models: every worker reads the published topics whole, with a plain consumer that belongs to no group.

Reading a topic of absolute values again and again changes nothing, so there is no offset to keep: a worker begins at
the beginning and is ready when it has reached the end that it saw at its start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from reco_stream.engine.light_records import read_lightly
from reco_stream.engine.recovery import close_reader
from reco_stream.engine.turns import Slices, take_turn

log = logging.getLogger(__name__)

_POLL_MS = 100
# The broker holds its answer back until this much has been published, or for so long. Answered at the first byte, each
# worker would fetch for every batch of every partition: at 2,000 events/s that cost more than taking them in.
_FETCH_MIN_BYTES = 256 * 1024
_FETCH_MAX_WAIT_MS = 100
# A worker that is behind is sent as much as it allows, and a record takes some three times its bytes once it is an
# object: with 4 MB of each of 36 partitions, and all of them at once, that was as much as the read models hold.
_FETCH_MAX_BYTES = 4 << 20
# aiokafka makes so many objects of a fetch in one piece, for 0.6 us each.
_RECORDS_AT_ONCE = 500

# What is applied between two looks at the clock: sessions and rows of items take 1 to 4 us each.
_APPLIED_AT_ONCE = 100

# (partition, records with `key` and `value`)
Apply = Callable[[int, Sequence[Any]], None]


def each(apply: Callable[[int, bytes, bytes | None], object]) -> Apply:
    """Returns what calls `apply` with partition, key, and value or None, of one record after the other."""

    def apply_all(partition: int, records: Sequence[Any]) -> None:
        for record in records:
            apply(partition, record.key, record.value)

    return apply_all


class ReadModelReader:
    """Feeds published records to callbacks, one a topic; `ready` once the ends seen at start are reached."""

    def __init__(self, client_kwargs: Mapping[str, Any], applies: Mapping[str, Apply]) -> None:
        self._client_kwargs = dict(client_kwargs)
        self._applies = dict(applies)
        self._ends: dict[TopicPartition, int] = {}
        self.ready = False
        self.records = 0
        self._complete_at = time.monotonic()

    @property
    def behind_s(self) -> float:
        """Seconds since everything that the brokers were known to hold had been read."""
        return max(0.0, time.monotonic() - self._complete_at)

    async def run(self) -> None:
        """Reads until cancelled. Raises KafkaError when the brokers refuse us."""
        consumer = AIOKafkaConsumer(
            **self._client_kwargs,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_min_bytes=_FETCH_MIN_BYTES,
            fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
            fetch_max_bytes=_FETCH_MAX_BYTES,
            max_partition_fetch_bytes=_FETCH_MAX_BYTES // 4,
        )
        try:
            await consumer.start()
            tps = await self._partitions(consumer)
            read_lightly(consumer)
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            self._ends = await consumer.end_offsets(tps)
            while True:
                found = await consumer.getmany(*tps, timeout_ms=_POLL_MS, max_records=_RECORDS_AT_ONCE)
                for tp, records in found.items():
                    await self._apply(self._applies[tp.topic], tp.partition, records)
                if await self._has_read_all(consumer, tps):
                    self._complete_at = time.monotonic()
                if not self.ready:
                    await self._check_ready(consumer)
        finally:
            await close_reader(consumer)

    async def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        found: list[TopicPartition] = []
        for topic in self._applies:
            while not (partitions := consumer.partitions_for_topic(topic)):
                consumer._client.add_topic(topic)
                await consumer._client.force_metadata_update()
                await asyncio.sleep(0.05)
            found.extend(TopicPartition(topic, partition) for partition in sorted(partitions))
        return found

    async def _apply(self, apply: Apply, partition: int, records: Sequence[Any]) -> None:
        await take_turn()
        slices = Slices()
        for at in range(0, len(records), _APPLIED_AT_ONCE):
            if slices.is_over:
                await slices.next()
            apply(partition, records[at : at + _APPLIED_AT_ONCE])
        self.records += len(records)

    async def _has_read_all(self, consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition]) -> bool:
        for tp in tps:
            # The position, because the last record's offset does not move past what ends a transaction.
            if (consumer.highwater(tp) or 0) > await consumer.position(tp):
                return False
        return True

    async def _check_ready(self, consumer: AIOKafkaConsumer) -> None:
        for tp in [tp for tp, end in self._ends.items() if end > 0]:
            if await consumer.position(tp) < self._ends[tp]:
                return
            self._ends[tp] = 0
        self.ready = True
        log.info("read models are complete: %d records", self.records)
