"""The producer of everything that is not the changelog: events over HTTP and dead letters. Idempotent, acks=all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

_MIB = 1 << 20
# From so many records on, a RecordBatch of their own costs less than aiokafka's path per record (2 us instead of 12).
_WORTH_A_BATCH = 8

# Places in the list of records, and the task that returns their offsets.
Sent = tuple[Sequence[int], asyncio.Future[list[int]]]


class Producer:
    """One idempotent producer; a record that it has acknowledged is on every in-sync replica."""

    def __init__(self, client: Mapping[str, Any]) -> None:
        self._client = dict(client)
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        producer = AIOKafkaProducer(
            **self._client,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_MIB // 2,
            max_request_size=10 * _MIB,
        )
        await producer.start()
        self._producer = producer

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("the producer is not started")
        return self._producer

    async def send(
        self, topic: str, key: bytes, value: bytes | None, partition: int | None, headers: Any = None
    ) -> RecordMetadata:
        """Returns once every in-sync replica has the record. Raises KafkaError when none has."""
        sent = await self._started().send(topic, value, key, partition=partition, headers=headers)
        return await sent

    def send_many(self, topic: str, records: Sequence[tuple[bytes, bytes, int]]) -> list[Sent]:
        """Sends (key, value, partition) records, those of one partition in their order; raises nothing by itself.

        Each task returns the offsets of its records once every in-sync replica has them, or raises KafkaError.
        """
        of_partition: dict[int, list[int]] = {}
        for index, record in enumerate(records):
            of_partition.setdefault(record[2], []).append(index)
        return [
            (indices, asyncio.ensure_future(self._send_to(topic, partition, [records[index] for index in indices])))
            for partition, indices in of_partition.items()
        ]

    async def _send_to(self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes, int]]) -> list[int]:
        producer = self._started()
        if len(records) < _WORTH_A_BATCH:
            sends = [await producer.send(topic, value, key, partition=partition) for key, value, _ in records]
            return [(await sent).offset for sent in sends]
        offsets: list[int] = []
        batch, size = producer.create_batch(), 0
        for key, value, _ in records:
            if batch.append(key=key, value=value, timestamp=None) is None:  # full
                offsets += await self._send_batch(batch, size, topic, partition)
                batch, size = producer.create_batch(), 0
                batch.append(key=key, value=value, timestamp=None)
            size += 1
        return offsets + await self._send_batch(batch, size, topic, partition)

    async def _send_batch(self, batch: Any, size: int, topic: str, partition: int) -> list[int]:
        batch.close()
        sent = await self._started().send_batch(batch, topic, partition=partition)
        first: int = (await sent).offset
        return list(range(first, first + size))

    async def ping(self) -> None:
        """Returns once a broker has answered. Raises KafkaError when none does."""
        await self._started().client.fetch_all_metadata()
