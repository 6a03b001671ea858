"""Standbys: second copies of partitions that other workers own, kept up to date from the changelog.

A standby is a partition store that only recovery writes; when its partition is assigned here, what is left to read is
the tail.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from reco_stream.engine.config import EngineConfig
from reco_stream.engine.recovery import close_reader, why_useless
from reco_stream.engine.store import PartitionStore
from reco_stream.engine.tasks import end_tasks
from reco_stream.engine.topic_ids import fetch_topic_id

log = logging.getLogger(__name__)

_POLL_MS = 200
_CHUNK_RECORDS = 2_000
_RETRY_PAUSE_S = 1.0


class Standbys:
    """The standby stores of this process and the one consumer that feeds them."""

    def __init__(
        self,
        config: EngineConfig,
        new_store: Callable[[int], PartitionStore],
        guarded: Callable[[Awaitable[None], str], Awaitable[None]],
    ) -> None:
        self.stores: dict[int, PartitionStore] = {}
        self._config = config
        self._new_store = new_store
        self._guarded = guarded
        self._task: asyncio.Task[None] | None = None

    async def follow(self, numbers: set[int]) -> None:
        """Follows exactly `numbers`; stores of others are closed, so that their owner can open them."""
        await self._stop()
        for number in set(self.stores) - numbers:
            self.stores.pop(number).close()
        for number in sorted(numbers - set(self.stores)):
            self.stores[number] = self._new_store(number)
        if self.stores:
            self._task = asyncio.create_task(self._run(), name="standbys")

    async def _stop(self) -> None:
        if self._task is not None:
            await end_tasks([self._task])
            self._task = None

    async def _run(self) -> None:
        await self._guarded(self._feed_forever(), "standbys")

    async def _feed_forever(self) -> None:
        while True:
            try:
                await self._feed()
            except KafkaError as error:
                # Brokers come back; until then the copies only grow older, and say so by their markers.
                log.warning("standbys: %r; reading on in %.0f s", error, _RETRY_PAUSE_S)
                await asyncio.sleep(_RETRY_PAUSE_S)

    async def _feed(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._config.client_kwargs,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_POLL_MS,
        )
        try:
            await consumer.start()
            tps = await self._seek(consumer)
            while tps:
                batches = await consumer.getmany(*tps, timeout_ms=_POLL_MS, max_records=_CHUNK_RECORDS)
                for tp, records in batches.items():
                    rows = {record.key: record.value for record in records}
                    self.stores[tp.partition].write(rows, records[-1].offset, settled=False)
            await asyncio.Event().wait()
        finally:
            await close_reader(consumer)

    async def _seek(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        """Puts the consumer to where the stores stopped; returns the partitions that can be followed from there."""
        tps = [TopicPartition(self._config.changelog_topic, number) for number in self.stores]
        beginnings, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        changelog_id = await fetch_topic_id(consumer._client, self._config.changelog_topic)
        starts: dict[TopicPartition, int] = {}
        for tp in tps:
            store = self.stores[tp.partition]
            why = why_useless(store, changelog_id, ends[tp], time.time())
            if why is not None:
                log.warning("%s[%d]: the standby at %s is of no more use, %s: building it anew", *tp, store.path, why)
                store.wipe()
                store.open()
            store.changelog_id = changelog_id
            if beginnings[tp] > store.position + 1:
                # Whoever owns the partition is refused too (recovery.py), with what to do.
                log.error("%s[%d]: begins at %d: the standby cannot be brought up to date", *tp, beginnings[tp])
                continue
            starts[tp] = store.position + 1
        consumer.assign(list(starts))
        for tp, start in starts.items():
            consumer.seek(tp, start)
        return list(starts)
